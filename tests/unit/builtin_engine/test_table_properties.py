"""Whatever is drawn and written on a page: tables are whole, and no text is lost or told twice."""

from __future__ import annotations

from collections import Counter

import lxml.html
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Box, Cell, Font, Page, Ruling, Table, Word
from sir_convert_a_lot.infrastructure.engines.builtin.tables import find_tables, render_table

STEP_X, STEP_Y = 60.0, 24.0
WORDS = ("label", "words", "12", "3.5", "(7)", "-", "Table", "a/", "re-")


@st.composite
def pages(draw: st.DrawFn) -> Page:
    """A grid of borders drawn cell by cell, some of them left out, with words in the fields and a few strays."""
    rows, columns = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    borders = [(True, row, column) for row in range(rows + 1) for column in range(columns)]
    if draw(st.booleans()):
        borders += [(False, row, column) for row in range(rows) for column in range(columns + 1)]
    left_out = draw(st.sets(st.sampled_from(borders), max_size=4))
    rulings = [_border(*border) for border in borders if border not in left_out]
    words = [
        _word(draw(st.sampled_from(WORDS)), 50 + STEP_X * column + 5 * draw(st.integers(0, 8)), 106 + STEP_Y * row)
        for row in range(rows)
        for column in range(columns)
        for _ in range(draw(st.integers(0, 2)))
    ]
    strays = draw(st.lists(st.tuples(st.sampled_from(WORDS), st.integers(0, 500), st.integers(0, 700)), max_size=3))
    words += [_word(text, float(x), float(y)) for text, x, y in strays]
    return Page(0, 600, 800, tuple(words), tuple(rulings))


def _border(is_horizontal: bool, row: int, column: int) -> Ruling:
    x, y = 45 + STEP_X * column, 100 + STEP_Y * row
    box = Box(x, y, x + STEP_X, y) if is_horizontal else Box(x, y, x, y + STEP_Y)
    return Ruling(box, is_horizontal=is_horizontal)


def _word(text: str, x: float, y: float) -> Word:
    return Word(text, Box(x, y, x + 4 * len(text), y + 8), Font("Serif", 8.0))


def test_most_of_the_pages_below_have_a_table() -> None:
    found: list[int] = []

    @settings(max_examples=50, deadline=None, database=None, derandomize=True)
    @given(pages())
    def count(page: Page) -> None:
        found.append(len(find_tables(page)))

    count()

    assert sum(map(bool, found)) > 0.4 * len(found)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pages())
def test_every_field_of_a_table_belongs_to_one_cell_and_every_word_to_at_most_one_table(page: Page) -> None:
    tables = find_tables(page)

    for table in tables:
        fields = Counter(
            (row, column)
            for cell in table.cells
            for row in range(cell.row, cell.row + cell.row_span)
            for column in range(cell.column, cell.column + cell.column_span)
        )
        assert fields == Counter((row, column) for row in range(table.rows) for column in range(table.columns))
    written = "".join(cell.text for table in tables for cell in table.cells).replace(" ", "")
    on_page = Counter("".join(word.text for word in page.words))
    assert not Counter(written) - on_page
    assert find_tables(page) == tables


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=12)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(TEXTS, min_size=2, max_size=2), min_size=1, max_size=4))
def test_html_cells_say_what_the_table_says(rows: list[list[str]]) -> None:
    cells = [Cell(at, column, text) for at, row in enumerate(rows) for column, text in enumerate(row)]
    table = Table(0, Box(0, 0, 1, 1), len(rows) + 1, 2, (*cells, Cell(len(rows), 0, "both", 1, 2)))

    read = [element.text or "" for element in lxml.html.fromstring(render_table(table)).iter("td", "th")]

    assert read == [*(text for row in rows for text in row), "both"]
