"""`host repair` from the command line, through a real sshd: plan, apply, the restart, and what is only printed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from loopback_sshd import Account, kept_connection, running_sshd
from made_environments import fill
from made_gpu_host import NAME, PINNED, REPOSITORY, MadeHost, made_probe
from made_index import MadeIndex, running_index
from made_v1_service import MadeService, serving

from sir_convert_a_lot.application.host_ports import RepairSite
from sir_convert_a_lot.application.repair import propose
from sir_convert_a_lot.bootstrap_hosts import build_repair_site, find_profile
from sir_convert_a_lot.infrastructure.host_repair.agent import STATE
from sir_convert_a_lot.interfaces.cli.app import run

pytestmark = [
    pytest.mark.system("/usr/sbin/sshd", "git"),
    pytest.mark.skipif(Path("/sys/module/amdgpu").exists(), reason="the sampler would read this machine's own GPU"),
]

# A systemd that has the unit of the account: `state` says whether it runs, `asked` what it was asked to do.
SYSTEMCTL = """\
echo "$*" >> {folder}/asked
case "$*" in
"--user show"*) echo LoadState={load}; echo ActiveState=$(cat {folder}/state) ;;
"show"*) echo LoadState={load}; echo ActiveState=$(cat {folder}/state) ;;
"--user restart"*) {restart} ;;
esac"""


@dataclass
class Stage:
    host: MadeHost
    service: MadeService
    index: MadeIndex
    folder: Path
    capsys: pytest.CaptureFixture[str]

    def repair(self, *more: str, **profile: str) -> tuple[int, str]:
        hosts = self.host.write_hosts(self.folder / "hosts.toml", self.service.port, **profile)
        rows = ", ".join(f'{name} = "{version}"' for name, version in PINNED.items())
        with hosts.open("a") as file:
            file.write(f'[hosts.{NAME}.torch]\nfamily = "rocm7.1"\nindex = "{self.index.url("rocm")}"\n')
            file.write(f"packages = {{ {rows} }}\n")
        self.capsys.readouterr()
        code = run(["host", "repair", "--host", NAME, "--hosts", str(hosts), *more])
        return code, self.capsys.readouterr().out

    def systemd(
        self, *, state: str = "active", load: str = "loaded", restart: str = "echo active > {folder}/state"
    ) -> None:
        folder = self.host.sshd.folder
        (folder / "state").write_text(state)
        restart = restart.format(folder=folder)
        self.host.sshd.add_tool("systemctl", SYSTEMCTL.format(folder=folder, load=load, restart=restart))
        self.host.sshd.give(folder / "state")

    @property
    def asked_of_systemd(self) -> list[str]:
        return (self.host.sshd.folder / "asked").read_text().splitlines()


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MadeIndex]:
    with running_index(tmp_path_factory.mktemp("index")) as index:
        fill(index)
        yield index


@pytest.fixture
def stage(account: Account, index: MadeIndex, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Stage]:
    """A healthy host whose account has its own configuration of pip."""
    with running_sshd(account) as sshd:
        host = MadeHost(sshd)
        place_pip(host)
        configuration = account.home / ".config" / "pip" / "pip.conf"
        configuration.parent.mkdir(parents=True, exist_ok=True)
        configuration.write_text(f"[global]\nindex-url = {index.url('ordinary')}\n")
        sshd.give(account.home / ".config")
        service = MadeService(host.revision, on_work=lambda is_working: host.set_busy(87 if is_working else 2))
        with serving(service), kept_connection(sshd):
            stage = Stage(host, service, index, tmp_path, capsys)
            stage.systemd()
            yield stage


def place_pip(host: MadeHost) -> None:
    """The one of the tests' environment: pip is plain Python."""
    (own,) = (REPOSITORY / ".venv" / "lib").glob("python3*/site-packages")
    for found in (own / "pip", *own.glob("pip-*.dist-info")):
        shutil.copytree(found, host.site_packages / found.name)
    host.sshd.give(host.root)


def spoil(host: MadeHost) -> None:
    host.install("torch", "2.10.0+cpu")
    host.sshd.give(host.root)


def begin_repair(stage: Stage) -> RepairSite:
    """As far as it is when everything is saved and nothing done."""
    stage.repair()  # writes the hosts file
    profile = find_profile(NAME, stage.folder / "hosts.toml")
    site = build_repair_site(profile)
    proposal = propose(site, profile.runtime_kind, [])
    site.begin(proposal.plan.to_run, proposal.goal, saves=True)
    return site


def files_of(environment: Path) -> set[str]:
    inner = {path.relative_to(environment) for path in environment.rglob("*")}
    return {str(path) for path in inner if path.parts[0] != STATE and "__pycache__" not in path.parts}


def test_a_plan_shows_everything_and_changes_nothing(stage: Stage) -> None:
    spoil(stage.host)
    code, said = stage.repair()
    assert code == 1
    assert "made: torch 2.10.0+cpu was built for the CPU alone [wheel_cpu_only]" in said
    assert "not as pinned: torch is 2.10.0+cpu, pinned is 2.10.0+rocm7.1" in said
    assert "1. fetch_torch_set (runs with --apply)" in said
    only = f"PIP_CONFIG_FILE=/dev/null PIP_INDEX_URL={stage.index.url('rocm')}"
    assert f"command: {only} {stage.host.root}/.venv/bin/python -m pip download" in said
    assert "command: systemctl --user restart sir-convert-a-lot.service" in said
    assert f"convert-a-lot host repair --host {NAME} --apply" in said
    assert not (stage.host.root / ".venv" / ".sir-convert-a-lot").exists()
    assert stage.repair("--plan")[0] == code


