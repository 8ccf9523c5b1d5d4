"""From a lattice and the words on it to the cells of a table.

Owns which word belongs to which cell, the text of a cell of several lines, and whether the first row is a header.
Refuses to look for tables.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from sir_convert_a_lot.infrastructure.engines.builtin.hyphens import BREAK
from sir_convert_a_lot.infrastructure.engines.builtin.lines import group_into_lines, read_line
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Box, Cell, Line, Table, Word
from sir_convert_a_lot.infrastructure.engines.builtin.tables.lattice import Lattice

TYPOGRAPHIC_HYPHENS = "\u2010\u00ad"
NUMBER = re.compile(r"[-+−–±~<>≤≥≈]?\s*[$€£¥]?\(?\d[\d.,/:  ]*\)?\s*(%|[a-zA-Z]{1,2})?([±–-]\d[\d.,/]*)*")


def is_number(text: str) -> bool:
    """Whether a cell's text is a figure or a date: digits with signs, a currency, a percent sign or a short unit."""
    return NUMBER.fullmatch(text.strip()) is not None


def middle(box: Box) -> tuple[float, float]:
    return (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2


def words_within(words: Iterable[Word], box: Box) -> list[Word]:
    """The words whose middle lies in the box."""
    return [word for word in words if _holds(box, *middle(word.box))]


def _holds(box: Box, x: float, y: float) -> bool:
    return box.x0 <= x <= box.x1 and box.y0 <= y <= box.y1


def join_lines(lines: Sequence[Line]) -> str:
    """The text of a cell: its lines with a space between, none after a slash or a hyphen inside a word.

    A typographic hyphen was set by whoever broke the line: it is marked for `hyphens.Vocabulary`. An ASCII one stays,
    since cells are seldom hyphenated and often hold compounds.
    """
    text = ""
    for line in lines:
        added = read_line(line.words)
        is_inside_word = text[-2:-1].isalnum() and added[:1].islower()
        if is_inside_word and text[-1] in TYPOGRAPHIC_HYPHENS:
            text = text[:-1] + BREAK + added
        elif not text or text.endswith("/") or (is_inside_word and text[-1] == "-"):
            text += added
        else:
            text += " " + added
    return text


def read_table(lattice: Lattice, words: Sequence[Word], page_index: int) -> Table:
    """The table on this lattice; every field belongs to exactly one cell, empty ones included."""
    areas = lattice.areas()
    owner = {
        (row, column): index
        for index, area in enumerate(areas)
        for row in range(area.top, area.bottom + 1)
        for column in range(area.left, area.right + 1)
    }
    words_of: defaultdict[int, list[Word]] = defaultdict(list)
    for word in words:
        place = lattice.field_at(*middle(word.box))
        if place is not None:
            words_of[owner[place]].append(word)
    cells = tuple(
        Cell(
            area.top,
            area.left,
            join_lines(group_into_lines(words_of[index])),
            area.bottom - area.top + 1,
            area.right - area.left + 1,
        )
        for index, area in enumerate(areas)
    )
    return Table(page_index, lattice.box, lattice.rows, lattice.columns, cells, has_header=_has_header(cells))


def _has_header(cells: Sequence[Cell]) -> bool:
    """The first row names the columns unless figures stand in it, as in a table that goes on from the page before."""
    beside_labels = [cell.text for cell in cells if cell.row == 0 and cell.column > 0 and cell.text]
    years = [text for text in beside_labels if re.fullmatch(r"(1[89]|20)\d\d", text)]
    return len(years) == len(beside_labels) or sum(map(is_number, beside_labels)) * 2 < len(beside_labels)
