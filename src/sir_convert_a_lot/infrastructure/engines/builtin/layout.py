"""One page laid out: tables set aside, columns ordered, paragraphs built, tables put back at their place.

Owns how the steps of one page meet. Refuses to know the rest of the document beyond where its gutters are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from sir_convert_a_lot.infrastructure.engines.builtin.columns import order_regions
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import (
    Box,
    Font,
    Line,
    Page,
    Paragraph,
    Region,
    Table,
    Word,
)
from sir_convert_a_lot.infrastructure.engines.builtin.paragraphs import build_paragraphs
from sir_convert_a_lot.infrastructure.engines.builtin.title_block import split_authors

ANCHOR = "\ufdd0"  # a noncharacter of Unicode: stands for a table among the words, and in no PDF's text


@dataclass(frozen=True, slots=True)
class PageView:
    """What the steps found on one page: `regions` and `paragraphs` in reading order, tables among the paragraphs.

    `words_read` are those of the page before any were left out; a conversion does not ask for them.
    """

    page: Page
    tables: tuple[Table, ...]
    regions: tuple[Region, ...]
    paragraphs: tuple[Paragraph, ...]
    words_read: tuple[Word, ...] = ()


def lay_out(page: Page, tables: Sequence[Table], gutters: Sequence[float]) -> PageView:
    """The page with its columns and paragraphs, given its tables."""
    words = [word for word in page.words if not any(_holds(table.box, word.box) for table in tables)]
    font = Font("", median(word.font.size_pt for word in words) if words else 10.0)
    anchors = [Word(f"{ANCHOR}{index}", table.box, font) for index, table in enumerate(tables)]
    regions = _order(page, [*words, *anchors], gutters)
    paragraphs = [found for region in regions for found in _lay_out_region(region, page.page_index, tables)]
    return PageView(page, tuple(tables), tuple(regions), tuple(paragraphs))


def is_anchor(word: Word) -> bool:
    """Whether a word of a region stands for a table."""
    return word.text.startswith(ANCHOR)


def _order(page: Page, words: list[Word], gutters: Sequence[float]) -> list[Region]:
    authors, others = split_authors(words) if page.page_index == 0 else ([], words)
    if not authors:
        return order_regions(words, gutters)
    top = min(region.box.y0 for region in authors)
    above = [word for word in others if word.box.y1 <= top]
    below = [word for word in others if word.box.y1 > top]
    return [*order_regions(above, gutters), *authors, *order_regions(below, gutters)]


def _holds(outer: Box, inner: Box) -> bool:
    x, y = (inner.x0 + inner.x1) / 2, (inner.y0 + inner.y1) / 2
    return outer.x0 <= x <= outer.x1 and outer.y0 <= y <= outer.y1


def _lay_out_region(region: Region, page_index: int, tables: Sequence[Table]) -> list[Paragraph]:
    paragraphs: list[Paragraph] = []
    held: list[Line] = []
    for line in region.lines:
        anchors = [word for word in line.words if is_anchor(word)]
        if not anchors:
            held.append(line)
            continue
        paragraphs += _build(held, region, page_index)
        held = [Line(rest, line.box)] if (rest := tuple(word for word in line.words if word not in anchors)) else []
        for word in anchors:
            table = tables[int(word.text.removeprefix(ANCHOR))]
            paragraphs.append(Paragraph(page_index, table.box, "", word.font, table.rows, region.box, table=table))
    return paragraphs + _build(held, region, page_index)


def _build(lines: list[Line], region: Region, page_index: int) -> list[Paragraph]:
    return build_paragraphs(Region(region.box, tuple(lines)), page_index) if lines else []
