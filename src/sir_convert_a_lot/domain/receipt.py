"""The receipt: which device did each stage of a conversion, and how that was seen.

Owns the words and the grades. Every figure is measured; what could not be read is None and says so in `measured_by`,
never zero. Refuses to measure (engines and `gpu_activity` do).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from sir_convert_a_lot.domain.gpu_activity import GpuActivity, ReceiptDevice


class Grade(StrEnum):
    """How strong the evidence is that a device did the work it was asked to do."""

    PROVEN = "PROVEN"
    CORROBORATED = "CORROBORATED"
    SUGGESTIVE = "SUGGESTIVE"
    UNAVAILABLE = "UNAVAILABLE"


# `device_used` of a stage that had nothing to compute: tables were asked for and no page has one. It proves nothing.
NO_DEVICE = "none"


@dataclass(frozen=True, slots=True)
class StageReceipt:
    """One stage. `device_used` and `measured_by` come from looking, never from the request."""

    stage: str  # a value of job.JobStage
    device_asked: str  # "cpu" | "cuda:N"
    device_used: str  # "cpu" | "cuda:N" | "none" (nothing to compute) | "unknown"
    measured_by: str  # "onnx_session_providers: CPUExecutionProvider", "process_has_no_gpu_runtime", ...
    wall_ms: float
    pages: int | None = None
    device_ms: float | None = None  # time between device events; None where there is no device
    operations: int | None = None  # operations dispatched on the device, in the job's first batch
    operations_elsewhere: int | None = None  # the same, on any other device
    kernels: int | None = None  # kernels that the profiler saw these loaded models launch when the worker warmed up
    model_devices: tuple[str, ...] = ()  # where the parameters and buffers of the stage's models lie
    peak_vram_bytes: int | None = None  # torch's allocator in this process, while the job ran


@dataclass(frozen=True, slots=True)
class ExecutionReceipt:
    """`result.execution`, and the content of `artifacts/execution.json`."""

    engine: str  # "builtin" | "docling" | "pymupdf"
    engine_version: str
    acceleration_policy: str
    acceleration_used: str  # "cuda" only from PROVEN or CORROBORATED, else "cpu"
    grade: Grade | None  # None: no stage was asked to run on a GPU, so there is nothing to prove
    stages: tuple[StageReceipt, ...]
    wall_ms: float
    worker_pid: int
    probe_id: str | None = None  # the snapshot the job was promised on; None under cpu_only
    device: ReceiptDevice | None = None  # None: the job was given no GPU
    activity: GpuActivity | None = None  # what was seen of that device from beside the engine
    schema_version: str = "1"

    def to_json(self) -> dict[str, Any]:
        """JSON-able, with stable keys."""
        return asdict(self)


def grade_of(
    stages: Sequence[StageReceipt], *, resident_bytes: int | None = None, device_was_busy: bool | None = None
) -> Grade | None:
    """How well these stages prove the GPU they were asked to use. None when none was asked to use one.

    The weakest stage decides. `resident_bytes` is the device memory of this very process as the operating system counts
    it; less than torch's allocator held in this process is some other process's, and corroborates nothing.
    `device_was_busy` is the device's own busy counter, which any process can raise. None: could not be read.
    """
    asked = [stage for stage in stages if stage.device_asked != "cpu"]
    if not asked:
        return None
    worked = [stage for stage in asked if stage.device_used != NO_DEVICE]
    if not worked or any(stage.device_used != stage.device_asked for stage in worked):
        return Grade.UNAVAILABLE
    if all(_is_proven(stage) for stage in worked):
        return Grade.PROVEN
    if all(_is_corroborated(stage, resident_bytes) for stage in worked):
        return Grade.CORROBORATED
    return Grade.SUGGESTIVE if device_was_busy else Grade.UNAVAILABLE


def acceleration_used_by(grade: Grade | None) -> str:
    """What the result says: `cuda`, also for ROCm, only from a grade that proves it."""
    return "cuda" if grade in {Grade.PROVEN, Grade.CORROBORATED} else "cpu"


def _is_proven(stage: StageReceipt) -> bool:
    """Work was dispatched there, took time there, and these models were seen to launch kernels there."""
    return bool(stage.operations and stage.device_ms and stage.kernels) and _is_mostly_there(stage)


def _is_mostly_there(stage: StageReceipt) -> bool:
    """A stage whose work went mostly elsewhere is not proven by the little that did not."""
    return (stage.operations_elsewhere or 0) < (stage.operations or 0)


def _is_corroborated(stage: StageReceipt, resident_bytes: int | None) -> bool:
    """The models lie there, torch and the system agree that this process held memory there, and no record of operations
    says otherwise.
    """
    is_contradicted = stage.operations is not None and not _is_mostly_there(stage)
    held = bool(stage.peak_vram_bytes) and (resident_bytes or 0) >= (stage.peak_vram_bytes or 0)
    return stage.model_devices == (stage.device_asked,) and held and not is_contradicted
