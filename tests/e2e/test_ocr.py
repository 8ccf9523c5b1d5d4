"""OCR on a scanned page: the words are read where they stand, on the CPU, and nothing is fetched."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pypdfium2
import pytest
from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from sir_convert_a_lot.domain.errors import ExitCode, OcrModelsMissing
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Word
from sir_convert_a_lot.infrastructure.engines.ocr import PageOcr, device_of, render_scale

MAX_PAGE_PIXELS = 40_000_000
PIXELS_A_POINT = 150 / 72
# (text, x, y of the top, size), in points
LINES = (
    ("Counting Swifts", 72, 80, 26),
    ("The birds were counted every evening", 72, 130, 12),
    ("from the roof of the school in July.", 72, 148, 12),
)


@pytest.fixture(scope="module")
def scanned_pdf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page that is one image and has no text of its own; `/Rotate` of the second page turns it back upright."""
    image = Image.new("L", (round(A4[0] * PIXELS_A_POINT), round(A4[1] * PIXELS_A_POINT)), 250)
    draw = ImageDraw.Draw(image)
    for text, x, y, size in LINES:
        font = ImageFont.load_default(size * PIXELS_A_POINT)
        draw.text((x * PIXELS_A_POINT, y * PIXELS_A_POINT), text, fill=20, font=font)
    path = tmp_path_factory.mktemp("scan") / "scanned.pdf"
    canvas = Canvas(str(path), pagesize=A4)
    canvas.drawImage(as_reader(image), 0, 0, *A4)
    canvas.showPage()
    canvas.setPageSize((A4[1], A4[0]))
    canvas.setPageRotation(90)
    canvas.drawImage(as_reader(image.rotate(90, expand=True)), 0, 0, A4[1], A4[0])
    canvas.save()
    return path


def as_reader(image: Image.Image) -> ImageReader:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    buffer.seek(0)
    return ImageReader(buffer)


@pytest.fixture(scope="module")
def document(scanned_pdf: Path) -> Iterator[pypdfium2.PdfDocument]:
    opened = pypdfium2.PdfDocument(scanned_pdf)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def ocr() -> PageOcr:
    return PageOcr(MAX_PAGE_PIXELS)


@pytest.fixture(scope="module")
def words(document: pypdfium2.PdfDocument, ocr: PageOcr) -> tuple[Word, ...]:
    return ocr.read_page(document[0], 0)


def test_the_words_of_a_scanned_page_are_read(words: tuple[Word, ...]) -> None:
    assert " ".join(word.text for word in words) == " ".join(text for text, *_place in LINES)


def test_words_stand_where_they_were_drawn(words: tuple[Word, ...]) -> None:
    first = {text.split()[0]: (x, y, size) for text, x, y, size in LINES}
    found = {word.text: word.box for word in words if word.text in first}

    assert found.keys() == first.keys()
    for text, (x, y, size) in first.items():
        assert found[text].x0 == pytest.approx(x, abs=6)
        assert (found[text].y0 + found[text].y1) / 2 == pytest.approx(y + size * 0.6, abs=6)
    assert all(left.box.x1 <= right.box.x0 for left, right in pairwise(words) if left.box.y0 == right.box.y0)


def test_a_title_is_larger_than_the_text_and_the_text_has_one_size(words: tuple[Word, ...]) -> None:
    sizes = {word.text: word.font.size_pt for word in words}

    assert sizes["Swifts"] > 1.5 * sizes["birds"]
    assert sizes["birds"] == sizes["school"]


def test_lines_of_one_size_have_one_size_whatever_their_letters(words: tuple[Word, ...]) -> None:
    assert {word.font.size_pt for word in words if word.text not in {"Counting", "Swifts"}} == {
        next(word.font.size_pt for word in words if word.text == "birds")
    }
    assert next(word.font.size_pt for word in words if word.text == "birds") == pytest.approx(12, rel=0.15)


def test_a_turned_page_is_read_as_a_reader_sees_it(document: pypdfium2.PdfDocument, ocr: PageOcr) -> None:
    words = ocr.read_page(document[1], 1)

    assert "Counting" in {word.text for word in words}
    assert all(word.box.x1 <= A4[0] and word.box.y1 <= A4[1] for word in words)


def test_a_page_without_anything_on_it_has_no_words(tmp_path: Path, ocr: PageOcr) -> None:
    canvas = Canvas(str(tmp_path / "blank.pdf"), pagesize=(200, 100))
    canvas.showPage()
    canvas.save()
    with pypdfium2.PdfDocument(tmp_path / "blank.pdf") as blank:
        assert ocr.read_page(blank[0], 0) == ()


def test_the_device_is_read_from_the_three_sessions(words: tuple[Word, ...], ocr: PageOcr) -> None:
    assert words
    assert ocr.measured_device() == ("cpu", "onnx_session_providers: CPUExecutionProvider x3")


def test_the_device_is_unknown_before_a_session_was_loaded() -> None:
    assert PageOcr(MAX_PAGE_PIXELS).measured_device()[0] == "unknown"


@pytest.mark.parametrize(
    ("sessions", "device"),
    [
        ([[("CPUExecutionProvider", "")]], "cpu"),
        ([[("CUDAExecutionProvider", "1"), ("CPUExecutionProvider", "")]] * 2, "cuda:1"),
        ([[("CPUExecutionProvider", "")], [("CUDAExecutionProvider", "0"), ("CPUExecutionProvider", "")]], "cuda:0"),
        ([[("CUDAExecutionProvider", "0")], [("CUDAExecutionProvider", "1")]], "unknown"),
        ([[("OpenVINOExecutionProvider", ""), ("CPUExecutionProvider", "")]], "unknown"),
        ([[]], "unknown"),
        ([], "unknown"),
    ],
)
def test_only_sessions_with_the_cpu_provider_alone_are_told_as_the_cpu(
    sessions: list[list[tuple[str, str]]], device: str
) -> None:
    device_used, measured_by = device_of(sessions)

    assert device_used == device
    assert all(name in measured_by for session in sessions for name, _device in session)


def test_a_missing_model_is_an_error_and_not_a_download(document: pypdfium2.PdfDocument, tmp_path: Path) -> None:
    with pytest.raises(OcrModelsMissing) as caught:
        PageOcr(MAX_PAGE_PIXELS, models_folder=tmp_path).read_page(document[0], 0)

    assert (caught.value.code, caught.value.exit_code) == ("ocr_models_missing", ExitCode.UNAVAILABLE)
    assert "rapidocr" in caught.value.details["remediation"][0]
    assert len(caught.value.details["missing"]) == 3
    assert not list(tmp_path.iterdir())


def test_a_huge_page_is_rendered_within_the_limit() -> None:
    scale = render_scale(14_400, 14_400, 1_000_000)

    assert (14_400 * scale) ** 2 <= 1_000_000.001
    assert render_scale(595, 842, MAX_PAGE_PIXELS) == 200 / 72


def test_an_engine_without_ocr_loads_no_onnxruntime() -> None:
    code = (
        "import sys\n"
        "from sir_convert_a_lot.infrastructure.engines import ocr\n"
        "ocr.PageOcr(1_000_000)\n"
        "print(sorted({'onnxruntime', 'rapidocr', 'cv2'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.strip() == "[]"
