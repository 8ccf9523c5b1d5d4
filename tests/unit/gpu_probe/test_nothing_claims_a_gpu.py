"""Where there is no GPU, nothing that comes from outside can make one: no setting, variable, flag or root."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path, PosixPath
from typing import Any, get_args

import pytest
import typer

from sir_convert_a_lot.application.ports import JobRequest
from sir_convert_a_lot.application.recheck import recheck
from sir_convert_a_lot.bootstrap import build_probe
from sir_convert_a_lot.domain.acceleration_policy import Refuse, RunOnGpu, ServerRules, decide, judge_readiness
from sir_convert_a_lot.domain.errors import GpuNotAvailable, InternalError
from sir_convert_a_lot.domain.gpu_causes import Cause
from sir_convert_a_lot.domain.gpu_facts import LADDER, Absent, Present, ProbeSnapshot, Rung, RungState
from sir_convert_a_lot.domain.job_spec import AccelerationPolicy, BackendStrategy, JobSpec
from sir_convert_a_lot.infrastructure.gpu_runtime_probe import NEED_BYTES, probe
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.child_supervisor import LIMITS_S
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.environment import MASKS, OVERRIDE
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.host_root import HostRoot
from sir_convert_a_lot.interfaces.cli.app import app
from sir_convert_a_lot.settings import Settings, SettingsError, load_settings, variables_of

pytestmark = pytest.mark.skipif(
    probe(last_rung=Rung.HARDWARE).rungs[0].state is RungState.PASSED, reason="this machine has a GPU"
)

SITE = "usr/lib/python3.11/site-packages"
INSTALLED = frozenset(backend.value for backend in BackendStrategy)

# Everything that some program takes for a word about the GPU, and what one might hope it does.
HOPEFUL = {
    **dict.fromkeys(MASKS, "0"),
    OVERRIDE: "11.0.0",
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
    "NVIDIA_VISIBLE_DEVICES": "all",
    "NVIDIA_DRIVER_CAPABILITIES": "all",
    "DOCLING_DEVICE": "cuda",
    "USE_CUDA": "1",
    "FORCE_CUDA": "1",
    "GPU_AVAILABLE": "True",
    "LD_PRELOAD": "",
}
CLAIMS = [
    "gpu_available",
    "is_available",
    "gpu",
    "force_gpu",
    "assume_gpu",
    "probe_root",
    "simulated",
    "root",
    "device",
]


# A /dev with NVIDIA's two nodes as plain files beside what any process needs, seen by one command alone.
FILES_FOR_NODES = """
set -e
mount -t tmpfs none "$1"
for node in null zero full random urandom; do touch "$1/$node"; mount --bind "/dev/$node" "$1/$node"; done
mkdir "$1/shm"
ln -s /proc/self/fd "$1/fd"
touch "$1/nvidiactl" "$1/nvidia0"
mount --rbind "$1" /dev
shift
exec "$@"
"""


def run_cli(*arguments: str, **environ: str) -> tuple[int, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SIR_CONVERT_A_LOT_")}
    done = subprocess.run(
        [sys.executable, "-m", "sir_convert_a_lot", "gpu", "probe", *arguments],
        env=kept | environ,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def list_values(name: str) -> list[str]:
    """Values of a setting that it might take: every choice, both booleans, a number, a path."""
    kind = Settings.model_fields[name].annotation
    if kind is bool:
        return ["true", "false"]
    if choices := [choice for choice in get_args(kind) if isinstance(choice, str)]:
        return choices
    return ["1", "8192", "3000000000", "/", "gpu", "0000:65:00.0"]


def list_settings() -> Iterator[dict[str, str]]:
    for name in Settings.model_fields:
        for variable, value in itertools.product(variables_of(name), list_values(name)):
            yield {variable: value}


def is_refused(snapshot: ProbeSnapshot | None, rules: ServerRules) -> bool:
    decisions = [
        decide(policy, backend, snapshot, rules, INSTALLED)
        for policy in (AccelerationPolicy.GPU_REQUIRED, AccelerationPolicy.GPU_PREFER)
        for backend in (BackendStrategy.AUTO, BackendStrategy.DOCLING)
    ]
    required = decide(AccelerationPolicy.GPU_REQUIRED, BackendStrategy.AUTO, snapshot, rules, INSTALLED)
    return (
        not any(isinstance(decision, RunOnGpu) for decision in decisions)
        and isinstance(required, Refuse)
        and isinstance(required.error, GpuNotAvailable)
        and judge_readiness(snapshot, rules).state == "not_proven"
    )


def test_no_setting_makes_a_gpu() -> None:
    snapshot = probe()
    taken = 0
    for environ in list_settings():
        try:
            settings = load_settings(environ=environ).settings
        except SettingsError:
            continue
        taken += 1
        rules = ServerRules(settings.gpu_forbidden, settings.cpu_execution_locked, settings.promised_device)
        assert is_refused(snapshot, rules), environ
        assert is_refused(build_probe(settings).current_blocking(), rules), environ
    assert taken > len(Settings.model_fields)


def test_settings_of_the_probe_only_make_it_stricter(host: Any) -> None:
    """More memory, less time, one GPU: never the other way, which might let a GPU pass that does not."""
    assert Settings().gpu_need_bytes == NEED_BYTES
    assert Settings().gpu_probe_limit_s == max(LIMITS_S.values())
    for name, value in (("gpu_need_bytes", NEED_BYTES - 1), ("gpu_probe_limit_s", max(LIMITS_S.values()) + 1)):
        with pytest.raises(SettingsError):
            load_settings(environ={f"SIR_CONVERT_A_LOT_{name.upper()}": str(value)})
    host.add_working_nvidia()
    assert probe(host.root, need_bytes=2**40).cause is Cause.VRAM_EXHAUSTED
    assert probe(host.root, wanted_pci_id="0000:b3:00.0").cause is Cause.WRONG_DEVICE_SELECTED


@pytest.mark.parametrize("name", CLAIMS)
def test_a_setting_that_would_claim_one_does_not_exist(name: str, tmp_path: Path) -> None:
    assert name not in Settings.model_fields
    with pytest.raises(SettingsError):
        load_settings(environ={f"SIR_CONVERT_A_LOT_{name.upper()}": "true"})
    config = tmp_path / "settings.toml"
    config.write_text(f"{name} = true\n")
    with pytest.raises(SettingsError):
        load_settings(config, environ={})


def test_no_variable_and_no_package_on_the_path_makes_a_gpu(host: Any) -> None:
    """All at once, with a torch first on the path that says it has a GPU, and computes."""
    host.add_working_nvidia().add_nvml()
    code, printed = run_cli("--json", **HOPEFUL, PYTHONPATH=os.pathsep.join([str(host.root / SITE), *sys.path]))
    found = json.loads(printed)
    assert (code, found["is_available"], found["simulated"]) == (1, False, False)
    assert (found["cause"], found["rung"]) == ("no_gpu_hardware", "hardware")
    assert found["torch_version"] == "2.15.0+cu130"  # it was seen, and its word not taken


def test_files_in_place_of_device_nodes_make_no_gpu(host: Any, tmp_path: Path) -> None:
    """With a torch first on the path that would pass every later rung: two empty files would be enough to prove it."""
    host.add_working_nvidia()
    if subprocess.run(["unshare", "--map-root-user", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this kernel lets nobody change what /dev is for one command")
    environ = os.environ | {"PYTHONPATH": os.pathsep.join([str(host.root / SITE), *sys.path])}
    probing = [sys.executable, "-m", "sir_convert_a_lot", "gpu", "probe", "--json"]
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "bash", "-c", FILES_FOR_NODES, "-", tmp_path, *probing],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(done.stdout)
    assert (done.returncode, found["is_available"], found["cause"]) == (1, False, "no_gpu_hardware"), done.stderr


@pytest.mark.parametrize("device", ["cuda:0", "cuda:7", "cuda", "mps", "CPU", ""])
@pytest.mark.parametrize("policy", AccelerationPolicy)
def test_no_stored_job_makes_a_gpu(policy: AccelerationPolicy, device: str) -> None:
    """As a row that somebody changed, or that another machine wrote: what it says of a GPU is asked again."""
    spec = {
        "api_version": "v1",
        "source": {"kind": "upload", "filename": "a.pdf"},
        "execution": {"acceleration_policy": policy},
    }
    stored = JobRequest(
        job_id="job_1",
        spec=JobSpec.model_validate(spec),
        pdf_sha256="0",
        size_bytes=1,
        pages_total=1,
        engine="docling",
        device=device,
        probe_id="probe_that_passed",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        correlation_id="corr_1",
        owner="",
        pci_id="0000:65:00.0",
        masks={"CUDA_VISIBLE_DEVICES": "0"},
    )
    taking = recheck(stored, build_probe(Settings()), ServerRules(), INSTALLED)
    if policy is AccelerationPolicy.GPU_REQUIRED:
        with pytest.raises((GpuNotAvailable, InternalError)):
            asyncio.run(taking)
    else:
        taken = asyncio.run(taking)
        assert (taken.device, taken.pci_id, taken.masks) == ("cpu", None, {})


def test_only_a_device_node_of_its_driver_stands_for_a_gpu(host: Any) -> None:
    here = HostRoot(Path("/"))
    assert isinstance(here.look_for_node("dev/null", 1), Present)
    for name, major in (("dev/null", 195), ("etc/passwd", None), ("dev", None), ("dev/no-such-node", None)):
        assert isinstance(here.look_for_node(name, major), Absent), name
    assert isinstance(HostRoot(host.add_amd().root).look_for_node("dev/kfd"), Present)  # as in every test on a stand-in


def test_a_path_that_calls_itself_the_root_and_reads_elsewhere_makes_no_gpu(host: Any) -> None:
    host.add_working_nvidia()

    class Elsewhere(PosixPath):
        def __truediv__(self, name: Any) -> Path:
            return Path(host.root) / name

    snapshot = probe(Elsewhere("/"))
    assert (snapshot.is_available, snapshot.cause) == (False, Cause.NO_GPU_HARDWARE)


def test_no_flag_of_the_probe_makes_a_gpu() -> None:
    command = typer.main.get_command(app)
    probing = command.commands["gpu"].commands["probe"]  # type: ignore[attr-defined]
    assert {parameter.name for parameter in probing.params} == {"last_rung", "as_json", "help"} - {"help"}
    for rung in (LADDER[0], LADDER[-1]):
        code, printed = run_cli("--json", "--rung", rung.value)
        assert (code, json.loads(printed)["is_available"]) == (1, False)
    assert run_cli("--root", "/")[0] == 64


def test_no_argument_of_the_probe_makes_a_gpu(host: Any) -> None:
    host.add_working_nvidia()
    arguments: dict[str, list[dict[str, Any]]] = {
        "root": [{"root": host.root}, {"root": Path("//")}, {"root": Path("/proc/self/root")}],
        "site_packages": [{"site_packages": [host.root / SITE]}],
        "environ": [{"environ": HOPEFUL}, {"environ": {}}],
        "last_rung": [{"last_rung": rung} for rung in LADDER],
        "need_bytes": [{"need_bytes": 0}, {"need_bytes": -1}],
        "limits_s": [{"limits_s": {}}, {"limits_s": dict.fromkeys(LADDER, 0.0)}],
        "wanted_pci_id": [{"wanted_pci_id": "0000:65:00.0"}],
        "takes_memory": [{"takes_memory": False}],
    }
    assert set(arguments) == set(inspect.signature(probe).parameters)
    for chosen in itertools.chain.from_iterable(arguments.values()):
        snapshot = probe(**chosen)
        assert not snapshot.is_available, chosen
        assert is_refused(snapshot, ServerRules()), chosen


@pytest.mark.parametrize("build", ["amd", "nvidia"])
def test_a_stand_in_that_passes_every_rung_is_refused_by_every_server(build: str, host: Any) -> None:
    getattr(host, f"add_working_{build}")()
    snapshot = probe(host.root)
    assert snapshot.cause is None
    for forbidden, locked, promised in itertools.product((True, False), (True, False), ("none", "gpu")):
        assert is_refused(snapshot, ServerRules(forbidden, locked, promised))  # type: ignore[arg-type]
