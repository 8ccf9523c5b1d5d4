"""Where a listing goes on: newest first, after the last job that was shown.

DBOS orders by the moment of creation, on SQLite in whole seconds, and filters by it. So a cursor names the moment and
the job, and rows of that moment are passed over up to that job. Jobs that arrive while someone reads come before it:
they neither repeat nor hide another.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from dbos import WorkflowStatus

from sir_convert_a_lot.domain.errors import ValidationError

# Always given, also for the first page: one query plan for every page keeps the order of jobs that share a moment.
FAR_AHEAD = "9999-01-01T00:00:00+00:00"
FORM = re.compile(r"(\d{1,15})-(\w{1,64})", re.ASCII)
LAST_MS = 253_402_300_799_999  # the end of the year 9999: later moments have no date


@dataclass(frozen=True, slots=True)
class Cursor:
    """Epoch milliseconds of creation, and id, of the last job shown; None: nothing was shown."""

    created_ms: int | None = None
    job_id: str = ""

    @classmethod
    def read(cls, text: str | None) -> Self:
        """Raises `ValidationError` for text that no listing gave."""
        if text is None:
            return cls()
        if (match := FORM.fullmatch(text)) is None or int(match[1]) > LAST_MS:
            raise ValidationError(
                "the cursor is not one that a listing gave", details={"field": "cursor", "reason": "malformed"}
            )
        return cls(int(match[1]), match[2])

    @classmethod
    def at(cls, row: WorkflowStatus) -> Self:
        return cls(row.created_at, row.workflow_id)

    def write(self) -> str:
        return f"{self.created_ms}-{self.job_id}"

    @property
    def until(self) -> str:
        """The moment as DBOS takes it; what was created in it is included."""
        if self.created_ms is None:
            return FAR_AHEAD
        return datetime.fromtimestamp(self.created_ms / 1000, UTC).isoformat(timespec="milliseconds")
