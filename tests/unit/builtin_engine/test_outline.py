"""A document's own outline tells its headings and their depth, where its titles stand on their pages."""

from __future__ import annotations

from pathlib import Path

from reportlab.pdfgen.canvas import Canvas

from sir_convert_a_lot.domain.engine import EngineOptions
from sir_convert_a_lot.infrastructure.engines.builtin.engine import BuiltinEngine
from sir_convert_a_lot.infrastructure.engines.builtin.outline import Entry, find_titles
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Box, Font, Paragraph

BOX = Box(50, 50, 550, 750)


def paragraph(text: str, page: int = 0, *, bold: bool = False) -> Paragraph:
    return Paragraph(page, BOX, text, Font("Serif", 10, is_bold=bold), 1, BOX)


def test_titles_are_found_on_their_pages_with_or_without_their_number() -> None:
    paragraphs = [paragraph("1. Birds"), paragraph("Prose."), paragraph("Of Méthod", 1), paragraph("Birds", 2)]
    entries = [Entry("Birds", 0, 1), Entry("1.1 Of Me\u0301thod", 1, 2)]
    assert find_titles(entries, paragraphs) == {0: 1, 2: 2}


def test_of_two_equal_lines_the_heading_is_the_one_set_as_one() -> None:
    paragraphs = [paragraph("Birds"), paragraph("Birds", bold=True), paragraph("Nests")]
    assert find_titles([Entry("Birds", 0, 1), Entry("Nests", 0, 1)], paragraphs) == {1: 1, 2: 1}


def test_an_outline_of_other_things_is_not_believed() -> None:
    paragraphs = [paragraph("Birds"), paragraph("Nests")]
    entries = [Entry("Birds", 0, 1), Entry("Nests", 0, 1), *(Entry(f"Next page {n}", n, 1) for n in range(3))]
    assert find_titles(entries, paragraphs) == {}


def test_lines_that_look_like_text_are_headings_where_the_outline_names_them(tmp_path: Path) -> None:
    path = tmp_path / "outlined.pdf"
    canvas = Canvas(str(path), pagesize=(500, 700))
    for number, (title, depth) in enumerate((("Of birds", 0), ("Of small birds", 1), ("Of nests", 0))):
        canvas.setFont("Times-Roman", 10)
        canvas.bookmarkPage(str(number))
        canvas.addOutlineEntry(title, str(number), level=depth)
        canvas.drawString(60, 600, title)
        for line in range(6):
            canvas.drawString(
                60, 570 - 12 * line, "Swifts return to the town in the second week of May and leave again."
            )
        canvas.showPage()
    canvas.save()
    markdown = BuiltinEngine().convert(path, EngineOptions(), lambda *_: None).markdown
    assert [line for line in markdown.splitlines() if line.startswith("#")] == [
        "# Of birds",
        "## Of small birds",
        "# Of nests",
    ]
