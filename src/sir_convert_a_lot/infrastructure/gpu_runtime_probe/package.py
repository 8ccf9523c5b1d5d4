"""Rung 4, package: is a torch installed that fits the GPU? Read from files, without importing anything.

Owns the versions and build kinds of torch and the packages that must be of one build with it. Refuses to judge whether
torch works: that takes a child that imports it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from sir_convert_a_lot.domain.gpu_causes import Cause
from sir_convert_a_lot.domain.gpu_facts import Absent, Fact, Present, RungState, RuntimeKind, Unknown
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.finding import Finding, Route, fail, give_up
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.host_root import HostRoot, tell_unknown

# These carry kernels or operators of their own and must be of one build with torch.
SIBLINGS = ("torchvision", "torchaudio", "triton", "triton-rocm", "pytorch-triton-rocm")

# Local parts of versions as PyTorch's and AMD's indexes write them: cpu, cu130, rocm7.2, rocm7.2.0.git1a2b3c.
FAMILY = re.compile(r"(?P<kind>cpu|cu|rocm|xpu)(?P<version>\d+(?:\.\d+)?)?")

PLAIN = re.compile(r"[!-~]{1,100}")  # what a version can look like; anything else is not shown to anyone


class WheelKind(StrEnum):
    ROCM = "rocm"
    CUDA = "cuda"
    CPU = "cpu"
    OTHER = "other"  # built for a GPU this service does not know


WHEEL_OF_ROUTE = {Route.KFD: WheelKind.ROCM, Route.NVIDIA: WheelKind.CUDA, Route.WSL: WheelKind.CUDA}


@dataclass(frozen=True, slots=True)
class Torch:
    """The installed torch, as its own files describe it."""

    version: str
    kind: WheelKind
    hip_version: str | None
    cuda_version: str | None

    @property
    def runtime_kind(self) -> RuntimeKind:
        return {WheelKind.ROCM: RuntimeKind.ROCM, WheelKind.CUDA: RuntimeKind.CUDA}.get(self.kind, RuntimeKind.NONE)


@dataclass(frozen=True, slots=True)
class Package:
    """The fourth rung's finding, with the torch that was found whether or not the rung passed."""

    finding: Finding
    torch: Torch | None = None


def find_package(site_packages: Sequence[Path], routes: tuple[Route, ...]) -> Package:
    """Read torch and its siblings. Where `routes` is empty they are evidence only: an earlier rung has failed."""
    places = [HostRoot(path) for path in site_packages]
    torch = read_torch(places)
    if isinstance(torch, Absent):
        return Package(_unless_stopped(routes, fail(Cause.TORCH_MISSING, "torch is not installed")))
    if isinstance(torch, Unknown):
        return Package(_unless_stopped(routes, give_up(torch.reason)))
    siblings = {name: read_version(places, name) for name in SIBLINGS}
    found = {name: fact.value for name, fact in siblings.items() if isinstance(fact, Present)}
    line = describe(torch.value, found)
    finding = judge(torch.value, found, routes, line)
    reason = tell_unknown(*siblings.values())
    if reason is not None and finding.state is RungState.PASSED:
        finding = give_up(reason, (line,))
    return Package(_unless_stopped(routes, finding, line), torch.value)


def _unless_stopped(routes: tuple[Route, ...], finding: Finding, line: str | None = None) -> Finding:
    if routes:
        return finding
    return Finding(RungState.NOT_RUN, "not judged: an earlier rung failed", (line or finding.seen,))


def describe(torch: Torch, siblings: dict[str, str]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in siblings.items())
    runtime = f"HIP {torch.hip_version}" if torch.hip_version else f"CUDA {torch.cuda_version}"
    built = runtime if torch.hip_version or torch.cuda_version else torch.kind.value
    return f"torch {torch.version} (built for {built})" + (f", {versions}" if versions else "")


def judge(torch: Torch, siblings: dict[str, str], routes: tuple[Route, ...], line: str) -> Finding:
    """Fails with `wheel_cpu_only`, `wheel_wrong_vendor` or `torch_family_mismatch`, in this order."""
    if torch.kind is WheelKind.CPU:
        return fail(Cause.WHEEL_CPU_ONLY, "the installed torch was built for the CPU alone", (line,))
    fitting = tuple(route for route in routes if WHEEL_OF_ROUTE[route] is torch.kind)
    if not fitting:
        seen = (
            f"the installed torch was built for {torch.kind.value}, and the GPU here is reached by {', '.join(routes)}"
        )
        return fail(Cause.WHEEL_WRONG_VENDOR, seen, (line,))
    strangers = [name for name, version in siblings.items() if not is_of_family(name, version, torch)]
    if strangers:
        seen = f"not of one build with torch: {', '.join(strangers)}"
        return fail(Cause.TORCH_FAMILY_MISMATCH, seen, (line,))
    return Finding(RungState.PASSED, line, (line,), routes=fitting)


