"""What DBOS knows of a workflow, read as a job.

Owns the mapping of states. Pure but for asking whether a job is pinned.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from dbos import PortableWorkflowError, WorkflowStatus

from sir_convert_a_lot.application.ports import JobRequest
from sir_convert_a_lot.domain.errors import InternalError, RecoveryAttemptsExhausted, SirConvertError
from sir_convert_a_lot.domain.job import Failure, JobRecord, JobStage, JobStatus, Progress
from sir_convert_a_lot.infrastructure.job_engine.wire import Json, read_failure, read_request, read_result

STATUSES = {
    "DELAYED": JobStatus.QUEUED,
    "ENQUEUED": JobStatus.QUEUED,
    "PENDING": JobStatus.RUNNING,
    "SUCCESS": JobStatus.SUCCEEDED,
    "ERROR": JobStatus.FAILED,
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": JobStatus.FAILED,
    "CANCELLED": JobStatus.CANCELED,
}
TERMINAL_NAMES = [name for name, status in STATUSES.items() if status.is_terminal]


def names_of(status: JobStatus) -> list[str]:
    """DBOS's names for one of our states. A claimed job that still waits for a worker is PENDING too."""
    names = [name for name, meant in STATUSES.items() if meant is status]
    return [*names, "PENDING"] if status is JobStatus.QUEUED else names


@dataclass(frozen=True, slots=True)
class Now:
    """What only this process knows of a job: whether a worker has it, how far it is, how many start before it."""

    progress: Progress | None  # None: no worker has it
    updated_at: datetime | None
    queued_ahead: int


def describe_job(
    row: WorkflowStatus, now: Now, *, is_pinned: bool, unpinned_at: datetime | None, keeps: timedelta
) -> JobRecord:
    """`row` was loaded with its input and output. A job is kept for `keeps` from its end, or from its last unpin."""
    request = request_of(row)
    output: Json = row.output or {}
    status = STATUSES[row.status]
    if status is JobStatus.RUNNING and now.progress is None:
        status = JobStatus.QUEUED
    failure = _read_failure(row) if status is JobStatus.FAILED else None
    ended_at = _moment(row.completed_at) or _moment(row.updated_at) if status.is_terminal else None
    kept_from = max(filter(None, (ended_at or request.created_at, unpinned_at)))
    updated_at = max(filter(None, (request.created_at, _moment(row.updated_at), now.updated_at)))
    return JobRecord(
        job_id=row.workflow_id,
        status=status,
        spec=request.spec,
        created_at=request.created_at,
        updated_at=updated_at,
        expires_at=None if is_pinned else kept_from + keeps,
        attempt=row.recovery_attempts or 0,
        progress=_describe_progress(row, status, request.pages_total, now),
        failure=failure,
        result=read_result(output["result"]) if status is JobStatus.SUCCEEDED else None,
    )


def request_of(row: WorkflowStatus) -> JobRequest:
    """What was submitted; `row` was loaded with its input."""
    if row.input is None:
        raise ValueError(f"the row of {row.workflow_id} was loaded without its input")
    return read_request(row.input["args"][0])


def _describe_progress(row: WorkflowStatus, status: JobStatus, pages_total: int | None, now: Now) -> Progress:
    if status is JobStatus.QUEUED:
        return Progress(JobStage.QUEUED, pages_total, 0, now.queued_ahead)
    if status is JobStatus.RUNNING and now.progress is not None:
        return now.progress
    if status is JobStatus.SUCCEEDED:
        pages = (row.output or {}).get("pages_total") or pages_total
        return Progress(JobStage.DONE, pages, pages or 0)
    told = _error_payload(row).get("progress")
    return Progress(JobStage.DONE, *told) if told else Progress(JobStage.DONE, pages_total, 0)


def _read_failure(row: WorkflowStatus) -> Failure:
    if row.status == "MAX_RECOVERY_ATTEMPTS_EXCEEDED":
        return failure_of(
            RecoveryAttemptsExhausted(
                "the service died each time while this job was running, so it is not started again",
                details={"attempts": row.recovery_attempts},
            )
        )
    payload = _error_payload(row)
    if "failure" in payload:
        return read_failure(payload["failure"])
    return failure_of(InternalError("the job ended with an error that was not foreseen: see the service's log"))


def failure_of(error: SirConvertError) -> Failure:
    return Failure(error.code, error.message, error.retryable, error.details)


def _error_payload(row: WorkflowStatus) -> dict[str, Any]:
    error = row.error
    return error.data if isinstance(error, PortableWorkflowError) and isinstance(error.data, dict) else {}


def _moment(epoch_ms: int | None) -> datetime | None:
    return None if epoch_ms is None else datetime.fromtimestamp(epoch_ms / 1000, UTC)
