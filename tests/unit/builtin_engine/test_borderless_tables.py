"""Labels with columns of figures beside them are a table where no rule is drawn; what only looks so is none."""

from __future__ import annotations

import pytest
from made_pages import LONG, a_page, texts, write, write_right

from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Word
from sir_convert_a_lot.infrastructure.engines.builtin.tables import find_tables

ACCOUNTS = [
    ("Nature of income", "2024", "2023"),
    ("Sales of bicycles", "1,204", "998"),
    ("Repairs", "310", "(12)"),
    ("Rent", "-", "45"),
    ("Interest paid by the bank", "7", "8"),
    ("Total", "1,521", "1,039"),
]


def accounts(y: float) -> list[Word]:
    words: list[Word] = []
    for index, (label, *figures) in enumerate(ACCOUNTS):
        words += write(label, 60, y + 14 * index)
        words += [
            word for x1, text in zip((300, 400), figures, strict=True) for word in write_right(text, x1, y + 14 * index)
        ]
    return words


def test_labels_with_columns_of_figures_are_a_table_without_rules() -> None:
    prose = [word for line in range(4) for word in write(LONG, 60, 100 + 14 * line)]

    (table,) = find_tables(a_page([*prose, *accounts(190)], []))

    assert texts(table) == [list(row) for row in ACCOUNTS]
    assert table.has_header


def test_a_title_between_lines_of_figures_is_a_row_of_its_own() -> None:
    lower = [
        Word(word.text, word.box._replace(y0=word.box.y0 + 98, y1=word.box.y1 + 98), word.font)
        for word in accounts(190)
    ]

    (table,) = find_tables(a_page([*accounts(190), *write("Before the fire", 60, 274), *lower[3:]], []))

    assert ["Before the fire", "", ""] in texts(table)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param("Introduction to birds", "How they are counted", id="two columns of text"),
        pytest.param("0.25", "0.75", id="marks at two axes"),
    ],
)
def test_what_is_no_column_of_figures_beside_labels_is_no_table(first: str, second: str) -> None:
    words = [
        word
        for line in range(8)
        for x, text in ((60, first), (300, second))
        for word in write(text, x, 100 + 14 * line)
    ]

    assert find_tables(a_page(words, [])) == ()


def test_a_table_of_contents_is_no_table() -> None:
    words = [
        word
        for line in range(10)
        for word in (
            *write(f"1.{line}", 60, 100 + 14 * line),
            *write(LONG[:30], 90, 100 + 14 * line),
            *write_right(str(3 * line), 400, 100 + 14 * line),
        )
    ]

    assert find_tables(a_page(words, [])) == ()


def test_figures_that_keep_to_no_column_are_no_table() -> None:
    words: list[Word] = []
    for line in range(8):
        words += write("Sample", 60, 100 + 14 * line) + write("3.5", 200 + 17 * (line % 3), 100 + 14 * line)
        words += write("7", 300 + 23 * (line % 4), 100 + 14 * line)

    assert find_tables(a_page(words, [])) == ()
