"""What each paragraph is: heading, caption, footnote, list item, code or plain text.

Owns the judgement of headings from size, weight and numbering relative to the document's body, and their levels; no
model is involved. Refuses to move or join text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from sir_convert_a_lot.infrastructure.engines.builtin.lists import (
    is_certain,
    markdown_marker,
    number_of,
    starts_reference,
    strip_marker,
)
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Block, BlockKind, Font, Paragraph

LARGER = 1.12  # times the body's size: a heading by size alone
MUCH_LARGER = 1.4  # times the body's size: a heading even where it is a sentence
MAX_LINES = 4
MAX_CHARACTERS = 250
SHORTEST_PROSE = 60  # characters of one line that a bold line can be the heading of
MAX_TITLE = 120  # characters of a heading that only its weight or number tells
MAX_LEVEL = 6
SMALLER = 0.93  # times the body's size: notes
NUMBERED = re.compile(
    r"^(?:(\d{1,2}(?:\.\d{1,2}){0,4})\.?|([IVX]{1,5})\.|([A-Z])\.(\d{1,2})?\.?|Appendix [A-Z]\.?)\s+\S"
)
SECTION_NAME = re.compile(
    r"^(?:\d{1,2}\.?\s+)?(?:abstract|introduction|conclusions?|references|bibliography|acknowledge?ments?|keywords|"
    r"table of contents|contents|appendix(?: [A-Z])?)$",
    re.IGNORECASE,
)
CAPTION = re.compile(
    r"^(?:Figure|Fig\.|Table|Tab\.|Algorithm|Listing|Scheme|Plate|Box)\s*\d+(?:\.\d+)*\s*[.:|–—-]", re.IGNORECASE
)
NOTE_MARK = re.compile(r"[^\W\d_]\^(?:[*†‡§¶∗a-z\d]|\{[*†‡§¶∗a-z\d,]{1,5}\})(?:[\s,]|$)")  # behind a name
# What mathematicians number and set in bold in the middle of a section.
STATEMENT = re.compile(
    r"^(?:Proof|Theorem|Lemma|Corollary|Proposition|Definition|Remark|Example|Claim|Fact|Conjecture|Exercise)\b"
)
FOOTNOTE = re.compile(r"^(?:\^\S{1,3}\s|\d{1,3}|[*†‡§¶∗]{1,2})\s*\S")


_Style = tuple[float, bool]  # size rounded to half a point, and whether bold


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


def classify(paragraphs: Sequence[Paragraph], titles: Mapping[int, int] | None = None) -> list[Block]:
    """The blocks of a document, in the order given. Paragraphs must be those of the whole document.

    `titles`: the places of paragraphs that the document's own outline tells as headings, and their depths.
    """
    titles = titles or {}
    typography = Typography(paragraphs)
    headings = [_is_heading(paragraph, typography) for paragraph in paragraphs]
    first = _first_section(paragraphs, headings)
    for index, paragraph in enumerate(paragraphs):
        if headings[index] and index < first and _names_authors(paragraph, typography):
            headings[index] = False
        elif headings[index] and not _stands_out(paragraph, typography):
            leads = any(_is_led(after) or headings[index + 1] for after in paragraphs[index + 1 : index + 2])
            headings[index] = leads and index > first
    numbers = {_number(paragraph.text) for paragraph, yes in zip(paragraphs, headings, strict=True) if yes}
    headings = [
        yes or _is_numbered_like(paragraph, numbers) for paragraph, yes in zip(paragraphs, headings, strict=True)
    ]
    headings = [yes or place in titles for place, yes in enumerate(headings)]
    levels = _Levels([paragraph for paragraph, is_heading in zip(paragraphs, headings, strict=True) if is_heading])
    blocks: list[Block] = []
    for place, (paragraph, is_heading) in enumerate(zip(paragraphs, headings, strict=True)):
        level = levels.of(paragraph, titles.get(place, 0)) if is_heading else 0
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
    if SECTION_NAME.match(text):
        return True
    size = paragraph.font.size_pt
    if size >= LARGER * typography.body_size:
        is_sentence = paragraph.line_count > 1 and text.endswith(".") and not paragraph.font.is_bold
        return size >= MUCH_LARGER * typography.body_size or not is_sentence
    if sum(map(str.isalpha, text)) < 2 or STATEMENT.match(text):
        return False
    if typography.is_bold_body or not paragraph.font.is_bold or size < SMALLER * typography.body_size:
        return False
    return paragraph.line_count <= 2 and not text.endswith((".", ",", ";", ":")) and len(text) <= MAX_TITLE


def _first_section(paragraphs: Sequence[Paragraph], headings: Sequence[bool]) -> int:
    """Where the sections of a paper begin: before its abstract or first number, bold lines are names, not headings."""
    for index, paragraph in enumerate(paragraphs):
        is_section = numbering_depth(paragraph.text) > 0 or bool(SECTION_NAME.match(paragraph.text))
        if headings[index] and is_section:
            return index if paragraph.page_index == 0 else -1
    return -1


def _stands_out(paragraph: Paragraph, typography: Typography) -> bool:
    """Whether size, number or name alone make it a heading; a bold line needs something to be the heading of."""
    return (
        paragraph.font.size_pt >= LARGER * typography.body_size
        or numbering_depth(paragraph.text) > 0
        or bool(SECTION_NAME.match(paragraph.text))
    )


def _names_authors(paragraph: Paragraph, typography: Typography) -> bool:
    """Whether marks of notes stand behind its words, and no title does that is set much larger."""
    return paragraph.font.size_pt < MUCH_LARGER * typography.body_size and bool(NOTE_MARK.search(paragraph.text))


def _is_led(paragraph: Paragraph) -> bool:
    """Whether it can follow a heading: prose, a list or a table, not the address under an author's name."""
    is_prose = paragraph.line_count > 1 or len(paragraph.text) >= SHORTEST_PROSE
    return is_prose or bool(paragraph.marker) or paragraph.table is not None


