"""How far the text of a PDF can be trusted, told by the text itself, and what of it reached the Markdown.

Owns the engine's confidence, of the document and of each page: pages that draw something but hold no text, and
characters whose font does not say which letters they are. Owns which pages OCR could read better, and the report.
Refuses to judge the layout, which only a reader can.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from sir_convert_a_lot.domain.engine import Confidence
from sir_convert_a_lot.domain.quality import MUCH_LOST, LeftOut, QualityReport
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Block, BlockKind, Page, Word
from sir_convert_a_lot.infrastructure.engines.builtin.word_balance import Balance, WordBalance, most

POOR_UNMAPPED, FAIR_UNMAPPED = (
    0.2,
    0.05,
)  # share of characters: at 5 % about every fourth word of five letters is broken
POOR_BLIND, FAIR_BLIND = 0.5, 0.1  # share of pages without text that show something
LARGE_IMAGE = 0.5  # of the page: a page almost without words under such an image is a scan
SCAN_CHARACTERS = (
    120  # under a large image, in a document that has scans: less than a page of text, so a stamp or a title
)
FEW_CHARACTERS = 30  # a scan may carry a stamp or a page number as text; fewer tell nothing of a page's fonts


class TextQuality:
    """Counts page by page; of a page nothing but its number, its grade and the counts of its words is kept."""

    def __init__(self) -> None:
        self._grades: dict[int, Confidence] = {}
        self._blind: set[int] = set()
        self._empty: set[int] = set()
        self._garbled: set[int] = set()
        self._thin: set[int] = set()
        self._ocr: set[int] = set()
        self._counts = Counter[str]()
        self._words = WordBalance()

    def add(self, page: Page, *, is_ocr: bool = False) -> None:
        """Takes one page into account, as it was read."""
        number = page.page_index + 1
        characters = sum(len(word.text) for word in page.words)
        broken = page.unmapped_characters + _count_unassigned(page.words)
        self._counts.update(characters=characters, unmapped=page.unmapped_characters, turned=page.turned_characters)
        self._counts.update(broken=broken)
        grade = _grade_page(page, characters, broken)
        self._grades[number] = grade
        if grade is Confidence.POOR:
            (self._blind if _is_blind(page, characters) else self._garbled).add(number)
        if not characters:
            self._empty.add(number)
        if characters < SCAN_CHARACTERS and _has_large_image(page):
            self._thin.add(number)
        if is_ocr:
            self._ocr.add(number)
        self._words.read(page)

    def leave_out(self, reason: LeftOut, before: Page, after: Page) -> None:
        """Takes into account what a step took off a page on purpose."""
        self._words.leave_out(reason, before, after)
        if reason is LeftOut.FIGURE_LABELS:
            self._counts.update(labels=after.label_characters)

    @property
    def confidence(self) -> Confidence:
        """`good` at best: the engine cannot see whether it read the columns as a person would."""
        blind = len(self._blind) / max(len(self._grades), 1)
        return _grade(blind, _share(self._counts["broken"], self._counts["characters"]))

    @property
    def pages_for_ocr(self) -> tuple[int, ...]:
        """1-based: pages that show something and have no text, or text in letters that nobody knows; beside pages
        without text also scans that carry a line of it.
        """
        scans = self._blind | self._thin if self._blind else set()
        return tuple(sorted((scans | self._garbled) - self._ocr))

    def settle(self, blocks: Sequence[Block], markdown: str, pages_total: int) -> tuple[QualityReport, tuple[str, ...]]:
        """The report, and what a reader of the Markdown should know."""
        balance = self._words.settle(markdown)
        kinds = Counter(block.kind for block in blocks)
        report = QualityReport(
            pages_total=pages_total,
            confidence=self.confidence.value,
            poor_pages=self._graded(Confidence.POOR),
            fair_pages=self._graded(Confidence.FAIR),
            empty_pages=tuple(sorted(self._empty)),
            garbled_pages=tuple(sorted(self._garbled)),
            ocr_pages=tuple(sorted(self._ocr)),
            headings=kinds[BlockKind.HEADING],
            tables=kinds[BlockKind.TABLE],
            words_read=balance.read,
            words_left_out={reason.value: count for reason, count in balance.left_out.items()},
            words_lost=balance.lost,
            lost_share=round(balance.lost / balance.read, 4) if balance.read else None,
        )
        return report, self._warnings(balance)

    def _graded(self, grade: Confidence) -> tuple[int, ...]:
        return tuple(sorted(number for number, given in self._grades.items() if given is grade))

    def _warnings(self, balance: Balance) -> tuple[str, ...]:
        found = []
        if unmapped := self._counts["unmapped"]:
            found.append(f"{unmapped} characters have no Unicode in the PDF and are written as U+FFFD")
        if turned := self._counts["turned"]:
            found.append(f"{turned} characters are drawn at an angle to their page's text and were left out")
        if labels := self._counts["labels"]:
            found.append(f"{labels} characters are labels inside figures and were left out")
        if balance.lost > MUCH_LOST * balance.read:
            found.append(
                f"{balance.lost} of {balance.read} words of the text layer are not in the Markdown, beside those left "
                f"out on purpose, among them {most(balance.examples)}"
            )
        return tuple(found)


def _grade_page(page: Page, characters: int, broken: int) -> Confidence:
    garbled = _share(broken, characters) if characters >= FEW_CHARACTERS else 0.0
    return _grade(float(_is_blind(page, characters)), garbled)


def _grade(blind: float, broken: float) -> Confidence:
    if blind >= POOR_BLIND or broken >= POOR_UNMAPPED:
        return Confidence.POOR
    if blind >= FAIR_BLIND or broken >= FAIR_UNMAPPED:
        return Confidence.FAIR
    return Confidence.GOOD


def _share(part: int, whole: int) -> float:
    return part / max(whole, 1)


def _count_unassigned(words: Iterable[Word]) -> int:
    """Characters that Unicode gives to nobody: what fonts without a meaning are often mapped to."""
    return sum(
        unicodedata.category(character) == "Cn"
        for word in words
        if not word.text.isascii()
        for character in word.text
        if character > "\u0370"
    )


def _is_blind(page: Page, characters: int) -> bool:
    if characters == 0:
        return bool(page.image_boxes or page.rulings)
    return characters < FEW_CHARACTERS and _has_large_image(page)


def _has_large_image(page: Page) -> bool:
    largest = max((box.width * box.height for box in page.image_boxes), default=0.0)
    return largest > LARGE_IMAGE * page.width_pt * page.height_pt
