"""Tables of real PDFs, drawn by ReportLab and read by the parser, and pages that have none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from made_pages import LONG, texts
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph, SimpleDocTemplate
from reportlab.platypus import Table as PlatypusTable

from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Cell, Table
from sir_convert_a_lot.infrastructure.engines.builtin.parsing import PdfFile, parse_page
from sir_convert_a_lot.infrastructure.engines.builtin.tables import find_tables


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