def is_of_family(name: str, version: str, torch: Torch) -> bool:
    """Whether a sibling's local tag fits torch's. A version without a tag tells nothing and is let pass."""
    mine = read_family(version)
    if mine is None and name.endswith("-rocm"):
        mine = ("rocm", None)
    theirs = read_family(torch.version)
    if theirs is None:
        theirs = {WheelKind.ROCM: ("rocm", None), WheelKind.CUDA: ("cu", None)}.get(torch.kind)
    if mine is None or theirs is None:
        return True
    return mine[0] == theirs[0] and (mine[1] == theirs[1] or None in {mine[1], theirs[1]})


def read_family(version: str) -> tuple[str, str | None] | None:
    """("rocm", "7.2") of `2.14.1+rocm7.2.0.git1a2b3c`."""
    found = FAMILY.match(version.partition("+")[2])
    return (found["kind"], found["version"]) if found else None


def read_torch(places: Sequence[HostRoot]) -> Fact[Torch]:
    """The first torch on the path. `torch/version.py` knows more than the metadata and is asked first."""
    version = read_version(places, "torch")
    if not isinstance(version, Present):
        return version
    constants = read_constants(places, "torch")
    if isinstance(constants, Unknown):
        return constants
    known = constants.value if isinstance(constants, Present) else {}
    hip, cuda = known.get("hip"), known.get("cuda")
    tagged = read_family(version.value)
    if hip or (tagged and tagged[0] == "rocm"):
        kind = WheelKind.ROCM
    elif cuda or (tagged and tagged[0] == "cu"):
        kind = WheelKind.CUDA
    elif known.get("xpu") or (tagged and tagged[0] == "xpu"):
        kind = WheelKind.OTHER
    elif known or tagged:
        kind = WheelKind.CPU
    else:
        return Unknown("torch is installed, and neither its version.py nor its version tells what it was built for")
    return Present(Torch(version.value, kind, hip, cuda))


def read_version(places: Sequence[HostRoot], name: str) -> Fact[str]:
    """A package's version with its local tag where one is written: PyPI's metadata leaves out what version.py has."""
    constants, metadata = read_constants(places, name.replace("-", "_")), read_metadata_version(places, name)
    told = constants.value.get("__version__") if isinstance(constants, Present) else None
    if told is not None:
        return Present(told)
    return constants if isinstance(constants, Unknown) else metadata


def read_constants(places: Sequence[HostRoot], package: str) -> Fact[dict[str, str]]:
    """The string constants at the top of `<package>/version.py`. Parsed, never run."""
    for place in places:
        text = place.read_text(f"{package}/version.py")
        if isinstance(text, Absent):
            continue
        if isinstance(text, Unknown):
            return Unknown(f"site-packages: {text.reason}")
        try:
            return Present(dict(pick_strings(ast.parse(text.value))))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return Unknown(f"site-packages: {package}/version.py is no Python")
    return Absent(f"no {package}/version.py")


def pick_strings(module: ast.Module) -> list[tuple[str, str]]:
    """`name = "text"` and `name: type = "text"` of the module's own level."""
    pairs: list[tuple[str, str]] = []
    for statement in module.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        value = getattr(statement, "value", None)
        if isinstance(value, ast.Constant) and isinstance(value.value, str) and PLAIN.fullmatch(value.value):
            pairs += [(target.id, value.value) for target in targets if isinstance(target, ast.Name)]
    return pairs


def read_metadata_version(places: Sequence[HostRoot], name: str) -> Fact[str]:
    """The version in the name of the `.dist-info` directory, which is as the wheel was named."""
    pattern = re.compile(
        rf"{name.replace('-', '[-_.]')}-(?P<version>[\w.+!]{{1,100}})\.dist-info", re.IGNORECASE | re.ASCII
    )
    for place in places:
        names = place.list_names(".")
        if isinstance(names, Unknown):
            return Unknown(f"site-packages cannot be listed: {names.reason.rpartition(': ')[2]}")
        if isinstance(names, Present):
            for entry in names.value:
                if found := pattern.fullmatch(entry):
                    return Present(found["version"])
    return Absent(f"{name} is not installed")
