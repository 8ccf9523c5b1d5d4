"""The OCR rule, the receipt and the promise, with an engine that says exactly what each pass gives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from sir_convert_a_lot.application.convert import (
    Conversion,
    ConversionOrder,
    convert_document,
    name_markdown,
    options_fingerprint,
)
from sir_convert_a_lot.domain.engine import Confidence, EngineOptions, EngineOutcome, OcrPass, ReportProgress
from sir_convert_a_lot.domain.errors import GpuNotAvailable, InternalError, PartialConversion
from sir_convert_a_lot.domain.gpu_activity import (
    ActivitySample,
    GpuActivity,
    ReceiptDevice,
    Watched,
    derive_activity,
)
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
    ocr_pages: frozenset[int] = frozenset()  # of the last pass

    def convert(self, pdf: Path, options: EngineOptions, report: ReportProgress) -> EngineOutcome:
        self.passes.append(options.ocr)
        self.ocr_pages = options.ocr_pages
        return self.without_ocr if options.ocr is OcrPass.OFF else self.with_ocr


@dataclass
class LoadingEngine(ScriptedEngine):
    """Its models can be loaded ahead, and `steps` tells what was done in which order."""

    steps: list[str] = field(default_factory=list)

    def load(self, options: EngineOptions) -> None:
        self.steps.append(f"load {options.device} {options.ocr.value}")

    def convert(self, pdf: Path, options: EngineOptions, report: ReportProgress) -> EngineOutcome:
        self.steps.append("convert")
        return super().convert(pdf, options, report)


@dataclass
class ScriptedWitness:
    """Says that this process held `held_bytes` of the device while a job ran."""

    held_bytes: int | None
    steps: list[str] = field(default_factory=list)

    def describe(self, device: str) -> ReceiptDevice:
        return ReceiptDevice(device, pci_id="0000:00:06.0", name="a GPU")

    def rest(self, device: str) -> None:
        self.steps.append(f"rest {device}")

    @contextmanager
    def watch(self, device: str) -> Iterator[ScriptedWitness]:
        self.steps.append(f"watch {device}")
        yield self
        self.steps.append("end")

    def activity(self) -> GpuActivity:
        idle, working = ActivitySample(0.0, 0, process_bytes=self.held_bytes), ActivitySample(0.0, 50)
        samples = (working, replace(working, at_ms=100.0, process_bytes=self.held_bytes))
        return derive_activity(Watched("nvml", "0000:00:06.0", baseline=(idle,), samples=samples, taken=2))


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
    engine: ScriptedEngine | None = None,
    witness: ScriptedWitness | None = None,
) -> tuple[Conversion, ScriptedEngine]:
    engine = engine or ScriptedEngine(first, second or outcome(LONG, stage=JobStage.OCR))
    spec = JobSpec.model_validate(
        {
            "api_version": "v1",
            "source": {"kind": "upload", "filename": "a paper.PDF"},
            "conversion": {"ocr_mode": ocr_mode},
        }
    )
    order = ConversionOrder(spec, device, None, ("from the policy",), max_pages=10, max_page_pixels=max_page_pixels)
    return convert_document(Path("unread.pdf"), order, engine, keep, lambda *_: None, witness=witness), engine


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


def test_only_the_pages_that_the_engine_names_are_read_with_ocr_and_the_warning_names_them() -> None:
    first = replace(outcome(LONG * 5, pages=9, confidence=Confidence.POOR), pages_for_ocr=(2, 5, 6, 7))
    conversion, engine = convert(first, outcome(LONG * 9, pages=9, stage=JobStage.OCR))
    assert engine.passes == [OcrPass.OFF, OcrPass.SOME_PAGES]
    assert engine.ocr_pages == {2, 5, 6, 7}
    assert conversion.metadata.ocr_enabled
    assert any("converted pages 2, 5-7 of 9 a second time" in warning for warning in conversion.metadata.warnings)


def test_one_page_without_text_among_many_is_enough() -> None:
    first = replace(outcome(LONG * 99, pages=99, confidence=Confidence.GOOD), pages_for_ocr=(42,))
    conversion, engine = convert(first, outcome(LONG * 100, pages=99, stage=JobStage.OCR))
    assert engine.ocr_pages == {42}
    assert any("page 42 of 99" in warning for warning in conversion.metadata.warnings)


@pytest.mark.parametrize(("pages", "needy"), [(2, (1, 2)), (2, ()), (1, (1,))])
def test_where_all_pages_lack_text_or_none_is_named_the_document_is_read_with_ocr(
    pages: int, needy: tuple[int, ...]
) -> None:
    first = replace(outcome("", pages=pages, confidence=Confidence.POOR), pages_for_ocr=needy)
    conversion, engine = convert(first)
    assert (engine.passes, engine.ocr_pages) == ([OcrPass.OFF, OcrPass.FULL_PAGE], frozenset())
    assert any("converted the document a second time" in warning for warning in conversion.metadata.warnings)


@pytest.mark.parametrize(("ocr_mode", "ocr"), [("off", OcrPass.OFF), ("force", OcrPass.FULL_PAGE)])
def test_pages_without_text_change_nothing_where_ocr_is_off_or_forced(ocr_mode: str, ocr: OcrPass) -> None:
    _, engine = convert(replace(outcome(LONG, pages=2), pages_for_ocr=(2,)), ocr_mode=ocr_mode)
    assert (engine.passes, engine.ocr_pages) == ([ocr], frozenset())


def test_characters_that_nobody_knows_do_not_weigh_against_ocr() -> None:
    garbled = replace(outcome("\ufffd" * 900 + LONG, pages=2), pages_for_ocr=(2,))
    assert convert(garbled, outcome(LONG + LONG, stage=JobStage.OCR))[0].markdown == LONG + LONG
    assert convert(garbled, outcome("w", stage=JobStage.OCR))[0].markdown == garbled.markdown


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


# As a GPU stage looks whose operations could not be counted: then what the system saw decides.
UNCOUNTED = StageReceipt(
    stage="layout_analysis",
    device_asked="cuda:0",
    device_used="cuda:0",
    measured_by="the test",
    wall_ms=1.0,
    device_ms=1.0,
    model_devices=("cuda:0",),
    peak_vram_bytes=500,
)


def test_what_the_witness_saw_is_in_the_receipt_and_in_the_grade() -> None:
    conversion, _ = convert(
        EngineOutcome(LONG, 1, (UNCOUNTED,)), device="cuda:0", witness=ScriptedWitness(held_bytes=700)
    )
    execution = json.loads(json.dumps(conversion.metadata.execution))
    assert (execution["grade"], execution["acceleration_used"]) == ("CORROBORATED", "cuda")
    assert execution["device"]["pci_id"] == "0000:00:06.0"
    assert execution["activity"]["process_bytes_peak"] == 700
    assert execution["activity"]["busy_percent_peak"] == 50
    assert execution["schema_version"] == "1"


@pytest.mark.parametrize("held_bytes", [None, 0, 499])
def test_without_memory_of_this_process_the_same_stage_is_withheld_and_the_reason_told(held_bytes: int | None) -> None:
    with pytest.raises(GpuNotAvailable) as caught:
        convert(EngineOutcome(LONG, 1, (UNCOUNTED,)), device="cuda:0", witness=ScriptedWitness(held_bytes))
    evidence = caught.value.details["evidence"]
    told = "no sample was taken" if held_bytes is None else f"{held_bytes} bytes"
    assert f"memory of this process on the device: {told}" in evidence
    assert any(line.startswith("busy counter of the device: usable") for line in evidence)
    assert "grade of the receipt: SUGGESTIVE" in evidence


@pytest.mark.parametrize(("ocr_mode", "ocr"), [("off", "off"), ("force", "full_page")])
def test_the_gpu_is_seen_at_rest_once_the_models_of_the_first_pass_are_loaded(ocr_mode: str, ocr: str) -> None:
    steps: list[str] = []
    given = EngineOutcome(LONG, 1, (UNCOUNTED,))
    engine = LoadingEngine(given, given, steps=steps)
    convert(given, ocr_mode=ocr_mode, device="cuda:0", engine=engine, witness=ScriptedWitness(700, steps))
    assert steps == [f"load cuda:0 {ocr}", "rest cuda:0", "watch cuda:0", "convert", "end"]


def test_a_job_on_the_cpu_is_not_witnessed_and_its_receipt_says_so() -> None:
    witness = ScriptedWitness(held_bytes=700)
    conversion, _ = convert(outcome(LONG), witness=witness)
    assert witness.steps == []
    assert conversion.metadata.execution["device"] is None
    assert conversion.metadata.execution["activity"] is None


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


@pytest.mark.parametrize(
    ("device", "ocr_mode", "counts"),
    [("cuda:0", "auto", True), ("cuda:0", "force", True), ("cuda:0", "off", False), ("cpu", "auto", False)],
)
def test_the_fingerprint_follows_where_ocr_of_a_gpu_job_runs(device: str, ocr_mode: str, counts: bool) -> None:
    spec = JobSpec.model_validate(
        {
            "api_version": "v1",
            "source": {"kind": "upload", "filename": "a.pdf"},
            "conversion": {"ocr_mode": ocr_mode},
        }
    )
    orders = [
        ConversionOrder(spec, device, None, (), max_pages=1, max_page_pixels=10**6, allow_cpu_stages=stages)
        for stages in ((), ("ocr",))
    ]
    engine = ScriptedEngine(outcome(LONG), outcome(LONG))
    strict, lenient = (options_fingerprint(order, engine) for order in orders)
    assert (strict != lenient) is counts
