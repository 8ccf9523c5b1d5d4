"""Real Docling on real PDFs, with tiny models: what arrives, what is measured, what is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sir_convert_a_lot.domain.engine import Confidence, EngineOptions, EngineOutcome, OcrPass
from sir_convert_a_lot.domain.errors import GpuNotAvailable, ModelWeightsMissing, PdfUnreadable
from sir_convert_a_lot.domain.job import JobStage
from sir_convert_a_lot.domain.job_spec import TableMode
from sir_convert_a_lot.domain.receipt import StageReceipt, grade_of

if TYPE_CHECKING:
    from sir_convert_a_lot.infrastructure.engines.docling.engine import DoclingEngine

Seen = list[tuple[JobStage, int, int]]


def convert(engine: DoclingEngine, pdf: Path, seen: Seen | None = None, **options: object) -> EngineOutcome:
    steps: Seen = [] if seen is None else seen
    return engine.convert(pdf, EngineOptions(**options), lambda *step: steps.append(step))  # type: ignore[arg-type]


def stages_of(outcome: EngineOutcome) -> dict[str, StageReceipt]:
    return {stage.stage: stage for stage in outcome.stages}


@pytest.fixture(scope="module")
def digital(engine: DoclingEngine, examples: Path) -> tuple[EngineOutcome, Seen]:
    seen: Seen = []
    return convert(engine, examples / "digital.pdf", seen), seen


@pytest.fixture(scope="module")
def scanned(engine: DoclingEngine, examples: Path) -> EngineOutcome:
    return convert(engine, examples / "scanned.pdf", ocr=OcrPass.FULL_PAGE)


def test_the_text_of_a_born_digital_pdf_arrives(digital: tuple[EngineOutcome, Seen]) -> None:
    outcome, _ = digital
    assert outcome.pages_total == 3
    assert outcome.failed_pages == ()
    assert "A microphone has no such preferences." in outcome.markdown
    assert outcome.confidence is Confidence.EXCELLENT


def test_the_quality_report_has_what_docling_tells_and_none_for_the_rest(
    digital: tuple[EngineOutcome, Seen], scanned: EngineOutcome
) -> None:
    told = digital[0].quality
    assert told is not None
    assert (told.pages_total, told.confidence, told.ocr_pages) == (3, "excellent", ())
    assert told.headings == sum(line.startswith("#") for line in digital[0].markdown.splitlines())
    assert told.words_lost is told.lost_share is told.garbled_pages is None
    assert scanned.quality is not None
    assert (scanned.quality.ocr_pages, scanned.quality.empty_pages) == ((1,), ())


def test_progress_counts_pages_up_and_ends_with_assembly(digital: tuple[EngineOutcome, Seen]) -> None:
    _, seen = digital
    assert seen[0] == (JobStage.PAGE_PARSING, 0, 3)
    assert [step for step in seen if step[0] is JobStage.LAYOUT_ANALYSIS] == [
        (JobStage.LAYOUT_ANALYSIS, page, 3) for page in (1, 2, 3)
    ]
    assert seen[-1] == (JobStage.ASSEMBLY, 3, 3)


def test_every_stage_of_a_cpu_job_is_seen_on_the_cpu(digital: tuple[EngineOutcome, Seen]) -> None:
    stages = stages_of(digital[0])
    assert list(stages) == ["page_parsing", "layout_analysis", "table_structure", "assembly"]
    assert {stage.device_used for stage in stages.values()} == {"cpu"}
    assert {stage.device_asked for stage in stages.values()} == {"cpu"}
    assert all(stage.wall_ms > 0 and stage.pages == 3 for stage in stages.values())
    assert all(stage.device_ms is None and stage.peak_vram_bytes is None for stage in stages.values())
    assert grade_of(digital[0].stages) is None


def test_a_receipt_tells_how_it_was_seen(digital: tuple[EngineOutcome, Seen]) -> None:
    stages = stages_of(digital[0])
    layout = stages["layout_analysis"]
    assert layout.measured_by.startswith("parameter_devices: cpu; torch_operations: cpu ")
    assert layout.model_devices == ("cpu",)
    assert layout.operations is not None
    assert layout.operations >= 200
    assert layout.operations_elsewhere == 0
    assert "torch_operations: none" in stages["page_parsing"].measured_by
    assert "no_gpu_device_open" in stages["assembly"].measured_by


def test_the_table_stage_runs_where_the_layout_model_sees_a_table(digital: tuple[EngineOutcome, Seen]) -> None:
    tables = stages_of(digital[0])["table_structure"]
    assert tables.operations is not None
    assert tables.operations >= 200
    assert tables.device_used == "cpu"


def test_without_a_table_the_table_stage_says_that_it_had_nothing_to_compute(tmp_path: Path, examples: Path) -> None:
    from tiny_docling_models import make_models

    from sir_convert_a_lot.infrastructure.engines.docling.engine import DoclingEngine

    engine = DoclingEngine(artifacts_path=make_models(tmp_path, tables_per_page=0), threads=2)
    tables = stages_of(convert(engine, examples / "tagged.pdf"))["table_structure"]
    assert (tables.device_used, tables.operations) == ("none", None)
    assert tables.measured_by.endswith("there was nothing to compute")
    assert tables.model_devices == ("cpu",)


def test_ocr_reads_a_scanned_page_and_its_sessions_tell_the_device(scanned: EngineOutcome) -> None:
    assert "Fourteen members were present." in scanned.markdown
    ocr = stages_of(scanned)["ocr"]
    assert ocr.device_used == "cpu"
    assert ocr.measured_by == "onnx_session_providers: CPUExecutionProvider x3"


def test_without_ocr_a_scanned_page_has_no_text(engine: DoclingEngine, examples: Path) -> None:
    outcome = convert(engine, examples / "scanned.pdf")
    assert "members" not in outcome.markdown
    assert "ocr" not in stages_of(outcome)


def test_models_stay_loaded_for_the_next_job(engine: DoclingEngine) -> None:
    first = engine.load(EngineOptions())
    assert engine.load(EngineOptions(max_pages=3)) is first
    assert engine.load(EngineOptions(ocr=OcrPass.FULL_PAGE)) is not first


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("encrypted.pdf", {}, "encrypted"),
        ("damaged.pdf", {}, "damaged"),
        ("digital.pdf", {"max_pages": 2}, "too_many_pages"),
        ("digital.pdf", {"max_page_pixels": 100_000}, "page_too_large"),
    ],
)
def test_a_pdf_that_cannot_be_converted_is_refused_with_its_reason(
    engine: DoclingEngine, examples: Path, name: str, options: dict[str, object], reason: str
) -> None:
    with pytest.raises(PdfUnreadable) as refused:
        convert(engine, examples / name, **options)
    assert refused.value.details["reason"] == reason


def test_the_pixels_of_a_rendered_page_are_bounded(engine: DoclingEngine, examples: Path) -> None:
    """An A4 or letter page has about 0.5 megapixels at 72 dpi, 2 at 144 and 4.5 at 216."""
    convert(engine, examples / "scanned.pdf", ocr=OcrPass.FULL_PAGE, max_page_pixels=1_000_000)
    pipeline = engine.load(EngineOptions(ocr=OcrPass.FULL_PAGE)).pipeline
    assert 1.3 < pipeline.ocr_model.model.scale < 1.5
    assert pipeline.table_model.model.scale == pipeline.ocr_model.model.scale


def test_a_device_that_is_not_there_is_refused_and_nothing_runs_on_the_cpu(
    engine: DoclingEngine, examples: Path
) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    seen: Seen = []
    with pytest.raises(GpuNotAvailable) as refused:
        convert(engine, examples / "digital.pdf", seen, device="cuda:0")
    assert refused.value.details["cause"] == "gpu_lost_after_start"
    assert refused.value.details["remediation"]
    assert seen == []


def test_doclings_own_refusal_of_a_device_keeps_its_meaning(artifacts: Path) -> None:
    import torch

    from sir_convert_a_lot.infrastructure.engines.docling.loading import PipelineChoice, load_pipeline

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(GpuNotAvailable):
        load_pipeline(PipelineChoice("cuda:0", TableMode.FAST, OcrPass.OFF, "cuda:0"), artifacts, threads=1)


def test_a_page_on_which_a_stage_fails_is_a_failed_page_and_is_told(
    artifacts: Path, examples: Path, tmp_path: Path
) -> None:
    """A table model that may take no step: it fails on every page where the layout model sees a table."""
    from sir_convert_a_lot.infrastructure.engines.docling.engine import DoclingEngine

    models = tmp_path / "models"
    shutil.copytree(artifacts, models, copy_function=os.link)
    config = next(models.glob("*/model_artifacts/tableformer/fast/tm_config.json"))
    text = config.read_text(encoding="utf-8")
    config.unlink()  # a link to the file of all tests
    config.write_text(text.replace('"max_steps": 9', '"max_steps": 0'), encoding="utf-8")
    outcome = convert(DoclingEngine(artifacts_path=models, threads=2), examples / "digital.pdf")
    assert outcome.failed_pages == (1, 2, 3)
    assert len(outcome.warnings) == 3
    assert outcome.warnings[0].startswith("page 1, table: ")


def test_missing_models_are_an_error_that_names_the_command(artifacts: Path, examples: Path, tmp_path: Path) -> None:
    from sir_convert_a_lot.infrastructure.engines.docling.engine import DoclingEngine

    shutil.copytree(artifacts, tmp_path / "models", copy_function=shutil.copyfile)
    table = tmp_path / "models/docling-project--docling-models/model_artifacts/tableformer/accurate"
    shutil.rmtree(table)
    engine = DoclingEngine(artifacts_path=tmp_path / "models", threads=1)
    assert engine.missing_weights(EngineOptions()) == ()
    with pytest.raises(ModelWeightsMissing) as refused:
        convert(engine, examples / "digital.pdf", table_mode=TableMode.ACCURATE)
    assert [Path(name).name for name in refused.value.details["missing"]] == [
        "tm_config.json",
        "tableformer_accurate.safetensors",
    ]
    assert "convert-a-lot models download" in refused.value.message
    assert str(tmp_path) not in f"{refused.value.message} {refused.value.details}"


def test_ocr_on_a_gpu_needs_its_own_models_unless_the_cpu_is_allowed(artifacts: Path) -> None:
    from sir_convert_a_lot.infrastructure.engines.docling.engine import DoclingEngine

    options = EngineOptions(device="cuda:0", ocr=OcrPass.FULL_PAGE)
    strict, lenient = DoclingEngine(artifacts), DoclingEngine(artifacts, allow_cpu_stages=["ocr"])
    assert "RapidOcr/PP-OCRv6_det_small.pth" in strict.missing_weights(options)
    assert lenient.missing_weights(options) == ()


def test_missing_models_are_told_without_importing_torch_or_docling(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from sir_convert_a_lot.domain.engine import EngineOptions\n"
        "from sir_convert_a_lot.infrastructure.engines.installed import load_engine\n"
        f"engine = load_engine('docling', artifacts_path=Path({str(tmp_path)!r}))\n"
        "assert len(engine.missing_weights(EngineOptions())) == 5, engine.missing_weights(EngineOptions())\n"
        "print([name for name in ('torch', 'docling') if name in sys.modules])\n"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (told.stdout.strip(), told.returncode) == ("[]", 0), told.stderr


def test_the_engine_refuses_to_start_where_a_model_hub_could_still_be_asked(tmp_path: Path) -> None:
    script = (
        "import huggingface_hub.constants as hub; assert not hub.HF_HUB_OFFLINE\n"
        "from sir_convert_a_lot.infrastructure.engines.installed import load_engine\n"
        "load_engine('docling')\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, env={"HOME": str(tmp_path)}
    )
    assert told.returncode != 0
    assert "before downloads could be forbidden" in told.stderr


def test_nothing_of_a_conversion_is_printed(artifacts: Path, examples: Path) -> None:
    script = (
        "from pathlib import Path\n"
        "from sir_convert_a_lot.domain.engine import EngineOptions\n"
        "from sir_convert_a_lot.infrastructure.engines.installed import load_engine\n"
        f"engine = load_engine('docling', artifacts_path=Path({str(artifacts)!r}), threads=1)\n"
        f"engine.convert(Path({str(examples / 'two_column.pdf')!r}), EngineOptions(), lambda *_: None)\n"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (told.stdout, told.returncode) == ("", 0), told.stderr


def test_the_names_of_model_files_are_doclings_own() -> None:
    from docling.datamodel.stage_model_specs import OBJECT_DETECTION_LAYOUT_HERON
    from docling.models.stages.ocr.rapid_ocr_model import RapidOcrModel, _rapidocr_artifacts
    from docling.models.stages.table_structure.table_structure_model import TableStructureModel
    from rapidocr.utils.typings import EngineType, OCRVersion

    from sir_convert_a_lot.infrastructure.engines.docling import weights

    layout = OBJECT_DETECTION_LAYOUT_HERON.model_spec
    assert (weights.LAYOUT.name, weights.LAYOUT.revision) == (layout.repo_id, layout.revision)
    for mode, repository in weights.TABLES.items():
        assert repository.folder == TableStructureModel._model_repo_folder
        assert all(file.startswith(f"{TableStructureModel._model_path}/{mode.value}/") for file in repository.files)
    assert RapidOcrModel._model_repo_folder == weights.OCR_FOLDER
    for engine_type, files in (
        (EngineType.ONNXRUNTIME, weights.cpu_ocr_files()),
        (EngineType.TORCH, weights.gpu_ocr_files(Path("models"))),
    ):
        named = _rapidocr_artifacts(Path(), engine_type, OCRVersion.PPOCRV6, "ch")
        wanted = [named["det"].model_path, named["cls"].model_path, named["rec"].model_path, named["rec"].dict_path]
        mine = [files.detection, files.classification, files.recognition, files.keys]
        assert [path.name if path else None for path in mine] == [path.name if path else None for path in wanted]
