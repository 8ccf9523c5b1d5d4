"""The built-in engine from a PDF file to Markdown, on PDFs drawn for the purpose and on those the repository ships."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pikepdf
import pytest
from reportlab.lib.enums import TA_JUSTIFY
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, ListFlowable, ListItem, PageBreak, PageTemplate
from reportlab.platypus import Paragraph as Text

from sir_convert_a_lot.domain.engine import Confidence, EngineOptions, EngineOutcome, OcrPass
from sir_convert_a_lot.domain.errors import PdfUnreadable
from sir_convert_a_lot.domain.job import JobStage
from sir_convert_a_lot.infrastructure.engines.builtin.engine import BATCH_PAGES, BuiltinEngine

EXAMPLES = Path(__file__).parents[2] / "examples"
BODY = ParagraphStyle("body", fontName="Times-Roman", fontSize=10, leading=12, alignment=TA_JUSTIFY, spaceAfter=6)
SECTION = ParagraphStyle("section", fontName="Helvetica-Bold", fontSize=13, leading=16, spaceBefore=8, spaceAfter=4)
TITLE = ParagraphStyle("title", fontName="Helvetica-Bold", fontSize=20, leading=24, spaceAfter=10)
SENTENCES = (
    "Swifts return to the town in the second week of May and leave it again before August has ended.",
    "A party of birds screams while it circles the roofs, and a microphone hears it from far away.",
    "Whoever counts by eye grows tired, whoever counts by ear needs patience, and both make mistakes.",
    "The school kept a notebook for every evening, with the weather, the hour and the names of the observers.",
)


def prose(tag: str, sentences: int) -> str:
    return " ".join(f"{tag}{index} {SENTENCES[index % len(SENTENCES)]}" for index in range(sentences))


def build(path: Path, story: list[Flowable], columns: int = 1) -> Path:
    """A PDF with running header and page number, in one or two columns."""
    width, height = A4
    gutter = 18
    column = (width - 100 - gutter * (columns - 1)) / columns
    frames = [Frame(50 + index * (column + gutter), 60, column, height - 130, 0, 0, 0, 0) for index in range(columns)]

    def furnish(canvas: Canvas, document: BaseDocTemplate) -> None:
        canvas.setFont("Helvetica", 8)
        canvas.drawString(50, height - 40, "Annals of Swift Counting, volume 7")
        canvas.drawCentredString(width / 2, 30, f"Page {document.page}")

    document = BaseDocTemplate(str(path), pagesize=A4, invariant=1)
    document.addPageTemplates(PageTemplate(frames=frames, onPage=furnish))
    document.build(story)
    return path


def convert(pdf: Path, options: EngineOptions | None = None) -> EngineOutcome:
    return BuiltinEngine().convert(pdf, options or EngineOptions(), lambda *_: None)


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two columns over several pages, with sections and a list."""
    story: list[Flowable] = [Text("Counting Swifts", TITLE)]
    for section in ("1 Introduction", "2 Methods", "3 Results"):
        story += [Text(section, SECTION)]
        story += [Text(prose(f"{section[0]}{letter}", 9), BODY) for letter in "abcdef"]
    items = [ListItem(Text(text, BODY)) for text in ("a microphone", "a lunch box", "two observers with notebooks")]
    story += [Text("4 Materials", SECTION), ListFlowable(items, bulletType="bullet", start="•")]
    return build(tmp_path_factory.mktemp("paper") / "paper.pdf", story, columns=2)


def test_two_columns_are_read_in_order_over_all_pages(paper: Path) -> None:
    markdown = convert(paper).markdown
    places = [
        markdown.index(f"{section}{letter}{index} ") for section in "123" for letter in "abcdef" for index in range(9)
    ]
    assert places == sorted(places)


def test_paragraphs_survive_columns_and_pages(paper: Path) -> None:
    paragraphs = convert(paper).markdown.split("\n\n")
    expected = [prose(f"{section}{letter}", 9) for section in "123" for letter in "abcdef"]
    assert [text for text in expected if text in paragraphs] == expected


def test_headings_have_levels_and_lists_have_items(paper: Path) -> None:
    lines = convert(paper).markdown.splitlines()
    assert [line for line in lines if line.startswith("#")] == [
        "# Counting Swifts",
        "## 1 Introduction",
        "## 2 Methods",
        "## 3 Results",
        "## 4 Materials",
    ]
    assert [line for line in lines if line.startswith("- ")] == [
        "- a microphone",
        "- a lunch box",
        "- two observers with notebooks",
    ]


def test_running_headers_and_page_numbers_are_dropped(paper: Path) -> None:
    markdown = convert(paper).markdown
    assert "Annals" not in markdown
    assert "Page " not in markdown


