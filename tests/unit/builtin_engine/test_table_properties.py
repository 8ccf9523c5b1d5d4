"""Whatever is drawn and written on a page: tables are whole, and no text is lost or told twice."""

from __future__ import annotations

from collections import Counter

import lxml.html
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Box, Cell, Font, Page, Ruling, Table, Word
from sir_convert_a_lot.infrastructure.engines.builtin.tables import find_tables, render_table

STEPS = st.integers(0, 12)


@st.composite
def rulings(draw: st.DrawFn) -> Ruling:
    """Lines on a coarse lattice, so that they often meet."""
    at, start, length = draw(STEPS), draw(STEPS), draw(st.integers(1, 12))
    first, last = 40.0 + 40 * start, 40.0 + 40 * (start + length)
    if draw(st.booleans()):
        return Ruling(Box(first, 60.0 + 25 * at, last, 60.0 + 25 * at), is_horizontal=True)
    return Ruling(Box(40.0 + 40 * at, first, 40.0 + 40 * at, last), is_horizontal=False)


@st.composite
def words(draw: st.DrawFn) -> Word:
    text = draw(st.sampled_from(["label", "words", "12", "3.5", "(7)", "-", "Table", "a/", "re-"]))
    x, y = 44.0 + 20 * draw(st.integers(0, 24)), 62.0 + 12.5 * draw(st.integers(0, 24))
    return Word(text, Box(x, y, x + 4 * len(text), y + 8), Font("Serif", draw(st.sampled_from([8.0, 9.0, 14.0]))))


PAGES = st.builds(
    lambda found_words, found_rulings: Page(0, 600, 800, tuple(found_words), tuple(found_rulings)),
    st.lists(words(), max_size=60),
    st.lists(rulings(), max_size=40),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PAGES)
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
