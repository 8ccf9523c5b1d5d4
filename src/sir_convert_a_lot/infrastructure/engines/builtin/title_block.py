"""The authors of a paper: names, addresses and mail set side by side, each read from top to bottom.

Owns the grid between the title and the abstract of the first page. Refuses a page without a line that says "Abstract"
and nothing more, and everything from that line on: elsewhere such a grid is a table, or the columns of a text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sir_convert_a_lot.infrastructure.engines.builtin.columns import enclose
from sir_convert_a_lot.infrastructure.engines.builtin.lines import group_into_lines, read_line
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Line, Region, Word

ABSTRACT = re.compile(r"^abstract\s*(?:$|[.:—–-])", re.IGNORECASE)
APART = 1.1  # sizes between two authors; the spaces of a line of prose are narrower
ALIGNED = 1.5  # sizes by which the middles of one author's lines may differ
WIDEST = 0.4  # of the text's width: a wider part is a column of text
MIN_ROWS = 2  # a name and something below it


def split_authors(words: Sequence[Word]) -> tuple[list[Region], list[Word]]:
    """The regions of the authors in reading order, and all other words; no regions where no grid is found."""
    lines = group_into_lines(words)
    end = next((index for index, line in enumerate(lines) if ABSTRACT.match(read_line(line.words))), 0)
    rows = [_segments(line) for line in lines[:end]]
    widest = WIDEST * enclose([line.box for line in lines]).width if lines else 0.0
    regions: list[Region] = []
    start = 0
    while start < len(rows):
        stop = start + 1
        while stop < len(rows) and _is_below(rows[stop], rows[start]):
            stop += 1
        is_narrow = all(part.box.width < widest for row in rows[start:stop] for part in row)
        if len(rows[start]) > 1 and stop - start >= MIN_ROWS and is_narrow:
            regions += [_region([row[place] for row in rows[start:stop]]) for place in range(len(rows[start]))]
        start = stop
    taken = {(word.text, word.box) for region in regions for line in region.lines for word in line.words}
    return regions, [word for word in words if (word.text, word.box) not in taken]


def _segments(line: Line) -> list[Line]:
    """The line cut where two authors stand apart."""
    size = line.box.height
    groups: list[list[Word]] = []
    for word in line.words:
        if groups and word.box.x0 - max(before.box.x1 for before in groups[-1]) < APART * size:
            groups[-1].append(word)
        else:
            groups.append([word])
    return [Line(tuple(group), enclose([word.box for word in group])) for group in groups]


def _is_below(row: Sequence[Line], first: Sequence[Line]) -> bool:
    """Whether the row has a part below (or above) the middle of each part of the first row, and no other."""
    return len(row) == len(first) and all(
        abs(_middle(part) - _middle(top)) < ALIGNED * top.box.height for part, top in zip(row, first, strict=True)
    )


def _middle(line: Line) -> float:
    return (line.box.x0 + line.box.x1) / 2


def _region(lines: Sequence[Line]) -> Region:
    return Region(enclose([line.box for line in lines]), tuple(lines))
