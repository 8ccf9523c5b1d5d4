"""Tables are found by their rules, cell by cell, and nothing else is taken for one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import lxml.html
import pytest
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph, SimpleDocTemplate
from reportlab.platypus import Table as PlatypusTable

from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Box, Cell, Font, Page, Ruling, Table, Word
from sir_convert_a_lot.infrastructure.engines.builtin.parsing import PdfFile, parse_page
from sir_convert_a_lot.infrastructure.engines.builtin.tables import find_tables, render_table

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


# --- without rules

ACCOUNTS = [
    ("Nature of income", "2024", "2023"),
    ("Sales of bicycles", "1,204", "998"),
    ("Repairs", "310", "(12)"),
    ("Rent", "-", "45"),
    ("Interest paid by the bank", "7", "8"),
    ("Total", "1,521", "1,039"),
]


def write_right(text: str, x1: float, y: float) -> list[Word]:
    return write(text, x1 - WIDTH_OF_LETTER * len(text), y)


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


# --- real PDFs


def read_tables(pdf: Path) -> tuple[Table, ...]:
    with PdfFile(pdf, max_pages=1) as document:
        page = document.load_page(0)
        try:
            return find_tables(parse_page(page, 0))
        finally:
            page.close()


GRID = [("GRID", (0, 0), (-1, -1), 0.5, colors.black)]
BOOKTABS = [
    ("LINEABOVE", (0, 0), (-1, 0), 1, colors.black),
    ("LINEBELOW", (0, 0), (-1, 0), 0.5, colors.black),
    ("LINEBELOW", (0, -1), (-1, -1), 1, colors.black),
]


@pytest.mark.parametrize("style", [GRID, BOOKTABS], ids=["grid", "booktabs"])
def test_a_table_in_a_pdf_is_read_cell_by_cell(tmp_path: Path, style: list[tuple[object, ...]]) -> None:
    rows = [
        ["Site", "Evenings", "Mean count"],
        ["North tower", "12", "8.3"],
        ["School roof", "9", "11.0"],
        ["Mill", "14", "2.6"],
    ]
    body = getSampleStyleSheet()["BodyText"]
    story = [Paragraph(LONG, body), PlatypusTable(rows, colWidths=[120, 90, 90], style=style), Paragraph(LONG, body)]
    SimpleDocTemplate(str(tmp_path / "table.pdf"), pagesize=A4).build(story)

    (table,) = read_tables(tmp_path / "table.pdf")

    assert texts(table) == rows


def test_spans_in_a_pdf_are_read(tmp_path: Path) -> None:
    rows = [["Site", "Count", ""], ["", "June", "July"], ["Mill", "2", "3"]]
    style = [*GRID, ("SPAN", (1, 0), (2, 0)), ("SPAN", (0, 0), (0, 1))]
    SimpleDocTemplate(str(tmp_path / "spans.pdf"), pagesize=A4).build([PlatypusTable(rows, style=style)])

    (table,) = read_tables(tmp_path / "spans.pdf")

    assert Cell(0, 0, "Site", row_span=2) in table.cells
    assert Cell(0, 1, "Count", column_span=2) in table.cells


def draw_two_columns(canvas: Canvas) -> None:
    canvas.line(50, 780, 545, 780)
    canvas.line(50, 60, 545, 60)
    for line in range(45):
        canvas.drawString(50, 760 - 15 * line, LONG[: 38 + line % 3])
        canvas.drawString(310, 760 - 15 * line, LONG[5 : 43 + line % 2])


def draw_bar_chart(canvas: Canvas) -> None:
    canvas.rect(100, 500, 300, 200)
    for index in range(6):
        canvas.line(100, 500 + 40 * index, 400, 500 + 40 * index)
        canvas.drawRightString(95, 497 + 40 * index, str(20 * index))
        canvas.rect(120 + 45 * index, 500, 20, 15 * index + 10, fill=1)
        canvas.drawString(120 + 45 * index, 485, f"Q{index}")


@pytest.mark.parametrize("draw", [draw_two_columns, draw_bar_chart])
def test_a_page_without_a_table_has_none(tmp_path: Path, draw: Callable[[Canvas], None]) -> None:
    canvas = Canvas(str(tmp_path / "page.pdf"), pagesize=A4)
    canvas.setFont("Helvetica", 10)
    draw(canvas)
    canvas.save()

    assert read_tables(tmp_path / "page.pdf") == ()


# --- Markdown


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
