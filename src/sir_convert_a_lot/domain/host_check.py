"""What checks of a host hand over: their reports, a service's answers, and the activity of the host's GPUs.

Owns the words. Refuses to gather (`infrastructure/host_checks`) and to say what follows (`application.verify`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sir_convert_a_lot.domain.host_findings import Finding


@dataclass(frozen=True, slots=True)
class GpuSample:
    """One look at one GPU of the host. None: could not be read, which is not zero."""

    at_s: float  # since the samples of this series began
    pci_id: str  # domain:bus:device.function
    busy_percent: float | None = None
    power_w: float | None = None
    used_bytes: int | None = None
    total_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class GpuSeries:
    """Looks at the host's GPUs, oldest first, and what was read of processes meanwhile.

    `process_bytes`: the most memory of a GPU that each process of the host was seen to hold, by its pid there.
    `unread`: why something could not be read.
    """

    source: str  # "amdgpu sysfs" | "rocm-smi" | "amd-smi" | "nvidia-smi" | "none"
    samples: tuple[GpuSample, ...] = ()
    process_bytes: Mapping[int, int] = field(default_factory=dict)
    unread: tuple[str, ...] = ()

    def of(self, pci_id: str) -> tuple[GpuSample, ...]:
        return tuple(sample for sample in self.samples if sample.pci_id == pci_id)

    def busy(self, pci_id: str) -> list[float]:
        """The readings of its busy counter that there are."""
        return [sample.busy_percent for sample in self.of(pci_id) if sample.busy_percent is not None]


@dataclass(frozen=True, slots=True)
class HostActivity:
    """The GPU that a conversion ran on, before and during it."""

    pci_id: str
    idle: GpuSeries
    working: GpuSeries


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What one check found, with all it rests on. `raw`: file name to what was printed, as it was printed."""

    findings: tuple[Finding, ...]
    raw: Mapping[str, bytes] = field(default_factory=dict)
    receipt: Mapping[str, Any] | None = None
    activity: HostActivity | None = None


@dataclass(frozen=True, slots=True)
class ServiceAnswer:
    """What a service said to a question that needs no key. `body`: its JSON object, empty where it was none."""

    status: int
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LiveResult:
    """A conversion that a service did. `receipt` is its `execution`, None where it tells none."""

    job_id: str
    acceleration_used: str
    warnings: tuple[str, ...]
    receipt: Mapping[str, Any] | None
    elapsed_s: float
    raw: Mapping[str, Any]
