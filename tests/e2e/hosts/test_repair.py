"""A repair brings an environment from any wrong state to the pinned builds, or back to what it was.

The pip, the index and the kills are real; the wheels are made, and tiny.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from made_environments import (
    CPU_WHEELS,
    CUDA_WHEELS,
    FILELOCK,
    PIN_ROWS,
    READER,
    ROCM,
    ROCM_WHEELS,
    Project,
    fill,
    make_project,
    make_template,
    pip,
)
from made_index import BROKEN, MadeIndex, MadeWheel, made_sibling, made_torch, made_triton, running_index

from sir_convert_a_lot.application.repair import Ended, apply, propose
from sir_convert_a_lot.domain.gpu_facts import RuntimeKind
from sir_convert_a_lot.domain.host_findings import Finding, Outcome
from sir_convert_a_lot.domain.host_profile import TorchPins
from sir_convert_a_lot.domain.repair_journal import Refusal, RepairRefused

STATES: dict[str, tuple[Sequence[MadeWheel], str]] = {
    "cpu wheel": ((*CPU_WHEELS, FILELOCK), "wheel_cpu_only"),
    "wrong vendor": ((*CUDA_WHEELS, FILELOCK), "wheel_wrong_vendor"),
    "mixed family": ((ROCM_WHEELS[0], *CPU_WHEELS[1:], ROCM_WHEELS[3], FILELOCK), "torch_family_mismatch"),
    "missing torchvision": ((ROCM_WHEELS[0], *ROCM_WHEELS[2:], FILELOCK), "torch_not_pinned"),
    "leftover triton": ((*ROCM_WHEELS, made_triton("triton", "3.7.0"), FILELOCK), "torch_not_pinned"),
}
# Runs in a process of its own and kills itself, as a machine that loses power would, when it hears of one step.
CUT_OFF = """
import os, signal, sys
from pathlib import Path
from sir_convert_a_lot.application.repair import apply
from sir_convert_a_lot.domain.gpu_facts import RuntimeKind
from sir_convert_a_lot.domain.host_profile import HostProfile
from sir_convert_a_lot.infrastructure.host_repair.site import EnvironmentSite
from sir_convert_a_lot.infrastructure.hosts.local import LocalHost

