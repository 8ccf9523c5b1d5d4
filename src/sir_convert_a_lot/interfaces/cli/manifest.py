"""The manifest of a run: one entry a document, the same bytes for the same outcome.

Owns the form of `sir_convert_a_lot_manifest.json`. It holds no time and nothing else that a second run would change.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sir_convert_a_lot.interfaces.cli.outcome import Outcome
from sir_convert_a_lot.interfaces.client.whole_files import written_whole

MANIFEST_NAME = "sir_convert_a_lot_manifest.json"


@dataclass(frozen=True, slots=True)
class Entry:
    """What a manifest says of one document. `output_path` is None unless this run wrote the Markdown."""

    source_file_path: str
    job_id: str | None
    status: str
    output_path: str | None
    error_code: str | None


def entry_of(outcome: Outcome) -> Entry:
    return Entry(
        source_file_path=str(outcome.document.pdf),
        job_id=outcome.job_id,
        status=outcome.status,
        output_path=str(outcome.document.output) if outcome.has_succeeded else None,
        error_code=outcome.error_code,
    )


def entries_of(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    """Sorted by source path."""
    return sorted((asdict(entry_of(outcome)) for outcome in outcomes), key=lambda entry: str(entry["source_file_path"]))


def write_manifest(output_dir: Path, outcomes: Iterable[Outcome]) -> Path:
    """Write it atomically and return its path. In ASCII JSON: file names need not be UTF-8."""
    path = output_dir / MANIFEST_NAME
    with written_whole(path) as part:
        part.write_text(json.dumps({"entries": entries_of(outcomes)}, indent=2) + "\n", encoding="ascii")
    return path
