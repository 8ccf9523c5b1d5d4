"""The page model the steps of the built-in engine hand to each other.

Coordinates are PDF points (1/72 inch) after the page's rotation, origin top-left, y growing downwards; a box is
(x0, y0, x1, y1) with x0 <= x1 and y0 <= y1. `page_index` is 0-based. Owns the shapes of the data; refuses to compute.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class Box(NamedTuple):
    """A rectangle in points, origin top-left."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        return self.y1 - self.y0


@dataclass(frozen=True, slots=True)
class Font:
    """How a run of text is set. `size_pt` is the size as drawn (text matrix applied)."""

    name: str
    size_pt: float
    is_bold: bool = False
    is_italic: bool = False
    is_monospaced: bool = False


@dataclass(frozen=True, slots=True)
class Word:
    """Characters without a gap between them, in one font. `is_superscript` is relative to its line.

    The box runs from 0.8 sizes above the baseline to 0.2 below it, whatever the font claims; OCR words carry the box
    they were seen in. `is_glued`: no space stands between this word and the one before it (another font began).
    """

    text: str
    box: Box
    font: Font
    is_superscript: bool = False
    is_glued: bool = False


@dataclass(frozen=True, slots=True)
class Ruling:
    """A drawn straight line, horizontal or vertical; thin rectangles count. Its box has (almost) no width or height."""

    box: Box
    is_horizontal: bool


@dataclass(frozen=True, slots=True)
class Shape:
    """Something drawn that is no ruling. `strokes` counts its curves and slanted lines: frames of tables have none."""

    box: Box
    strokes: int


@dataclass(frozen=True, slots=True)
class Page:
    """What the parser read from one page, before any layout work."""

    page_index: int
    width_pt: float
    height_pt: float
    words: tuple[Word, ...]
    rulings: tuple[Ruling, ...] = ()
    image_boxes: tuple[Box, ...] = ()
    shapes: tuple[Shape, ...] = ()
    turned_by: int = 0  # quarter turns clockwise beyond the file's own, after which its text runs to the right
    turned_characters: int = 0  # drawn at an angle to most of the page, and left out
    unmapped_characters: int = 0  # whose font does not say which letters they are
    label_characters: int = 0  # of labels in figures, left out
    turned_text: str = field(default="", repr=False)  # what `turned_characters` counts
    hidden_text: str = field(default="", repr=False)  # clipped away, off the page, or invisible under visible text


@dataclass(frozen=True, slots=True)
class Line:
    """Words on one baseline in one column, left to right."""

    words: tuple[Word, ...]
    box: Box


@dataclass(frozen=True, slots=True)
class Region:
    """A column of text, or a stretch of the page that runs across its columns, with its lines top to bottom."""

    box: Box
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One table cell; row and column are 0-based. Spans count grid cells."""

    row: int
    column: int
    text: str
    row_span: int = 1
    column_span: int = 1


@dataclass(frozen=True, slots=True)
class Table:
    """A table found on one page. Row 0 is the header when `has_header`."""

    page_index: int
    box: Box
    rows: int
    columns: int
    cells: tuple[Cell, ...]
    has_header: bool = True


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Lines that belong together, before their part in the document is known.

    `text` keeps a soft hyphen (U+00AD) where a line broke after a hyphen: `hyphens.py` decides at the end, when the
    whole document's words are known. `font` is the one most of its characters are set in.
    """

    page_index: int
    box: Box
    text: str
    font: Font
    line_count: int
    region_box: Box
    marker: str = ""  # of a list item, as drawn
    is_open: bool = False  # its last line is full and ends without a full stop: it may go on elsewhere
    is_indented: bool = False  # its first line starts right of the others
    table: Table | None = None


class BlockKind(StrEnum):
    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LIST_ITEM = "list_item"
    CODE = "code"
    CAPTION = "caption"
    FOOTNOTE = "footnote"
    TABLE = "table"


@dataclass(frozen=True, slots=True)
class Block:
    """One unit of the document in reading order, ready to be written as Markdown. `text` is plain, not yet escaped."""

    kind: BlockKind
    page_index: int
    box: Box
    text: str = ""
    level: int = 0  # headings 1..6; list nesting 0-based
    marker: str = ""  # list items: "-" or "1."
    table: Table | None = None
    lines: tuple[Line, ...] = field(default=(), repr=False)