def tell(line):
    if line.startswith(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

profile = HostProfile("made", sys.argv[1], runtime_kind=RuntimeKind.ROCM)
apply(EnvironmentSite(LocalHost(), profile), RuntimeKind.ROCM, [], tell)
"""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MadeIndex]:
    with running_index(tmp_path_factory.mktemp("index")) as index:
        fill(index)
        yield index


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("template") / "venv")


@pytest.fixture
def project(tmp_path: Path, template: Path, index: MadeIndex, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Its account's pip asks the ordinary index, and always asks it too, as a host's may."""
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", index.url("ordinary"))
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", index.url("ordinary"))
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    return make_project(tmp_path / "project", template, index)


def repair(project: Project, told: list[str] | None = None, findings: Sequence[Finding] = ()) -> Ended:
    return apply(
        project.site(), project.profile.runtime_kind, findings, (told if told is not None else []).append
    ).ended


@pytest.mark.parametrize("state", STATES)
def test_from_each_wrong_state_to_a_passing_check_3(project: Project, index: MadeIndex, state: str) -> None:
    wheels, code = STATES[state]
    project.install(*wheels)
    assert project.check().code == code
    index.asked.clear()
    assert repair(project) is Ended.DONE
    assert project.check().outcome is Outcome.OK
    assert "triton" not in installed(project)
    assert not any(asked.startswith("/ordinary/simple/torch") for asked in index.asked)
    assert repair(project) is Ended.NOTHING_TO_DO


def test_a_bare_environment_gets_the_set_and_what_it_needs(project: Project) -> None:
    assert project.check().code == "torch_missing"
    assert repair(project) is Ended.DONE
    assert installed(project) >= PIN_ROWS.items() | {("filelock", "3.20.0")}
    assert pip(project, "check").strip() == "No broken requirements found."


def test_a_second_apply_says_that_there_is_nothing_to_do_and_does_nothing(project: Project, index: MadeIndex) -> None:
    project.install(*ROCM_WHEELS, FILELOCK)
    assert repair(project) is Ended.NOTHING_TO_DO
    before, times = project.snapshot(), times_of(project)
    index.asked.clear()
    told: list[str] = []
    assert repair(project, told) is Ended.NOTHING_TO_DO
    assert (project.snapshot(), times_of(project)) == (before, times)
    assert (told, index.asked) == ([], [])


@pytest.mark.parametrize("step", ["step 2", "step 4"])
def test_cut_off_between_two_steps_it_goes_on_where_it_stopped(project: Project, index: MadeIndex, step: str) -> None:
    project.install(*CPU_WHEELS, FILELOCK)
    cut_off(project, step)
    assert json.loads(project.journal.read_text())["phase"] == "applying"
    index.asked.clear()
    told: list[str] = []
    assert repair(project, told) is Ended.DONE
    assert told[0].endswith(f"was cut off at {step}")
    assert told[1].startswith(step)
    assert not any(asked.startswith("/rocm/") for asked in index.asked)  # what was fetched is still there
    assert project.check().outcome is Outcome.OK


def test_cut_off_while_it_saves_it_begins_anew(project: Project) -> None:
    project.install(*CPU_WHEELS, FILELOCK)
    cut_off(project, "step 1")
    journal = json.loads(project.journal.read_text())
    project.journal.write_text(json.dumps(journal | {"phase": "saving"}))  # as it stands while that goes on
    assert repair(project) is Ended.DONE
    assert project.check().outcome is Outcome.OK


def test_cut_off_within_a_step_it_goes_on_from_what_was_saved(project: Project, index: MadeIndex) -> None:
    project.install(*CPU_WHEELS)
    index.silent.add("ordinary/simple/filelock")
    index.asked.clear()
    process = start(project, "never")
    wait_until(lambda: "/ordinary/simple/filelock/" in index.asked)
    assert refusal_of(project) is Refusal.BUSY  # two pips at once would spoil what either does
    process.kill()
    process.wait(30)
    wait_until(lambda: refusal_of(project) is None)  # whoever watches the step ends it, and what it started
    index.silent.clear()
    told: list[str] = []
    assert repair(project, told) is Ended.DONE
    assert told[1] == "that step was under way: putting back what was saved, and beginning from there"
    assert project.check().outcome is Outcome.OK


def test_a_step_that_outlives_whoever_watched_it_still_keeps_others_out(project: Project, index: MadeIndex) -> None:
    project.install(*CPU_WHEELS)
    index.silent.add("ordinary/simple/filelock")
    index.asked.clear()
    process = start(project, "never")
    wait_until(lambda: "/ordinary/simple/filelock/" in index.asked)
    os.kill(parent_of(find_pip(project)), signal.SIGKILL)
    assert process.wait(60) != 0
    assert refusal_of(project) is Refusal.BUSY
    index.silent.clear()
    wait_until(lambda: refusal_of(project) is None)
    assert repair(project) is Ended.DONE
    assert project.check().outcome is Outcome.OK


def test_cut_off_on_its_way_to_other_builds_it_puts_back_and_begins_anew(project: Project, index: MadeIndex) -> None:
    project.install(*CPU_WHEELS, FILELOCK)
    cut_off(project, "step 4")
    index.add("rocm", newer := made_triton("triton-rocm", "3.6.1"))
    pyproject = project.root / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace('"3.6.0"', '"3.6.1"'))
    told: list[str] = []
    assert (
        repair(project, told) is Ended.ROLLED_BACK
    )  # that torch asks for the other triton: a conflict, and a loud one
    assert told[0] == "putting back what a repair that was cut off had saved"
    assert project.check().code == "wheel_cpu_only"
    assert newer.name not in installed(project)


