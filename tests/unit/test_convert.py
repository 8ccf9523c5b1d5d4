"""The OCR rule, the receipt and the promise, with an engine that says exactly what each pass gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sir_convert_a_lot.application.convert import Conversion, ConversionOrder, convert_document, name_markdown
from sir_convert_a_lot.domain.engine import Confidence, EngineOptions, EngineOutcome, OcrPass, ReportProgress
from sir_convert_a_lot.domain.errors import GpuNotAvailable, InternalError, PartialConversion
from sir_convert_a_lot.domain.job import JobStage
from sir_convert_a_lot.domain.job_spec import JobSpec, Normalize
from sir_convert_a_lot.domain.receipt import StageReceipt

LONG = "word " * 100
SHORT = "word " * 20  # 100 characters: under the contract's 120 a page


@dataclass
class ScriptedEngine:
    """Gives one outcome for a pass without OCR and one for a pass with it, and remembers which passes ran."""

    without_ocr: EngineOutcome
    with_ocr: EngineOutcome
    name: str = "builtin"
    version: str = "1"
    passes: list[OcrPass] = field(default_factory=list)

    def convert(self, pdf: Path, options: EngineOptions, report: ReportProgress) -> EngineOutcome:
        self.passes.append(options.ocr)
        return self.with_ocr if options.ocr is OcrPass.FULL_PAGE else self.without_ocr


def outcome(
    markdown: str,
    *,
    pages: int = 1,
    stage: JobStage = JobStage.PAGE_PARSING,
    asked: str = "cpu",
    used: str = "cpu",
    confidence: Confidence | None = None,
    failed: tuple[int, ...] = (),
) -> EngineOutcome:
    receipt = StageReceipt(stage.value, device_asked=asked, device_used=used, measured_by="the test", wall_ms=1.0)
    return EngineOutcome(markdown, pages, (receipt,), confidence=confidence, failed_pages=failed)


def convert(
    first: EngineOutcome,
    second: EngineOutcome | None = None,
    *,
    ocr_mode: str = "auto",
    device: str = "cpu",
    max_page_pixels: int = 10**7,
) -> tuple[Conversion, ScriptedEngine]:
    engine = ScriptedEngine(first, second or outcome(LONG, stage=JobStage.OCR))
    spec = JobSpec.model_validate(
        {
            "api_version": "v1",
            "source": {"kind": "upload", "filename": "a paper.PDF"},
            "conversion": {"ocr_mode": ocr_mode},
        }
    )
    order = ConversionOrder(spec, device, None, ("from the policy",), max_pages=10, max_page_pixels=max_page_pixels)
    return convert_document(Path("unread.pdf"), order, engine, keep, lambda *_: None), engine


def keep(markdown: str, _mode: Normalize) -> str:
    return markdown


def test_off_is_one_pass_without_ocr_even_when_there_is_no_text() -> None:
    conversion, engine = convert(outcome(""), ocr_mode="off")
    assert engine.passes == [OcrPass.OFF]
    assert conversion.markdown == ""
    assert not conversion.metadata.ocr_enabled


def test_force_is_one_pass_with_ocr() -> None:
    conversion, engine = convert(outcome(LONG), ocr_mode="force")
    assert engine.passes == [OcrPass.FULL_PAGE]
    assert conversion.metadata.ocr_enabled


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (outcome("  \n"), "no text"),
        (outcome(SHORT), "fewer than 120 characters a page"),
        (outcome(LONG, pages=5), "fewer than 120 characters a page"),
        (outcome(LONG, confidence=Confidence.POOR), "confidence poor"),
        (outcome(LONG, confidence=Confidence.FAIR), "confidence fair"),
    ],
)
def test_auto_tries_again_with_ocr_exactly_once_and_says_why(first: EngineOutcome, reason: str) -> None:
    conversion, engine = convert(first)
    assert engine.passes == [OcrPass.OFF, OcrPass.FULL_PAGE]
    assert conversion.metadata.ocr_enabled
    assert any(reason in warning for warning in conversion.metadata.warnings)
    assert [stage["stage"] for stage in conversion.metadata.execution["stages"]] == ["page_parsing", "ocr"]


@pytest.mark.parametrize("confidence", [None, Confidence.GOOD, Confidence.EXCELLENT])
def test_auto_leaves_a_good_text_layer_alone(confidence: Confidence | None) -> None:
    conversion, engine = convert(outcome(LONG, confidence=confidence))
    assert engine.passes == [OcrPass.OFF]
    assert conversion.metadata.warnings == ("from the policy",)


def test_auto_keeps_the_text_layer_when_ocr_reads_less_and_says_so() -> None:
    conversion, _ = convert(outcome(SHORT), outcome("w", stage=JobStage.OCR))
    assert conversion.markdown == SHORT
    assert not conversion.metadata.ocr_enabled
    assert any("read less text" in warning for warning in conversion.metadata.warnings)


def test_a_failed_page_fails_the_whole_conversion_and_is_named() -> None:
    with pytest.raises(PartialConversion) as caught:
        convert(outcome(LONG, pages=3, failed=(2,)))
    assert caught.value.details["failed_pages"] == [2]


def test_a_job_promised_the_gpu_that_ran_on_the_cpu_is_withheld() -> None:
    with pytest.raises(GpuNotAvailable) as caught:
        convert(outcome(LONG, asked="cuda:0", used="cpu"), device="cuda:0")
    assert caught.value.details["cause"] == "stage_fell_back"


def test_a_claimed_gpu_without_operation_records_is_withheld_too() -> None:
    with pytest.raises(GpuNotAvailable):
        convert(outcome(LONG, asked="cuda:0", used="cuda:0"), device="cuda:0")


def test_a_cpu_job_that_touched_the_gpu_is_a_bug_not_a_result() -> None:
    with pytest.raises(InternalError):
        convert(outcome(LONG, used="cuda:0"))


def test_a_device_that_could_not_be_read_is_told_in_the_warnings() -> None:
    conversion, _ = convert(outcome(LONG, used="unknown"))
    assert any("could not be read" in warning for warning in conversion.metadata.warnings)


def test_the_fingerprint_follows_the_options_and_not_the_file() -> None:
    same, _ = convert(outcome(LONG))
    again, _ = convert(outcome("another text " * 50))
    other, _ = convert(outcome(LONG), ocr_mode="off")
    assert same.metadata.options_fingerprint == again.metadata.options_fingerprint
    assert same.metadata.options_fingerprint != other.metadata.options_fingerprint
    assert same.metadata.markdown_filename == "a paper.md"


@pytest.mark.parametrize("name", ["a" * 251 + ".pdf", "é" * 125 + ".pdf", "紙" * 251 + ".pdf", "b" * 255])
def test_the_name_of_the_markdown_is_one_that_a_disk_takes(name: str, tmp_path: Path) -> None:
    markdown = tmp_path / name_markdown(name)
    markdown.touch()
    assert markdown.suffix == ".md"
    assert name.startswith(markdown.stem)
    assert len(markdown.stem.encode()) >= 240


@pytest.mark.parametrize(("ocr_mode", "counts"), [("auto", True), ("force", True), ("off", False)])
def test_the_fingerprint_follows_the_size_of_rendered_pages_where_ocr_may_run(ocr_mode: str, counts: bool) -> None:
    large, small = (convert(outcome(LONG), ocr_mode=ocr_mode, max_page_pixels=size)[0] for size in (10**7, 10**6))
    assert (large.metadata.options_fingerprint != small.metadata.options_fingerprint) is counts
