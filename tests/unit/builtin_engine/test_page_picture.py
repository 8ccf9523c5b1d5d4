"""The picture of a page shows what a conversion found, at the place where the page shows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pikepdf
import pytest
from PIL import Image
from reportlab.pdfgen.canvas import Canvas

from sir_convert_a_lot.domain.engine import EngineOptions
from sir_convert_a_lot.domain.errors import PdfUnreadable, SirConvertError, ValidationError
from sir_convert_a_lot.infrastructure.engines.builtin.engine import BATCH_PAGES, BuiltinEngine, Conversion
from sir_convert_a_lot.infrastructure.engines.builtin.page_picture import COLOURS, LEGEND_PX, PIXELS_A_POINT, draw_page
from sir_convert_a_lot.infrastructure.engines.builtin.parsing import PdfFile

EXAMPLES = Path(__file__).parents[3] / "examples"
WIDTH_PT, HEIGHT_PT = 400, 600
SIZE_PT = 12


def make(path: Path, *pages: Callable[[Canvas], None]) -> Path:
    canvas = Canvas(str(path), pagesize=(WIDTH_PT, HEIGHT_PT))
    for draw in pages:
        canvas.setFont("Helvetica", SIZE_PT)
        draw(canvas)
        canvas.showPage()
    canvas.save()
    return path


def one_of_each(canvas: Canvas) -> None:
    """Two lines of text, a ruled table, and a page number."""
    canvas.drawString(100, 500, "Hello swifts of the town")
    canvas.drawString(100, 486, "and of the other side")
    for row in range(3):
        canvas.line(100, 400 - 20 * row, 300, 400 - 20 * row)
        for column in range(2 if row < 2 else 0):
            canvas.drawString(110 + 100 * column, 386 - 20 * row, f"cell {row}{column}")
    for x in (100, 200, 300):
        canvas.line(x, 400, x, 360)
    canvas.drawString(200, 20, "7")


def colour_at(picture: Image.Image, x_pt: float, y_pt: float) -> str:
    """The name of the mark at a point of the page, origin top-left."""
    pixel = picture.getpixel((round(x_pt * PIXELS_A_POINT), round(y_pt * PIXELS_A_POINT)))
    return {colour: name for name, colour in COLOURS.items()}.get(pixel, str(pixel))


def test_words_lines_columns_blocks_and_tables_are_drawn_where_they_are(tmp_path: Path) -> None:
    picture = draw_page(make(tmp_path / "a.pdf", one_of_each), 1, EngineOptions())
    assert picture.size == (WIDTH_PT * PIXELS_A_POINT, HEIGHT_PT * PIXELS_A_POINT + LEGEND_PX)
    top, bottom = 100 - 0.8 * SIZE_PT, 100 + 0.2 * SIZE_PT  # of the first line, whose baseline is 100 below the top
    assert colour_at(picture, 115, top) == "word"
    assert colour_at(picture, 115, bottom) == "line"
    assert colour_at(picture, 115, top - 1) == "block"
    assert colour_at(picture, 150, top - 3) == "column"
    assert colour_at(picture, 250, 199) == "table"
    assert colour_at(picture, 203.5, 580 + (0.2 - 0.8) * SIZE_PT / 2) == "left out"  # the page number
    assert colour_at(picture, 98.5, top + 0.5) == "order"  # the number of the first block
    assert colour_at(picture, 350, 300) == "(255, 255, 255)"


def test_the_order_goes_from_block_to_block(tmp_path: Path) -> None:
    picture = draw_page(make(tmp_path / "a.pdf", one_of_each), 1, EngineOptions())
    xs = [x for x in range(picture.width) if picture.getpixel((x, 320)) == COLOURS["order"]]
    assert 100 * PIXELS_A_POINT < min(xs) <= max(xs) < 300 * PIXELS_A_POINT  # between the text and the table


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("is_sideways", [False, True])
def test_marks_lie_on_the_ink_however_the_page_is_turned(tmp_path: Path, rotation: int, *, is_sideways: bool) -> None:
    def draw(canvas: Canvas) -> None:
        if is_sideways:
            canvas.rotate(90)
            canvas.translate(0, -WIDTH_PT)
        for row in range(6):
            canvas.drawString(60, 300 - 15 * row, "MMMM WWWW of the town and of its swifts")

    path = make(tmp_path / "turned.pdf", draw)
    with pikepdf.open(path, allow_overwriting_input=True) as pdf:
        pdf.pages[0].Rotate = rotation
        pdf.save(path)
    picture = draw_page(path, 1, EngineOptions()).convert("L")
    with PdfFile(path, 1) as document:
        page = Conversion(document, EngineOptions(), lambda *_: None).look_at(0).page
    turned = page.width_pt > page.height_pt
    assert (picture.width > picture.height - LEGEND_PX) is turned
    for word in page.words:
        if word.text in {"MMMM", "WWWW"}:
            inside = picture.crop(tuple(round(side * PIXELS_A_POINT) for side in word.box))
            dark = sum(inside.histogram()[:60])
            assert dark > 0.1 * inside.width * inside.height


def test_a_large_page_is_drawn_with_no_more_pixels_than_allowed(tmp_path: Path) -> None:
    picture = draw_page(make(tmp_path / "a.pdf", one_of_each), 1, EngineOptions(max_page_pixels=60_000))
    assert 50_000 < picture.width * (picture.height - LEGEND_PX) <= 61_000


def test_a_page_is_seen_as_its_conversion_sees_it() -> None:
    """Furniture is told by other pages, and the blocks of all pages are the paragraphs of the document."""
    with PdfFile(EXAMPLES / "digital.pdf", 10) as document:
        pages = document.page_count
    blocks = []
    for index in range(pages):
        with PdfFile(EXAMPLES / "digital.pdf", 10) as document:
            view = Conversion(document, EngineOptions(), lambda *_: None).look_at(index)
        assert len(view.words_read) > len(view.page.words)
        blocks += view.paragraphs
    markdown = BuiltinEngine().convert(EXAMPLES / "digital.pdf", EngineOptions(), lambda *_: None).markdown
    whole = [block.text for block in blocks if not block.table and block.text in markdown]
    assert len(whole) > 0.5 * len(blocks)


def test_pages_after_the_first_batch_can_be_looked_at(tmp_path: Path) -> None:
    def numbered(index: int) -> Callable[[Canvas], None]:
        return lambda canvas: canvas.drawString(100, 300, f"page {'x' * index}")

    path = make(tmp_path / "long.pdf", *(numbered(index) for index in range(BATCH_PAGES + 3)))
    with PdfFile(path, 100) as document:
        view = Conversion(document, EngineOptions(), lambda *_: None).look_at(BATCH_PAGES + 1)
    assert view.page.words[-1].text == "x" * (BATCH_PAGES + 1)


@pytest.mark.parametrize(
    ("name", "page", "error", "reason"),
    [
        ("digital.pdf", 0, ValidationError, "out_of_range"),
        ("digital.pdf", 4, ValidationError, "out_of_range"),
        ("encrypted.pdf", 1, PdfUnreadable, "encrypted"),
        ("damaged.pdf", 1, PdfUnreadable, "damaged"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_its_reason(
    name: str, page: int, error: type[SirConvertError], reason: str
) -> None:
    with pytest.raises(error) as caught:
        draw_page(EXAMPLES / name, page, EngineOptions())
    assert caught.value.details["reason"] == reason


def test_more_pages_than_accepted_are_refused() -> None:
    with pytest.raises(PdfUnreadable) as caught:
        draw_page(EXAMPLES / "digital.pdf", 1, EngineOptions(max_pages=2))
    assert caught.value.details["reason"] == "too_many_pages"
