"""The job spec: what a caller asks for, checked field by field, and its fingerprint.

Owns the wire names, the allowed values and the defaults of `job_spec`. Refuses to decide anything: whether a spec can
run here is the business of `acceleration_policy` and of admission.
"""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class BackendStrategy(StrEnum):
    AUTO = "auto"
    DOCLING = "docling"
    PYMUPDF = "pymupdf"
    BUILTIN = "builtin"


class OcrMode(StrEnum):
    AUTO = "auto"
    OFF = "off"
    FORCE = "force"


class TableMode(StrEnum):
    FAST = "fast"
    ACCURATE = "accurate"


class Normalize(StrEnum):
    NONE = "none"
    STANDARD = "standard"
    STRICT = "strict"


class AccelerationPolicy(StrEnum):
    GPU_REQUIRED = "gpu_required"
    GPU_PREFER = "gpu_prefer"
    CPU_ONLY = "cpu_only"


class Priority(StrEnum):
    NORMAL = "normal"
    HIGH = "high"


class _Part(BaseModel):
    """Unknown fields are refused by name, values are never coerced: "30" is not 30. (30.0 is: see `_read_integer`.)"""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Part):
    kind: Literal["upload"]
    filename: Annotated[str, Field(min_length=1, max_length=255)]


class Conversion(_Part):
    output_format: Literal["md"] = "md"
    backend_strategy: BackendStrategy = BackendStrategy.AUTO
    ocr_mode: OcrMode = OcrMode.AUTO
    table_mode: TableMode = TableMode.FAST
    normalize: Normalize = Normalize.STANDARD


def _read_integer(value: Any) -> Any:
    """JSON has one kind of number, and its schema counts 30.0 among the integers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Execution(_Part):
    acceleration_policy: AccelerationPolicy = AccelerationPolicy.GPU_REQUIRED
    priority: Priority = Priority.NORMAL
    document_timeout_seconds: Annotated[int, Field(ge=30, le=7200, strict=True), BeforeValidator(_read_integer)] = 1800


class Retention(_Part):
    pin: Annotated[bool, Field(strict=True)] = False


class JobSpec(_Part):
    """One job, as version 1 of the API writes it."""

    api_version: Literal["v1"]
    source: Source
    conversion: Conversion = Conversion()
    execution: Execution = Execution()
    retention: Retention = Retention()

    def normalised(self) -> str:
        """The spec with every default written out, as JSON with sorted keys: equal specs give equal text."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))


def request_fingerprint(spec: JobSpec, pdf_sha256: str) -> str:
    """What an idempotency key is bound to: the normalised spec and the SHA-256 (hex) of the PDF."""
    return "sha256:" + hashlib.sha256(f"{spec.normalised()}\n{pdf_sha256}".encode()).hexdigest()
