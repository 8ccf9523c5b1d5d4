"""Running headers, running footers and page numbers: found, and taken off the pages.

Owns what counts as furniture: text near the top or bottom edge that comes again on other pages, that numbers the page,
or that stands apart from the body in smaller print. Refuses to touch anything between the margins.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from sir_convert_a_lot.infrastructure.engines.builtin.lines import group_into_lines, read_line
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Line, Page

EDGE = 0.2  # of the page's height, at either end: where a line that comes again may be furniture
MARGIN = 0.12  # of the page's height: where small print and page numbers may be furniture without coming again
MAX_ROWS = 3  # of furniture at one edge
NEIGHBOURS = (
    6  # pages to either side in which a header has to come again; chapters change headers, odd pages differ from even
)
APART_REPEATED = 0.4  # sizes of empty space between a header that comes again and the body; lines of a text leave 0.2
APART = 0.9  # sizes of empty space between furniture and body
SMALLER = 0.97  # of the body's size: print that differs from it
PAGE_NUMBER = re.compile(
    r"^\W*(?:page|seite|p\.?)?\s*(?:\d{1,4}|[ivxlc]{1,6})(?:\s*(?:of|/|von)\s*\d{1,4})?\W*$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class _Row:
    """A line near an edge of one page. `rank` counts from the edge, `gap_pt` is the space to the next line."""

    line: Line
    is_top: bool
    rank: int
    gap_pt: float
    is_in_margin: bool
    key: str


def drop_furniture(pages: Sequence[Page]) -> list[Page]:
    """The same pages without their furniture. Pages are those of one document, in order, perhaps not all of them."""
    body_size = _body_size(pages)
    rows = [_edge_rows(page) for page in pages]
    kept = []
    for index, page in enumerate(pages):
        near = Counter(
            row.key
            for other in range(max(0, index - NEIGHBOURS), min(len(pages), index + NEIGHBOURS + 1))
            if other != index
            for row in rows[other]
        )
        found = _furniture(rows[index], near, body_size, is_alone=len(pages) == 1)
        gone = {(word.text, word.box) for row in found for word in row.line.words}
        kept.append(replace(page, words=tuple(word for word in page.words if (word.text, word.box) not in gone)))
    return kept


def _body_size(pages: Sequence[Page]) -> float:
    """The size of most characters between the margins; of all, where nothing stands between them."""
    inside, anywhere = Counter[float](), Counter[float]()
    for page in pages:
        margin = MARGIN * page.height_pt
        for word in page.words:
            anywhere[word.font.size_pt] += len(word.text)
            if margin < word.box.y0 and word.box.y1 < page.height_pt - margin:
                inside[word.font.size_pt] += len(word.text)
    sizes = inside or anywhere
    return max(sizes, key=lambda size: (sizes[size], size)) if sizes else 0.0


def _edge_rows(page: Page) -> list[_Row]:
    reach = 1.5 * EDGE * page.height_pt  # half as far again, to see the line after the last
    top = group_into_lines(word for word in page.words if word.box.y1 < reach)
    bottom = group_into_lines(word for word in page.words if word.box.y0 > page.height_pt - reach)
    return [*_rank(top, is_top=True, page=page), *_rank(bottom[::-1], is_top=False, page=page)]


def _rank(lines: list[Line], *, is_top: bool, page: Page) -> list[_Row]:
    """The outermost lines at one edge, as far as they lie near it."""
    rows: list[_Row] = []
    for rank, line in enumerate(lines[:MAX_ROWS]):
        depth = line.box.y1 if is_top else page.height_pt - line.box.y0
        if depth > EDGE * page.height_pt:
            break
        if rank + 1 < len(lines):
            after = lines[rank + 1].box
            gap = after.y0 - line.box.y1 if is_top else line.box.y0 - after.y1
        else:
            gap = MARGIN * page.height_pt
        rows.append(_Row(line, is_top, rank, gap, depth < MARGIN * page.height_pt, _key(line, is_top=is_top)))
    return rows


def _key(line: Line, *, is_top: bool) -> str:
    """Equal for the same header on two pages: digits do not count, heights within two points are one."""
    text = re.sub(r"\d+", "#", read_line(line.words))
    return f"{'top' if is_top else 'bottom'}|{round(line.box.y1 / 4)}|{text}"


def _furniture(rows: list[_Row], near: Counter[str], body_size: float, *, is_alone: bool) -> list[_Row]:
    found: list[_Row] = []
    for is_top in (True, False):
        edge = [row for row in rows if row.is_top == is_top]
        taken = 0
        for count, row in enumerate(edge, start=1):
            if _is_furniture(row, near, body_size, is_alone=is_alone):
                taken = count
        found += edge[:taken]
    return found


def _is_furniture(row: _Row, near: Counter[str], body_size: float, *, is_alone: bool) -> bool:
    """Small print counts on a single page only: on several it would come again, and may be a note of one line."""
    if near[row.key] and row.gap_pt >= APART_REPEATED * body_size:
        return True
    size = median(word.font.size_pt for word in row.line.words)
    if row.gap_pt < APART * body_size or not row.is_in_margin:
        return False
    text = read_line(row.line.words)
    if PAGE_NUMBER.match(text) and row.rank == 0:
        return True
    return is_alone and size < SMALLER * body_size and not text.startswith("^")
