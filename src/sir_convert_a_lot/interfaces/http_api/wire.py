"""The answers as clients see them: one model per body, so that OpenAPI documents what is really sent.

Owns field names, timestamps and links. Built from domain records; refuses to know where those come from.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sir_convert_a_lot.domain.job import JobRecord, JobStage, JobStatus, ResultMetadata

JOBS_PATH = "/v1/convert/jobs"
EXAMPLE_ID = "job_01K2S8CXH3BWV7S6E5B7P4Y2ZR"


class JobProgress(BaseModel):
    stage: JobStage
    pages_total: int | None = Field(description="null until the PDF was opened")
    pages_processed: int
    queued_ahead: int | None = Field(default=None, description="Jobs that start earlier; only while queued")


class JobLinks(BaseModel):
    own: str = Field(alias="self")
    result: str
    cancel: str
    events: str


class Job(BaseModel):
    job_id: str
    status: JobStatus
    created_at: str = Field(description="RFC 3339, UTC, seconds")
    updated_at: str
    expires_at: str | None = Field(description="null while the job is pinned")
    source_filename: str
    attempt: int = Field(description="0 while the job never started")
    progress: JobProgress
    links: JobLinks


class JobBody(BaseModel):
    """The job record: the answer to create, status, cancel, pin and unpin."""

    api_version: Literal["v1"] = "v1"
    job: Job

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "api_version": "v1",
                    "job": {
                        "job_id": EXAMPLE_ID,
                        "status": "running",
                        "created_at": "2026-03-01T09:30:00Z",
                        "updated_at": "2026-03-01T09:30:02Z",
                        "expires_at": "2026-03-08T09:30:00Z",
                        "source_filename": "paper.pdf",
                        "attempt": 1,
                        "progress": {"stage": "page_parsing", "pages_total": 18, "pages_processed": 6},
                        "links": {
                            "self": f"{JOBS_PATH}/{EXAMPLE_ID}",
                            "result": f"{JOBS_PATH}/{EXAMPLE_ID}/result",
                            "cancel": f"{JOBS_PATH}/{EXAMPLE_ID}/cancel",
                            "events": f"{JOBS_PATH}/{EXAMPLE_ID}/events",
                        },
                    },
                }
            ]
        }
    )


class JobListBody(BaseModel):
    """One page of jobs, newest first."""

    api_version: Literal["v1"] = "v1"
    jobs: list[Job]
    next_cursor: str | None = Field(description="Give it back as `cursor` for the next page; null at the end")


class Artifact(BaseModel):
    markdown_filename: str
    size_bytes: int
    sha256: str


class ConversionMetadata(BaseModel):
    backend_used: str
    acceleration_used: Literal["cuda", "cpu"] = Field(description="Measured, never copied from the request")
    ocr_enabled: bool
    table_mode: str
    options_fingerprint: str


class Quality(BaseModel):
    """How far the text can be trusted. Null: the engine cannot tell it. Page numbers begin with 1."""

    pages_total: int
    confidence: Literal["poor", "fair", "good", "excellent"] | None = Field(description="The engine's own grade")
    poor_pages: list[int] | None
    fair_pages: list[int] | None
    empty_pages: list[int] | None = Field(description="Pages without a word")
    garbled_pages: list[int] | None = Field(description="Pages whose fonts do not say which letters they are")
    ocr_pages: list[int] | None = Field(description="Pages whose text came from OCR")
    headings: int | None
    tables: int | None
    words_read: int | None
    words_left_out: dict[str, int] | None = Field(description="On purpose, by the reason")
    words_lost: int | None = Field(description="Read, not left out on purpose, and not in the Markdown")
    lost_share: float | None = Field(description="`words_lost` of `words_read`")


class Result(BaseModel):
    artifact: Artifact
    conversion_metadata: ConversionMetadata
    warnings: list[str]
    execution: dict[str, Any] = Field(description="The receipt: which device did each stage, and how that was seen")
    quality: Quality | None = Field(default=None, description="Null in results of a version that did not tell it")
    markdown_content: str | None = Field(default=None, description="Only with inline=true")


class ResultBody(BaseModel):
    """The result of a succeeded job."""

    api_version: Literal["v1"] = "v1"
    job_id: str
    status: Literal["succeeded"] = "succeeded"
    result: Result


class Error(BaseModel):
    code: str
    message: str
    retryable: bool
    details: dict[str, Any]
    correlation_id: str


class ErrorBody(BaseModel):
    """Every refusal and every fault."""

    api_version: Literal["v1"] = "v1"
    error: Error


class GpuState(BaseModel):
    state: Literal["proven", "not_proven"]
    cause: str | None


class HealthBody(BaseModel):
    """`revision`: the commit of the checkout that the service was started from, null where it was not one."""

    api_version: Literal["v1"] = "v1"
    status: Literal["ok"] = "ok"
    version: str
    revision: str | None


class ReadyBody(BaseModel):
    """The answer while the service is ready."""

    api_version: Literal["v1"] = "v1"
    status: Literal["ready"] = "ready"
    gpu: GpuState


class UnreadyBody(BaseModel):
    """The answer while it is not: the cause in `gpu` and in `error.details`."""

    api_version: Literal["v1"] = "v1"
    status: Literal["unready"] = "unready"
    gpu: GpuState
    error: Error


def write_moment(moment: datetime) -> str:
    """RFC 3339 in UTC to the second, with `Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_job(record: JobRecord) -> Job:
    path = f"{JOBS_PATH}/{record.job_id}"
    progress = record.progress
    seen: dict[str, Any] = {
        "stage": progress.stage,
        "pages_total": progress.pages_total,
        "pages_processed": progress.pages_processed,
    }
    if record.status is JobStatus.QUEUED and progress.queued_ahead is not None:
        seen["queued_ahead"] = progress.queued_ahead
    return Job(
        job_id=record.job_id,
        status=record.status,
        created_at=write_moment(record.created_at),
        updated_at=write_moment(record.updated_at),
        expires_at=write_moment(record.expires_at) if record.expires_at else None,
        source_filename=record.spec.source.filename,
        attempt=record.attempt,
        progress=JobProgress(**seen),
        links=JobLinks.model_validate(
            {"self": path, "result": f"{path}/result", "cancel": f"{path}/cancel", "events": f"{path}/events"}
        ),
    )


def write_job_body(record: JobRecord) -> JobBody:
    return JobBody(api_version="v1", job=write_job(record))


def write_result(job_id: str, made: ResultMetadata, markdown: str | None) -> ResultBody:
    """`markdown` only where it was asked for inline."""
    inline = {} if markdown is None else {"markdown_content": markdown}
    result = Result(
        artifact=Artifact(markdown_filename=made.markdown_filename, size_bytes=made.size_bytes, sha256=made.sha256),
        conversion_metadata=ConversionMetadata(
            backend_used=made.backend_used,
            acceleration_used="cuda" if made.acceleration_used == "cuda" else "cpu",
            ocr_enabled=made.ocr_enabled,
            table_mode=made.table_mode,
            options_fingerprint=made.options_fingerprint,
        ),
        warnings=list(made.warnings),
        execution=made.execution,
        quality=None if made.quality is None else Quality.model_validate(made.quality),
        **inline,
    )
    return ResultBody(api_version="v1", job_id=job_id, status="succeeded", result=result)
