"""Labels of a captioned figure are no text; sentences, tables and drawings without a caption are left alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from reportlab.pdfgen.canvas import Canvas

from sir_convert_a_lot.domain.engine import EngineOptions
from sir_convert_a_lot.infrastructure.engines.builtin.engine import BuiltinEngine

Draw = Callable[[Canvas], None]
BODY = [
    f"Line {place} of a body of prose about swifts over the roofs of a small town by the sea." for place in range(8)
]
CAPTION = "Figure 1: Swifts a night, counted by hand."


def convert(folder: Path, draw: Draw) -> tuple[str, tuple[str, ...]]:
    path = folder / "page.pdf"
    canvas = Canvas(str(path), pagesize=(500, 700))
    canvas.setFont("Times-Roman", 10)
    for place, line in enumerate(BODY):
        canvas.drawString(60, 640 - 12 * place, line)
    draw(canvas)
    canvas.save()
    outcome = BuiltinEngine().convert(path, EngineOptions(), lambda *_: None)
    return outcome.markdown, outcome.warnings


def plot(canvas: Canvas) -> None:
    canvas.rect(100, 350, 300, 150)
    points = [(100 + 6 * place, 420 + 50 * math.sin(place / 5)) for place in range(50)]
    path = canvas.beginPath()
    path.moveTo(*points[0])
    for point in points[1:]:
        path.lineTo(*point)
    canvas.drawPath(path)
    canvas.setFont("Helvetica", 8)
    for place in range(6):
        canvas.drawString(100 + 60 * place, 340, f"{place}.5")
        canvas.drawRightString(95, 350 + 30 * place, f"{place}00")
    canvas.drawString(300, 480, "Swifts seen")
    canvas.drawString(220, 328, "Night of June")
    canvas.setFont("Times-Roman", 10)


def test_ticks_legend_and_names_of_axes_are_left_out_and_told(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        plot(canvas)
        canvas.drawString(100, 305, CAPTION)

    markdown, warnings = convert(tmp_path, draw)
    assert CAPTION in markdown
    assert BODY[0] in markdown
    assert BODY[-1] in markdown
    assert not any(label in markdown for label in ("0.5", "500", "Swifts seen", "Night of June"))
    assert warnings == ("57 characters are labels inside figures and were left out",)


def test_a_drawing_without_a_caption_keeps_its_words(tmp_path: Path) -> None:
    markdown, warnings = convert(tmp_path, plot)
    assert "Swifts seen" in markdown
    assert warnings == ()


@pytest.mark.parametrize("caption", [CAPTION, "Table 1: Swifts a night."])
def test_sentences_in_a_frame_under_a_caption_stay(tmp_path: Path, caption: str) -> None:
    def draw(canvas: Canvas) -> None:
        for place in range(6):
            canvas.roundRect(90 + place, 350 + place, 320, 150, 8)
        for place in range(3):
            canvas.drawString(100, 460 - 12 * place, f"You are to count {place} birds that fly over this house.")
        canvas.drawString(100, 325, caption)

    assert "You are to count 2 birds that fly over this house." in convert(tmp_path, draw)[0]


def test_a_table_beside_a_figure_keeps_its_cells(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        plot(canvas)
        canvas.drawString(100, 305, CAPTION)
        canvas.drawString(100, 270, "Table 1: Nests by street.")
        for place, row in enumerate((("Street", "Nests"), ("Harbour", "12"), ("Mill", "7"))):
            for column, cell in enumerate(row):
                canvas.rect(100 + 100 * column, 230 - 18 * place, 100, 18)
                canvas.drawString(105 + 100 * column, 235 - 18 * place, cell)

    markdown, _ = convert(tmp_path, draw)
    assert "| Harbour | 12 |" in markdown
    assert "Swifts seen" not in markdown


def test_a_heading_and_a_last_short_line_beside_a_figure_stay(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        plot(canvas)
        canvas.drawString(100, 305, CAPTION)
        canvas.drawString(100, 506, "of the town.")

    assert "of the town." in convert(tmp_path, draw)[0]
