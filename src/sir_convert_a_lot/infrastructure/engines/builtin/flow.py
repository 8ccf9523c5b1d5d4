"""Paragraphs that run on: joined across columns and pages, past figures, tables and notes in between.

Owns that judgement. Refuses to look at lines: `paragraphs.py` says how each paragraph begins and ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sir_convert_a_lot.infrastructure.engines.builtin.hyphens import HYPHENS, join_lines
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Paragraph

LOOK_BACK = 8  # paragraphs of other type (captions, notes, tables) that may stand between the halves
SAME_SIZE = 0.04


def join_across_breaks(paragraphs: Sequence[Paragraph]) -> list[Paragraph]:
    """The same paragraphs, a second half put where its first half stands."""
    joined: list[Paragraph] = []
    for paragraph in paragraphs:
        index = _first_half(joined, paragraph)
        if index is None:
            joined.append(paragraph)
        else:
            joined[index] = _join(joined[index], paragraph)
    return joined


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
