"""Words come out of a PDF with their font, box and spelling, whatever way the page is turned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pikepdf
import pytest
from reportlab.pdfgen.canvas import Canvas

from sir_convert_a_lot.domain.errors import PdfUnreadable
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Page
from sir_convert_a_lot.infrastructure.engines.builtin.parsing import PdfFile, parse_page

WIDTH_PT, HEIGHT_PT = 400, 600
Draw = Callable[[Canvas], None]


def parse(folder: Path, draw: Draw, *, rotation: int = 0) -> Page:
    path = folder / "page.pdf"
    canvas = Canvas(str(path), pagesize=(WIDTH_PT, HEIGHT_PT))
    canvas.setFont("Helvetica", 12)
    draw(canvas)
    canvas.save()
    if rotation:
        with pikepdf.open(path, allow_overwriting_input=True) as pdf:
            pdf.pages[0].Rotate = rotation
            pdf.save(path)
    with PdfFile(path, max_pages=10) as document:
        raw = document.load_page(0)
        page = parse_page(raw, 0)
        raw.close()
    return page


def text_of(page: Page) -> list[str]:
    return [word.text for word in page.words]


def test_a_word_has_its_text_box_and_font(tmp_path: Path) -> None:
    page = parse(tmp_path, lambda canvas: canvas.drawString(100, 500, "Hello swifts"))
    first, second = page.words
    assert (first.text, second.text) == ("Hello", "swifts")
    assert first.box.x0 == pytest.approx(100, abs=0.5)
    assert first.box.y0 == pytest.approx(HEIGHT_PT - 500 - 0.8 * 12, abs=0.1)
    assert first.box.height == pytest.approx(12, abs=0.1)
    assert (first.font.name, first.font.size_pt, first.font.is_bold) == ("Helvetica", 12, False)
    assert second.box.x0 > first.box.x1


def test_the_size_is_the_size_as_drawn(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        canvas.scale(2, 2)
        canvas.drawString(20, 200, "large")

    assert parse(tmp_path, draw).words[0].font.size_pt == pytest.approx(24)


@pytest.mark.parametrize(
    ("font", "bold", "italic", "monospaced"),
    [
        ("Times-Bold", True, False, False),
        ("Helvetica-Oblique", False, True, False),
        ("Courier", False, False, True),
        ("Times-Roman", False, False, False),
    ],
)
def test_style_follows_the_font(tmp_path: Path, font: str, bold: bool, italic: bool, monospaced: bool) -> None:
    def draw(canvas: Canvas) -> None:
        canvas.setFont(font, 10)
        canvas.drawString(50, 50, "styled")

    told = parse(tmp_path, draw).words[0].font
    assert (told.is_bold, told.is_italic, told.is_monospaced) == (bold, italic, monospaced)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_turned_page_is_read_as_it_is_shown(tmp_path: Path, rotation: int) -> None:
    def draw(canvas: Canvas) -> None:
        """Draws so that the shown page has the first line above the second."""
        canvas.translate(*{0: (0, 0), 90: (400, 0), 180: (400, 600), 270: (0, 600)}[rotation])
        canvas.rotate(rotation)
        canvas.drawString(50, 300, "first line")
        canvas.drawString(50, 280, "second line")

    page = parse(tmp_path, draw, rotation=rotation)
    assert text_of(page) == ["first", "line", "second", "line"]
    assert page.words[0].box.y1 < page.words[2].box.y0 + 5
    assert page.words[0].box.x0 == pytest.approx(50, abs=0.5)
    assert page.turned_characters == 0


def test_a_page_drawn_sideways_without_saying_so_is_turned(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        canvas.rotate(90)
        canvas.drawString(50, -100, "a wide table set sideways")

    page = parse(tmp_path, draw)
    assert text_of(page) == ["a", "wide", "table", "set", "sideways"]
    assert (page.width_pt, page.height_pt) == (HEIGHT_PT, WIDTH_PT)


def test_a_stamp_along_the_margin_is_left_out_and_counted(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        canvas.drawString(100, 500, "the text of the page")
        canvas.rotate(90)
        canvas.drawString(100, -20, "stamp")

    page = parse(tmp_path, draw)
    assert "stamp" not in text_of(page)
    assert page.turned_characters == len("stamp")


def test_invisible_text_counts_only_where_no_other_text_is(tmp_path: Path) -> None:
    def invisible(canvas: Canvas) -> None:
        text = canvas.beginText(100, 400)
        text.setTextRenderMode(3)
        text.textOut("from OCR")
        canvas.drawText(text)

    def both(canvas: Canvas) -> None:
        canvas.drawString(100, 500, "seen")
        invisible(canvas)

    assert text_of(parse(tmp_path, both)) == ["seen"]
    assert text_of(parse(tmp_path, invisible)) == ["from", "OCR"]


def test_text_off_the_page_is_not_read(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        canvas.drawString(100, 500, "on")
        canvas.drawString(100, HEIGHT_PT + 100, "above")
        canvas.drawString(-200, 500, "beside")

    assert text_of(parse(tmp_path, draw)) == ["on"]


def test_a_change_of_font_inside_a_word_leaves_no_space(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        text = canvas.beginText(100, 400)
        text.setFont("Helvetica", 12)
        text.textOut("half")
        text.setFont("Helvetica-Bold", 12)
        text.textOut("bold")
        canvas.drawText(text)

    first, second = parse(tmp_path, draw).words
    assert (first.text, first.is_glued, second.text, second.is_glued) == ("half", False, "bold", True)


def raw_text(folder: Path, codes: bytes) -> list[str]:
    """The words of a page that draws these character codes in a font without a map to Unicode."""
    parse(folder, lambda canvas: canvas.drawString(50, 50, "x"))
    path = folder / "page.pdf"
    with pikepdf.open(path, allow_overwriting_input=True) as pdf:
        font = pikepdf.Dictionary(Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type3, FontBBox=[0, 0, 1000, 1000])
        font.FontMatrix = [0.001, 0, 0, 0.001, 0, 0]
        font.FirstChar, font.LastChar, font.Widths = 0, 255, [500] * 256
        font.CharProcs = pikepdf.Dictionary(a=pikepdf.Stream(pdf, b"500 0 0 0 400 700 d1 0 0 400 700 re f"))
        font.Encoding = pikepdf.Dictionary(Differences=[0, *[pikepdf.Name("/a")] * 256])
        pdf.pages[0].Resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(F=font))
        pdf.pages[0].Contents = pikepdf.Stream(pdf, b"BT /F 12 Tf 50 500 Td <" + codes.hex().encode() + b"> Tj ET")
        pdf.save(path)
    with PdfFile(path, max_pages=1) as document:
        raw = document.load_page(0)
        page = parse_page(raw, 0)
        raw.close()
    return text_of(page)


def test_ligatures_of_old_tex_fonts_are_written_out_and_codes_without_order_are_not(tmp_path: Path) -> None:
    assert raw_text(tmp_path, b"signi\x1ccant modi\x1ccation") == ["significant", "modification"]
    assert raw_text(tmp_path, b"\x1c\x1d\x10\x11ab") == ["\ufffd" * 4 + "ab"]


def test_rulings_are_read_from_lines_and_from_thin_rectangles(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        canvas.line(50, 500, 350, 500)
        canvas.rect(100, 100, 0.5, 200, stroke=0, fill=1)
        canvas.line(50, 50, 300, 400)

    across, down = sorted(parse(tmp_path, draw).rulings, key=lambda ruling: not ruling.is_horizontal)
    assert across.is_horizontal
    assert (across.box.x0, across.box.y0, across.box.x1) == (50, 100, 350)
    assert not down.is_horizontal
    assert (down.box.y0, down.box.y1) == (300, 500)


def test_a_stroked_rectangle_gives_its_four_sides(tmp_path: Path) -> None:
    page = parse(tmp_path, lambda canvas: canvas.rect(100, 100, 200, 50))
    assert sorted(ruling.is_horizontal for ruling in page.rulings) == [False, False, True, True]


def test_damaged_encrypted_and_too_long_files_are_refused_with_their_reason(tmp_path: Path) -> None:
    whole = tmp_path / "whole.pdf"
    canvas = Canvas(str(whole))
    for _ in range(3):
        canvas.drawString(100, 100, "page")
        canvas.showPage()
    canvas.save()
    secret, broken, empty = (tmp_path / name for name in ("secret.pdf", "broken.pdf", "empty.pdf"))
    with pikepdf.open(whole) as pdf:
        pdf.save(secret, encryption=pikepdf.Encryption(owner="o", user="u"))
        del pdf.pages[:]
        pdf.save(empty)
    broken.write_bytes(b"%PDF-1.7\nnothing of the kind")
    reasons = {}
    for path, limit in ((whole, 2), (secret, 9), (broken, 9), (empty, 9)):
        with pytest.raises(PdfUnreadable) as refusal:
            PdfFile(path, max_pages=limit)
        reasons[path.stem] = refusal.value.details["reason"]
    assert reasons == {"whole": "too_many_pages", "secret": "encrypted", "broken": "damaged", "empty": "no_pages"}


def test_many_turned_labels_do_not_turn_a_page_of_fewer_lines(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        canvas.drawString(40, 60, "Figure 1: The caption stays.")
        canvas.rotate(90)
        for place in range(20):
            canvas.drawString(300, -40 - 14 * place, "label")

    page = parse(tmp_path, draw)
    assert " ".join(text_of(page)) == "Figure 1: The caption stays."
    assert page.turned_characters == 100


def test_text_that_a_form_cuts_off_is_not_read(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        canvas.beginForm("cropped", 0, 0, 200, 100)
        canvas.drawString(10, 50, "seen")
        canvas.drawString(10, 150, "cropped")
        canvas.endForm()
        canvas.translate(50, 300)
        canvas.doForm("cropped")

    assert text_of(parse(tmp_path, draw)) == ["seen"]
