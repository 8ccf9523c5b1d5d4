"""`manifest.json` of a job: what it was asked, where it stands, how it ended, how long it is kept.

Owns the file's keys. A copy for people and backups; nothing reads it back.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sir_convert_a_lot.application.ports import JobRequest
from sir_convert_a_lot.domain.job import JobRecord, JobStage, JobStatus, Progress, ResultMetadata


def describe_manifest(record: JobRecord) -> dict[str, Any]:
    """JSON-able. While the job waits or runs, `ended_at` is null and `expires_at` may still move."""
    return {
        "api_version": "v1",
        "job_id": record.job_id,
        "job_spec": json.loads(record.spec.normalised()),
        "status": record.status.value,
        "attempt": record.attempt,
        "created_at": _write(record.created_at),
        "ended_at": _write(record.updated_at) if record.status.is_terminal else None,
        "result": None if record.result is None else asdict(record.result),
        "artifacts": {} if record.result is None else describe_artifacts(record.result),
        "error": None if record.failure is None else asdict(record.failure),
        "retention": {
            "pinned": record.expires_at is None,
            "expires_at": None if record.expires_at is None else _write(record.expires_at),
        },
    }


def describe_artifacts(result: ResultMetadata) -> dict[str, Any]:
    """The digests of the files under `artifacts/`, as the worker took them when it wrote the files."""
    return {
        "output.md": {"sha256": result.sha256, "size_bytes": result.size_bytes},
        "execution.json": {"sha256": result.execution_sha256},
    }


def describe_admitted(request: JobRequest, expires_at: datetime | None) -> dict[str, Any]:
    """The same of a job that is about to be queued, and that no database knows yet."""
    return describe_manifest(
        JobRecord(
            job_id=request.job_id,
            status=JobStatus.QUEUED,
            spec=request.spec,
            created_at=request.created_at,
            updated_at=request.created_at,
            expires_at=expires_at,
            attempt=0,
            progress=Progress(JobStage.QUEUED, request.pages_total),
        )
    )


def _write(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