def test_the_same_pdf_gives_the_same_bytes_in_any_process(paper: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from sir_convert_a_lot.domain.engine import EngineOptions; "
        "from sir_convert_a_lot.infrastructure.engines.builtin.engine import BuiltinEngine; "
        "sys.stdout.buffer.write(BuiltinEngine().convert(Path(sys.argv[1]), EngineOptions(), "
        "lambda *_: None).markdown.encode())"
    )
    apart = [
        subprocess.run(
            [sys.executable, "-c", script, str(paper)], capture_output=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    ]
    assert apart[0] == apart[1] == convert(paper).markdown.encode()


def progress_of(pdf: Path, options: EngineOptions) -> list[tuple[JobStage, int, int]]:
    calls: list[tuple[JobStage, int, int]] = []
    BuiltinEngine().convert(pdf, options, lambda *call: calls.append(call))
    return calls


def test_progress_moves_page_by_page_and_never_back(tmp_path: Path) -> None:
    long = tmp_path / "long.pdf"  # more than two batches
    canvas = Canvas(str(long), pagesize=A4)
    for page in range(70):
        canvas.drawString(72, 700, prose(f"p{page}", 1))
        canvas.showPage()
    canvas.save()
    calls = progress_of(long, EngineOptions())
    counts = [count for _, count, _ in calls]
    assert counts == sorted(counts)
    assert set(counts) == set(range(71))
    assert calls[0] == (JobStage.PAGE_PARSING, 0, 70)
    assert JobStage.LAYOUT_ANALYSIS in {stage for stage, _, _ in calls}
    assert calls[-1] == (JobStage.ASSEMBLY, 70, 70)


def test_progress_says_ocr_before_the_first_page_was_read() -> None:
    calls = progress_of(EXAMPLES / "scanned.pdf", EngineOptions(ocr=OcrPass.FULL_PAGE))
    assert calls[0][:2] == (JobStage.OCR, 0)
    assert calls[1][:2] == (JobStage.OCR, 1)


def test_the_stages_tell_the_device_they_were_seen_on(paper: Path) -> None:
    outcome = convert(paper)
    assert [stage.stage for stage in outcome.stages] == [
        "page_parsing",
        "layout_analysis",
        "table_structure",
        "assembly",
    ]
    for stage in outcome.stages:
        assert (stage.device_asked, stage.device_used) == ("cpu", "cpu")
        assert stage.measured_by.startswith(("no_gpu_runtime_loaded", "no_gpu_device_open"))
        assert stage.wall_ms >= 0
    assert outcome.confidence == Confidence.GOOD


def test_a_page_that_cannot_be_read_is_listed_and_the_others_are_converted(paper: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pdf"
    with pikepdf.open(paper) as pdf:
        kids = pdf.Root.Pages.Kids
        kids[1] = pdf.make_indirect(pikepdf.Dictionary(Type=pikepdf.Name.Catalog))
        pdf.save(broken)
    outcome = convert(broken)
    assert outcome.failed_pages == (2,)
    assert any("page 2" in warning for warning in outcome.warnings)
    assert "1a0 " in outcome.markdown


def damage(whole: Path, path: Path) -> None:
    path.write_bytes(whole.read_bytes()[:400])


def encrypt(whole: Path, path: Path) -> None:
    with pikepdf.open(whole) as pdf:
        pdf.save(path, encryption=pikepdf.Encryption(owner="owner", user="user"))


def empty(whole: Path, path: Path) -> None:
    with pikepdf.open(whole) as pdf:
        del pdf.pages[:]
        pdf.save(path)


@pytest.mark.parametrize(("spoil", "reason"), [(damage, "damaged"), (encrypt, "encrypted"), (empty, "no_pages")])
def test_unreadable_files_are_refused_with_their_reason(
    paper: Path, tmp_path: Path, spoil: Callable[[Path, Path], None], reason: str
) -> None:
    spoil(paper, tmp_path / "spoilt.pdf")
    with pytest.raises(PdfUnreadable) as refusal:
        convert(tmp_path / "spoilt.pdf")
    assert refusal.value.details["reason"] == reason


def test_a_document_over_the_page_limit_is_refused(paper: Path) -> None:
    with pytest.raises(PdfUnreadable) as refusal:
        convert(paper, EngineOptions(max_pages=1))
    assert refusal.value.details["reason"] == "too_many_pages"


def test_a_scan_is_poor_without_ocr_and_read_with_it(examples: Path) -> None:
    scan = examples / "scanned.pdf"
    assert convert(scan).confidence == Confidence.POOR
    outcome = convert(scan, EngineOptions(ocr=OcrPass.FULL_PAGE))
    assert len(outcome.markdown.split()) > 50
    ocr = next(stage for stage in outcome.stages if stage.stage == "ocr")
    assert ocr.device_used == "cpu"
    assert ocr.measured_by.startswith("onnx_session_providers")


def test_a_page_with_a_hundred_thousand_characters_takes_seconds(tmp_path: Path) -> None:
    path = tmp_path / "large.pdf"
    canvas = Canvas(str(path), pagesize=(3000, 3000))
    canvas.setFont("Helvetica", 6)
    for row in range(250):
        canvas.drawString(10, 2990 - 11 * row, "words " * 67)
    canvas.save()
    outcome = convert(path)
    assert len(outcome.markdown) > 95_000
    assert sum(stage.wall_ms for stage in outcome.stages) < 20_000  # 1.2 s on an idle core


def test_a_document_of_several_batches_of_pages_is_read_whole_and_in_order(tmp_path: Path) -> None:
    pages = 2 * BATCH_PAGES + 3
    story: list[Flowable] = []
    for page in range(pages):
        story += [Text(prose(f"P{page}S", 4), BODY), PageBreak()]
    outcome = convert(build(tmp_path / "long.pdf", story[:-1]))
    assert outcome.pages_total == pages
    assert re.findall(r"P\d+S0", outcome.markdown) == [f"P{page}S0" for page in range(pages)]
