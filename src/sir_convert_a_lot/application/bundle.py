"""Gather what a bug report about a host needs, with everything private taken out.

Owns what is gathered and that nothing is kept which was not redacted. Refuses to know what is private
(`domain/redaction`), to verify (`application/verify`) and to write the archive (`interfaces/cli/host_bundle`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sir_convert_a_lot.application.host_ports import Host
from sir_convert_a_lot.domain.gpu_facts import Absent, Present
from sir_convert_a_lot.domain.host_access import CommandOutcome, HostCommand, HostNotReached, HostProblem
from sir_convert_a_lot.domain.host_profile import HostProfile
from sir_convert_a_lot.domain.redaction import PrivateWords, Redactor, read_secrets

LOG_LINES = 500
QUICK_LIMIT_S = 60.0
PROBE_LIMIT_S = 900.0  # a cold kernel cache compiles for minutes

# Who and where the account is, and its environment: what must be taken out, and the little of it that may stay.
SURROUNDINGS = """\
import getpass, json, os, platform, socket, sys
json.dump({
    "user": getpass.getuser(), "home": os.path.expanduser("~"), "environment": dict(os.environ),
    "hosts": sorted({platform.node(), socket.gethostname(), socket.getfqdn()}),
    "system": {"kernel": platform.release(), "machine": platform.machine(), "python": platform.python_version()},
    "groups": os.getgroups(),
}, sys.stdout)
"""
# Variables that change what a GPU runtime or this product does; no other leaves the host.
TELLING_PREFIXES = (
    "AMD_", "CONVERTER_", "CUBLAS_", "CUDA_", "DOCLING_", "GPU_", "HIP_", "HSA_", "LD_LIBRARY_PATH", "MIOPEN_", "NCCL_",
    "NVIDIA_", "OMP_", "PYTORCH_", "ROCBLAS_", "ROCM_", "ROCR_", "SIR_CONVERT_A_LOT_", "TORCH_", "XDG_RUNTIME_DIR",
)  # fmt: skip


def gather(host: Host, profile: HostProfile, verdict: Mapping[str, Any], own: PrivateWords) -> dict[str, str]:
    """The files of the archive, by name, redacted. `verdict`: of a verification. `own`: what is private over here.

    Whatever cannot be had is told in its place. Raises `HostNotReached` when the host itself is the trouble.
    """
    surroundings = _look_around(host, profile)
    words = own | _private_words(surroundings, profile)
    files = {
        "verify.json": _write_json(verdict),
        "probe.json": _ask(host, profile, [profile.command, "gpu", "probe", "--json"], PROBE_LIMIT_S, may_fail=True),
        "settings.json": _ask(host, profile, [profile.command, "config", "show", "--json"]),
        "packages.txt": _ask(host, profile, [profile.python, "-m", "pip", "list", "--format=freeze"]),
        "system.json": _write_json(_describe(surroundings)),
        "os-release.txt": _read(host, "/etc/os-release"),
        "revision.txt": _ask(host, profile, ["git", "log", "-1", "--format=%H %cI"]),
        "service.log": _ask(host, profile, _log_command(profile)),
        "repair.json": _read(host, _beside_python(profile, ".sir-convert-a-lot/journal.json")),
    }
    redactor = Redactor(words)
    return {name: redactor.redact(text) for name, text in sorted(files.items())}


def _look_around(host: Host, profile: HostProfile) -> dict[str, Any]:
    outcome = host.run(HostCommand(["python3", "-I", "-c", SURROUNDINGS], timeout_s=QUICK_LIMIT_S))
    if not outcome.succeeded:  # without it nobody knows what is private there
        told_badly = f"{host.name} did not tell what is private there"
        raise HostNotReached(HostProblem.NOT_UNDERSTOOD, profile.ssh or host.name, told_badly, [outcome.line])
    told: dict[str, Any] = json.loads(outcome.text)
    return told


def _private_words(surroundings: Mapping[str, Any], profile: HostProfile) -> PrivateWords:
    """A profile's name and its way in are names of machines and people too: `anna@gpu-1.example.net`."""
    user, _, address = (profile.ssh or "").rpartition("@")
    hosts = {*surroundings["hosts"], profile.name, address, address.partition(".")[0]}
    return PrivateWords(
        users=frozenset({surroundings["user"], user} - {""}),
        homes=frozenset({surroundings["home"]}),
        hosts=frozenset(hosts - {""}),
        secrets=read_secrets(surroundings["environment"]),
    )


def _describe(surroundings: Mapping[str, Any]) -> dict[str, Any]:
    environment = surroundings["environment"]
    telling = {name: value for name, value in sorted(environment.items()) if name.startswith(TELLING_PREFIXES)}
    return {**surroundings["system"], "groups": surroundings["groups"], "environment": telling}


def _log_command(profile: HostProfile) -> list[str]:
    scope = ["--user"] if profile.unit_is_users else []
    return ["journalctl", *scope, "--unit", profile.unit, "--lines", str(LOG_LINES), "--no-pager", "--output=short-iso"]


def _beside_python(profile: HostProfile, name: str) -> str:
    environment = profile.python.rpartition("/bin/")[0]
    return f"{environment}/{name}" if environment.startswith(("/", "~")) else f"{profile.root}/{environment}/{name}"


def _ask(
    host: Host, profile: HostProfile, argv: list[str], timeout_s: float = QUICK_LIMIT_S, *, may_fail: bool = False
) -> str:
    """What a command printed. `may_fail`: its exit code is an answer too."""
    outcome = host.run(HostCommand(argv, timeout_s=timeout_s, directory=profile.root))
    if outcome.succeeded or (may_fail and outcome.stdout):
        return outcome.text
    return _tell_missing(outcome)


def _tell_missing(outcome: CommandOutcome) -> str:
    return f"not there: {outcome.line}\n{outcome.error_text}\n{outcome.text}"


def _read(host: Host, path: str) -> str:
    content = host.read_file(path)
    if isinstance(content, Present):
        return content.value.decode("utf-8", "replace")
    return f"{'not there' if isinstance(content, Absent) else 'not read'}: {content.reason}\n"


def _write_json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
