"""The Docling engine: Docling's standard PDF pipeline, warm, on a device that was named, with a receipt of every stage.

Owns the order of one conversion, the pipelines kept warm, and what Docling's answers mean in our words. Refuses to
choose a device, to fall back from one, and to download anything.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

from sir_convert_a_lot.domain.engine import EngineOptions, EngineOutcome, OcrPass, ReportProgress
from sir_convert_a_lot.domain.errors import InternalError
from sir_convert_a_lot.domain.job import JobStage
from sir_convert_a_lot.domain.pdf_problems import PdfProblem, refuse_pdf
from sir_convert_a_lot.infrastructure.engines.docling.device_failures import (
    check_device,
    telling_failures_of,
)
from sir_convert_a_lot.infrastructure.engines.docling.fall_back import require_models_on
from sir_convert_a_lot.infrastructure.engines.docling.loading import LoadedPipeline, PipelineChoice, load_pipeline
from sir_convert_a_lot.infrastructure.engines.docling.page_sizes import (
    OCR_SCALE,
    TABLE_SCALE,
    PageSizes,
    fit_scale,
    measure_pages,
)
from sir_convert_a_lot.infrastructure.engines.docling.quality import grade_of, tell_quality
from sir_convert_a_lot.infrastructure.engines.docling.stage_audit import JobAudit
from sir_convert_a_lot.infrastructure.engines.docling.weights import find_artifacts, missing_weights, refuse

# Docling's own default; more threads gained nothing on its models in its authors' measurements.
DEFAULT_MAX_THREADS = 4
MAX_WARNING_CHARACTERS = 200


class DoclingEngine:
    """One a process. Models stay loaded between jobs, one set for each device, table mode and OCR. Not thread-safe."""

    name = "docling"

    def __init__(
        self,
        artifacts_path: Path | str | None = None,
        threads: int | None = None,
        allow_cpu_stages: Iterable[str] = (),
    ) -> None:
        """`artifacts_path` None: `DOCLING_ARTIFACTS_PATH`, Docling's download folder, or the model hub's cache.

        `allow_cpu_stages` may name `ocr`: then OCR of a GPU job runs on the CPU, and the result says so.
        """
        _forbid_downloads()
        self.version = package_version("docling")
        self._artifacts_path = Path(artifacts_path) if artifacts_path else None
        self._threads = threads or min(DEFAULT_MAX_THREADS, len(os.sched_getaffinity(0)))
        self._allow_cpu_stages = frozenset(allow_cpu_stages)
        self._pipelines: dict[PipelineChoice, LoadedPipeline] = {}

    def missing_weights(self, options: EngineOptions) -> tuple[str, ...]:
        """Names of the model files that these options need and that are not here. Loads nothing."""
        artifacts = find_artifacts(self._artifacts_path)
        return missing_weights(artifacts, options, ocr_on_cpu=self._ocr_device(options) == "cpu")

    def convert(self, pdf: Path, options: EngineOptions, report: ReportProgress) -> EngineOutcome:
        """Raises `PdfUnreadable`, `ModelWeightsMissing`, and `GpuNotAvailable`: the device cannot be used, it failed
        midway, or a stage was seen to work elsewhere, which ends the conversion then.
        """
        pages = measure_pages(pdf, options.max_pages, options.max_page_pixels)
        loaded = self.load(options)
        _bound_images(loaded, pages, options.max_page_pixels)
        with telling_failures_of(options.device):
            return _Conversion(loaded, pdf, pages.count, report).run(self._warnings(loaded.choice))

    def load(self, options: EngineOptions) -> LoadedPipeline:
        """The pipeline for these options, loaded at the first call. Raises `GpuNotAvailable`, `ModelWeightsMissing`."""
        choice = PipelineChoice(options.device, options.table_mode, options.ocr, self._ocr_device(options))
        if choice not in self._pipelines:
            check_device(options.device)
            missing = self.missing_weights(options)
            if missing:
                raise refuse(missing)
            with telling_failures_of(options.device):
                self._pipelines[choice] = self._load(choice)
        return self._pipelines[choice]

    def _load(self, choice: PipelineChoice) -> LoadedPipeline:
        loaded = load_pipeline(choice, find_artifacts(self._artifacts_path), self._threads)
        if choice.device != "cpu":
            from sir_convert_a_lot.infrastructure.engines.docling.kernel_proof import record_kernels

            require_models_on(loaded.places())
            record_kernels(loaded)
            require_models_on(loaded.places())  # again: RapidOCR loads a model when it is first used
        return loaded

    def _ocr_device(self, options: EngineOptions) -> str:
        return "cpu" if "ocr" in self._allow_cpu_stages else options.device

    def _warnings(self, choice: PipelineChoice) -> tuple[str, ...]:
        if choice.ocr is OcrPass.FULL_PAGE and choice.ocr_device != choice.device:
            return (f"OCR ran on the CPU while the job ran on {choice.device}, as `allow_cpu_stages` allows.",)
        return ()


def _bound_images(loaded: LoadedPipeline, pages: PageSizes, max_page_pixels: int) -> None:
    """Docling renders every page at the scale of the stage; a document with huge pages gets a smaller one."""
    loaded.pipeline.table_model.model.scale = fit_scale(TABLE_SCALE, pages, max_page_pixels)
    if loaded.choice.ocr is OcrPass.FULL_PAGE:
        loaded.pipeline.ocr_model.model.scale = fit_scale(OCR_SCALE, pages, max_page_pixels)


class _Conversion:
    """One pass over one document."""

    def __init__(self, loaded: LoadedPipeline, pdf: Path, page_count: int, report: ReportProgress) -> None:
        self._loaded = loaded
        self._pdf = pdf
        self._page_count = page_count
        self._report = report
        self._audit = JobAudit(loaded.choice.device)

    def run(self, warnings: tuple[str, ...]) -> EngineOutcome:
        result, markdown = self._convert()
        self._audit.raise_if_over()
        failed = self._failed_pages(result)
        self._check(result, failed)
        return EngineOutcome(
            markdown=markdown,
            pages_total=self._page_count,
            stages=self._audit.receipts(),
            confidence=grade_of(result.confidence),
            failed_pages=failed,
            warnings=(*warnings, *_describe_errors(result)),
            quality=tell_quality(result, self._page_count, is_ocr=self._loaded.choice.ocr is OcrPass.FULL_PAGE),
        )

    def _convert(self) -> tuple[Any, str]:
        """(Docling's result, the Markdown)."""
        self._loaded.current.audit = self._audit
        self._audit.start()
        try:
            result = self._loaded.converter.convert(
                self._pdf, raises_on_error=False, progress_callback=self._on_progress
            )
            with self._audit.add_time(JobStage.ASSEMBLY):
                return result, result.document.export_to_markdown()
        finally:
            self._audit.finish()

    def _on_progress(self, event: Any) -> None:
        """Docling tells a page when all its page stages are done, from the thread that called `convert`."""
        if event.kind == "page_completed":
            stage = JobStage.OCR if self._loaded.choice.ocr is OcrPass.FULL_PAGE else JobStage.LAYOUT_ANALYSIS
            self._report(stage, event.completed_pages, self._page_count)
        elif event.kind == "phase_started" and event.phase == "build":
            self._report(JobStage.PAGE_PARSING, 0, self._page_count)
        elif event.kind == "phase_started" and event.phase == "assemble":
            self._report(JobStage.ASSEMBLY, self._page_count, self._page_count)

    def _failed_pages(self, result: Any) -> tuple[int, ...]:
        done = {page.page_no for page in result.pages}
        return tuple(number for number in range(1, self._page_count + 1) if number not in done)

    def _check(self, result: Any, failed: tuple[int, ...]) -> None:
        """Docling answers with a status instead of an exception; only some of them are an outcome."""
        if not result.input.valid:
            raise refuse_pdf(PdfProblem.DAMAGED)
        if result.status in {"success", "partial_success"} or failed:
            return
        raise InternalError(f"Docling failed without naming a page: {'; '.join(_describe_errors(result))}")


def _describe_errors(result: Any) -> tuple[str, ...]:
    """In the order of the pages: stages run in threads, so Docling's own order changes from run to run."""
    return tuple(
        f"{f'page {error.page_no}, ' if error.page_no else ''}{error.module_name or 'document'}: "
        f"{error.error_message.splitlines()[0][:MAX_WARNING_CHARACTERS] if error.error_message else 'failed'}"
        for error in sorted(result.errors, key=lambda error: error.page_no or 0)
    )


def _forbid_downloads() -> None:
    """No model hub from here on: a missing file is an error that names the command, never a download in a request."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    constants = sys.modules.get("huggingface_hub.constants")
    if constants is not None and not constants.HF_HUB_OFFLINE:
        raise InternalError("huggingface_hub was imported before downloads could be forbidden in this process")
