"""`manifest.json` of a job: what it was asked, how it ended, how long it is kept.

Owns the file's keys. A copy for people and backups; nothing reads it back.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sir_convert_a_lot.domain.job import JobRecord


def describe_manifest(record: JobRecord) -> dict[str, Any]:
    """JSON-able, for a terminal record."""
    return {
        "api_version": "v1",
        "job_id": record.job_id,
        "job_spec": json.loads(record.spec.normalised()),
        "status": record.status.value,
        "attempt": record.attempt,
        "created_at": _write(record.created_at),
        "ended_at": _write(record.updated_at),
        "result": None if record.result is None else asdict(record.result),
        "error": None if record.failure is None else asdict(record.failure),
        "retention": {
            "pinned": record.expires_at is None,
            "expires_at": None if record.expires_at is None else _write(record.expires_at),
        },
    }


def _write(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
