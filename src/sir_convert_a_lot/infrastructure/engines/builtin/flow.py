"""Paragraphs and tables that run on: joined across columns and pages, past figures and notes in between.

Owns that judgement. Refuses to look at lines: `paragraphs.py` says how each paragraph begins and ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sir_convert_a_lot.infrastructure.engines.builtin.hyphens import HYPHENS, join_lines
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Paragraph, Table

LOOK_BACK = 8  # paragraphs of other type (captions, notes, tables) that may stand between the halves
SAME_SIZE = 0.04
SAME_EDGE_PT = 4.0  # between the edges of the two halves of one table


def join_across_breaks(paragraphs: Sequence[Paragraph]) -> list[Paragraph]:
    """The same paragraphs, a second half put where its first half stands."""
    joined: list[Paragraph] = []
    for paragraph in paragraphs:
        if joined and (table := _join_tables(joined[-1], paragraph)) is not None:
            joined[-1] = replace(joined[-1], page_index=paragraph.page_index, box=paragraph.box, table=table)
            continue
        index = _first_half(joined, paragraph)
        if index is None:
            joined.append(paragraph)
        else:
            joined[index] = _join(joined[index], paragraph)
    return joined


def _join_tables(first: Paragraph, second: Paragraph) -> Table | None:
    """The table of two pages in a row as one, where the second half repeats its head or has none; else None."""
    upper, lower = first.table, second.table
    if upper is None or lower is None or second.page_index != first.page_index + 1 or upper.columns != lower.columns:
        return None
    if abs(first.box.x0 - second.box.x0) > SAME_EDGE_PT or abs(first.box.x1 - second.box.x1) > SAME_EDGE_PT:
        return None
    repeats = lower.has_header and upper.has_header and _head(upper) == _head(lower)
    if (lower.has_header and not repeats) or any(cell.row == 0 and cell.row_span > 1 for cell in lower.cells):
        return None
    start = 1 if repeats else 0
    moved = [replace(cell, row=cell.row + upper.rows - start) for cell in lower.cells if cell.row >= start]
    return replace(upper, rows=upper.rows + lower.rows - start, cells=(*upper.cells, *moved))


def _head(table: Table) -> list[tuple[int, int, str]]:
    return sorted((cell.column, cell.column_span, cell.text) for cell in table.cells if cell.row == 0)


def _first_half(before: Sequence[Paragraph], paragraph: Paragraph) -> int | None:
    if not _can_continue(paragraph):
        return None
    for index in range(len(before) - 1, max(-1, len(before) - 1 - LOOK_BACK), -1):
        candidate = before[index]
        if candidate.table is None and _is_same_type(candidate, paragraph):
            is_elsewhere = candidate.page_index != paragraph.page_index or candidate.region_box != paragraph.region_box
            return index if is_elsewhere and candidate.is_open and _fits(candidate, paragraph) else None
    return None


def _can_continue(paragraph: Paragraph) -> bool:
    return (
        paragraph.table is None
        and not paragraph.marker
        and not paragraph.font.is_monospaced
        and not paragraph.is_indented
        and paragraph.text[:1] != ""
    )


def _is_same_type(first: Paragraph, second: Paragraph) -> bool:
    return (
        abs(first.font.size_pt - second.font.size_pt) <= SAME_SIZE * first.font.size_pt
        and first.font.is_bold == second.font.is_bold
        and first.font.is_monospaced == second.font.is_monospaced
    )


def _fits(first: Paragraph, second: Paragraph) -> bool:
    if second.font.is_bold:
        return False
    if "@" in second.text.split(maxsplit=1)[0]:  # an address under a name goes on from nothing
        return False
    return second.text[0].islower() or first.text[-1:] in HYPHENS


def _join(first: Paragraph, second: Paragraph) -> Paragraph:
    return replace(
        first,
        text=join_lines(first.text, second.text),
        line_count=first.line_count + second.line_count,
        is_open=second.is_open,
        region_box=second.region_box,
    )
