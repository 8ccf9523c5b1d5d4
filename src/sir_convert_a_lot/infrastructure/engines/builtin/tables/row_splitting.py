"""Rows that no rule separates: where the lines between two rules are rows of their own.

Owns the question whether a line goes on with the cell above it or begins a row. Refuses to find columns.
"""

from __future__ import annotations

from bisect import bisect_right
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
SPACE_EM = 0.35  # a wide space: what fits with it would have fitted
COLUMN_SPACE_PT = 12.0  # between columns as LaTeX sets them, when no drawn bound tells their padding
# Of the pairs of lines in one column, how many must end early; in a cell of several lines each but the last is full.
# Where columns were not drawn their width is guessed, and breaks are missed.
MIN_BREAKS, MIN_BREAKS_MEASURED = 0.3, 0.5
# Columns that show it; where fewer than the sure number do, the lines must also fill most of the others.
MIN_COLUMNS, SURE_COLUMNS = 2, 3
# The lines of a band at one height: column -> its line there.
Level = dict[int, Line]


def split_rows(lattice: Lattice, words: Sequence[Word], *, is_open: bool) -> Lattice:
    """The lattice with a bound more wherever a line begins a row of its own.

    `is_open`: rules only set off the head and the end of the table, so lines are rows unless they show otherwise; if
    not, what stands between two rules is one row unless at least two columns show otherwise.
    """
    by_place: defaultdict[tuple[int, int], list[Word]] = defaultdict(list)
    for word in words:
        place = lattice.field_at(*middle(word.box))
        if place is not None:
            by_place[place].append(word)
    lines = {place: group_into_lines(found) for place, found in by_place.items()}
    widths = _text_widths(lattice, lines)
    min_breaks = MIN_BREAKS_MEASURED if lattice.is_measured else MIN_BREAKS
    cuts: dict[int, list[float]] = {}
    spanning: set[tuple[int, int]] = set()
    for row in range(lattice.rows):
        band = {column: found for (at, column), found in lines.items() if at == row}
        labels = _spanning_labels(band)
        levels = _levels_of(lattice, row, {column: found for column, found in band.items() if column not in labels})
        if ys := _cuts_of(levels, widths, is_open=is_open, min_breaks=min_breaks):
            cuts[row] = ys
            spanning |= {(row, column) for column in labels}
    return _with_cuts(lattice, cuts, spanning)


def _spanning_labels(band: dict[int, list[Line]]) -> set[int]:
    """Columns whose only line stands between the others' lines, or in the first columns lower than them: it is one cell
    beside several rows.
    """
    tall = [line.box.y1 for found in band.values() if len(found) > 1 for line in found]
    if not tall:
        return set()
    labels: set[int] = set()
    for column in sorted(band):
        baseline = band[column][0].box.y1
        slack = SAME_BASELINE_EM * band[column][0].words[0].font.size_pt
        is_leading = all(earlier in labels for earlier in range(column))
        is_between = all(abs(baseline - other) > slack for other in tall) and min(tall) < baseline < max(tall)
        if len(band[column]) == 1 and baseline > min(tall) + slack and (is_leading or is_between):
            labels.add(column)
    return labels


def _cuts_of(levels: list[Level], widths: dict[int, float], *, is_open: bool, min_breaks: float) -> list[float]:
    if len(levels) < 2 or not _are_rows(levels, widths, is_open=is_open, min_breaks=min_breaks):
        return []
    breaks = [_breaks(above, below, widths) for above, below in pairwise(levels)]
    return [
        (max(line.box.y1 for line in above.values()) + min(line.box.y0 for line in below.values())) / 2
        for above, below, found in zip(levels, levels[1:], breaks, strict=False)
        if not _goes_on(above, below, found)
    ]


def _are_rows(levels: Sequence[Level], widths: dict[int, float], *, is_open: bool, min_breaks: float) -> bool:
    """Whether lines ended early often enough, and in enough columns, that no cell runs over all of them."""
    columns = {column for level in levels for column in level}
    if _are_figures_in_full_rows(levels, columns):
        return True
    breaks = {
        column: [
            _ends_early(above, below, widths.get(column, 0.0))
            for above, below in pairwise([level[column] for level in levels if column in level])
        ]
        for column in columns
    }
    pairs = [is_break for found in breaks.values() for is_break in found]
    apart = sum(any(found) for found in breaks.values())
    if sum(pairs) < min_breaks * len(pairs):
        return False
    if is_open:
        return bool(apart or not pairs)
    return apart >= SURE_COLUMNS or (apart >= MIN_COLUMNS and _is_full(levels))


