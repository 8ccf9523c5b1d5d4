"""Rows that no rule separates: where the lines between two rules are rows of their own.

Owns the question whether a line goes on with the cell above it or begins a row. Refuses to find columns.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from sir_convert_a_lot.infrastructure.engines.builtin.lines import group_into_lines, read_line
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Line, Word
from sir_convert_a_lot.infrastructure.engines.builtin.tables.cells import is_number, middle
from sir_convert_a_lot.infrastructure.engines.builtin.tables.lattice import Lattice
from sir_convert_a_lot.infrastructure.engines.builtin.tables.rules import cluster, nearest

SAME_BASELINE_EM = 0.5
SPACE_EM = 0.25
MIN_BREAKS = 0.3  # of the pairs of lines in one column; in a cell of several lines each but the last one is full
# The lines of a band at one height: column -> its line there.
Level = dict[int, Line]


def split_rows(lattice: Lattice, words: Sequence[Word], *, is_open: bool) -> Lattice:
    """The lattice with a bound more wherever a line begins a row of its own.

    `is_open`: rules only set off the head and the end of the table, so lines are rows unless they show otherwise; if
    not, what stands between two rules is one row unless at least two columns show otherwise.
    """
    bands: defaultdict[int, list[Word]] = defaultdict(list)
    for word in words:
        place = lattice.field_at(*middle(word.box))
        if place is not None:
            bands[place[0]].append(word)
    cuts = {row: _cuts_of(lattice, row, bands[row], is_open=is_open) for row in range(lattice.rows)}
    return _with_cuts(lattice, {row: ys for row, ys in cuts.items() if ys})


def _cuts_of(lattice: Lattice, row: int, words: Sequence[Word], *, is_open: bool) -> list[float]:
    levels = _levels_of(lattice, row, words)
    if len(levels) < 2:
        return []
    widths = _text_widths(lattice, levels)
    breaks = [_breaks(above, below, widths) for above, below in pairwise(levels)]
    if not _are_rows(levels, breaks, is_open=is_open):
        return []
    return [
        (max(line.box.y1 for line in above.values()) + min(line.box.y0 for line in below.values())) / 2
        for above, below, found in zip(levels, levels[1:], breaks, strict=False)
        if not _goes_on(above, below, found)
    ]


def _are_rows(levels: Sequence[Level], breaks: Sequence[dict[int, bool]], *, is_open: bool) -> bool:
    """Whether lines ended early often enough, and in enough columns, that no cell runs over all of them."""
    apart = {column for found in breaks for column, is_break in found.items() if is_break}
    pairs = [is_break for found in breaks for is_break in found.values()]
    if sum(pairs) < MIN_BREAKS * len(pairs):
        return False
    return bool(apart or not pairs) if is_open else len(apart) >= 2 and _is_full(levels)


def _levels_of(lattice: Lattice, row: int, words: Sequence[Word]) -> list[Level]:
    """The lines of a band by height. A field joined to the next band takes no part: its text stands anywhere."""
    by_column: defaultdict[int, list[Word]] = defaultdict(list)
    for word in words:
        place = lattice.field_at(*middle(word.box))
        if place is not None:
            by_column[place[1]].append(word)
    lines = {
        column: group_into_lines(of_column)
        for column, of_column in by_column.items()
        if not {(row, column), (row - 1, column)} & lattice.missing_across
    }
    sizes = [word.font.size_pt for word in words]
    baselines = cluster((line.box.y1 for found in lines.values() for line in found), SAME_BASELINE_EM * min(sizes))
    levels: list[Level] = [{} for _baseline in baselines]
    for column, found in lines.items():
        for line in found:
            levels[nearest(baselines, line.box.y1)][column] = line
    return levels


def _text_widths(lattice: Lattice, levels: Sequence[Level]) -> dict[int, float]:
    """How wide the text of each column may be: the widest line, or the column less the padding seen at its left."""
    widths: dict[int, float] = {}
    for column in range(lattice.columns):
        lines = [level[column] for level in levels if column in level]
        if lines:
            padding = max(0.0, min(line.box.x0 for line in lines) - lattice.xs[column])
            room = lattice.xs[column + 1] - lattice.xs[column] - 2 * padding if lattice.is_measured else 0.0
            widths[column] = max(room, *(line.box.width for line in lines))
    return widths


def _breaks(above: Level, below: Level, widths: dict[int, float]) -> dict[int, bool]:
    """For each column with a line in both: whether the line ended before it had to."""
    found = {}
    for column in above.keys() & below.keys():
        upper, lower = above[column], below[column]
        first = lower.words[0]
        needed = upper.box.width + SPACE_EM * first.font.size_pt + first.box.width
        both_numbers = is_number(read_line(upper.words)) and is_number(read_line(lower.words))
        found[column] = both_numbers or needed <= widths[column]
    return found


def _is_full(levels: Sequence[Level]) -> bool:
    columns = {column for level in levels for column in level}
    return 2 * sum(map(len, levels)) >= len(levels) * len(columns)


def _goes_on(above: Level, below: Level, breaks: dict[int, bool]) -> bool:
    """The lower line goes on with the row above: fewer columns have one, and in none the line above ended early."""
    is_partial = len(below) < len(above) or len(below) == 1
    return is_partial and below.keys() <= above.keys() and not any(breaks.values())


def _with_cuts(lattice: Lattice, cuts: dict[int, list[float]]) -> Lattice:
    """A new lattice with these bounds inside its rows; what was joined stays joined."""
    if not cuts:
        return lattice
    ys = sorted([*lattice.ys, *(y for found in cuts.values() for y in found)])
    old_row = [lattice.field_at(lattice.xs[0], (top + bottom) / 2) for top, bottom in pairwise(ys)]
    rows = [place[0] if place else 0 for place in old_row]
    across = set()
    for index, (row, following) in enumerate(zip(rows, [*rows[1:], -1], strict=True)):
        for column in range(lattice.columns):
            is_inside = row == following
            joined = {(row, column), (row - 1, column)} & lattice.missing_across
            if (is_inside and joined) or (not is_inside and (row, column) in lattice.missing_across):
                across.add((index, column))
    down = {(index, column) for index, row in enumerate(rows) for at, column in lattice.missing_down if at == row}
    return replace(lattice, ys=ys, missing_across=across, missing_down=down)
