"""Tables are found by their rules, cell by cell, and nothing else is taken for one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from made_pages import LONG, a_page, across, down, texts, write

from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Box, Cell, Page, Ruling, Word
from sir_convert_a_lot.infrastructure.engines.builtin.tables import find_tables


def a_ruled_page(rows: Sequence[Sequence[str]], xs: Sequence[float], y: float, *, seams: bool) -> Page:
    """Rows of 20 pt with a rule above and below each; the rules are drawn whole, or cell by cell (`seams`)."""
    words: list[Word] = []
    rulings: list[Ruling] = []
    for index in range(len(rows) + 1):
        at = y + 20 * index
        rulings += [across(at, x0, x1) for x0, x1 in pairwise(xs)] if seams else [across(at, xs[0], xs[-1])]
    for index, row in enumerate(rows):
        for x, text in zip(xs, row, strict=False):
            words += write(text, x + 4, y + 20 * index + 13)
    return a_page(words, rulings)


def test_a_full_grid_gives_every_cell() -> None:
    xs, ys = [50, 150, 250, 350], [100, 120, 140]
    rulings = [across(y, 50, 350) for y in ys] + [down(x, 100, 140) for x in xs]
    words = [
        word
        for row, y in (("abc", 113), ("def", 133))
        for letter, x in zip(row, xs, strict=False)
        for word in write(letter, x + 4, y)
    ]

    (table,) = find_tables(a_page(words, rulings))

    assert texts(table) == [["a", "b", "c"], ["d", "e", "f"]]
    assert table.box == Box(50, 100, 350, 140)


def test_a_cell_of_several_lines_is_read_from_top_to_bottom() -> None:
    rulings = [across(y, 50, 250) for y in (100, 120, 160)] + [down(x, 100, 160) for x in (50, 150, 250)]
    words = write("Law", 54, 113) + write("Clauses", 154, 113)
    words += write("Food Safety", 54, 133) + write("and Standards", 54, 147) + write("123", 154, 133)

    (table,) = find_tables(a_page(words, rulings))

    assert texts(table) == [["Law", "Clauses"], ["Food Safety and Standards", "123"]]


def test_a_cell_joins_after_a_slash_and_inside_a_hyphenated_word() -> None:
    rulings = [across(y, 50, 250) for y in (100, 140, 180)] + [down(x, 100, 180) for x in (50, 150, 250)]
    words = write("Union/", 54, 113) + write("State", 54, 127) + write("x", 154, 113)
    words += write("self-", 54, 153) + write("made", 54, 167) + write("y", 154, 153)

    (table,) = find_tables(a_page(words, rulings))

    assert [row[0] for row in texts(table)] == ["Union/State", "self-made"]


def test_a_missing_border_is_a_span_in_both_directions() -> None:
    rulings = [across(100, 50, 350), across(120, 150, 350), across(140, 50, 350), across(160, 50, 350)]
    rulings += [down(50, 100, 160), down(150, 100, 160), down(250, 120, 160), down(350, 100, 160)]
    words = (
        write("Party", 54, 113) + write("Candidates", 154, 113) + write("March", 154, 133) + write("April", 254, 133)
    )
    words += write("Green", 54, 153) + write("17", 154, 153) + write("19", 254, 153)

    (table,) = find_tables(a_page(words, rulings))

    spans = {cell.text: (cell.row_span, cell.column_span) for cell in table.cells}
    assert spans["Party"] == (2, 1)
    assert spans["Candidates"] == (1, 2)
    assert {spans[text] for text in ("March", "April", "Green", "17", "19")} == {(1, 1)}


@pytest.mark.parametrize("seams", [True, False])
def test_rules_above_and_below_every_row_are_a_table(seams: bool) -> None:
    rows = [["Year", "Rate", "Basis"], ["1", ".1667", "100"], ["2", "", "200"], ["3", ".3333", "300"]]

    (table,) = find_tables(a_ruled_page(rows, [50, 120, 250, 400], 100, seams=seams))

    assert texts(table) == rows


def test_rules_around_the_head_and_below_the_body_make_a_row_of_every_line() -> None:
    rows = [("Model", "BLEU", "Cost"), ("ByteNet", "23.75", ""), ("Deep Att", "", "1.0"), ("GNMT", "24.6", "2.3")]
    words = [
        word
        for index, row in enumerate(rows)
        for x, text in zip((60, 200, 300), row, strict=True)
        for word in write(text, x, 113 + 14 * index + 6 * (index > 0))
    ]

    (table,) = find_tables(a_page(words, [across(100, 50, 380), across(120, 50, 380), across(178, 50, 380)]))

    assert texts(table) == [list(row) for row in rows]


def test_full_lines_with_a_figure_each_are_rows_between_two_rules() -> None:
    rows = [
        ("Parser", "Training", "F1"),
        ("Harper and Huang", "semi-supervised text", "91.3"),
        ("Kaiser and Smith", "semi-supervised text", "92.1"),
        ("Mc and Charniaks", "semi-supervised text", "92.7"),
    ]
    words: list[Word] = []
    x, bounds = 54.0, [50.0]
    for column in range(3):
        for index, row in enumerate(rows):
            words += write(row[column], x, 113 + 15 * index + 5 * (index > 0))
        x = max(word.box.x1 for word in words) + 8
        bounds.append(x - 4)
    rulings = [across(y, 50, bounds[-1]) for y in (100, 120, 180)] + [down(bound, 100, 180) for bound in bounds]

    (table,) = find_tables(a_page(words, rulings))

    assert texts(table) == [list(row) for row in rows]


def test_a_wrapped_label_goes_on_with_its_row() -> None:
    words = write("Layer", 60, 113) + write("Cost", 200, 113)
    words += write("Self attention with", 60, 133) + write("1.5", 200, 133) + write("restriction", 60, 147)
    words += write("Recurrent", 60, 161) + write("2.5", 200, 161)

    (table,) = find_tables(a_page(words, [across(100, 50, 300), across(120, 50, 300), across(168, 50, 300)]))

    assert texts(table) == [["Layer", "Cost"], ["Self attention with restriction", "1.5"], ["Recurrent", "2.5"]]


def test_a_shorter_rule_under_a_head_makes_it_span() -> None:
    words = write("Data", 60, 113) + write("TEDs", 205, 113) + write("simple", 160, 131) + write("all", 250, 131)
    words += write("PubTabNet", 60, 153) + write("0.965", 160, 153) + write("0.955", 250, 153)
    words += write("FinTabNet", 60, 167) + write("0.961", 160, 167) + write("0.959", 250, 167)
    rulings = [across(100, 50, 300), across(118, 150, 300), across(138, 50, 300), across(175, 50, 300)]

    (table,) = find_tables(a_page(words, rulings))

    spans = {cell.text: (cell.row_span, cell.column_span) for cell in table.cells}
    assert spans["TEDs"] == (1, 2)
    assert spans["Data"] == (2, 1)
    assert texts(table)[2:] == [["PubTabNet", "0.965", "0.955"], ["FinTabNet", "0.961", "0.959"]]


def test_lines_under_a_ruled_head_keep_to_its_columns() -> None:
    rulings = [across(y, 50, 350) for y in (100, 120, 190)] + [down(50, 100, 190), down(350, 100, 190)]
    rulings += [down(x, 100, 120) for x in (150, 250)]
    rows = [("Payee", "Date", "Amount"), *((f"Payee {n}", f"05/0{n}/2019", f"{n}20.68") for n in range(1, 5))]
    words = [
        word
        for index, row in enumerate(rows)
        for x, text in zip((54, 154, 254), row, strict=True)
        for word in write(text, x, 113 + 16 * index)
    ]

    (table,) = find_tables(a_page(words, rulings))

    assert texts(table) == [list(row) for row in rows]


def test_a_label_in_the_middle_of_its_rows_is_one_cell_beside_them() -> None:
    words = write("Data", 60, 113) + write("Kind", 160, 113) + write("Score", 250, 113)
    for label, y in (("PubTabNet", 133), ("FinTabNet", 161)):
        words += write("OTSL", 160, y) + write("0.9", 250, y) + write("HTML", 160, y + 14) + write("0.8", 250, y + 14)
        words += write(label, 60, y + 7)
    rulings = [across(y, 50, 300) for y in (100, 120, 150, 180)]

    (table,) = find_tables(a_page(words, rulings))

    assert {cell.text: cell.row_span for cell in table.cells if cell.column == 0}["PubTabNet"] == 2
    assert texts(table)[1:3] == [["PubTabNet", "OTSL", "0.9"], ["HTML", "0.8"]]


def test_text_between_two_tables_parts_them() -> None:
    upper = a_ruled_page([["Year", "Rate"], ["1", "33"]], [50, 200, 400], 100, seams=True)
    lower = a_ruled_page([["Year", "Rate"], ["1", "14"]], [50, 200, 400], 220, seams=True)
    between = [word for line in range(4) for word in write(LONG[:66], 50, 158 + 14 * line)]

    tables = find_tables(a_page([*upper.words, *between, *lower.words], [*upper.rulings, *lower.rulings]))

    assert [texts(table) for table in tables] == [[["Year", "Rate"], ["1", "33"]], [["Year", "Rate"], ["1", "14"]]]


def test_a_note_over_all_columns_is_a_row_of_the_table() -> None:
    page = a_ruled_page([["Year", "Rate"], ["1", "33"], ["", ""], ["2", "44"]], [50, 200, 400], 100, seams=True)
    note = write(LONG[:66], 54, 153)

    (table,) = find_tables(a_page([*page.words, *note], page.rulings))

    assert Cell(2, 0, LONG[:66].strip(), column_span=2) in table.cells


def test_a_caption_between_two_tables_of_one_width_parts_them() -> None:
    upper = a_ruled_page([["Year", "Rate"], ["1", "33"]], [50, 200, 400], 100, seams=True)
    lower = a_ruled_page([["Year", "Rate"], ["1", "14"]], [50, 200, 400], 170, seams=True)
    caption = write("Table 2: the same a year later", 50, 158)

    assert len(find_tables(a_page([*upper.words, *caption, *lower.words], [*upper.rulings, *lower.rulings]))) == 2


def test_the_rules_of_a_running_head_and_of_a_footnote_are_no_table() -> None:
    left = [word for line in range(30) for word in write(LONG[:44], 50, 80 + 14 * line)]
    right = [word for line in range(30) for word in write(LONG[:44], 320, 80 + 14 * line)]
    note = write("1 A note below the line.", 50, 540)

    page = a_page([*left, *right, *note], [across(60, 50, 560), across(520, 50, 560), across(530, 50, 150)])

    assert find_tables(page) == ()


def test_two_columns_of_text_without_rules_are_no_table() -> None:
    words = [word for line in range(30) for x in (50, 320) for word in write(LONG[:44], x, 80 + 14 * line)]

    assert find_tables(a_page(words, [])) == ()


def test_the_axes_of_a_plot_are_no_table() -> None:
    frame = [across(100, 100, 400), across(300, 100, 400), down(100, 100, 300), down(400, 100, 300)]
    marks = [across(y, 95, 105) for y in range(120, 300, 20)] + [down(x, 295, 305) for x in range(120, 400, 20)]
    numbers = [word for index, y in enumerate(range(120, 300, 20)) for word in write(f"0.{index}", 75, y)]
    legend = write("measured", 320, 120) + write("computed", 320, 134)

    assert find_tables(a_page([*numbers, *legend], [*frame, *marks])) == ()


def test_a_box_around_text_is_no_table() -> None:
    frame = [across(100, 50, 400), across(200, 50, 400), down(50, 100, 200), down(400, 100, 200)]
    words = [word for line in range(5) for word in write(LONG[:60], 60, 120 + 14 * line)]

    assert find_tables(a_page(words, frame)) == ()


def test_a_first_row_of_figures_is_no_header() -> None:
    continued = a_ruled_page([["Zamboanga", "4", "2"], ["Mindanao", "1", "3"]], [50, 200, 300, 400], 100, seams=True)
    named = a_ruled_page([["Region", "Men", "Women"], ["Mindanao", "1", "3"]], [50, 200, 300, 400], 100, seams=True)

    assert [table.has_header for page in (continued, named) for table in find_tables(page)] == [False, True]
