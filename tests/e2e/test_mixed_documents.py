"""A document of pages with and without text: OCR reads the pages that need it, and leaves the others as they are."""

from __future__ import annotations

import io
from pathlib import Path

import pikepdf
import pytest
from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from sir_convert_a_lot.application.convert import Conversion, ConversionOrder, convert_document
from sir_convert_a_lot.domain.job_spec import JobSpec
from sir_convert_a_lot.infrastructure.engines.builtin.engine import BuiltinEngine
from sir_convert_a_lot.infrastructure.markdown.normalise import normalise

PIXELS_A_POINT = 150 / 72
FIRST = (
    "The swifts came back to the town in the second week of May, as they do in most years.",
    "A party of birds screams while it circles the roofs, and a microphone hears it.",
)
THIRD = (
    "Whoever counts by eye grows tired, and whoever counts by ear needs much patience.",
    "Both make mistakes, and the school has kept a list of them for eleven years.",
)
SCANNED = ("Fourteen members were present.", "The treasurer read the accounts.")
GARBLED = ("The notebook has a page for every", "evening of June and a few of July.")

# Draws letters, and says that they are private ones: what a broken PDF producer does.
NO_LETTERS = b"""/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def
1 begincodespacerange <00> <FF> endcodespacerange
1 beginbfrange <20> <7E> <E020> endbfrange
endcmap end end"""


def scan(canvas: Canvas) -> None:
    image = Image.new("L", (round(A4[0] * PIXELS_A_POINT), round(A4[1] * PIXELS_A_POINT)), 250)
    draw = ImageDraw.Draw(image)
    for row, text in enumerate(SCANNED):
        font = ImageFont.load_default(12 * PIXELS_A_POINT)
        draw.text((72 * PIXELS_A_POINT, (100 + 18 * row) * PIXELS_A_POINT), text, fill=20, font=font)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    buffer.seek(0)
    canvas.drawImage(ImageReader(buffer), 0, 0, *A4)


def write(canvas: Canvas, font: str, lines: tuple[str, ...]) -> None:
    canvas.setFont(font, 12)
    for row, text in enumerate(lines):
        canvas.drawString(72, 700 - 18 * row, text)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages 1 and 3 have text, 2 is a scan, 4 has text in letters that the PDF does not explain, 5 is blank."""
    path = tmp_path_factory.mktemp("mixed") / "mixed.pdf"
    canvas = Canvas(str(path), pagesize=A4)
    for draw in (
        lambda: write(canvas, "Times-Roman", FIRST),
        lambda: scan(canvas),
        lambda: write(canvas, "Times-Roman", THIRD),
        lambda: write(canvas, "Helvetica", GARBLED),
        lambda: None,
    ):
        draw()
        canvas.showPage()
    canvas.save()
    with pikepdf.open(path, allow_overwriting_input=True) as pdf:
        for font in pdf.pages[3].Resources.Font.values():
            if font.BaseFont == "/Helvetica":
                font.ToUnicode = pdf.make_stream(NO_LETTERS)
        pdf.save(path)
    return path


def convert(pdf: Path, ocr_mode: str) -> Conversion:
    spec = JobSpec.model_validate(
        {
            "api_version": "v1",
            "source": {"kind": "upload", "filename": "mixed.pdf"},
            "conversion": {"ocr_mode": ocr_mode, "backend_strategy": "builtin"},
            "execution": {"acceleration_policy": "cpu_only"},
        }
    )
    order = ConversionOrder(spec, "cpu", None, (), max_pages=10, max_page_pixels=10_000_000)
    return convert_document(pdf, order, BuiltinEngine(), normalise, lambda *_: None)


@pytest.fixture(scope="module")
def auto(mixed: Path) -> Conversion:
    return convert(mixed, "auto")


def test_the_text_of_every_page_arrives(auto: Conversion) -> None:
    for text in (*FIRST, *SCANNED, *THIRD, *GARBLED):
        assert text in auto.markdown.replace("\n", " ")
    assert "\ufffd" not in auto.markdown


def test_pages_with_text_are_as_they_are_without_ocr(auto: Conversion, mixed: Path) -> None:
    without = convert(mixed, "off")
    paragraphs = {" ".join(FIRST), " ".join(THIRD)}
    assert paragraphs <= set(without.markdown.split("\n\n")) & set(auto.markdown.split("\n\n"))
    assert SCANNED[0] not in without.markdown
    assert "\ufffd" in without.markdown


def test_the_warning_the_report_and_the_receipt_say_which_pages(auto: Conversion) -> None:
    quality, stages = auto.metadata.quality, auto.metadata.execution["stages"]
    assert quality is not None
    assert (quality["ocr_pages"], quality["empty_pages"], quality["garbled_pages"]) == ([2, 4], [5], [])
    assert any("converted pages 2, 4 of 5 a second time" in warning for warning in auto.metadata.warnings)
    assert [(stage["pages"], stage["device_used"]) for stage in stages if stage["stage"] == "ocr"] == [(2, "cpu")]
    assert [stage["pages"] for stage in stages if stage["stage"] == "page_parsing"] == [5, 5]
    assert auto.metadata.ocr_enabled


def test_without_ocr_the_report_tells_what_is_missing(mixed: Path) -> None:
    metadata = convert(mixed, "off").metadata
    assert metadata.quality is not None
    assert (metadata.quality["poor_pages"], metadata.quality["garbled_pages"]) == ([2, 4], [4])
    assert metadata.quality["ocr_pages"] == []
    assert not metadata.ocr_enabled


def test_force_reads_every_page_with_ocr(mixed: Path) -> None:
    metadata = convert(mixed, "force").metadata
    assert metadata.quality is not None
    assert metadata.quality["ocr_pages"] == [1, 2, 3, 4, 5]
