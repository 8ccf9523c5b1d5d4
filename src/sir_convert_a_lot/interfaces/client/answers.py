"""What the service answers, as typed values: job, progress, submission, result, page of jobs.

Owns reading JSON of the contract. Fields it does not know are ignored; a field of the contract that is missing or of
another type is an `UnrecognisedAnswer`, never a guess. The JSON itself is kept in `raw`, for those who print it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from sir_convert_a_lot.domain.job import JobStatus
from sir_convert_a_lot.interfaces.client.refusals import UnrecognisedAnswer

T = TypeVar("T")
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ProgressView:
    """Where a job is. `stage` is text: a newer service may know more stages."""

    stage: str
    pages_processed: int = 0
    pages_total: int | None = None
    queued_ahead: int | None = None


@dataclass(frozen=True, slots=True)
class JobView:
    """One job record."""

    job_id: str
    status: JobStatus
    source_filename: str
    created_at: str
    updated_at: str
    progress: ProgressView
    raw: Json


@dataclass(frozen=True, slots=True)
class Submission:
    """The job that a submit led to. `is_replay`: the key was known, so no new job was made."""

    job: JobView
    is_replay: bool


@dataclass(frozen=True, slots=True)
class ResultView:
    """The result of a succeeded job. `execution` is the receipt, None where the service tells none."""

    job_id: str
    markdown_filename: str
    size_bytes: int
    sha256: str
    backend_used: str
    acceleration_used: str
    options_fingerprint: str
    warnings: tuple[str, ...]
    execution: Json | None
    raw: Json


@dataclass(frozen=True, slots=True)
class JobPage:
    """A page of jobs, newest first. `next_cursor` is None on the last page."""

    jobs: tuple[JobView, ...]
    next_cursor: str | None
    raw: Json


def read_job(body: Any) -> JobView:
    """A job record: `{"api_version": "v1", "job": {...}}`."""
    return _read(body, "job record", lambda: _job(body["job"]))


def read_page(body: Any) -> JobPage:
    return _read(
        body,
        "list of jobs",
        lambda: JobPage(tuple(_job(job) for job in body["jobs"]), body.get("next_cursor"), body),
    )


def read_result(body: Any) -> ResultView:
    return _read(body, "result", lambda: _result(body))


def _read(body: Any, what: str, build: Callable[[], T]) -> T:
    try:
        return build()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnrecognisedAnswer(
            f"the service's {what} does not follow the v1 contract: {type(error).__name__}: {error}",
            details={"body": str(body)[:200]},
        ) from error


def _job(job: Json) -> JobView:
    progress = job.get("progress") or {}
    return JobView(
        job_id=str(job["job_id"]),
        status=JobStatus(job["status"]),
        source_filename=str(job.get("source_filename", "")),
        created_at=str(job.get("created_at", "")),
        updated_at=str(job.get("updated_at", "")),
        progress=ProgressView(
            stage=str(progress.get("stage", "")),
            pages_processed=int(progress.get("pages_processed") or 0),
            pages_total=progress.get("pages_total"),
            queued_ahead=progress.get("queued_ahead"),
        ),
        raw=job,
    )


def _result(body: Json) -> ResultView:
    result, artifact = body["result"], body["result"]["artifact"]
    metadata = result["conversion_metadata"]
    return ResultView(
        job_id=str(body["job_id"]),
        markdown_filename=str(artifact["markdown_filename"]),
        size_bytes=int(artifact["size_bytes"]),
        sha256=str(artifact["sha256"]),
        backend_used=str(metadata["backend_used"]),
        acceleration_used=str(metadata["acceleration_used"]),
        options_fingerprint=str(metadata["options_fingerprint"]),
        warnings=tuple(str(warning) for warning in result.get("warnings") or ()),
        execution=result.get("execution"),
        raw=body,
    )
