"""What a result says about how far its text can be trusted (`result.quality`).

Owns the figures and their JSON. A figure that an engine cannot tell is None, which is neither zero nor fine. Refuses to
measure: engines do.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

# Of the words read, beside those left out on purpose. Of 363 PDFs with text that were tried (papers, forms, files that
# break parsers) none came above 0.008; a page lost out of fifty comes to 0.02.
MUCH_LOST = 0.02


class LeftOut(StrEnum):
    """Why words of the text layer are not in the Markdown on purpose."""

    FURNITURE = "furniture"  # running headers, running footers, page numbers
    FIGURE_LABELS = "figure_labels"
    TURNED = "turned"  # drawn at an angle to most of the page
    HIDDEN = "hidden"  # clipped away, outside the page, or drawn invisibly under visible text


@dataclass(frozen=True, slots=True)
class QualityReport:
    """Pages are 1-based and ascending. Words are runs of letters and digits; of an OCR page, those that OCR read."""

    pages_total: int
    confidence: str | None = None  # the engine's own grade of the whole
    poor_pages: tuple[int, ...] | None = None  # that the engine trusts least
    fair_pages: tuple[int, ...] | None = None
    empty_pages: tuple[int, ...] | None = None  # without a word
    garbled_pages: tuple[int, ...] | None = None  # whose fonts do not say which letters they are
    ocr_pages: tuple[int, ...] | None = None  # whose text came from OCR
    headings: int | None = None
    tables: int | None = None
    words_read: int | None = None
    words_left_out: dict[str, int] | None = None  # by `LeftOut`
    words_lost: int | None = None  # read, not left out on purpose, and not in the Markdown
    lost_share: float | None = None  # of the words read; None also where none was read

    def to_json(self) -> dict[str, Any]:
        """As it is stored and served: tuples are lists there."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