def test_apply_mends_restarts_and_ends_with_a_yes(stage: Stage) -> None:
    spoil(stage.host)
    code, said = stage.repair("--apply", "--json")
    told: dict[str, Any] = json.loads(said)
    assert (code, told["ended"], told["verdict"]["outcome"]) == (0, "done", "ok"), said
    assert "--user restart sir-convert-a-lot.service" in stage.asked_of_systemd
    kept = stage.host.root / ".venv" / STATE / "saved"
    assert list(kept.glob("lib/*/site-packages/torch-2.10.0+cpu.dist-info"))  # the verification might have said no
    code, said = stage.repair("--apply")
    assert (code, "Nothing to do: nothing was changed." in said) == (0, True)


def test_what_needs_root_is_printed_and_never_run(stage: Stage) -> None:
    stage.systemd(state="failed")
    stage.service.health_status = 503
    refused = made_probe(is_available=False, cause="kernel_driver_missing", rung="driver", reason="x")
    stage.host.tell_probe(refused)
    code, said = stage.repair("--apply", unit_is_users=False)  # type: ignore[arg-type]
    assert code == 1
    assert "command: modprobe amdgpu\n   root:    needed" in said
    assert "command: systemctl restart sir-convert-a-lot.service\n   root:    needed" in said
    assert not any("restart" in asked for asked in stage.asked_of_systemd)


def test_packages_are_taken_back_when_a_service_that_ran_does_not_start_with_them(stage: Stage) -> None:
    spoil(stage.host)
    stage.systemd(restart="echo failed > {folder}/state")
    code, said = stage.repair("--apply")
    assert code == 1
    assert "Rolled back: the environment is what it was." in said
    assert "sir-convert-a-lot.service is not active" in said
    assert [asked for asked in stage.asked_of_systemd if "restart" in asked] == 2 * [
        "--user restart sir-convert-a-lot.service"
    ]  # the second with what was put back
    assert stage.host.site_packages.joinpath("torch-2.10.0+cpu.dist-info").exists()


def test_packages_are_taken_back_when_the_service_dies_soon_after_its_start(stage: Stage) -> None:
    spoil(stage.host)
    state = stage.host.sshd.folder / "state"
    stage.systemd(restart=f"echo active > {state}; (sleep 1.5; echo failed > {state}) &")
    code, said = stage.repair("--apply")
    assert (code, "Rolled back" in said, "is not active" in said) == (1, True, True), said
    assert stage.host.site_packages.joinpath("torch-2.10.0+cpu.dist-info").exists()


def test_packages_stay_when_a_service_that_did_not_run_still_does_not(stage: Stage) -> None:
    spoil(stage.host)
    stage.systemd(state="failed", restart="exit 1")
    code, said = stage.repair("--apply")
    assert code == 0  # the made service answers all the same
    assert "restart_service ended with 1" in said
    assert stage.host.site_packages.joinpath("torch-2.10.0+rocm7.1.dist-info").exists()


def test_cut_off_within_a_restart_alone_the_environment_stays_whole(stage: Stage) -> None:
    stage.service.health_status = 503
    stage.systemd(restart="kill -9 $PPID")  # whoever watched the step is gone, as with a connection that broke
    before = files_of(stage.host.root / ".venv")
    assert stage.repair("--apply")[0] == 69
    journal = json.loads((stage.host.root / ".venv" / STATE / "journal.json").read_text())
    steps = [(step["action"]["name"], step["state"]) for step in journal["actions"]]
    assert (journal["phase"], steps) == ("applying", [("restart_service", "running")])
    stage.service.health_status = 200
    stage.systemd()
    code, said = stage.repair("--apply")
    assert (code, "Done." in said) == (0, True), said
    assert files_of(stage.host.root / ".venv") == before


def test_a_saved_copy_that_is_not_whole_is_not_put_back(stage: Stage) -> None:
    spoil(stage.host)
    site = begin_repair(stage)
    state = stage.host.root / ".venv" / STATE
    journal = json.loads((state / "journal.json").read_text())
    step = next(step for step in journal["actions"] if step["action"]["changes_packages"])
    for earlier in journal["actions"][: journal["actions"].index(step)]:
        earlier["state"] = "done"
    step["state"] = "running"  # as it stands when that step was cut off
    (state / "journal.json").write_text(json.dumps(journal))
    shutil.rmtree(state / "saved" / "lib")
    before = files_of(stage.host.root / ".venv")
    code, said = stage.repair("--apply", "--json")
    assert (code, json.loads(said)["error"]["details"]["reason"]) == (1, "saved_incomplete")
    assert files_of(stage.host.root / ".venv") == before
    assert site.look()[1] is not None


def test_a_plan_tells_of_a_repair_that_was_cut_off(stage: Stage) -> None:
    spoil(stage.host)
    begin_repair(stage)
    assert "was cut off; --apply goes on with it." in stage.repair()[1]
    code, said = stage.repair("--apply")
    assert (code, "Done." in said) == (0, True)
    assert stage.repair()[1].endswith("Nothing to do.\n")


def test_plan_and_apply_at_once_is_a_wrong_command(stage: Stage) -> None:
    assert stage.repair("--plan", "--apply")[0] == 64


def test_an_environment_of_another_account_is_left_alone_and_told(stage: Stage) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can make files of another account")
    spoil(stage.host)
    for path in (stage.host.root / ".venv", *(stage.host.root / ".venv").rglob("*")):
        os.chown(path, 0, 0, follow_symlinks=False)
    code, said = stage.repair("--apply", "--json")
    assert code == 1
    assert json.loads(said)["error"]["details"]["reason"] == "storage"