def _are_figures_in_full_rows(levels: Sequence[Level], columns: set[int]) -> bool:
    """Whether every line has a part in every column, and one column nothing but figures: no cell stacks them."""
    return (
        len(columns) >= MIN_COLUMNS
        and all(level.keys() == columns for level in levels)
        and any(all(is_number(read_line(level[column].words)) for level in levels) for column in columns)
    )


def _levels_of(lattice: Lattice, row: int, band: dict[int, list[Line]]) -> list[Level]:
    """The lines of a band by height. A field joined to the next band takes no part: its text stands anywhere."""
    lines = {
        column: found
        for column, found in band.items()
        if not {(row, column), (row - 1, column)} & lattice.missing_across
    }
    if not lines:
        return []
    size = min(word.font.size_pt for found in lines.values() for line in found for word in line.words)
    baselines = cluster((line.box.y1 for found in lines.values() for line in found), SAME_BASELINE_EM * size)
    levels: list[Level] = [{} for _baseline in baselines]
    for column, found in lines.items():
        for line in found:
            levels[nearest(baselines, line.box.y1)][column] = line
    return levels


def _text_widths(lattice: Lattice, lines: dict[tuple[int, int], list[Line]]) -> dict[int, float]:
    """How wide the text of each column may be: the widest line, or the column less the padding seen at its left."""
    by_column: defaultdict[int, list[Line]] = defaultdict(list)
    for (row, column), found in lines.items():
        if (row, column) not in lattice.missing_down:
            by_column[column] += found
    widths: dict[int, float] = {}
    for column, found in by_column.items():
        padding = max(0.0, min(line.box.x0 for line in found) - lattice.xs[column])
        spare = 2 * padding if lattice.is_measured else COLUMN_SPACE_PT
        room = lattice.xs[column + 1] - lattice.xs[column] - spare
        widths[column] = max(room, *(line.box.width for line in found))
    return widths


def _breaks(above: Level, below: Level, widths: dict[int, float]) -> dict[int, bool]:
    """For each column with a line in both: whether the line ended before it had to."""
    return {
        column: _ends_early(above[column], below[column], widths.get(column, 0.0))
        for column in above.keys() & below.keys()
    }


def _ends_early(upper: Line, lower: Line, room: float) -> bool:
    """Whether the lower line's first word had room on the upper one, or both are figures."""
    first = lower.words[0]
    needed = upper.box.width + SPACE_EM * first.font.size_pt + first.box.width
    return needed <= room or (is_number(read_line(upper.words)) and is_number(read_line(lower.words)))


def _is_full(levels: Sequence[Level]) -> bool:
    columns = {column for level in levels for column in level}
    return 2 * sum(map(len, levels)) >= len(levels) * len(columns)


def _goes_on(above: Level, below: Level, breaks: dict[int, bool]) -> bool:
    """The lower line goes on with the row above: fewer columns have one, and in none the line above ended early."""
    is_partial = len(below) < len(above) or len(below) == 1
    return is_partial and below.keys() <= above.keys() and not any(breaks.values())


def _with_cuts(lattice: Lattice, cuts: dict[int, list[float]], spanning: set[tuple[int, int]]) -> Lattice:
    """A new lattice with these bounds inside its rows; what was joined stays joined, `spanning` fields stay whole."""
    if not cuts:
        return lattice
    ys = sorted([*lattice.ys, *(y for found in cuts.values() for y in found)])
    rows = [bisect_right(lattice.ys, (top + bottom) / 2) - 1 for top, bottom in pairwise(ys)]
    across = set()
    for index, (row, following) in enumerate(zip(rows, [*rows[1:], -1], strict=True)):
        for column in range(lattice.columns):
            is_inside = row == following
            joined = {(row, column), (row - 1, column)} & lattice.missing_across or (row, column) in spanning
            if (is_inside and joined) or (not is_inside and (row, column) in lattice.missing_across):
                across.add((index, column))
    down = {(index, column) for index, row in enumerate(rows) for at, column in lattice.missing_down if at == row}
    return replace(lattice, ys=ys, missing_across=across, missing_down=down)
