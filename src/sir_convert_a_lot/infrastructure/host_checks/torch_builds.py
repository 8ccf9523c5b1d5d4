"""Check 3: torch and the packages that must be of one build with it are exactly those that are pinned.

Read from files, without importing anything. Whether they work is the probe's to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sir_convert_a_lot.application.host_ports import CheckSite
from sir_convert_a_lot.domain.gpu_causes import Cause, Remedy
from sir_convert_a_lot.domain.gpu_facts import Present, RuntimeKind
from sir_convert_a_lot.domain.host_access import Ending, HostCommand
from sir_convert_a_lot.domain.host_check import CheckReport
from sir_convert_a_lot.domain.host_findings import Finding
from sir_convert_a_lot.domain.host_profile import TorchPins
from sir_convert_a_lot.infrastructure.host_checks.findings import (
    failed,
    hung,
    lines_of,
    passed,
    read_object,
    report,
    unknown,
)
from sir_convert_a_lot.infrastructure.host_checks.torch_pins import read_pins

LIMIT_S = 60.0
SCRIPT = (Path(__file__).parent / "on_host" / "installed_versions.py").read_bytes()
# Names that one package has had: each puts its files into the folder `triton`, so that the last one to come wins.
TRITONS = ("triton-rocm", "pytorch-triton-rocm", "triton")
# Every package whose build must fit torch's.
ASKED = ("torch", "torchvision", "torchaudio", *TRITONS)
CPU = "cpu"


@dataclass(frozen=True, slots=True)
class Build:
    """One installed package. `family`: its local tag (`rocm7.1`, `cu130`, `cpu`), None where it has none."""

    version: str
    family: str | None
    kind: RuntimeKind | None  # of torch alone: what its own files say it was built for; NONE is the CPU


class TorchBuildsCheck:
    name = "torch_builds"
    needs = ("project",)

    def look(self, site: CheckSite) -> CheckReport:
        profile = site.profile
        command = HostCommand([profile.python, "-I", "-", *ASKED], SCRIPT, timeout_s=LIMIT_S, directory=profile.root)
        outcome = site.host.run(command)
        if outcome.ending is Ending.TIMED_OUT:
            return report(hung(self.name, outcome))
        told = read_object(outcome.text) if outcome.succeeded else None
        if told is None:
            remedy = Remedy("Make the environment of the project again", "pdm install")
            finding = unknown(
                self.name, "builds_unreadable", "what is installed there cannot be read", lines_of(outcome), remedy
            )
            return report(finding)
        return report(self._judge(site, read_builds(told)), installed_versions__json=outcome.stdout)

    def _judge(self, site: CheckSite, builds: Mapping[str, Build]) -> Finding:
        seen = [f"{name} {build.version}" for name, build in builds.items()]
        remedy = Remedy(
            "Put the pinned builds in place; what was there is kept and comes back if that fails",
            f"convert-a-lot host repair{'' if site.host.is_local else f' --host {site.profile.name}'} --apply",
        )
        torch = builds.get("torch")
        if torch is None:
            return failed(self.name, Cause.TORCH_MISSING.value, "torch is not installed", seen, remedy)
        kind = site.profile.runtime_kind or torch.kind
        if torch.kind is RuntimeKind.NONE:
            told = f"torch {torch.version} was built for the CPU alone"
            return failed(self.name, Cause.WHEEL_CPU_ONLY.value, told, seen, remedy)
        if kind is None or torch.kind is None:
            told = f"torch {torch.version} does not tell what it was built for"
            return unknown(self.name, "builds_unreadable", told, seen, remedy)
        if torch.kind is not kind:
            told = f"torch {torch.version} was built for {torch.kind.value}, and {kind.value} is expected"
            return failed(self.name, Cause.WHEEL_WRONG_VENDOR.value, told, seen, remedy)
        strangers = find_strangers(builds)
        if strangers:
            told = f"not of one build with torch {torch.version}: {', '.join(strangers)}"
            return failed(self.name, Cause.TORCH_FAMILY_MISMATCH.value, told, seen, remedy)
        pins = read_pins(site.host, site.profile, kind)
        if not isinstance(pins, Present):
            advice = Remedy("Bring the project on the host to this version")
            return unknown(self.name, "pins_missing", f"what should be there is not known: {pins.reason}", seen, advice)
        wrong = find_deviations(builds, pins.value)
        if wrong:
            return failed(self.name, "torch_not_pinned", "; ".join(wrong), seen, remedy)
        return passed(self.name, f"as pinned: {', '.join(f'{n} {v}' for n, v in pins.value.packages.items())}", seen)


def read_builds(told: Mapping[str, Any]) -> dict[str, Build]:
    """The packages that are installed. The version is the one with a local tag, where either source tells one."""
    builds = {}
    for name, said in told.items():
        version = said.get("__version__") or said.get("metadata")
        if not version or not (said.get("metadata") or name == "torch"):
            continue
        family = version.partition("+")[2] or None
        builds[name] = Build(version, family, kind_of(said, family) if name == "torch" else None)
    return builds


def kind_of(said: Mapping[str, Any], family: str | None) -> RuntimeKind | None:
    """None where neither the files nor the tag tell."""
    if said.get("hip") or (family or "").startswith("rocm"):
        return RuntimeKind.ROCM
    if said.get("cuda") or (family or "").startswith("cu"):
        return RuntimeKind.CUDA
    return RuntimeKind.NONE if family == CPU or "__version__" in said else None


def find_strangers(builds: Mapping[str, Build]) -> list[str]:
    """Packages whose local tag is another than torch's. One without a tag tells nothing."""
    family = builds["torch"].family
    return [
        f"{name} {build.version}"
        for name, build in builds.items()
        if family and build.family and build.family.partition(".git")[0] != family.partition(".git")[0]
    ]


def find_deviations(builds: Mapping[str, Build], pins: TorchPins) -> list[str]:
    """One sentence a package that is not as pinned. A pin without a local tag leaves the tag to the family."""
    wrong = []
    for name, pinned in pins.packages.items():
        build = builds.get(name)
        if build is None:
            wrong.append(f"{name} is not installed, pinned is {pinned}")
        elif build.version != pinned and ("+" in pinned or build.version.partition("+")[0] != pinned):
            wrong.append(f"{name} is {build.version}, pinned is {pinned}")
        elif build.family and not build.family.startswith(pins.family):
            wrong.append(f"{name} is {build.version}, and the family is {pins.family}")
    pinned_tritons = [name for name in TRITONS if name in pins.packages]
    wrong += [
        f"{name} {builds[name].version} has its files in the folder of {pinned_tritons[0]}, and is not pinned"
        for name in TRITONS
        if pinned_tritons and name in builds and name not in pins.packages
    ]
    return wrong
