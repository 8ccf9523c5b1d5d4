"""What `deploy/` promises of containers and units. None of it is built here, which takes Docker and a GPU host."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import list_torch_set

KINDS = ("cpu", "cuda", "rocm")
UNITS = ("user/sir-convert-a-lot", "user/sir-convert-a-lot-eval", "system/sir-convert-a-lot")


@pytest.fixture(scope="module")
def deploy(repository: Path) -> Path:
    return repository / "deploy"


@pytest.fixture(scope="module")
def compose(deploy: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((deploy / "compose.yaml").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def stages(deploy: Path) -> dict[str, str]:
    """The instructions of each stage of the Dockerfile, by its name: lines joined, without comments."""
    text = (deploy / "Dockerfile").read_text(encoding="utf-8")
    text = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    found: dict[str, str] = {}
    for stage in re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]:
        head, _, body = stage.partition("\n")
        found[head.split(" AS ")[1]] = f"FROM {head}\n{body}"
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_container_has_no_rights_and_writes_nowhere_but_where_it_may(compose: dict[str, Any], kind: str) -> None:
    service = compose["services"][kind]
    assert service["profiles"] == [kind]
    assert service["build"]["target"] == kind
    assert service["read_only"] is True
    assert service["user"] == "10001:10001"
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    writable = [volume for volume in service["volumes"] if not volume.endswith(":ro")]
    assert {volume.split(":")[0] for volume in writable} == set(compose["volumes"])
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_gpus_are_passed_through_as_each_vendor_wants(compose: dict[str, Any]) -> None:
    rocm, cuda, cpu = (compose["services"][kind] for kind in ("rocm", "cuda", "cpu"))
    assert rocm["devices"] == ["/dev/kfd", "/dev/dri"]
    assert len(rocm["group_add"]) == 2
    (device,) = cuda["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert not {"devices", "group_add", "deploy"} & set(cpu)


def test_a_stop_waits_for_the_jobs_as_long_as_the_service_does(compose: dict[str, Any], deploy: Path) -> None:
    from sir_convert_a_lot.interfaces.http_api.server import DRAIN_S
    from sir_convert_a_lot.settings import Settings

    needed = Settings().shutdown_grace_s + DRAIN_S
    assert {service["stop_grace_period"] for service in compose["services"].values()} == {"60s"}
    for unit in UNITS:
        found = re.search(r"^TimeoutStopSec=(\d+)$", (deploy / f"systemd/{unit}.service").read_text(), re.MULTILINE)
        assert found is not None
        assert needed <= float(found.group(1)) == 60


def test_the_image_serves_as_nobody_and_says_whether_it_is_healthy(stages: dict[str, str]) -> None:
    serving = stages["serving"]
    assert re.search(r"^USER 10001:10001$", serving, re.MULTILINE)
    assert "/healthz" in next(line for line in serving.splitlines() if line.startswith("HEALTHCHECK"))
    for kind in KINDS:
        assert stages[kind].startswith("FROM serving ")
        assert not re.search(r"^USER ", stages[kind], re.MULTILINE)
        assert f"--from=build-{kind}" in stages[kind]


@pytest.mark.parametrize("kind", ["cuda", "rocm"])
def test_the_build_of_a_gpu_image_ends_with_the_guard(stages: dict[str, str], kind: str) -> None:
    build = stages[f"build-{kind}"].strip().splitlines()[-1]
    assert build.endswith(f"&& .venv/bin/python scripts/guard_torch_set.py --expect {kind}")


def test_for_rocm_nothing_of_the_locked_torch_is_left(stages: dict[str, str], repository: Path) -> None:
    """The pattern of the build, on the packages of the lock: what it takes out is of the other torch, all of it."""
    found = re.search(r'^ARG OF_THE_OTHER_TORCH="(.*)"$', stages["build-rocm"], re.MULTILINE)
    assert found is not None
    lock = (repository / "pdm.lock").read_text(encoding="utf-8")
    locked = set(re.findall(r'^name = "(.*)"$', lock, re.MULTILINE))
    taken = {name for name in locked if re.search(found.group(1), f"{name}==1")}
    assert {"torch", "torchvision", "triton", "nvidia-cublas"} <= taken
    assert "nvidia-ml-py" not in taken
    assert [name for name in locked - taken if re.match(r"nvidia-(?!ml-py)|cuda-", name)] == []
    assert [name for name in taken if not re.match(r"torch|triton|nvidia-|cuda-", name)] == []
    assert re.search(found.group(1), "cuda-toolkit[cublas,nvtx]==13.2.2")


def test_the_set_for_rocm_is_asked_of_its_own_index_alone() -> None:
    table = {"index": "https://wheels.example.org/rocm", "packages": {"torch": "2.10.0+rocm7.1"}}
    written = "--index-url https://wheels.example.org/rocm\ntorch==2.10.0+rocm7.1\n"
    assert list_torch_set.write_requirements(table) == written
    assert list_torch_set.write_requirements({"packages": {"torch": "2.15.0"}}) == "torch==2.15.0\n"


@pytest.mark.system("systemd-analyze")
@pytest.mark.parametrize("unit", UNITS)
def test_systemd_understands_the_units(deploy: Path, tmp_path: Path, unit: str) -> None:
    """But for the program, which is not installed where this runs."""
    text = (deploy / f"systemd/{unit}.service").read_text(encoding="utf-8")
    copy = tmp_path / f"{Path(unit).name}.service"
    copy.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE), encoding="utf-8")
    scope = "--user" if unit.startswith("user/") else "--system"
    (tmp_path / "runtime").mkdir(mode=0o700)
    done = subprocess.run(
        ["systemd-analyze", "verify", scope, "--man=no", str(copy)],
        env=os.environ | {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "runtime")},
        text=True,
        capture_output=True,
        check=False,
    )
    said = [line for line in (done.stdout + done.stderr).splitlines() if copy.name in line]
    assert (done.returncode, said) == (0, [])


@pytest.mark.parametrize("unit", UNITS)
def test_the_units_serve_on_loopback_with_the_ports_that_the_runbook_names(deploy: Path, unit: str) -> None:
    text = (deploy / f"systemd/{unit}.service").read_text(encoding="utf-8")
    port = 28086 if unit.endswith("-eval") else 28085
    assert f"serve --host 127.0.0.1 --port {port}\n" in text
    assert "\nNoNewPrivileges=yes\n" in text
    assert "SIR_CONVERT_A_LOT_API_KEY=" not in text
