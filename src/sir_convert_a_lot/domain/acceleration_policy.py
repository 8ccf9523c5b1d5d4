"""The acceleration policy: what was asked, what is known and what the server allows become one decision.

Owns where a conversion runs: on the GPU, on the CPU, or not at all and why. Asked at admission, and again when a worker
takes the job. Pure: it reads its arguments and nothing else. Refuses to know HTTP and to gather facts
(`infrastructure/gpu_runtime_probe`).

No argument can assert a GPU. Only a snapshot whose whole ladder passed on this machine's own root makes one available;
unknown, incomplete and simulated snapshots refuse exactly as a failed one does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from sir_convert_a_lot.domain.errors import GpuNotAvailable, SirConvertError, ValidationError
from sir_convert_a_lot.domain.gpu_causes import CAUSES, Cause, Remedy
from sir_convert_a_lot.domain.gpu_facts import LADDER, ProbeSnapshot, RuntimeKind
from sir_convert_a_lot.domain.job_spec import AccelerationPolicy, BackendStrategy, JobSpec, OcrMode

# Engines that have no GPU code at all; every other engine can use the GPU.
CPU_ENGINES = frozenset({BackendStrategy.BUILTIN, BackendStrategy.PYMUPDF})

ONLY_GPU = "cuda:0"  # what torch calls the one GPU that a process sees
CPU_LOCKED = "cpu_execution_locked"  # `details.reason` of what only the GPU lock refuses

ASK_FOR_THE_GPU = Remedy("Ask for `acceleration_policy: gpu_required`")
LIFT_THE_LOCK = Remedy("Or switch the GPU lock off (`cpu_execution_locked`), if the CPU is meant to convert here")
LIFT_THE_BAN = (
    Remedy("Switch the setting `gpu_forbidden` off; a service takes that when it starts"),
    Remedy("Or ask for `acceleration_policy: cpu_only`"),
)
LOOK_AGAIN = (Remedy("Run the probe and mend what it names", "convert-a-lot gpu probe"),)


@dataclass(frozen=True, slots=True)
class ServerRules:
    """What the server's settings say. They can only take away.

    `promised_device` is what the operator promises to clients and what readiness follows (`judge_readiness`); a promise
    is no proof, so it changes no decision about a job. `probe_ttl_s` is how long a snapshot is served: a refused caller
    that asks sooner meets the same one.
    """

    gpu_is_forbidden: bool = False
    cpu_is_locked: bool = False  # the "GPU lock": nothing may run on the CPU
    promised_device: Literal["none", "gpu"] = "none"
    probe_ttl_s: float = 60.0

    @property
    def retry_after_s(self) -> int:
        """`Retry-After` of a `gpu_not_available`, in whole seconds as HTTP wants them."""
        return math.ceil(self.probe_ttl_s)


@dataclass(frozen=True, slots=True)
class RunOnGpu:
    """Run `engine` on the GPU at `pci_id`, as promised on the snapshot `probe_id`.

    `masks` are the variables that leave a process this GPU alone; so it is `device` there, torch's word for the first
    one, also for ROCm.
    """

    engine: str
    device: str
    probe_id: str
    pci_id: str
    masks: dict[str, str]


@dataclass(frozen=True, slots=True)
class RunOnCpu:
    """Run `engine` on the CPU. `warnings` say why when the caller would rather have had the GPU."""

    engine: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refuse:
    """Run nothing; `error` is ready to be raised."""

    error: SirConvertError


Decision = RunOnGpu | RunOnCpu | Refuse


@dataclass(frozen=True, slots=True)
class Readiness:
    """What `/readyz` says about the GPU: `state` is `proven` or `not_proven`, `cause` a code or None."""

    is_ready: bool
    state: Literal["proven", "not_proven"]
    cause: str | None


def decide(
    policy: AccelerationPolicy,
    backend: BackendStrategy,
    snapshot: ProbeSnapshot | None,
    rules: ServerRules,
    installed: frozenset[str],
) -> Decision:
    """Where this conversion runs. `snapshot` is None when no probe has finished; `installed` are names of engines.

    Refuses in this order: conflict of policy and backend (422), GPU or lock (503), engine not installed (422). Under
    `cpu_only` the snapshot is not even looked at.
    """
    try:
        _check_backend(policy, backend)
        if policy is AccelerationPolicy.CPU_ONLY:
            return _decide_cpu_only(backend, rules, installed)
        return _decide_gpu(policy, backend, snapshot, rules, installed)
    except SirConvertError as error:
        return Refuse(error)


def check_conflict(spec: JobSpec) -> None:
    """Raise `ValidationError` (422) for fields that cannot go together, whatever the machine."""
    _check_backend(spec.execution.acceleration_policy, spec.conversion.backend_strategy)
    backend, ocr_mode = spec.conversion.backend_strategy, spec.conversion.ocr_mode
    if backend is BackendStrategy.PYMUPDF and ocr_mode is not OcrMode.OFF:
        raise ValidationError(
            f"Backend `pymupdf` does no OCR, so it cannot take `ocr_mode: {ocr_mode.value}`.",
            details={
                "field": "conversion.ocr_mode",
                "reason": "backend_option_incompatible",
                "backend": backend.value,
                "supported": [OcrMode.OFF.value],
            },
        )


def check_installed(engine: str, installed: frozenset[str]) -> None:
    """Raise `ValidationError` (422) when `engine` is not among the installed ones."""
    if engine not in installed:
        raise ValidationError(
            f"Backend `{engine}` is not installed.",
            details={
                "field": "conversion.backend_strategy",
                "reason": "backend_not_available",
                "requested": engine,
                "available": sorted(installed),
            },
        )


def judge_readiness(snapshot: ProbeSnapshot | None, rules: ServerRules) -> Readiness:
    """Whether the service is ready: with a GPU promised, or under the GPU lock, only while one is proven."""
    if _is_usable(snapshot, rules):
        return Readiness(is_ready=True, state="proven", cause=None)
    needs_gpu = rules.promised_device == "gpu" or rules.cpu_is_locked
    return Readiness(is_ready=not needs_gpu, state="not_proven", cause=_name_cause(snapshot, rules).value)


def refuse_readiness(snapshot: ProbeSnapshot | None, rules: ServerRules) -> GpuNotAvailable:
    """Why a service that `judge_readiness` calls unready is so, in the words of the rule that asks for the GPU."""
    details = _explain(BackendStrategy.DOCLING.value, snapshot, rules) | {"backend": None}  # nobody asked for one
    if rules.promised_device == "gpu":
        rule = "This service promises a GPU"
    else:
        rule = "This service's GPU lock allows no work on the CPU"
    return GpuNotAvailable(
        f"{rule}, and none is proven: {details['cause']}.", details=details, retry_after_s=rules.retry_after_s
    )


def refuse_unproven(engine: str, snapshot: ProbeSnapshot | None, rules: ServerRules) -> GpuNotAvailable:
    """Why `engine` cannot run on the GPU: the refusal of `gpu_required`, at admission, at a job's start and midway."""
    return _refuse_gpu(_explain(engine, snapshot, rules), rules)


