"""Tells while a job runs, or before it does, that a stage which was asked for a GPU works elsewhere.

Owns what counts as seen elsewhere. What was not seen at all is not told here: the receipt judges that when the job is
over, and whatever passes here is judged there again (`application.convert`).
"""

from __future__ import annotations

from collections.abc import Iterable

from sir_convert_a_lot.domain.errors import GpuNotAvailable
from sir_convert_a_lot.domain.gpu_causes import Cause
from sir_convert_a_lot.domain.job import JobStage
from sir_convert_a_lot.infrastructure.engines.docling.device_failures import refuse_device
from sir_convert_a_lot.infrastructure.engines.docling.model_devices import StageModels
from sir_convert_a_lot.infrastructure.engines.docling.operation_record import OperationRecord


def require_models_on(stages: Iterable[tuple[JobStage, str, StageModels]]) -> None:
    """For each (stage, device asked, its models): raise `GpuNotAvailable` where they lie elsewhere."""
    for stage, device, models in stages:
        if (seen := find_elsewhere(device, models, OperationRecord())) is not None:
            raise refuse_stage(stage, device, seen)


def find_elsewhere(device: str, models: StageModels, record: OperationRecord) -> str | None:
    """What shows that a stage asked for `device` works elsewhere, or None. The same words for every document."""
    if device == "cpu":
        return None
    modules = models.module_devices()
    if set(modules) - {device}:
        return f"parameters lie on {', '.join(modules)}"
    sessions, providers = models.session_devices()
    if set(sessions) - {device}:
        return providers
    there = record.by_device[device]
    if record.total and there <= record.total - there:
        return f"operations of its first batch ran on {record.by_device.most_common(1)[0][0]}"
    return None


def refuse_stage(stage: JobStage, device: str, seen: str) -> GpuNotAvailable:
    told = f"{stage.value}: asked {device}, {seen}"
    return refuse_device(Cause.STAGE_FELL_BACK, f"the stage {stage.value} works elsewhere", told)
