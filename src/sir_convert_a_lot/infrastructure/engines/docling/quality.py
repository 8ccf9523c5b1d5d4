"""What Docling's own result tells about its text, in our words.

Owns which figures Docling has. Refuses to guess the others: words lost and garbled fonts are None, not zero.
"""

from __future__ import annotations

from typing import Any

from sir_convert_a_lot.domain.engine import Confidence
from sir_convert_a_lot.domain.quality import QualityReport

HEADINGS = frozenset(("title", "section_header"))


def grade_of(scores: Any) -> Confidence | None:
    """Docling's grade of a document or page; None where it has none."""
    grade = scores.mean_grade.value
    return Confidence(grade) if grade in set(Confidence) else None


def tell_quality(result: Any, pages_total: int, *, is_ocr: bool) -> QualityReport:
    """The report of one pass, from a `ConversionResult`. A full-page OCR pass takes no page's text layer."""
    grades = {number: grade_of(scores) for number, scores in sorted(result.confidence.pages.items())}
    grade = grade_of(result.confidence)
    document = result.document
    used = {place.page_no for item in (*document.texts, *document.tables) for place in item.prov}
    pages = range(1, pages_total + 1)
    return QualityReport(
        pages_total=pages_total,
        confidence=None if grade is None else grade.value,
        poor_pages=tuple(number for number, given in grades.items() if given is Confidence.POOR),
        fair_pages=tuple(number for number, given in grades.items() if given is Confidence.FAIR),
        empty_pages=tuple(number for number in pages if number not in used),
        ocr_pages=tuple(pages) if is_ocr else (),
        headings=sum(str(getattr(item.label, "value", item.label)) in HEADINGS for item in document.texts),
        tables=len(document.tables),
    )
