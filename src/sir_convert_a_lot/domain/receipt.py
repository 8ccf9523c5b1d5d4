"""The receipt: which device did each stage of a conversion, and how that was seen.

Owns the words and the grades. Every figure is measured; what could not be read is None and says so in `measured_by`,
never zero. Refuses to measure (engines and `gpu_activity` do).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Grade(StrEnum):
    """How strong the evidence is that a device did the work it was asked to do."""

    PROVEN = "PROVEN"
    CORROBORATED = "CORROBORATED"
    SUGGESTIVE = "SUGGESTIVE"
    UNAVAILABLE = "UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class StageReceipt:
    """One stage. `device_used` and `measured_by` come from looking, never from the request."""

    stage: str  # a value of job.JobStage
    device_asked: str  # "cpu" | "cuda:N"
    device_used: str  # "cpu" | "cuda:N" | "unknown"
    measured_by: str  # "onnx_session_providers: CPUExecutionProvider", "process_has_no_gpu_runtime", ...
    wall_ms: float
    pages: int | None = None
    device_ms: float | None = None  # time between device events; None where there is no device
    operations: int | None = None  # operations dispatched on the device
    peak_vram_bytes: int | None = None


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
    schema_version: str = "1"

    def to_json(self) -> dict[str, Any]:
        """JSON-able, with stable keys."""
        return asdict(self)
