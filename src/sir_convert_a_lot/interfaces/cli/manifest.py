"""The manifest of a run: one entry a document, the same bytes for the same outcome.

Owns the form of `sir_convert_a_lot_manifest.json`. It holds no time and nothing else that a second run would change.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sir_convert_a_lot.domain.errors import SirConvertError
from sir_convert_a_lot.interfaces.cli.sources import Document

MANIFEST_NAME = "sir_convert_a_lot_manifest.json"
JOB_TIMEOUT = "job_timeout"  # --max-poll-seconds passed; the job itself goes on


@dataclass(frozen=True, slots=True)
class Entry:
    """What a manifest says of one document. `output_path` is None unless this run wrote the Markdown."""

    source_file_path: str
    job_id: str | None
    status: str
    output_path: str | None
    error_code: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one document; more than the manifest keeps."""

    document: Document
    status: str  # a value of job.JobStatus
    job_id: str | None = None
    error: SirConvertError | None = None
    error_code: str | None = None
    backend_used: str | None = None
    acceleration_used: str | None = None
    pages: int | None = None
    elapsed_s: float | None = None
    warnings: tuple[str, ...] = field(default=())

    @property
    def has_succeeded(self) -> bool:
        return self.status == "succeeded"

    def entry(self) -> Entry:
        return Entry(
            source_file_path=str(self.document.pdf),
            job_id=self.job_id,
            status=self.status,
            output_path=str(self.document.output) if self.has_succeeded else None,
            error_code=self.error_code,
        )


def entries_of(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    """Sorted by source path."""
    return sorted((asdict(outcome.entry()) for outcome in outcomes), key=lambda entry: str(entry["source_file_path"]))


def write_manifest(output_dir: Path, outcomes: Iterable[Outcome]) -> Path:
    """Write it atomically and return its path. In ASCII JSON: file names need not be UTF-8."""
    path = output_dir / MANIFEST_NAME
    part = path.with_name(f".{MANIFEST_NAME}.{os.getpid()}.part")
    try:
        part.write_text(json.dumps({"entries": entries_of(outcomes)}, indent=2) + "\n", encoding="ascii")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path
