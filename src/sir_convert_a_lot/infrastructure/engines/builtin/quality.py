"""How far the text of a PDF can be trusted, told by the text itself.

Owns the engine's confidence: pages that draw something but hold no text, and characters whose font does not say which
letters they are. Refuses to judge the layout, which only a reader can.
"""

from __future__ import annotations

from sir_convert_a_lot.domain.engine import Confidence
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Page

POOR_UNMAPPED, FAIR_UNMAPPED = (
    0.2,
    0.05,
)  # share of characters: at 5 % about every fourth word of five letters is broken
POOR_BLIND, FAIR_BLIND = 0.5, 0.1  # share of pages without text that show something
LARGE_IMAGE = 0.5  # of the page: a page almost without words under such an image is a scan
FEW_CHARACTERS = 30  # a scan may carry a stamp or a page number as text


class TextQuality:
    """Counts page by page; nothing of a page is kept."""

    def __init__(self) -> None:
        self._pages = 0
        self._blind = 0
        self._characters = 0
        self._unmapped = 0
        self._turned = 0
        self._labels = 0

    def add(self, page: Page) -> None:
        """Takes one page into account."""
        characters = sum(len(word.text) for word in page.words)
        self._pages += 1
        self._characters += characters
        self._unmapped += page.unmapped_characters
        self._turned += page.turned_characters
        self._blind += _is_blind(page, characters)

    def add_labels(self, page: Page) -> None:
        """Takes into account what a page's figures lost of their labels."""
        self._labels += page.label_characters

    @property
    def confidence(self) -> Confidence:
        """`good` at best: the engine cannot see whether it read the columns as a person would."""
        blind = self._blind / max(self._pages, 1)
        unmapped = self._unmapped / max(self._characters, 1)
        if blind >= POOR_BLIND or unmapped >= POOR_UNMAPPED:
            return Confidence.POOR
        if blind >= FAIR_BLIND or unmapped >= FAIR_UNMAPPED:
            return Confidence.FAIR
        return Confidence.GOOD

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the Markdown should know."""
        found = []
        if self._unmapped:
            found.append(f"{self._unmapped} characters have no Unicode in the PDF and are written as U+FFFD")
        if self._turned:
            found.append(f"{self._turned} characters are drawn at an angle to their page's text and were left out")
        if self._labels:
            found.append(f"{self._labels} characters are labels inside figures and were left out")
        return tuple(found)


def _is_blind(page: Page, characters: int) -> bool:
    area = page.width_pt * page.height_pt
    largest = max((box.width * box.height for box in page.image_boxes), default=0.0)
    if characters == 0:
        return bool(page.image_boxes or page.rulings)
    return characters < FEW_CHARACTERS and largest > LARGE_IMAGE * area
