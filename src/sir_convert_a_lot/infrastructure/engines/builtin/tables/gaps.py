"""Columns that no rule separates: where the gaps in the lines of a table lie above each other.

Owns the gaps between words that mean a column. Refuses to decide whether something is a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from sir_convert_a_lot.infrastructure.engines.builtin.lines import group_into_lines
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Box, Line, Word
from sir_convert_a_lot.infrastructure.engines.builtin.tables.lattice import Lattice

# Words further apart than this stand in two columns. A space is 0.25 to 0.33 em and seldom stretched in a table; LaTeX
# sets columns 12 pt apart, browsers at least 2 pt plus their padding.
COLUMN_GAP_EM = 0.75
WORD_GAP_EM = 0.4  # words nearer than this are one text, whatever bound lies between them
CROSSED_PT = 1.0  # how far text must stand on both sides of a bound to run over it
MIN_LINES = 2  # that have text where others have none, before it is a column
MIN_KEPT_LINES, MAX_OVER = 4, 0.2  # lines that leave a bound free, and the share that may not
RICH_LINES = 0.25  # of the lines: what fewer lines have is a wide space, not a column

Extent = tuple[float, float]  # x0, x1


def split_line(line: Line) -> list[list[Word]]:
    """The words of a line in runs without a gap between columns."""
    chunks: list[list[Word]] = [[line.words[0]]]
    for last, word in pairwise(line.words):
        size = max(last.font.size_pt, word.font.size_pt)
        if word.box.x0 - last.box.x1 > COLUMN_GAP_EM * size:
            chunks.append([])
        chunks[-1].append(word)
    return chunks


def bounds_between_columns(words: Sequence[Word]) -> list[float]:
    """Where columns meet, from the gaps in the lines that have most of them; none when lines have no gaps."""
    return bounds_between([[extent_of(chunk) for chunk in split_line(line)] for line in group_into_lines(words)])


def bounds_between(lines: Sequence[Sequence[Extent]]) -> list[float]:
    """Where columns meet, from the extents of the texts in each line."""
    counts = sorted((len(line) for line in lines), reverse=True)
    if not counts:
        return []
    most = counts[min(len(counts), max(2, round(RICH_LINES * len(counts)))) - 1]
    if most < 2:
        return []
    columns = _covered(extent for line in lines if len(line) >= most for extent in line)
    others = [extent for line in lines if len(line) < most for extent in line]
    for alone in _covered(extent for extent in others if not _columns_under(columns, extent)):
        if sum(alone[0] <= extent[0] and extent[1] <= alone[1] for extent in others) >= MIN_LINES:
            columns.append(alone)
    for extent in sorted(others, key=lambda extent: extent[1] - extent[0]):
        under = _columns_under(columns, extent)
        if len(under) == 1:  # text over several columns is a head of them
            columns[under[0]] = _union(columns[under[0]], extent)
    return [(left[1] + right[0]) / 2 for left, right in pairwise(sorted(columns))]


def _columns_under(columns: Sequence[Extent], extent: Extent) -> list[int]:
    return [index for index, column in enumerate(columns) if extent[0] < column[1] and column[0] < extent[1]]


def _union(one: Extent, other: Extent) -> Extent:
    return min(one[0], other[0]), max(one[1], other[1])


def join_crossed(lattice: Lattice, words: Sequence[Word]) -> None:
    """Text that runs over a bound between columns, in a word or from word to word, joins the fields beside it."""
    for line in group_into_lines(words):
        for box in _running_boxes(line):
            place = lattice.field_at((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)
            for column in range(lattice.columns - 1 if place else 0):
                if place and _crosses(box, lattice.xs[column + 1]):
                    lattice.missing_down.add((place[0], column))


def reopen_bounds(lattice: Lattice, words: Sequence[Word]) -> None:
    """Where only the head has rules between its columns, the many lines under it still keep to them."""
    for area in lattice.areas():
        if area.right == area.left:
            continue
        box = Box(lattice.xs[area.left], lattice.ys[area.top], lattice.xs[area.right + 1], lattice.ys[area.bottom + 1])
        lines = group_into_lines(word for word in words if _stands_in(word.box, box))
        kept = {column for column in range(area.left, area.right) if _is_kept(lines, lattice.xs[column + 1])}
        if not kept:
            continue
        for column in range(area.left, area.right):
            if column in kept or not any(runs_over(line, [lattice.xs[column + 1]]) for line in lines):
                lattice.missing_down -= {(row, column) for row in range(area.top, area.bottom + 1)}


def _is_kept(lines: Sequence[Line], x: float) -> bool:
    """Whether enough lines have text on both sides of the bound, and hardly any has text over it."""
    both_sides = [line for line in lines if line.box.x0 < x < line.box.x1]
    over = sum(runs_over(line, [x]) for line in both_sides)
    return len(both_sides) >= MIN_KEPT_LINES and over <= MAX_OVER * len(both_sides)


def _stands_in(inner: Box, box: Box) -> bool:
    x, y = (inner.x0 + inner.x1) / 2, (inner.y0 + inner.y1) / 2
    return box.x0 <= x <= box.x1 and box.y0 <= y <= box.y1


def runs_over(line: Line, bounds: Iterable[float]) -> bool:
    """Whether text of the line runs over one of the bounds."""
    boxes = _running_boxes(line)
    return any(_crosses(box, x) for x in bounds for box in boxes)


def _running_boxes(line: Line) -> list[Box]:
    """The box of each word, up to the end of the next one where only a space is between."""
    boxes = []
    for left, right in pairwise((*line.words, line.words[-1])):
        is_running = 0 <= right.box.x0 - left.box.x1 < WORD_GAP_EM * left.font.size_pt
        boxes.append(Box(left.box.x0, left.box.y0, right.box.x1 if is_running else left.box.x1, left.box.y1))
    return boxes


def _crosses(box: Box, x: float) -> bool:
    return box.x0 + CROSSED_PT < x < box.x1 - CROSSED_PT


def extent_of(chunk: Sequence[Word]) -> Extent:
    return min(word.box.x0 for word in chunk), max(word.box.x1 for word in chunk)


def _covered(extents: Iterable[Extent]) -> list[Extent]:
    spans: list[Extent] = []
    for start, end in sorted(extents):
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    return spans
