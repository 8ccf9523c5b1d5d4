"""`host verify` against a real sshd: a healthy host, and hosts that are broken in one way each.

Each broken host has its own finding, exit code and remedy, and every answer follows the published schema.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from loopback_sshd import (
    Account,
    Sshd,
    kept_connection,
    running_sshd,
    somewhere_else,
    trust,
    write_client_configuration,
)
from made_gpu_host import NAME, PINNED, MadeHost, made_doctor, made_probe
from made_v1_service import AMD, MadeService, made_receipt, made_stage, serving

from sir_convert_a_lot.application.host_ports import CheckSite
from sir_convert_a_lot.application.verify import verify
from sir_convert_a_lot.bootstrap_hosts import find_profile, reach_host
from sir_convert_a_lot.domain.host_findings import Verdict
from sir_convert_a_lot.infrastructure.host_checks import CHECKS
from sir_convert_a_lot.infrastructure.host_checks.gpu_tools import GpuToolsCheck
from sir_convert_a_lot.infrastructure.host_checks.live_conversion import LiveConversionCheck
from sir_convert_a_lot.infrastructure.host_checks.project import ProjectCheck
from sir_convert_a_lot.interfaces.cli.app import run
from sir_convert_a_lot.interfaces.cli.live_service import connecting

pytestmark = [
    pytest.mark.system("/usr/sbin/sshd", "git"),
    pytest.mark.skipif(Path("/sys/module/amdgpu").exists(), reason="the sampler would read this machine's own GPU"),
]

SCHEMA = json.loads(files("sir_convert_a_lot.domain").joinpath("host_verdict.schema.json").read_text("utf-8"))
OK, FAILED, UNKNOWN = 0, 1, 2
# The GPU is watched at rest for a moment only.
QUICK_CHECKS = tuple(LiveConversionCheck(rest_s=0.3) if check.name == "live_conversion" else check for check in CHECKS)


@dataclass
class Stage:
    """A made host, the service behind it, and how both are asked."""

    host: MadeHost
    service: MadeService
    folder: Path
    capsys: pytest.CaptureFixture[str]
    profile: dict[str, str] = field(default_factory=dict)  # over the host's profile

    @property
    def sshd(self) -> Sshd:
        return self.host.sshd

    @property
    def hosts(self) -> Path:
        return self.host.write_hosts(self.folder / "hosts.toml", self.service.port, **self.profile)

    def verify(self) -> tuple[int, dict[str, Any]]:
        """The exit code and the verdict as JSON, which follows the schema."""
        profile = find_profile(NAME, self.hosts)
        verdict = verify(QUICK_CHECKS, CheckSite(reach_host(profile), profile, connecting(None))).verdict
        jsonschema.validate(verdict.to_json(), SCHEMA)
        return verdict.exit_code, verdict.to_json()

    def ask(self, *more: str) -> tuple[int, dict[str, Any]]:
        """The same by the command line."""
        code = run(["host", "verify", "--host", NAME, "--hosts", str(self.hosts), "--json", *more])
        told: dict[str, Any] = json.loads(self.capsys.readouterr().out)
        jsonschema.validate(told, SCHEMA)
        assert told["exit_code"] == code
        return code, told


@pytest.fixture
def stage(account: Account, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Stage]:
    with running_sshd(account) as sshd:
        host = MadeHost(sshd)
        service = MadeService(host.revision, on_work=lambda is_working: host.set_busy(87 if is_working else 2))
        with serving(service), kept_connection(sshd):
            yield Stage(host, service, tmp_path, capsys)


def findings_of(told: dict[str, Any], check: str) -> list[dict[str, Any]]:
    return [finding for finding in told["findings"] if finding["check"] == check]


def test_a_healthy_host_is_fit_and_the_evidence_says_why(stage: Stage) -> None:
    evidence = stage.folder / "evidence"
    code, told = stage.ask("--evidence", str(evidence))
    assert code == OK, told
    assert told["explained_by"] is None
    looked_at = list(dict.fromkeys(finding["check"] for finding in told["findings"]))
    assert looked_at == [check.name for check in CHECKS]
    assert {finding["code"] for finding in told["findings"]} == {"ok"}
    converted, activity = findings_of(told, "live_conversion")
    assert "PROVEN" in converted["summary"]
    assert "87 %" in activity["summary"]
    (upload,) = stage.service.submitted
    assert b"%PDF-" in upload
    assert b'"acceleration_policy":"gpu_required"' in upload
    assert json.loads((evidence / "verdict.json").read_bytes()) == told
    assert json.loads((evidence / "receipt.json").read_bytes()) == made_receipt()
    report = (evidence / "report.md").read_text()
    assert f"{NAME} is fit to convert on its GPU" in report
    for name in ("raw/gpu_tools/rocm-smi.txt", "raw/live_conversion/gpu_working.jsonl", "gpu_activity.svg"):
        assert (evidence / name).stat().st_size
        assert name in report
    drawing = ET.fromstring((evidence / "gpu_activity.svg").read_text())  # noqa: S314 - drawn by ourselves
    assert drawing.findall("{http://www.w3.org/2000/svg}polyline")
    assert AMD in "".join(drawing.itertext())


def test_a_person_reads_one_line_a_check_and_the_answer(stage: Stage) -> None:
    stage.service.revision = "0" * 40
    code = run(["host", "verify", "--host", NAME, "--hosts", str(stage.hosts)])
    said = stage.capsys.readouterr().out
    assert code == FAILED
    assert "FAILED   service:" in said
    assert f"{NAME} is not fit to convert on its GPU: wrong_revision" in said
    assert "remedy:   Restart the service: systemctl --user restart sir-convert-a-lot.service" in said


# --- hosts that are broken in one way --------------------------------------------------------------------------------

Break = Callable[[Stage], None]


@dataclass(frozen=True)
class Case:
    """`remedy`: a part of what is advised. `passed_over`: a check that is not reached for it."""

    name: str
    spoil: Break
    check: str
    code: str
    exit_code: int
    remedy: str
    passed_over: str | None = "live_conversion"


def rest(is_working: bool) -> None:
    """The counter does not follow the work."""


def remove_tool(stage: Stage) -> None:
    (stage.sshd.tools / "rocm-smi").unlink()


def fail_tool(stage: Stage) -> None:
    stage.sshd.add_tool("rocm-smi", "echo 'ERROR:root:Driver not initialized' >&2; exit 2")


def see_nothing(stage: Stage) -> None:
    stage.sshd.add_tool("rocm-smi", "echo '{}'")


def install_cpu_wheel(stage: Stage) -> None:
    stage.host.install("torch", "2.10.0+cpu")
    stage.host.tell_probe(made_probe(is_available=False, cause="wheel_cpu_only", rung="package"))


def install_untagged_cpu_wheel(stage: Stage) -> None:
    stage.host.install("torch", "2.10.0")


def install_foreign_wheel(stage: Stage) -> None:
    stage.host.install("torch", "2.10.0+cu130", cuda="13.0")


def mix_families(stage: Stage) -> None:
    stage.host.install("torchvision", "0.25.0+rocm6.4")


def install_another_version(stage: Stage) -> None:
    for name in PINNED:
        if name != "triton-rocm":
            stage.host.install(name, "2.9.0+rocm7.1")


def leave_one_out(stage: Stage) -> None:
    stage.host.uninstall("torchaudio")


def remove_torch(stage: Stage) -> None:
    stage.host.uninstall("torch")


def stop_service(stage: Stage) -> None:
    stage.service.port = 1  # nobody listens at tcpmux


def refuse_readiness(stage: Stage) -> None:
    stage.service.is_ready, stage.service.cause = False, "device_permission_denied"


def serve_without_gpu(stage: Stage) -> None:
    stage.service.cause = "no_gpu_hardware"


def serve_something_else(stage: Stage) -> None:
    stage.service.health = {"api_version": "v7", "status": "fine"}


def fall_ill(stage: Stage) -> None:
    stage.service.health_status = 500


def run_another_revision(stage: Stage) -> None:
    stage.host.commit("newer than what runs")


def hide_revision(stage: Stage) -> None:
    stage.service.revision = None


def convert_on_cpu(stage: Stage) -> None:
    stage.service.acceleration_used = "cpu"
    stage.service.receipt = made_receipt("UNAVAILABLE", acceleration_used="cpu")


def fall_back_in_one_stage(stage: Stage) -> None:
    stage.service.receipt = made_receipt(stages=[made_stage("layout_analysis"), made_stage("ocr", device="cpu")])


def warn_of_cpu(stage: Stage) -> None:
    stage.service.warnings = ["OCR ran on the CPU, as allow_cpu_stages permits"]


def suggest_only(stage: Stage) -> None:
    stage.service.receipt = made_receipt("SUGGESTIVE")


def tell_no_receipt(stage: Stage) -> None:
    stage.service.receipt = None


def refuse_job(stage: Stage) -> None:
    details = {"cause": "vram_exhausted", "evidence": ["1 of 24 GiB is free"], "remediation": ["Wait"]}
    error = {"code": "gpu_not_available", "message": "no", "retryable": True, "details": details}
    stage.service.refusal = (503, error)


def stick_counter(stage: Stage) -> None:
    stage.host.set_busy(100)
    stage.service.on_work = rest
    stage.service.receipt = made_receipt("CORROBORATED")


def stay_idle(stage: Stage) -> None:
    stage.service.on_work = lambda is_working: stage.host.set_busy(1 if is_working else 2)


def lose_models(stage: Stage) -> None:
    stage.host.tell_doctor(made_doctor(models={"engine_installed": True, "missing": ["RapidOcr/made.pth"]}))


def fill_disk(stage: Stage) -> None:
    storage = {"root": "/srv/made", "is_writable": True, "free_bytes": 10**9}
    stage.host.tell_doctor(made_doctor(storage=storage))


def close_storage(stage: Stage) -> None:
    storage = {"root": "/srv/made", "is_writable": False, "free_bytes": 10**12}
    stage.host.tell_doctor(made_doctor(storage=storage))


def set_clock_back(stage: Stage) -> None:
    stage.host.tell_doctor(made_doctor(now=0.0))


def lose_project(stage: Stage) -> None:
    stage.profile["root"] = "/no/such/project"


def lose_environment(stage: Stage) -> None:
    (stage.host.root / ".venv" / "bin" / "python").unlink()


def forget_probe(stage: Stage) -> None:
    command = stage.host.root / ".venv" / "bin" / "convert-a-lot"
    command.write_text(command.read_text().replace('"gpu probe")', '"gpu of-old")'))


def leave_rungs_out(stage: Stage) -> None:
    stage.host.tell_probe(made_probe(rungs=made_probe()["rungs"][:4]))


def claim_by_stand_in(stage: Stage) -> None:
    stage.host.tell_probe(made_probe(simulated=True))


def run_by_cuda(stage: Stage) -> None:
    stage.host.tell_probe(made_probe(runtime_kind="cuda"))


def fail_driver(stage: Stage) -> None:
    stage.host.tell_probe(made_probe(is_available=False, cause="kernel_driver_missing", rung="driver"))


def move_away(stage: Stage) -> None:
    somewhere_else(stage.sshd)


def change_key(stage: Stage) -> None:
    write_client_configuration(stage.sshd, stage.sshd.folder / "user_key")  # and no kept connection
    trust(stage.sshd, stage.sshd.folder / "other_host_key.pub")


def forget_key(stage: Stage) -> None:
    write_client_configuration(stage.sshd, stage.sshd.folder / "user_key")  # and no kept connection
    stage.sshd.known_hosts.write_text("")


def lose_access(stage: Stage) -> None:
    write_client_configuration(stage.sshd, stage.sshd.folder / "stranger_key")


CASES = [
    Case("tool missing", remove_tool, "gpu_tools", "gpu_tool_missing", FAILED, "apt-get install rocm-smi", None),
    Case("tool fails", fail_tool, "gpu_tools", "gpu_tool_failed", FAILED, "dmesg", None),
    Case("tool sees nothing", see_nothing, "gpu_tools", "gpu_tool_sees_no_gpu", FAILED, "dmesg", None),
    Case("CPU wheel", install_cpu_wheel, "torch_builds", "wheel_cpu_only", FAILED, "host repair --host made --apply"),
    Case("untagged CPU wheel", install_untagged_cpu_wheel, "torch_builds", "wheel_cpu_only", FAILED, "host repair"),
    Case("wrong vendor", install_foreign_wheel, "torch_builds", "wheel_wrong_vendor", FAILED, "host repair"),
    Case("mixed family", mix_families, "torch_builds", "torch_family_mismatch", FAILED, "host repair"),
    Case("not as pinned", install_another_version, "torch_builds", "torch_not_pinned", FAILED, "host repair"),
    Case("one left out", leave_one_out, "torch_builds", "torch_not_pinned", FAILED, "host repair"),
    Case("no torch", remove_torch, "torch_builds", "torch_missing", FAILED, "host repair"),
    Case("service down", stop_service, "service", "service_down", FAILED, "systemctl --user start"),
    Case("not ready", refuse_readiness, "service", "service_not_ready", FAILED, "usermod"),
    Case("service without GPU", serve_without_gpu, "service", "service_gpu_not_proven", FAILED, "GPU"),
    Case("another service", serve_something_else, "service", "service_foreign", FAILED, "service_port"),
    Case("unhealthy", fall_ill, "service", "service_unhealthy", FAILED, "systemctl --user restart"),
    Case("wrong revision", run_another_revision, "service", "wrong_revision", FAILED, "systemctl --user restart"),
    Case("revision hidden", hide_revision, "service", "revision_unknown", UNKNOWN, "systemctl --user restart"),
    Case("ran on the CPU", convert_on_cpu, "live_conversion", "ran_on_cpu", FAILED, "", None),
    Case("a stage fell back", fall_back_in_one_stage, "live_conversion", "stage_on_cpu", FAILED, "", None),
    Case("a CPU warning", warn_of_cpu, "live_conversion", "stage_on_cpu", FAILED, "", None),
    Case("suggestive", suggest_only, "live_conversion", "receipt_not_proven", FAILED, "journalctl", None),
    Case("no receipt", tell_no_receipt, "live_conversion", "receipt_missing", FAILED, "restart", None),
    Case("job refused", refuse_job, "live_conversion", "gpu_not_available", FAILED, "fuser", None),
    Case("counter stuck", stick_counter, "live_conversion", "busy_counter_unreliable", UNKNOWN, "PROVEN", None),
    Case("stays idle", stay_idle, "live_conversion", "gpu_not_above_idle", UNKNOWN, "--pdf", None),
    Case("models missing", lose_models, "resources", "model_weights_missing", FAILED, "models download", None),
    Case("disk full", fill_disk, "resources", "disk_full", FAILED, "df -h", None),
    Case("storage closed", close_storage, "resources", "storage_not_writable", FAILED, "chown", None),
    Case("clock off", set_clock_back, "resources", "clock_off", FAILED, "timedatectl", None),
    Case("no project", lose_project, "project", "project_missing", FAILED, "Clone", "gpu_tools"),
    Case("no environment", lose_environment, "project", "environment_missing", FAILED, "pdm install", "service"),
    Case("no probe", forget_probe, "gpu_probe", "probe_unreadable", UNKNOWN, "pdm install"),
    Case("half a ladder", leave_rungs_out, "gpu_probe", "probe_incomplete", UNKNOWN, ""),
    Case("a stand-in", claim_by_stand_in, "gpu_probe", "probe_simulated", FAILED, "gpu probe"),
    Case("another kind", run_by_cuda, "gpu_probe", "runtime_kind_unexpected", FAILED, "runtime_kind"),
    Case("no driver", fail_driver, "gpu_probe", "kernel_driver_missing", FAILED, ""),
    Case("unreachable", move_away, "project", "host_unreachable", UNKNOWN, "ssh -v made-host true", "resources"),
    Case("key changed", change_key, "project", "host_key_changed", UNKNOWN, "ssh-keygen -R made-host", "resources"),
    Case("key unknown", forget_key, "project", "host_key_unknown", UNKNOWN, "ssh made-host", "resources"),
    Case("access denied", lose_access, "project", "host_auth_denied", UNKNOWN, "ssh-add", "resources"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_broken_host_is_told_by_its_own_finding(stage: Stage, case: Case) -> None:
    case.spoil(stage)
    code, told = stage.verify()
    assert code == case.exit_code, told
    (finding,) = [found for found in findings_of(told, case.check) if found["code"] == case.code]
    assert finding["outcome"] == ("failed" if case.exit_code == FAILED else "unknown")
    remedies = [f"{remedy['text']}: {remedy['command']}" for remedy in finding["remedies"]]
    assert any(case.remedy in remedy for remedy in remedies), remedies
    troubles = {(found["check"], found["code"]) for found in told["findings"] if found["outcome"] != "ok"}
    others = {check for check, what in troubles if what not in {"not_reached", case.code}}
    assert not others, troubles
    if case.passed_over is None:
        assert "not_reached" not in {what for _, what in troubles}
    else:
        (passed_over,) = findings_of(told, case.passed_over)
        assert passed_over["code"] == "not_reached"
        assert case.code in passed_over["summary"]
        assert not stage.service.submitted


def test_a_stuck_counter_is_told_and_passes_with_a_proven_receipt(stage: Stage) -> None:
    stage.host.set_busy(100)
    stage.service.on_work = rest
    code, told = stage.verify()
    _, activity = findings_of(told, "live_conversion")
    assert (code, activity["outcome"], activity["code"]) == (OK, "ok", "busy_counter_unreliable")
    assert any("peak 100 %" in line for line in activity["evidence"])


def test_a_healthy_nvidia_host_is_fit_by_its_own_tool_and_builds(stage: Stage) -> None:
    remove_tool(stage)
    stage.host.add_nvidia_smi()
    for name in PINNED:
        stage.host.uninstall(name)
    stage.host.install("torch", "2.15.0+cu132", cuda="13.2")
    stage.host.install("torchvision", "0.29.2")
    stage.host.tell_probe(made_probe(runtime_kind="cuda", arch="sm_90"))
    stage.profile["runtime_kind"] = "cuda"
    device = {"device": "cuda:0", "pci_id": "0000:65:00.0"}
    stage.service.receipt = made_receipt(device=device, activity=None)
    code, told = stage.verify()
    assert code == OK, told
    (_, activity) = findings_of(told, "live_conversion")
    assert "memory of the GPU that the worker held: 2147483648 bytes" in activity["evidence"]
    assert any("nvidia-smi: peak 87 %" in line for line in activity["evidence"])


def test_amd_smi_is_as_good_as_rocm_smi(stage: Stage) -> None:
    remove_tool(stage)
    stage.sshd.add_tool("amd-smi", f"""echo '[{{"gpu": 0, "bdf": "{AMD}"}}]'""")
    profile = find_profile(NAME, stage.hosts)
    site = CheckSite(reach_host(profile), profile, connecting(None))
    verdict = verify((ProjectCheck(), GpuToolsCheck()), site).verdict
    assert verdict.exit_code == OK
    assert "amd-smi sees 1 GPU" in verdict.findings[-1].summary


def test_a_hanging_tool_is_killed_and_told(stage: Stage) -> None:
    stage.sshd.add_tool("rocm-smi", "echo begun; sleep 300")
    profile = find_profile(NAME, stage.hosts)
    site = CheckSite(reach_host(profile), profile, connecting(None))
    verdict: Verdict = verify((ProjectCheck(), GpuToolsCheck(limit_s=1.0)), site).verdict
    assert (verdict.exit_code, verdict.findings[-1].code) == (UNKNOWN, "command_hung")
    assert "rocm-smi" in verdict.findings[-1].summary
    assert verdict.findings[-1].remedies
    jsonschema.validate(verdict.to_json(), SCHEMA)


def test_the_real_probe_on_a_made_root_names_its_cause_and_proves_nothing(stage: Stage) -> None:
    """The torch-free rungs, run on the host over a root that was made for it."""
    root = stage.sshd.folder / "root"
    function = root / "sys/bus/pci/devices" / AMD
    function.mkdir(parents=True)
    for name, value in (("vendor", "0x1002"), ("device", "0x744c"), ("class", "0x030000")):
        (function / name).write_text(value + "\n")
    (function / "config").write_bytes(bytes.fromhex("02104c74") + bytes(60))
    (root / "sys/module").mkdir()
    (root / "dev").mkdir()
    source = Path(__file__).resolve().parents[3] / "src"
    stage.host.write_command(
        f"""[ "$1" = gpu ] || exit 64
exec /usr/bin/python3 - <<'END'
import json, sys
from pathlib import Path
sys.path.insert(0, {str(source)!r})
from sir_convert_a_lot.domain.gpu_facts import snapshot_to_json
from sir_convert_a_lot.infrastructure.gpu_runtime_probe import probe
print(json.dumps(snapshot_to_json(probe(Path({str(root)!r})))))
END"""
    )
    code, told = stage.verify()
    (finding,) = findings_of(told, "gpu_probe")
    assert (code, finding["code"]) == (FAILED, "kernel_driver_missing")
