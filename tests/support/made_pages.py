"""Words and rules set on a page by hand, for tests that look for tables: the coordinates are points from the top left.

Owns no test. `texts` reads a table back, row by row.
"""

from __future__ import annotations

from collections.abc import Sequence

from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Box, Font, Page, Ruling, Table, Word

SIZE_PT = 10.0
WIDTH_OF_LETTER = 5.0
LONG = "The swifts were counted from the roof of the school every evening in June and July by two people"


def write(text: str, x: float, y: float) -> list[Word]:
    """Words on the baseline `y`, one after the other from `x`."""
    words = []
    for part in text.split():
        width = WIDTH_OF_LETTER * len(part)
        words.append(Word(part, Box(x, y - 8, x + width, y + 2), Font("Serif", SIZE_PT)))
        x += width + 2.5
    return words


def write_right(text: str, x1: float, y: float) -> list[Word]:
    """One word that ends at `x1`."""
    return write(text, x1 - WIDTH_OF_LETTER * len(text), y)


def across(y: float, x0: float, x1: float) -> Ruling:
    return Ruling(Box(x0, y, x1, y), is_horizontal=True)


def down(x: float, y0: float, y1: float) -> Ruling:
    return Ruling(Box(x, y0, x, y1), is_horizontal=False)


def a_page(words: Sequence[Word], rulings: Sequence[Ruling]) -> Page:
    return Page(0, 600, 800, tuple(words), tuple(rulings))


def texts(table: Table) -> list[list[str]]:
    """The cells row by row, each once at its first field."""
    rows: list[list[str]] = [[] for _ in range(table.rows)]
    for cell in sorted(table.cells, key=lambda cell: (cell.row, cell.column)):
        rows[cell.row].append(cell.text)
    return rows