def refuse_failed(engine: str, cause: Cause, evidence: tuple[str, ...], fresh: ProbeSnapshot) -> GpuNotAvailable:
    """Why a job failed on the GPU for a cause that `fresh`, taken after it, does not show. `evidence`: what it saw."""
    healthy = f"A fresh process passed every rung of the probe on {fresh.device_name} ({fresh.pci_id})."
    details = fresh.refusal_details(engine) | {
        "cause": cause.value,
        "evidence": [*evidence, *([healthy] if fresh.cause is None else fresh.evidence)],
        "remediation": [remedy.sentence for remedy in CAUSES[cause].remedies],
    }
    return GpuNotAvailable(f"This job was promised the GPU, and its work there failed: {cause.value}.", details=details)


def _check_backend(policy: AccelerationPolicy, backend: BackendStrategy) -> None:
    if policy is not AccelerationPolicy.CPU_ONLY and backend in CPU_ENGINES:
        raise ValidationError(
            f"Backend `{backend.value}` runs on the CPU only, so it cannot go with `{policy.value}`.",
            details={"field": "conversion.backend_strategy", "reason": "backend_incompatible_with_gpu_policy"},
        )


def _decide_cpu_only(backend: BackendStrategy, rules: ServerRules, installed: frozenset[str]) -> Decision:
    engine = BackendStrategy.BUILTIN.value if backend is BackendStrategy.AUTO else backend.value
    if rules.cpu_is_locked:
        seen = "The request asked for the CPU, so the GPU was not looked at."
        remedies = LIFT_THE_BAN[:1] if rules.gpu_is_forbidden else (ASK_FOR_THE_GPU,)
        raise _refuse_cpu(engine, _bare_details(engine, seen, remedies), rules)
    check_installed(engine, installed)
    return RunOnCpu(engine)