def test_what_a_repair_of_another_took_over_is_left_to_that(project: Project) -> None:
    project.install(*CPU_WHEELS, FILELOCK)
    first = project.site()
    proposal = propose(first, RuntimeKind.ROCM, [])
    first.begin(proposal.plan.to_run, proposal.goal, saves=True)
    project.site().claim()
    with pytest.raises(RepairRefused) as refused:
        first.run_step(1, 60)
    assert refused.value.refusal is Refusal.FENCED
    assert project.check().code == "wheel_cpu_only"


def test_a_wheel_that_does_not_import_is_taken_away_again(project: Project, index: MadeIndex) -> None:
    project.install(*CPU_WHEELS, FILELOCK, READER)
    before = project.snapshot()
    broken = made_sibling("torchvision", "0.26.0+rocm7.1", ROCM, body=BROKEN)
    index.add("rocm", broken)
    report = apply(pinned_to(project, broken).site(), RuntimeKind.ROCM, [], [].append)
    assert report.ended is Ended.ROLLED_BACK
    assert any("torchvision::nms does not exist" in line for line in report.trouble)
    assert report.strayed == ()
    assert project.snapshot() == before


def test_a_wheel_that_is_not_there_changes_nothing(project: Project) -> None:
    project.install(*CPU_WHEELS)
    before = project.snapshot()
    report = apply(pinned_to(project, made_torch("2.99.0+rocm7.1")).site(), RuntimeKind.ROCM, [], [].append)
    assert report.ended is Ended.ROLLED_BACK
    assert report.trouble[0] == "fetch_torch_set ended with 1"
    assert project.snapshot() == before


def test_what_needs_another_torch_is_a_conflict_and_not_another_torch(project: Project) -> None:
    project.install(*CUDA_WHEELS, FILELOCK, MadeWheel("paper-reader", "1.5", ["torch>=2.11"]))
    before = project.snapshot()
    report = apply(project.site(), RuntimeKind.ROCM, [], [].append)
    assert report.ended is Ended.ROLLED_BACK
    assert report.trouble[0] == "install_rest ended with 1"
    assert any("paper-reader" in line for line in report.trouble)
    assert project.snapshot() == before


def test_packages_are_left_alone_where_no_runtime_is_expected(project: Project) -> None:
    project.install(*CPU_WHEELS)
    proposal = propose(project.site(), RuntimeKind.NONE, [])
    assert (proposal.goal, proposal.plan.actions, proposal.unclear) == (None, (), None)


def test_without_an_environment_it_says_how_to_get_one(project: Project) -> None:
    (project.environment / "bin" / "python").unlink()
    assert refusal_of(project) is Refusal.NO_ENVIRONMENT


def installed(project: Project) -> set[tuple[str, str]]:
    inventory, _ = project.site().look()
    return set(inventory.installed.items())


def times_of(project: Project) -> list[int]:
    return sorted(
        path.lstat().st_mtime_ns for path in project.environment.rglob("*") if "__pycache__" not in path.parts
    )


def pinned_to(project: Project, wheel: MadeWheel) -> Project:
    """The same project, which pins another version of one package."""
    packages = PIN_ROWS | {wheel.name: wheel.version}
    table = tomllib.loads((project.root / "pyproject.toml").read_text())["tool"]["sir_convert_a_lot"]["rocm_runtime"]
    torch = TorchPins(table["family"], packages, table["index"])
    return replace(project, profile=replace(project.profile, torch=torch))


def refusal_of(project: Project) -> Refusal | None:
    """Why this environment would not be repaired now."""
    try:
        project.site().claim()
    except RepairRefused as refused:
        return refused.refusal
    return None


def find_pip(project: Project) -> int:
    """The process that installs into this environment."""
    start_of_command = f"{project.environment}/bin/python\0-m\0pip\0install"
    (found,) = (
        int(folder.name) for folder in Path("/proc").glob("[0-9]*") if read_command(folder).startswith(start_of_command)
    )
    return found


def read_command(folder: Path) -> str:
    try:
        return (folder / "cmdline").read_text()
    except OSError:  # it ended meanwhile
        return ""


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def start(project: Project, until: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", CUT_OFF, str(project.root), until])


def cut_off(project: Project, step: str) -> None:
    assert start(project, step).wait(120) == -signal.SIGKILL


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
