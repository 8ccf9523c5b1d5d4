"""Tables with horizontal rules only: rules of one width above each other, with columns of text between them.

Owns how such rules are gathered and cut apart into tables, and how their columns are found. Refuses frames (`lattice`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from sir_convert_a_lot.infrastructure.engines.builtin.lines import group_into_lines, read_line
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Box, Line, Word
from sir_convert_a_lot.infrastructure.engines.builtin.tables.cells import middle, words_within
from sir_convert_a_lot.infrastructure.engines.builtin.tables.gaps import (
    bounds_between_columns,
    join_crossed,
    runs_over,
    split_line,
)
from sir_convert_a_lot.infrastructure.engines.builtin.tables.lattice import Lattice, is_drawn
from sir_convert_a_lot.infrastructure.engines.builtin.tables.rules import Rule, cluster

SAME_END_PT = 3.0
DOUBLE_RULE_PT = 4.0  # two rules this near are one bound, drawn twice
CAPTION = re.compile(r"(table|tab\.|figure|fig\.)\s*\d+", re.IGNORECASE)
EMPTY_BAND_PT = 14.0  # higher than an empty row is: nothing of the table stands between these rules
EMPTY_ROW_PT = 30.0  # the same where both rules have the same columns
PROSE_WORDS = 6  # words in a row without a gap, line after line: running text
PROSE_LINES = 3
MAX_PADDING_EM = 0.7  # between a rule and the text of a row


class Stack(NamedTuple):
    """Rules of the full width, top to bottom, and shorter ones between them."""

    full: tuple[Rule, ...]
    partial: tuple[Rule, ...]

    @property
    def box(self) -> Box:
        return Box(self.full[0].start, self.full[0].at, self.full[0].end, self.full[-1].at)


def gather_stacks(rules: Sequence[Rule], words: Sequence[Word]) -> list[Stack]:
    """Stacks of at least two rules that hold one table each, as far as the text between the rules tells."""
    stacks = []
    for chain in _chains(rules):
        parts: list[list[Rule]] = [[chain[0]]]
        for above, below in pairwise(chain):
            box = Box(above.start - 1, above.at, above.end + 1, below.at)
            if _is_cut(above, below, words_within(words, box)):
                parts.append([])
            parts[-1].append(below)
        stacks += [_with_partial(part, rules) for part in parts if len(part) > 1]
    return stacks


def _chains(rules: Sequence[Rule]) -> list[list[Rule]]:
    """Rules with the same ends, top to bottom, double ones once."""
    chains: list[list[Rule]] = []
    for rule in sorted(rules):
        for chain in chains:
            if abs(chain[0].start - rule.start) <= SAME_END_PT and abs(chain[0].end - rule.end) <= SAME_END_PT:
                if rule.at - chain[-1].at > DOUBLE_RULE_PT:
                    chain.append(rule)
                elif len(rule.seams) > len(chain[-1].seams):
                    chain[-1] = rule
                break
        else:
            chains.append([rule])
    return chains


def _with_partial(full: Sequence[Rule], rules: Iterable[Rule]) -> Stack:
    top, bottom, start, end = full[0].at, full[-1].at, full[0].start, full[0].end
    partial = [
        rule
        for rule in rules
        if top + DOUBLE_RULE_PT < rule.at < bottom - DOUBLE_RULE_PT
        and rule.start >= start - SAME_END_PT
        and rule.end <= end + SAME_END_PT
        and rule.length < end - start - 2 * SAME_END_PT
    ]
    return Stack(tuple(full), tuple(partial))


def _is_cut(above: Rule, below: Rule, words: Sequence[Word]) -> bool:
    """Whether one table ends at the upper rule and another thing stands between it and the lower one."""
    height = below.at - above.at
    has_columns = bool(above.seams) and _same_seams(above, below)
    if (above.seams or below.seams) and not has_columns:
        return True
    if not words:
        return height > (EMPTY_ROW_PT if has_columns else EMPTY_BAND_PT)
    lines = group_into_lines(words)
    if CAPTION.match(read_line(lines[0].words)):
        return True
    if has_columns:
        crossing = sum(runs_over(line, above.seams) for line in lines)
        return crossing * 2 > len(lines) and not _is_row(lines, above, below)
    chunks = [chunk for line in lines for chunk in split_line(line)]
    long = sum(len(chunk) >= PROSE_WORDS for chunk in chunks)
    return long >= PROSE_LINES and long * 2 > len(chunks)


def _is_row(lines: Sequence[Line], above: Rule, below: Rule) -> bool:
    """Whether the lines fill the space between the rules, as a cell over all columns does and a paragraph does not."""
    padding = MAX_PADDING_EM * lines[0].words[0].font.size_pt
    return lines[0].box.y0 - above.at <= padding and below.at - lines[-1].box.y1 <= padding


def _same_seams(above: Rule, below: Rule) -> bool:
    few, many = sorted((above.seams, below.seams), key=len)
    return all(any(abs(seam - other) <= SAME_END_PT for other in many) for seam in few) and bool(few)


def lattice_of_stack(stack: Stack, words: Sequence[Word]) -> Lattice:
    """The lattice of a table with horizontal rules only; one column when nothing tells more."""
    top, bottom = stack.full[0], stack.full[-1]
    seams = cluster((seam for rule in (*stack.full, *stack.partial) for seam in rule.seams), SAME_END_PT)
    inner = seams or bounds_between_columns(words)
    levels = cluster((rule.at for rule in (*stack.full, *stack.partial)), DOUBLE_RULE_PT)
    lattice = Lattice(
        [top.start, *(x for x in inner if top.start < x < bottom.end), top.end], levels, is_measured=bool(seams)
    )
    _join_across(lattice, stack)
    join_crossed(lattice, words)
    _join_notes(lattice, words)
    _join_heads(lattice, stack, words)
    return lattice


def _join_across(lattice: Lattice, stack: Stack) -> None:
    """Where only a shorter rule runs, the columns beside it go on below."""
    rules = (*stack.full, *stack.partial)
    for row in range(lattice.rows - 1):
        drawn = [
            is_drawn(rules, lattice.ys[row + 1], lattice.xs[column], lattice.xs[column + 1])
            for column in range(lattice.columns)
        ]
        lattice.missing_across |= {(row, column) for column, is_there in enumerate(drawn) if not is_there}


def _join_notes(lattice: Lattice, words: Sequence[Word]) -> None:
    """A text that runs from the first column over others, with nothing else in its row, takes the whole row."""
    filled = {lattice.field_at(*middle(word.box)) for word in words}
    for row in {row for row, _column in lattice.missing_down}:
        joined = {column for at, column in lattice.missing_down if at == row}
        is_one_text = joined == set(range(len(joined)))
        if is_one_text and not any((row, column) in filled for column in range(len(joined) + 1, lattice.columns)):
            lattice.missing_down |= {(row, column) for column in range(lattice.columns - 1)}


def _join_heads(lattice: Lattice, stack: Stack, words: Sequence[Word]) -> None:
    """Above a shorter rule stand heads of several columns: each takes the empty fields up to the next head.

    A rule drawn cell by cell is shorter too where a cell beside it goes on; so it tells heads at the table's top alone.
    """
    filled = {lattice.field_at(*middle(word.box)) for word in words}
    first_full = next(row for row in range(lattice.rows) if _is_at(lattice, row, stack.full[1:]))
    for rule in stack.partial:
        row = next((row for row in range(lattice.rows) if _is_at(lattice, row, [rule])), None)
        if row is None or (rule.seams and row >= first_full):
            continue
        covered = [
            column
            for column in range(lattice.columns)
            if is_drawn([rule], rule.at, lattice.xs[column], lattice.xs[column + 1])
        ]
        heads = [column for column in covered if (row, column) in filled]
        for column, following in pairwise(covered):
            if not rule.seams or (heads and (following not in heads or following <= heads[0])):
                lattice.missing_down.add((row, column))


def _is_at(lattice: Lattice, row: int, rules: Iterable[Rule]) -> bool:
    """Whether one of the rules is the row's lower bound."""
    return any(abs(lattice.ys[row + 1] - rule.at) <= DOUBLE_RULE_PT for rule in rules)
