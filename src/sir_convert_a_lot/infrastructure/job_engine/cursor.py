"""Where a listing goes on: newest first, by the moment of creation, counting jobs that share it.

Jobs that arrive while someone reads are newer than the cursor, so they neither repeat nor hide a job.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from sir_convert_a_lot.domain.errors import ValidationError

FAR_AHEAD = "9999-01-01T00:00:00+00:00"


@dataclass(frozen=True, slots=True)
class Cursor:
    """`created_ms` None: from the newest. `skip` jobs created in that millisecond were shown."""

    created_ms: int | None = None
    skip: int = 0

    @classmethod
    def read(cls, text: str | None) -> Self:
        """Raises `ValidationError` for text that no listing gave."""
        if text is None:
            return cls()
        created, _, skip = text.partition("-")
        if not (created.isascii() and created.isdigit() and skip.isascii() and skip.isdigit()) or len(text) > 40:
            raise ValidationError(
                "the cursor is not one that a listing gave",
                details={"field": "cursor", "reason": "malformed"},
            )
        return cls(int(created), int(skip))

    def write(self) -> str:
        return f"{self.created_ms or 0}-{self.skip}"

    @property
    def until(self) -> str:
        """The moment as DBOS takes it; what was created in it is included.

        Always given, also for the first page: on SQLite moments of creation are whole seconds, and only one query plan
        for every page keeps the order of jobs that share one.
        """
        if self.created_ms is None:
            return FAR_AHEAD
        return datetime.fromtimestamp(self.created_ms / 1000, UTC).isoformat(timespec="milliseconds")

    def after(self, created_ms: int) -> Self:
        """Past a job created in `created_ms`."""
        is_same = created_ms == self.created_ms
        return type(self)(created_ms, self.skip + 1 if is_same else 1)