def _decide_gpu(
    policy: AccelerationPolicy,
    backend: BackendStrategy,
    snapshot: ProbeSnapshot | None,
    rules: ServerRules,
    installed: frozenset[str],
) -> Decision:
    engine = BackendStrategy.DOCLING.value  # what `auto` means under a GPU policy; the CPU engines were refused above
    if snapshot is not None and snapshot.pci_id is not None and _is_usable(snapshot, rules):
        check_installed(engine, installed)
        return RunOnGpu(engine, ONLY_GPU, snapshot.probe_id, snapshot.pci_id, snapshot.masks)
    details = _explain(engine, snapshot, rules)
    if policy is AccelerationPolicy.GPU_REQUIRED:
        raise _refuse_gpu(details, rules)
    if backend is BackendStrategy.AUTO and engine not in installed:
        engine = BackendStrategy.BUILTIN.value
    if rules.cpu_is_locked:
        raise _refuse_cpu(engine, details, rules)
    check_installed(engine, installed)
    warning = f"No GPU was used: {details['cause']}. Converted on the CPU by `{engine}`, as `gpu_prefer` allows."
    return RunOnCpu(engine, (warning,))


def _is_usable(snapshot: ProbeSnapshot | None, rules: ServerRules) -> bool:
    """Proven and not forbidden. The exact type is asked for, so that no look-alike can claim `is_available`."""
    return (
        type(snapshot) is ProbeSnapshot
        and snapshot.is_available
        and snapshot.runtime_kind is not RuntimeKind.NONE
        and not rules.gpu_is_forbidden
    )


def _name_cause(snapshot: ProbeSnapshot | None, rules: ServerRules) -> Cause:
    """Why the GPU is not usable. The ban comes first: it stays whatever the machine does."""
    if rules.gpu_is_forbidden:
        return Cause.GPU_FORBIDDEN_BY_SETTING
    if snapshot is None or snapshot.cause is None:
        return Cause.PROBE_INCOMPLETE
    return snapshot.cause


def _explain(engine: str, snapshot: ProbeSnapshot | None, rules: ServerRules) -> dict[str, Any]:
    """The details of a 503, with a cause whatever the snapshot says of itself."""
    if snapshot is None:
        details = _bare_details(engine, "No probe of the GPU has finished in this process.")
        details |= {"rung": LADDER[0].value}
    else:
        details = snapshot.refusal_details(engine)
        if snapshot.simulated:
            details["evidence"].append("The snapshot was taken from a root other than `/`: it proves nothing here.")
        elif snapshot.cause is None and snapshot.pci_id is None:
            details["evidence"].append("torch does not tell the address of its GPU, so no worker can be held to it.")
        elif snapshot.cause is None:
            details["evidence"].append("The snapshot names no cause, yet its rungs do not prove a GPU.")
    if rules.gpu_is_forbidden:
        details["evidence"].insert(0, "The setting `gpu_forbidden` forbids the GPU.")
    details["remediation"] = [remedy.sentence for remedy in _choose_remedies(snapshot, rules)]
    details["cause"] = _name_cause(snapshot, rules).value
    return details


def _choose_remedies(snapshot: ProbeSnapshot | None, rules: ServerRules) -> tuple[Remedy, ...]:
    """Never empty. Under the GPU lock no remedy sends anybody to the CPU: the lock would refuse them there as well."""
    found = LIFT_THE_BAN if rules.gpu_is_forbidden else snapshot.remediation if snapshot else ()
    if rules.cpu_is_locked:
        found = tuple(remedy for remedy in found if AccelerationPolicy.CPU_ONLY.value not in remedy.text)
    return found or LOOK_AGAIN


def _bare_details(engine: str, seen: str, remedies: tuple[Remedy, ...] = ()) -> dict[str, Any]:
    """The keys of a 503 where there is no snapshot to fill them from."""
    return {
        "reason": "backend_gpu_runtime_unavailable",
        "backend": engine,
        "runtime_kind": RuntimeKind.NONE.value,
        "hip_version": None,
        "cuda_version": None,
        "cause": None,
        "rung": None,
        "evidence": [seen],
        "remediation": [remedy.sentence for remedy in remedies],
        "probe_id": None,
    }


def _refuse_gpu(details: dict[str, Any], rules: ServerRules) -> GpuNotAvailable:
    return GpuNotAvailable(
        f"The GPU was required and is not proven: {details['cause']}.",
        details=details,
        retry_after_s=rules.retry_after_s,
    )


def _refuse_cpu(engine: str, details: dict[str, Any], rules: ServerRules) -> GpuNotAvailable:
    """What would prove the GPU comes first: `details` has that already."""
    remediation = [*details["remediation"], LIFT_THE_LOCK.sentence]
    return GpuNotAvailable(
        f"This request would run on the CPU with `{engine}`, and the GPU lock allows no work on the CPU.",
        details=details | {"reason": CPU_LOCKED, "backend": engine, "remediation": remediation},
        retry_after_s=rules.retry_after_s,
    )
