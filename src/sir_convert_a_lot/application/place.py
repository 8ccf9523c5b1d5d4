"""Where a conversion runs: the policy, asked with what the probe knows now.

Owns the asking and turns a refusal into its error. The rules are `domain.acceleration_policy`'s.
"""

from __future__ import annotations

from dataclasses import dataclass

from sir_convert_a_lot.application.ports import GpuProbe
from sir_convert_a_lot.domain.acceleration_policy import Refuse, RunOnGpu, ServerRules, decide
from sir_convert_a_lot.domain.job_spec import AccelerationPolicy, JobSpec


@dataclass(frozen=True, slots=True)
class Placement:
    """The engine and the device. `probe_id` names the snapshot that was looked at; None under `cpu_only`."""

    engine: str
    device: str  # "cpu" | "cuda:N"
    probe_id: str | None
    warnings: tuple[str, ...]


async def place(spec: JobSpec, probe: GpuProbe, rules: ServerRules, installed: frozenset[str]) -> Placement:
    """Raises `ValidationError` or `GpuNotAvailable` where the policy refuses. Under `cpu_only` nothing is probed."""
    policy = spec.execution.acceleration_policy
    snapshot = None if policy is AccelerationPolicy.CPU_ONLY else await probe.current()
    decision = decide(policy, spec.conversion.backend_strategy, snapshot, rules, installed)
    if isinstance(decision, Refuse):
        raise decision.error
    device, warnings = (decision.device, ()) if isinstance(decision, RunOnGpu) else ("cpu", decision.warnings)
    return Placement(decision.engine, device, snapshot.probe_id if snapshot else None, warnings)
