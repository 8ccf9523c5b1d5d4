"""Whether `ocr_mode=auto` reads a document, or some of its pages, a second time with OCR.

Owns the contract's rule. Pure: it sees what a first pass gave, and runs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sir_convert_a_lot.domain.engine import Confidence, EngineOutcome, OcrPass

# The contract's threshold: below it a document is taken for scanned, and `auto` tries OCR.
MIN_CHARACTERS_A_PAGE = 120
UNKNOWN_CHARACTER = "\ufffd"  # what engines write for a character that nobody knows


@dataclass(frozen=True, slots=True)
class Retry:
    """The one second pass. `subject` and `reason` are for the sentence that tells of it; `pages` are 1-based."""

    ocr: OcrPass
    subject: str
    reason: str
    pages: frozenset[int] = frozenset()


def plan_retry(first: EngineOutcome) -> Retry | None:
    """What to do after a pass without OCR; None where it is enough.

    Where the engine says which pages lack text, and these are not all, they alone are read again.
    """
    needy, total = first.pages_for_ocr, first.pages_total
    if needy and len(needy) < total:
        subject = f"{'page' if len(needy) == 1 else 'pages'} {name_pages(needy)} of {total}"
        reason = "the first pass found no text there, or text in letters that the PDF does not explain"
        return Retry(OcrPass.SOME_PAGES, subject, reason, frozenset(needy))
    told = _reason_for_ocr(first)
    return None if told is None else Retry(OcrPass.FULL_PAGE, "the document", told)


def count_readable(outcome: EngineOutcome) -> int:
    """Characters, without those that stand for one that nobody knows."""
    text = outcome.markdown.strip()
    return len(text) - text.count(UNKNOWN_CHARACTER)


def name_pages(numbers: Sequence[int]) -> str:
    """Ascending page numbers as ranges: `1, 3-5`."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1][1:] = [number]
        else:
            ranges.append([number])
    return ", ".join("-".join(map(str, ends)) for ends in ranges)


def _reason_for_ocr(outcome: EngineOutcome) -> str | None:
    characters = len(outcome.markdown.strip())
    if characters == 0:
        return "the first pass found no text"
    if characters < MIN_CHARACTERS_A_PAGE * outcome.pages_total:
        return f"the first pass found fewer than {MIN_CHARACTERS_A_PAGE} characters a page"
    if outcome.confidence in {Confidence.POOR, Confidence.FAIR}:
        return f"the engine graded its own confidence {outcome.confidence.value}"
    return None
