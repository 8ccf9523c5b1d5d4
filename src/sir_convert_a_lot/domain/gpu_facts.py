"""What is known about this machine's GPU: facts, rungs and the snapshot the probe takes.

Owns the words. A fact is present, absent or unknown, each with a reason; unknown is never yes. Refuses to gather
(`infrastructure/gpu_runtime_probe`) and to judge (`acceleration_policy`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

from sir_convert_a_lot.domain.gpu_causes import Cause, Remedy

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Present(Generic[T]):
    """It was looked for and is there."""

    value: T


@dataclass(frozen=True, slots=True)
class Absent:
    """It was looked for and is not there."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """It could not be looked for, or the answer could not be read. Policy refuses on it."""

    reason: str


Fact = Present[T] | Absent | Unknown


class RuntimeKind(StrEnum):
    ROCM = "rocm"
    CUDA = "cuda"
    NONE = "none"


class Rung(StrEnum):
    """The ladder, nearest the hardware first. The first rung that fails names the cause."""

    HARDWARE = "hardware"
    DRIVER = "driver"
    PERMISSION = "permission"
    PACKAGE = "package"
    ENUMERATE = "enumerate"
    ARCH = "arch"
    FIRST_KERNEL = "first_kernel"
    RESULT = "result"
    RESOURCE = "resource"


LADDER: tuple[Rung, ...] = tuple(Rung)
TORCH_FREE_RUNGS: tuple[Rung, ...] = LADDER[:4]


class RungState(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"  # ran, and could not tell
    NOT_RUN = "not_run"  # an earlier rung stopped the ladder, or it was not asked for


@dataclass(frozen=True, slots=True)
class RungReport:
    """One rung as a person reads it: what was seen, and how long it took (milliseconds)."""

    rung: Rung
    state: RungState
    seen: str
    duration_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class ProbeSnapshot:
    """Everything one probe saw. Frozen: a new look is a new snapshot with a new `probe_id`.

    `cause` is None only when every rung of the ladder passed. `simulated` is True when any fact came from a root other
    than `/`; such a snapshot never makes the GPU available.
    """

    probe_id: str
    taken_at: datetime  # aware, UTC
    rungs: tuple[RungReport, ...]  # always the whole ladder, in its order
    cause: Cause | None
    evidence: tuple[str, ...]
    remediation: tuple[Remedy, ...]
    runtime_kind: RuntimeKind = RuntimeKind.NONE
    torch_version: str | None = None
    hip_version: str | None = None
    cuda_version: str | None = None
    device_count: int = 0
    device_name: str | None = None
    pci_id: str | None = None  # domain:bus:device.function
    masks: dict[str, str] = field(default_factory=dict)  # variables that leave a process this GPU alone, as cuda:0
    arch: str | None = None  # gfx1100, sm_90
    vram_bytes: int | None = None
    simulated: bool = False
    warnings: tuple[str, ...] = ()
    timings_ms: dict[str, float] = field(default_factory=dict)

    @property
    def is_available(self) -> bool:
        """Proven: the whole ladder passed on the real root, on a device whose address is known, or no worker could be
        held to it. Derived, so that nothing can claim it.
        """
        return (
            self.cause is None
            and not self.simulated
            and self.device_count > 0
            and self.pci_id is not None
            and tuple(r.rung for r in self.rungs) == LADDER
            and all(r.state is RungState.PASSED for r in self.rungs)
        )

    @property
    def rung(self) -> Rung:
        """The rung that stopped the ladder; the last one when all passed."""
        return next((r.rung for r in self.rungs if r.state is not RungState.PASSED), LADDER[-1])

    def refusal_details(self, backend: str) -> dict[str, Any]:
        """`details` of a 503 `gpu_not_available`. The same host state gives the same value apart from `probe_id`."""
        return {
            "reason": "backend_gpu_runtime_unavailable",
            "backend": backend,
            "runtime_kind": self.runtime_kind.value,
            "hip_version": self.hip_version,
            "cuda_version": self.cuda_version,
            "cause": self.cause.value if self.cause else None,
            "rung": self.rung.value,
            "evidence": list(self.evidence),
            "remediation": [remedy.sentence for remedy in self.remediation],
            "probe_id": self.probe_id,
        }


def snapshot_to_json(snapshot: ProbeSnapshot) -> dict[str, Any]:
    """The snapshot as `gpu probe --json` prints it: what a 503's details say of the host, and more.

    JSON-able. The same host state gives the same value apart from `probe_id`, `taken_at` and the times.
    """
    return snapshot.refusal_details("docling") | {
        **({"reason": None} if snapshot.is_available else {}),  # nothing is refused
        "is_available": snapshot.is_available,
        "device_count": snapshot.device_count,
        "device_name": snapshot.device_name,
        "pci_id": snapshot.pci_id,
        "arch": snapshot.arch,
        "vram_bytes": snapshot.vram_bytes,
        "torch_version": snapshot.torch_version,
        "rungs": [
            {
                "rung": report.rung.value,
                "state": report.state.value,
                "seen": report.seen,
                "duration_ms": report.duration_ms,
            }
            for report in snapshot.rungs
        ],
        "runbook": snapshot.cause.runbook if snapshot.cause else None,
        "warnings": list(snapshot.warnings),
        "simulated": snapshot.simulated,
        "taken_at": snapshot.taken_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "timings_ms": dict(snapshot.timings_ms),
    }
