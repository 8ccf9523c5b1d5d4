"""A table as Markdown: pipes where its cells allow it, HTML where cells span."""

from __future__ import annotations

import lxml.html

from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Box, Cell, Table
from sir_convert_a_lot.infrastructure.engines.builtin.tables import render_table


def a_table(*cells: Cell, rows: int, columns: int, has_header: bool = True) -> Table:
    return Table(0, Box(0, 0, 1, 1), rows, columns, cells, has_header)


def test_a_table_without_spans_is_written_with_pipes() -> None:
    table = a_table(Cell(0, 0, "a"), Cell(0, 1, "b"), Cell(1, 0, "c"), Cell(1, 1, ""), rows=2, columns=2)

    assert render_table(table) == "| a | b |\n| --- | --- |\n| c |  |"


def test_a_table_without_a_header_has_an_empty_one() -> None:
    table = a_table(Cell(0, 0, "4"), Cell(0, 1, "2"), rows=1, columns=2, has_header=False)

    assert render_table(table).splitlines()[0] == "|  |  |"
    assert render_table(table).splitlines()[2] == "| 4 | 2 |"


def test_a_table_with_spans_is_html_that_keeps_them_and_their_text() -> None:
    table = a_table(Cell(0, 0, "a < b & c", 1, 2), Cell(1, 0, "x"), Cell(1, 1, "y"), rows=2, columns=2)

    (head, *_cells) = lxml.html.fromstring(render_table(table)).iter("th", "td")

    assert (head.text, head.get("colspan")) == ("a < b & c", "2")
    assert "\n\n" not in render_table(table)  # a blank line would end the HTML block


def test_a_cell_cannot_begin_markup() -> None:
    table = a_table(Cell(0, 0, "a|b `c` <b> [d](e) *f* 5 < 6"), Cell(0, 1, "snake_case, p*"), rows=1, columns=2)

    assert render_table(table).splitlines()[0] == r"| a\|b \`c\` \<b> \[d\](e) \*f\* 5 < 6 | snake_case, p* |"
