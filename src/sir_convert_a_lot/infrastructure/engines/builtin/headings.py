"""What each paragraph is: heading, caption, footnote, list item, code or plain text.

Owns the judgement of headings from size, weight and numbering relative to the document's body, and their levels; no
model is involved. Refuses to move or join text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from sir_convert_a_lot.infrastructure.engines.builtin.lists import (
    is_certain,
    markdown_marker,
    number_of,
    starts_reference,
    strip_marker,
)
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Block, BlockKind, Font, Paragraph

LARGER = 1.12  # times the body's size: a heading by size alone
MAX_LINES = 4
MAX_CHARACTERS = 250
MAX_LEVEL = 6
SMALLER = 0.93  # times the body's size: notes
NUMBERED = re.compile(
    r"^(?:(\d{1,2}(?:\.\d{1,2}){0,4})\.?|([IVX]{1,5})\.|([A-Z])(?:\.(\d{1,2}))?\.?|Appendix [A-Z]\.?)\s+\S"
)
CAPTION = re.compile(
    r"^(?:Figure|Fig\.|Table|Tab\.|Algorithm|Listing|Scheme|Plate|Box)\s*\d+(?:\.\d+)*\s*[.:|–—-]", re.IGNORECASE
)
FOOTNOTE = re.compile(r"^(?:\d{1,3}|[*†‡§¶∗]{1,2})\s*\S")


class Typography:
    """The document's body type, and the sizes that are larger, which give the levels."""

    def __init__(self, paragraphs: Sequence[Paragraph]) -> None:
        weights: Counter[float] = Counter()
        bold: Counter[bool] = Counter()
        for paragraph in paragraphs:
            if paragraph.table is None:
                weights[_rounded(paragraph.font)] += len(paragraph.text)
                bold[paragraph.font.is_bold] += len(paragraph.text)
        self.body_size = max(weights, key=lambda size: (weights[size], size)) if weights else 10.0
        self.is_bold_body = bold[True] > bold[False]


def _rounded(font: Font) -> float:
    return round(font.size_pt * 2) / 2


def classify(paragraphs: Sequence[Paragraph]) -> list[Block]:
    """The blocks of a document, in the order given. Paragraphs must be those of the whole document."""
    typography = Typography(paragraphs)
    headings = [_is_heading(paragraph, typography) for paragraph in paragraphs]
    levels = _levels([paragraph for paragraph, is_heading in zip(paragraphs, headings, strict=True) if is_heading])
    blocks: list[Block] = []
    for paragraph, is_heading in zip(paragraphs, headings, strict=True):
        level = levels[_style(paragraph)] if is_heading else 0
        blocks.append(_block(paragraph, typography, level))
    return blocks


def _is_heading(paragraph: Paragraph, typography: Typography) -> bool:
    text = paragraph.text
    if paragraph.table is not None or paragraph.font.is_monospaced or is_certain(paragraph.marker):
        return False
    if paragraph.line_count > MAX_LINES or len(text) > MAX_CHARACTERS or not any(map(str.isalnum, text)):
        return False
    if CAPTION.match(text) or starts_reference(text):
        return False
    size = paragraph.font.size_pt
    if size >= LARGER * typography.body_size:
        return True
    if sum(map(str.isalpha, text)) < 2:
        return False
    if typography.is_bold_body or not paragraph.font.is_bold or size < SMALLER * typography.body_size:
        return False
    return paragraph.line_count <= 2 and not text.endswith((".", ",", ";", ":")) and len(text) <= 120


def _style(paragraph: Paragraph) -> tuple[float, bool, int]:
    """What headings of one level share: size, weight and depth of numbering (0: none)."""
    return _rounded(paragraph.font), paragraph.font.is_bold, numbering_depth(paragraph.text)


def numbering_depth(text: str) -> int:
    """1 for "3 Method" or "IV. Results", 2 for "3.1 Data", 0 without a number."""
    match = NUMBERED.match(text)
    if not match:
        return 0
    if match.group(1):
        return match.group(1).count(".") + 1
    return 2 if match.group(4) else 1


def _levels(headings: Sequence[Paragraph]) -> dict[tuple[float, bool, int], int]:
    """Levels by size, larger first, then bold before regular; deeper numbers lie deeper."""
    styles = sorted({_style(heading) for heading in headings}, key=lambda style: (-style[0], not style[1], style[2]))
    levels: dict[tuple[float, bool, int], int] = {}
    level, last = 0, None
    for style in styles:
        if last is None or style[:2] != last[:2] or (style[2] > max(last[2], 1)):
            level += 1
        levels[style] = min(level, MAX_LEVEL)
        last = style
    return levels


def _block(paragraph: Paragraph, typography: Typography, level: int) -> Block:
    kind, text, marker = BlockKind.PARAGRAPH, paragraph.text, ""
    if paragraph.table is not None:
        kind = BlockKind.TABLE
    elif level:
        kind = BlockKind.HEADING
    elif paragraph.font.is_monospaced and paragraph.line_count > 1:
        kind = BlockKind.CODE
    elif CAPTION.match(text):
        kind = BlockKind.CAPTION
    elif paragraph.marker:
        kind, marker = BlockKind.LIST_ITEM, markdown_marker(paragraph.marker)
        if is_certain(paragraph.marker) or number_of(paragraph.marker) is not None or paragraph.marker in "–—-*":
            text = strip_marker(text, paragraph.marker)
    elif paragraph.font.size_pt < SMALLER * typography.body_size and FOOTNOTE.match(text):
        kind = BlockKind.FOOTNOTE
    return Block(kind, paragraph.page_index, paragraph.box, text, level, marker, paragraph.table)
