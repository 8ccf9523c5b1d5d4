"""The tables of a page: first those that rules mark, then columns of figures without rules.

Owns which candidates are tables. Refuses the doubtful ones: a page of text must never become a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from sir_convert_a_lot.infrastructure.engines.builtin.hyphens import BREAK, Vocabulary
from sir_convert_a_lot.infrastructure.engines.builtin.lines import group_into_lines, read_line
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Box, Page, Table, Word
from sir_convert_a_lot.infrastructure.engines.builtin.tables.borderless import find_borderless
from sir_convert_a_lot.infrastructure.engines.builtin.tables.cells import read_table, words_within
from sir_convert_a_lot.infrastructure.engines.builtin.tables.gaps import (
    bounds_between_columns,
    join_crossed,
    reopen_bounds,
)
from sir_convert_a_lot.infrastructure.engines.builtin.tables.lattice import Lattice, lattice_of_frame
from sir_convert_a_lot.infrastructure.engines.builtin.tables.row_splitting import split_rows
from sir_convert_a_lot.infrastructure.engines.builtin.tables.rules import Frame, gather_frames, join_rules
from sir_convert_a_lot.infrastructure.engines.builtin.tables.stacks import Stack, gather_stacks, lattice_of_stack

MAX_FIELDS = 5_000
MAX_LOOSE_RULES = 1_000  # beside frames; a plot has more, and the time grows with their square
MIN_FILLED = 0.3  # of the cells: the grid of a plot has text beside it, none in it
MIN_USED = 0.7  # of the rows and of the columns begin with a cell that has text
MAX_CROSSED = 0.1  # of the words: text that runs over rules is a drawing
MAX_WORDS_A_CELL = 90  # on average; what has more is columns of running text in frames
MIN_ROWS_OF_LIST = 4
MAX_LIST_ROW_EM = 8.0
MIN_RULES = 3  # where only gaps tell columns: above and below the head, and below the body
LONG_RULE = 0.8  # of the width
SAME_COLUMN_PT = 6.0  # a gap this near to a rule is the one the rule stands in
OPEN_BANDS = 2  # with no more bands than a head and a body, the body's lines are its rows


def find_tables(page: Page) -> tuple[Table, ...]:
    """The tables of the page, top to bottom, then left to right. No two share a word."""
    horizontal = join_rules(page.rulings, horizontal=True)
    vertical = join_rules(page.rulings, horizontal=False)
    frames = gather_frames(horizontal, vertical)
    tables: list[Table] = []
    for frame in sorted(frames, key=lambda frame: -_extent(frame)):
        table = _table_in_frame(frame, page)
        if table is not None and not any(_meet(table.box, other.box) for other in tables):
            tables.append(table)
    in_frames = {rule for frame in frames for rule in frame.horizontal}
    loose = [rule for rule in horizontal if rule not in in_frames]
    stacks = gather_stacks(loose[:MAX_LOOSE_RULES], page.words)
    for stack in sorted(stacks, key=lambda stack: -stack.box.width * stack.box.height):
        if not any(_meet(stack.box, other.box) for other in tables) and (table := _table_in_stack(stack, page)):
            tables.append(table)
    free = [word for word in page.words if not any(_meet(word.box, table.box) for table in tables)]
    for lattice in find_borderless(free):
        words = words_within(free, lattice.box)
        table = read_table(lattice, words, page.page_index)
        if not any(_meet(table.box, other.box) for other in tables):
            tables.append(table)
    return tuple(sorted((_mend(table, page) for table in tables), key=lambda table: (table.box.y0, table.box.x0)))


def _mend(table: Table, page: Page) -> Table:
    """The table with words that were broken inside a cell decided by the words of the page."""
    if not any(BREAK in cell.text for cell in table.cells):
        return table
    vocabulary = Vocabulary()
    for line in group_into_lines(page.words):
        vocabulary.add(read_line(line.words))
    return replace(table, cells=tuple(replace(cell, text=vocabulary.mend(cell.text)) for cell in table.cells))


def _extent(frame: Frame) -> float:
    return max(rule.length for rule in frame.horizontal) * max(rule.length for rule in frame.vertical)


def _meet(box: Box, other: Box) -> bool:
    return box.x0 < other.x1 and other.x0 < box.x1 and box.y0 < other.y1 and other.y0 < box.y1


def _table_in_frame(frame: Frame, page: Page) -> Table | None:
    lattice = lattice_of_frame(frame.horizontal, frame.vertical)
    if not 2 <= lattice.rows * lattice.columns <= MAX_FIELDS or lattice.rows < 1 or lattice.columns < 1:
        return None
    words = words_within(page.words, lattice.box)
    if _crossed(words, frame) > MAX_CROSSED * len(words):
        return None
    if lattice.is_half_open:
        long = [rule for rule in frame.horizontal if rule.length >= LONG_RULE * lattice.box.width]
        if len(long) < MIN_RULES:
            return None  # a plot: its axes have marks that stick out
        lattice = _with_columns(frame, lattice, words)
    reopen_bounds(lattice, words)
    table = read_table(split_rows(lattice, words, is_open=False).compact(), words, page.page_index)
    has_enough = table.columns > 1 or table.rows >= MIN_ROWS_OF_LIST
    return table if has_enough and _is_table(table, words) else None


def _with_columns(frame: Frame, lattice: Lattice, words: Sequence[Word]) -> Lattice:
    """Where no rule closes the table at a side, rules set off groups of columns, and gaps tell the columns."""
    inner = [x for x in bounds_between_columns(words) if min(abs(x - known) for known in lattice.xs) > SAME_COLUMN_PT]
    if not inner:
        return lattice
    refined = lattice_of_frame(frame.horizontal, frame.vertical, inner)
    join_crossed(refined, words)
    return replace(refined, is_measured=False)


def _crossed(words: Sequence[Word], frame: Frame) -> int:
    """How many words have a vertical rule through them."""
    return sum(
        any(
            word.box.x0 + 1 < rule.at < word.box.x1 - 1 and rule.start < (word.box.y0 + word.box.y1) / 2 < rule.end
            for rule in frame.vertical
        )
        for word in words
    )


def _table_in_stack(stack: Stack, page: Page) -> Table | None:
    words = words_within(page.words, stack.box)
    lattice = lattice_of_stack(stack, words)
    if lattice.columns == 1 and not _is_list(lattice, words):
        return None
    is_open = not lattice.is_measured and lattice.rows <= OPEN_BANDS
    table = read_table(split_rows(lattice, words, is_open=is_open).compact(), words, page.page_index)
    has_enough = lattice.is_measured or (len(stack.full) >= MIN_RULES and table.rows > 1)
    return table if has_enough and _is_table(table, words) else None


def _is_list(lattice: Lattice, words: Sequence[Word]) -> bool:
    """One column is a table only when rules stand close, again and again: elsewhere they set off sections of text."""
    heights = [below - above for above, below in pairwise(lattice.ys)]
    size = max((word.font.size_pt for word in words), default=0.0)
    return len(heights) >= MIN_ROWS_OF_LIST and max(heights) <= MAX_LIST_ROW_EM * size


def _is_table(table: Table, words: Sequence[Word]) -> bool:
    filled = [cell for cell in table.cells if cell.text]
    if len(table.cells) < 2 or len(filled) < max(2, MIN_FILLED * len(table.cells)):
        return False
    used_rows, used_columns = {cell.row for cell in filled}, {cell.column for cell in filled}
    if len(used_rows) < MIN_USED * table.rows or len(used_columns) < MIN_USED * table.columns:
        return False
    return len(words) <= MAX_WORDS_A_CELL * len(filled)
