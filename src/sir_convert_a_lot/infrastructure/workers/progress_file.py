"""How a worker tells how far it is: one small file, replaced atomically.

A file and no queue: a worker that is killed while it writes leaves the old file whole and no lock held.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

NAME = "progress.json"


@dataclass(frozen=True, slots=True)
class PagesDone:
    """`stage` is a value of `domain.job.JobStage`."""

    stage: str
    pages_processed: int
    pages_total: int


def write_progress(folder: Path, stage: str, pages_processed: int, pages_total: int) -> None:
    fresh = folder / f"{NAME}.new"
    fresh.write_text(json.dumps([stage, pages_processed, pages_total]), "ascii")
    os.replace(fresh, folder / NAME)  # noqa: PTH105 - the name says what matters


def read_progress(folder: Path) -> PagesDone | None:
    """None until the worker has told anything."""
    try:
        stage, processed, total = json.loads((folder / NAME).read_text("ascii"))
    except FileNotFoundError:
        return None
    return PagesDone(str(stage), int(processed), int(total))
