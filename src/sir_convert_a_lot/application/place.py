"""Where a conversion runs: the policy, asked with what the probe knows now.

Owns the asking and turns a refusal into its error. The rules are `domain.acceleration_policy`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sir_convert_a_lot.application.ports import GpuProbe
from sir_convert_a_lot.domain.acceleration_policy import Refuse, RunOnGpu, ServerRules, decide
from sir_convert_a_lot.domain.job_spec import AccelerationPolicy, JobSpec


@dataclass(frozen=True, slots=True)
class Placement:
    """The engine and the device. `probe_id` names the snapshot that was looked at; None under `cpu_only`.

    On the GPU, `pci_id` says which, and `masks` are the variables that leave a process that one alone.
    """

    engine: str
    device: str  # "cpu" | "cuda:N"
    probe_id: str | None
    warnings: tuple[str, ...]
    pci_id: str | None = None
    masks: dict[str, str] = field(default_factory=dict)


async def place(spec: JobSpec, probe: GpuProbe, rules: ServerRules, installed: frozenset[str]) -> Placement:
    """Raises `ValidationError` or `GpuNotAvailable` where the policy refuses. Under `cpu_only` nothing is probed."""
    policy = spec.execution.acceleration_policy
    snapshot = None if policy is AccelerationPolicy.CPU_ONLY else await probe.current()
    decision = decide(policy, spec.conversion.backend_strategy, snapshot, rules, installed)
    if isinstance(decision, Refuse):
        raise decision.error
    if isinstance(decision, RunOnGpu):
        return Placement(decision.engine, decision.device, decision.probe_id, (), decision.pci_id, decision.masks)
    return Placement(decision.engine, "cpu", snapshot.probe_id if snapshot else None, decision.warnings)
