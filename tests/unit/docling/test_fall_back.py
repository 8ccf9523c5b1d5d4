"""A stage that was asked for the GPU and works elsewhere ends the job when it is seen, not when the job is over.

No machine of these tests has a GPU, so every stage works on the CPU: one that is asked for `cuda:0` has fallen back.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pikepdf
import pytest

from sir_convert_a_lot.domain.engine import EngineOptions, OcrPass
from sir_convert_a_lot.domain.errors import GpuNotAvailable
from sir_convert_a_lot.domain.job import JobStage
from sir_convert_a_lot.domain.job_spec import TableMode
from sir_convert_a_lot.infrastructure.engines.docling.device_failures import failed_device
from sir_convert_a_lot.infrastructure.engines.docling.fall_back import find_elsewhere, require_models_on
from sir_convert_a_lot.infrastructure.engines.docling.loading import PipelineChoice, load_pipeline
from sir_convert_a_lot.infrastructure.engines.docling.model_devices import find_models
from sir_convert_a_lot.infrastructure.engines.docling.operation_record import OperationRecord
from sir_convert_a_lot.infrastructure.engines.docling.stage_audit import CurrentAudit, JobAudit, WatchedStage

if TYPE_CHECKING:
    from sir_convert_a_lot.infrastructure.engines.docling.engine import DoclingEngine

PAGES = 40


@pytest.fixture(scope="module")
def models(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny models, and RapidOCR's for torch: what a job on a GPU needs."""
    from tiny_docling_models import make_torch_ocr_models

    folder = tmp_path_factory.mktemp("gpu_models") / "models"
    shutil.copytree(artifacts, folder, copy_function=os.link)
    return make_torch_ocr_models(folder)


@pytest.fixture
def long_scan(tmp_path: Path, examples: Path) -> Path:
    pdf = tmp_path / "long.pdf"
    with pikepdf.open(examples / "scanned.pdf") as source, pikepdf.new() as long:
        for _ in range(PAGES):
            long.pages.append(source.pages[0])
        long.save(pdf)
    return pdf


def load_engine_whose_ocr_fell_back(models: Path) -> DoclingEngine:
    """OCR was to run on a GPU, with RapidOCR's torch engine, and Docling put it on the CPU."""
    from sir_convert_a_lot.infrastructure.engines.docling.engine import DoclingEngine

    engine = DoclingEngine(artifacts_path=models, threads=2)
    asked = PipelineChoice("cpu", TableMode.FAST, OcrPass.FULL_PAGE, "cpu")
    fallen = PipelineChoice("cpu", TableMode.FAST, OcrPass.FULL_PAGE, "cuda:0")
    engine._pipelines[asked] = load_pipeline(fallen, models, threads=2)
    return engine


def test_a_stage_that_fell_back_ends_the_conversion_after_its_first_batch(models: Path, long_scan: Path) -> None:
    engine = load_engine_whose_ocr_fell_back(models)
    told: list[tuple[JobStage, int, int]] = []
    with pytest.raises(GpuNotAvailable) as refused:
        engine.convert(long_scan, EngineOptions(ocr=OcrPass.FULL_PAGE), lambda *step: told.append(step))
    assert refused.value.details["cause"] == "stage_fell_back"
    assert refused.value.details["evidence"] == ["ocr: asked cuda:0, parameters lie on cpu"]
    assert refused.value.fault is None  # nothing failed, so there is nothing to explain
    (loaded,) = engine._pipelines.values()
    worked_on = loaded.current.audit.logs[JobStage.OCR].pages
    assert 0 < worked_on <= loaded.pipeline.pipeline_options.ocr_batch_size
    assert JobStage.ASSEMBLY not in {stage for stage, _, _ in told[1:-1]}


def test_the_next_job_of_the_same_pipeline_is_judged_anew(models: Path, examples: Path) -> None:
    engine = load_engine_whose_ocr_fell_back(models)
    for _ in range(2):
        with pytest.raises(GpuNotAvailable):
            engine.convert(examples / "scanned.pdf", EngineOptions(ocr=OcrPass.FULL_PAGE), lambda *_: None)


def test_models_that_lie_elsewhere_are_refused_before_a_job_uses_them(models: Path) -> None:
    from sir_convert_a_lot.infrastructure.engines.docling.kernel_proof import exercise_ocr

    loaded = load_pipeline(PipelineChoice("cpu", TableMode.FAST, OcrPass.FULL_PAGE, "cuda:0"), models, threads=2)
    require_models_on(loaded.places())  # RapidOCR has loaded none yet, and the others were asked for the CPU
    (ocr,) = [stage for stage in loaded.stages if stage.stage is JobStage.OCR]
    exercise_ocr(ocr.model)
    with pytest.raises(GpuNotAvailable, match="the stage ocr works elsewhere"):
        require_models_on(loaded.places())


def test_onnx_on_the_cpu_is_seen_by_its_providers(engine: DoclingEngine, examples: Path) -> None:
    options = EngineOptions(ocr=OcrPass.FULL_PAGE)
    engine.convert(examples / "scanned.pdf", options, lambda *_: None)
    (ocr,) = [stage for stage in engine.load(options).stages if stage.stage is JobStage.OCR]
    seen = find_elsewhere("cuda:0", ocr.find_models(), OperationRecord())
    assert seen == "onnx_session_providers: CPUExecutionProvider x3"
    assert find_elsewhere("cpu", ocr.find_models(), OperationRecord()) is None


@pytest.mark.parametrize(
    ("operations", "seen"),
    [
        ({}, None),
        ({"meta": 200, "cpu": 3}, None),
        ({"meta": 1, "cpu": 1}, "operations of its first batch ran on"),
        ({"cpu": 9, "meta": 2}, "operations of its first batch ran on cpu"),
    ],
)
def test_where_most_operations_ran_counts_where_the_parameters_lie_right(
    operations: dict[str, int], seen: str | None
) -> None:
    """Torch's `meta` device stands for the GPU: parameters can lie there without one."""
    from torch import nn

    record = OperationRecord()
    record.by_device.update(operations)
    stage = SimpleNamespace(network=nn.Linear(2, 2, device="meta"))
    found = find_elsewhere("meta", find_models(stage), record)
    assert found is None if seen is None else found is not None and found.startswith(seen)


def test_nothing_seen_is_left_to_the_receipt_and_not_taken_for_elsewhere() -> None:
    assert find_elsewhere("cuda:0", find_models(SimpleNamespace()), OperationRecord()) is None


def test_a_device_that_failed_ends_the_job_at_the_next_call_of_any_stage() -> None:
    import torch

    def run_out(_result: Any, _pages: list[Any]) -> list[Any]:
        raise torch.OutOfMemoryError("the device is full")

    audit = JobAudit("cpu")
    calls: list[int] = []
    first = WatchedStage(run_out, JobStage.LAYOUT_ANALYSIS, "cpu", CurrentAudit(audit))
    second = WatchedStage(lambda _, pages: calls.append(1) or pages, JobStage.OCR, "cpu", CurrentAudit(audit))
    with pytest.raises(torch.OutOfMemoryError):
        first(SimpleNamespace(), [SimpleNamespace()])
    with pytest.raises(GpuNotAvailable) as refused:
        second(SimpleNamespace(), [SimpleNamespace()])
    assert calls == []
    assert refused.value.details == failed_device("cpu", torch.OutOfMemoryError("the device is full")).details
    assert refused.value.details["cause"] == "vram_exhausted"
    assert refused.value.fault is not None