def numbering_depth(text: str) -> int:
    """1 for "3 Method" or "IV. Results", 2 for "3.1 Data", 0 without a number."""
    match = NUMBERED.match(text)
    if not match:
        return 0
    if match.group(1):
        return match.group(1).count(".") + 1
    return 2 if match.group(4) else 1


def _number(text: str) -> str:
    """The number of a heading, 3.1 of "3.1. Data"; empty without an Arabic number."""
    match = NUMBERED.match(text)
    return (match.group(1) or "") if match else ""


def _is_numbered_like(paragraph: Paragraph, numbers: set[str]) -> bool:
    """A line of its own, numbered below a heading told by its type: "3.1. Data" where there is "3. Method"."""
    number = _number(paragraph.text)
    parent = number.rpartition(".")[0]
    return (
        bool(parent)
        and parent in numbers
        and paragraph.table is None
        and paragraph.line_count <= 2
        and len(paragraph.text) <= MAX_TITLE
        and not paragraph.text.endswith((".", ",", ";", ":"))
    )


class _Levels:
    """Levels 1 to 6: the title, then numbered headings by their depth, the others by the type they share with them."""

    def __init__(self, headings: Sequence[Paragraph]) -> None:
        self._title = _title_style(headings)
        rest = [heading for heading in headings if _style(heading) != self._title]
        self._base = 0 if self._title is None else 1
        self._depths: dict[_Style, int] = {}
        for heading in rest:
            if depth := numbering_depth(heading.text):
                style = _style(heading)
                self._depths[style] = min(depth, self._depths.get(style, depth))
        self._ranks = sorted({_style(heading) for heading in rest}, key=lambda style: (-style[0], not style[1]))

    def of(self, heading: Paragraph, told: int) -> int:
        """The level of a heading; `told` is its depth in the document's outline, or 0."""
        style = _style(heading)
        if style == self._title:
            return 1
        depth = told or numbering_depth(heading.text) or self._depths.get(style) or self._ranks.index(style) + 1
        return min(self._base + depth, MAX_LEVEL)


def _style(heading: Paragraph) -> _Style:
    return _rounded(heading.font), heading.font.is_bold


def _title_style(headings: Sequence[Paragraph]) -> _Style | None:
    """The largest type, when only the first page's title (of two lines or paragraphs at most) is set in it."""
    largest = max((_style(heading) for heading in headings), default=None)
    titles = [heading for heading in headings if _style(heading) == largest]
    is_section = any(title.page_index or numbering_depth(title.text) for title in titles)
    if len(titles) == len(headings) or len(titles) > 2 or is_section:
        return None
    return largest


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
