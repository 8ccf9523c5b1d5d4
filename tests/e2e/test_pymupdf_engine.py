"""The optional engine pymupdf, and which engines an installation has."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from reportlab.lib import colors
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.platypus import PageBreak, Paragraph, SimpleDocTemplate
from reportlab.platypus import Table as PlatypusTable

from sir_convert_a_lot.domain.engine import Engine, EngineOptions, OcrPass
from sir_convert_a_lot.domain.errors import PdfUnreadable, ValidationError
from sir_convert_a_lot.domain.job import JobStage
from sir_convert_a_lot.infrastructure.engines.installed import installed_engines, load_engine

needs_pymupdf = pytest.mark.skipif(find_spec("pymupdf") is None, reason="needs the extra [pymupdf]")


def test_an_engine_is_listed_when_its_package_and_our_module_are_there() -> None:
    assert installed_engines()[0] == "builtin"
    assert ("pymupdf" in installed_engines()) is (find_spec("pymupdf") is not None)


def test_listing_engines_imports_none_of_them() -> None:
    code = (
        "import sys\n"
        "from sir_convert_a_lot.infrastructure.engines.installed import installed_engines\n"
        "installed_engines()\n"
        "print(sorted({'pypdfium2', 'pymupdf', 'docling', 'torch', 'onnxruntime', 'numpy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "name", [name for name in ("docling", "pymupdf", "tesseract") if name not in installed_engines()]
)
def test_an_engine_that_is_not_installed_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        load_engine(name)

    assert caught.value.details == {
        "field": "conversion.backend_strategy",
        "reason": "backend_not_available",
        "requested": name,
        "available": list(installed_engines()),
    }


def test_the_builtin_engine_is_loaded_by_its_name() -> None:
    assert load_engine("builtin").name == "builtin"


@pytest.fixture(scope="module")
def engine() -> Engine:
    return load_engine("pymupdf")


@pytest.fixture(scope="module")
def pdf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pymupdf") / "swifts.pdf"
    styles = getSampleStyleSheet()
    table = PlatypusTable([["Site", "Count"], ["Mill", "12"]], style=[("GRID", (0, 0), (-1, -1), 0.5, colors.black)])
    story = [
        Paragraph("Counting Swifts", styles["Title"]),
        Paragraph("The birds were counted every evening in July. " * 8, styles["BodyText"]),
        table,
        PageBreak(),
        Paragraph("On the second page nothing was counted. " * 4, styles["BodyText"]),
    ]
    SimpleDocTemplate(str(path)).build(story)
    return path


@needs_pymupdf
def test_a_pdf_becomes_markdown_with_its_heading_and_table(engine: Engine, pdf: Path) -> None:
    seen: list[tuple[JobStage, int, int]] = []

    outcome = engine.convert(pdf, EngineOptions(), lambda *progress: seen.append(progress))

    heading = next(line for line in outcome.markdown.splitlines() if line.startswith("#"))
    assert "Counting Swifts" in heading
    assert "|Mill|12|" in outcome.markdown.replace(" ", "")
    assert "second page" in outcome.markdown
    assert (outcome.pages_total, outcome.failed_pages) == (2, ())
    assert seen == [(JobStage.LAYOUT_ANALYSIS, 1, 2), (JobStage.LAYOUT_ANALYSIS, 2, 2)]


@needs_pymupdf
def test_the_receipt_tells_the_cpu_as_looked_up(engine: Engine, pdf: Path) -> None:
    stages = engine.convert(pdf, EngineOptions(), lambda *_progress: None).stages

    assert {stage.device_used for stage in stages} == {"cpu"}
    assert all("sys.modules" in stage.measured_by or "GPU device node" in stage.measured_by for stage in stages)


@needs_pymupdf
def test_nothing_is_written_to_stdout(pdf: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from sir_convert_a_lot.domain.engine import EngineOptions\n"
        "from sir_convert_a_lot.infrastructure.engines.installed import load_engine\n"
        "load_engine('pymupdf').convert(Path(sys.argv[1]), EngineOptions(), lambda *progress: None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(pdf)], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout == ""


@needs_pymupdf
def test_ocr_is_refused_with_what_is_supported(engine: Engine, pdf: Path) -> None:
    with pytest.raises(ValidationError) as caught:
        engine.convert(pdf, EngineOptions(ocr=OcrPass.FULL_PAGE), lambda *_progress: None)

    assert caught.value.details["reason"] == "backend_option_incompatible"
    assert caught.value.details["supported"] == ["off"]


@needs_pymupdf
@pytest.mark.parametrize(
    ("content", "reason"), [(b"no PDF at all", "damaged"), (b"", "damaged"), (b"%PDF-1.7\n%%EOF", "damaged")]
)
def test_what_is_no_pdf_is_unreadable(engine: Engine, tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "x.pdf").write_bytes(content)

    with pytest.raises(PdfUnreadable) as caught:
        engine.convert(tmp_path / "x.pdf", EngineOptions(), lambda *_progress: None)

    assert caught.value.details["reason"] == reason


@needs_pymupdf
def test_more_pages_than_allowed_are_refused(engine: Engine, pdf: Path) -> None:
    with pytest.raises(PdfUnreadable) as caught:
        engine.convert(pdf, EngineOptions(max_pages=1), lambda *_progress: None)

    assert caught.value.details == {"reason": "too_many_pages", "pages": 2, "max_pages": 1}
