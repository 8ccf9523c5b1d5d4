"""A job as its readers see it: states, progress, record, result.

Owns the five states and which are terminal. State drives logic and has few values; the failure code explains and has
many (`errors.py`). Refuses to store anything: state belongs to the job engine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sir_convert_a_lot.domain.job_spec import JobSpec


class JobStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def is_terminal(self) -> bool:
        return self in TERMINAL


# Every move a job can make. running -> queued: the service died and the job waits to be run again.
TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.CANCELED, JobStatus.FAILED}),
    JobStatus.RUNNING: frozenset({JobStatus.QUEUED, JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED}),
    JobStatus.SUCCEEDED: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELED: frozenset(),
}
TERMINAL = frozenset(status for status, moves in TRANSITIONS.items() if not moves)


class JobStage(StrEnum):
    """Where a job is. The names of the receipt's stages, with `queued`, `starting` and `done` around them."""

    QUEUED = "queued"
    STARTING = "starting"
    PAGE_PARSING = "page_parsing"
    LAYOUT_ANALYSIS = "layout_analysis"
    TABLE_STRUCTURE = "table_structure"
    OCR = "ocr"
    FORMULAS = "formulas"
    ASSEMBLY = "assembly"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Progress:
    """`pages_total` is None until the PDF was opened. `queued_ahead` counts jobs that start earlier, while queued."""

    stage: JobStage
    pages_total: int | None = None
    pages_processed: int = 0
    queued_ahead: int | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job failed: a code of `errors.py`, words for a person, and what the code promises in `details`."""

    code: str
    message: str
    retryable: bool
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ResultMetadata:
    """What a succeeded job produced. `execution` is the receipt as JSON (`receipt.py`)."""

    markdown_filename: str
    size_bytes: int
    sha256: str  # hex, of the Markdown's bytes
    backend_used: str
    acceleration_used: str  # "cuda" | "cpu", measured
    ocr_enabled: bool
    table_mode: str
    options_fingerprint: str  # "sha256:..."
    warnings: tuple[str, ...]
    execution: dict[str, Any]
    execution_sha256: str | None = None  # hex, of `artifacts/execution.json`; None where no such file was written
    quality: dict[str, Any] | None = None  # as JSON (`quality.py`); None in results of older versions


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One job at one moment."""

    job_id: str
    status: JobStatus
    spec: JobSpec
    created_at: datetime  # aware, UTC
    updated_at: datetime
    expires_at: datetime | None  # None: pinned
    attempt: int  # 1-based; 0 while it never started
    progress: Progress
    failure: Failure | None = None
    result: ResultMetadata | None = None

    def has_expired(self, now: datetime) -> bool:
        """Its retention is over, whether or not a sweep has come by. A job that has not ended never expires."""
        return self.status.is_terminal and self.expires_at is not None and self.expires_at <= now
