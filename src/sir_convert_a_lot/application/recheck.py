"""Ask the policy once more, when a worker takes a job: the machine may have changed since it was admitted.

Owns what a change means for an admitted job. The rules themselves are `domain.acceleration_policy`'s.
"""

from __future__ import annotations

from dataclasses import replace

from sir_convert_a_lot.application.ports import GpuProbe, JobRequest
from sir_convert_a_lot.domain.acceleration_policy import Refuse, RunOnGpu, ServerRules, decide
from sir_convert_a_lot.domain.errors import InternalError
from sir_convert_a_lot.domain.job_spec import AccelerationPolicy, BackendStrategy


async def recheck(request: JobRequest, probe: GpuProbe, rules: ServerRules, installed: frozenset[str]) -> JobRequest:
    """The request as it may run now. Raises `GpuNotAvailable` or `ValidationError` when it may not any more, and
    `InternalError` for a request that the policy can never have made: one that requires the GPU and names the CPU.

    A job that was admitted for the CPU stays there, unless the CPU was locked meanwhile: what its warnings say must
    stay true. A `gpu_prefer` job whose GPU is gone goes to the CPU and says so.
    """
    spec = request.spec
    if request.device == "cpu":
        if spec.execution.acceleration_policy is AccelerationPolicy.GPU_REQUIRED:
            raise InternalError("a job that requires the GPU was stored for the CPU, so it is not run")
        policy, backend, snapshot = AccelerationPolicy.CPU_ONLY, BackendStrategy(request.engine), None
    else:
        policy, backend = spec.execution.acceleration_policy, spec.conversion.backend_strategy
        snapshot = await probe.current()
    decision = decide(policy, backend, snapshot, rules, installed)
    if isinstance(decision, Refuse):
        raise decision.error
    if isinstance(decision, RunOnGpu):
        return replace(
            request,
            device=decision.device,
            engine=decision.engine,
            probe_id=decision.probe_id,
            pci_id=decision.pci_id,
            masks=decision.masks,
        )
    warnings = request.warnings + decision.warnings
    return replace(request, device="cpu", engine=decision.engine, warnings=warnings, pci_id=None, masks={})
