"""A service does not start, and an install does not pass, where a sync has undone the builds that are expected.

An installation of which nothing is expected is never bothered.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from made_environments import CPU_WHEELS, PIN_ROWS, ROCM_WHEELS, Project

from sir_convert_a_lot.domain.gpu_facts import RuntimeKind
from sir_convert_a_lot.domain.host_profile import HostProfile
from sir_convert_a_lot.domain.repair_actions import TorchSet
from sir_convert_a_lot.infrastructure.hosts.profiles import HostProfileMissing
from sir_convert_a_lot.infrastructure.torch_guard import expect, find_undone

UNDONE = "torch is 2.10.0+cpu, pinned is 2.10.0+rocm7.1"
CANNOT_START = 69


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An environment of its own, which sees what the tests' environment has: this product and what it needs."""
    root = tmp_path / "project"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", root / ".venv"], check=True)
    project = Project(root, HostProfile("here", str(root)))
    borrowed = [place for place in sys.path if place.endswith(("site-packages", "/src"))]
    (project.packages / "borrowed.pth").write_text("\n".join(borrowed) + "\n")
    pins = [f'{name} = "{version}"\n' for name, version in PIN_ROWS.items()]
    table = "[tool.sir_convert_a_lot.rocm_runtime"
    (root / "pyproject.toml").write_text(f'{table}]\nfamily = "rocm7.1"\n{table}.packages]\n{"".join(pins)}')
    return project


def expect_rocm(project: Project) -> None:
    """As a repair leaves it."""
    project.site().expect(TorchSet(RuntimeKind.ROCM, "rocm7.1", PIN_ROWS))


def write_hosts(project: Project, text: str) -> dict[str, str]:
    path = project.root / "hosts.toml"
    path.write_text(text)
    return {"SIR_CONVERT_A_LOT_HOSTS": str(path)}


def run(project: Project, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [project.environment / "bin" / "python", *arguments],
        env=os.environ | {"HOME": str(project.root), **environment},
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_nothing_is_looked_at_where_nothing_is_expected(project: Project) -> None:
    assert find_undone(project.environment, {}) == []
    project.install(*CPU_WHEELS)
    assert find_undone(project.environment, {}) == []


def test_what_a_repair_left_is_expected_from_then_on(project: Project) -> None:
    project.install(*ROCM_WHEELS)
    expect_rocm(project)
    assert find_undone(project.environment, {}) == []
    project.install(*CPU_WHEELS)  # a sync from the lock
    assert UNDONE in find_undone(project.environment, {})


@pytest.mark.parametrize(
    "pins", ["", '[hosts.here.torch]\nfamily = "rocm7.1"\npackages = { torch = "2.10.0+rocm7.1" }\n']
)
def test_a_profile_of_this_machine_expects_too(project: Project, pins: str) -> None:
    project.install(*CPU_WHEELS)
    environ = write_hosts(project, f'[hosts.here]\nroot = "{project.root}"\nruntime_kind = "rocm"\n{pins}')
    assert UNDONE in find_undone(project.environment, environ)


def test_what_is_expected_is_written_without_what_opens_the_index(project: Project) -> None:
    pins = TorchSet(RuntimeKind.ROCM, "rocm7.1", PIN_ROWS, "https://anna:a-secret@index.example.org/rocm")
    project.site().expect(pins)
    expected = project.environment / ".sir-convert-a-lot" / "expected-runtime.json"
    assert json.loads(expected.read_text())["index"] == "https://index.example.org/rocm"
    (project.root / "pyproject.toml").write_text(
        (project.root / "pyproject.toml").read_text().replace('"rocm7.1"\n', f'"rocm7.1"\nindex = "{pins.index_url}"\n')
    )
    expect(project.environment, RuntimeKind.ROCM, project.root / "pyproject.toml")
    assert json.loads(expected.read_text())["index"] == "https://index.example.org/rocm"


@pytest.mark.parametrize(
    "profile",
    [
        'ssh = "elsewhere"\nroot = "{root}"\nruntime_kind = "rocm"',
        'root = "/srv/another"\nruntime_kind = "rocm"',
        'root = "{root}"',
        'root = "{root}"\nruntime_kind = "none"',
    ],
)
def test_profiles_of_others_and_of_the_cpu_expect_nothing_here(project: Project, profile: str) -> None:
    project.install(*CPU_WHEELS)
    environ = write_hosts(project, f"[hosts.here]\n{profile.format(root=project.root)}\n")
    assert find_undone(project.environment, environ) == []


def test_an_expectation_that_cannot_be_read_is_told(project: Project) -> None:
    expect_rocm(project)
    (project.environment / ".sir-convert-a-lot" / "expected-runtime.json").write_text("{")
    with pytest.raises(HostProfileMissing, match=r"expected-runtime\.json does not tell"):
        find_undone(project.environment, {})


def test_a_service_does_not_start_with_builds_that_were_undone(project: Project) -> None:
    project.install(*CPU_WHEELS)
    expect_rocm(project)
    serve = ("-m", "sir_convert_a_lot", "serve", "--insecure-local", "--port", "0")
    done = run(project, *serve)
    assert done.returncode == CANNOT_START
    assert "mostly a sync has undone them [service_cannot_start]" in done.stderr
    assert f"evidence: {UNDONE}" in done.stderr
    assert "convert-a-lot host repair --apply" in done.stderr
    assert "listening" not in done.stderr


def test_the_hook_after_an_install_refuses_the_same(project: Project, repository: Path) -> None:
    script = str(repository / "scripts" / "guard_torch_set.py")
    project.install(*CPU_WHEELS)
    assert run(project, script).returncode == 0
    expect_rocm(project)
    done = run(project, script)
    assert done.returncode == CANNOT_START
    assert UNDONE in done.stderr


def test_the_hook_lets_an_install_without_the_project_pass(repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", repository / "scripts" / "guard_torch_set.py"],
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    assert "not looked at" in done.stderr


def test_an_image_writes_down_what_its_environment_is_to_hold(project: Project, repository: Path) -> None:
    done = run(project, str(repository / "scripts" / "guard_torch_set.py"), "--expect", "rocm")
    assert done.returncode == CANNOT_START  # nothing of it is there
    told = json.loads((project.environment / ".sir-convert-a-lot" / "expected-runtime.json").read_text())
    assert told["kind"] == "rocm"
    assert set(told["packages"]) >= {"torch", "torchvision", "torchaudio", "triton-rocm"}
