"""Builds Docling's standard PDF pipeline for one choice of device, table mode and OCR, with every stage watched.

Owns Docling's options and where each of our stages lies in Docling's pipeline. The device is named, never `auto`.
Refuses to keep pipelines (`engine`) and to download (`weights` was asked before).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sir_convert_a_lot.domain.engine import OcrPass
from sir_convert_a_lot.domain.job import JobStage
from sir_convert_a_lot.domain.job_spec import TableMode
from sir_convert_a_lot.infrastructure.engines.docling.device_failures import lost_device
from sir_convert_a_lot.infrastructure.engines.docling.model_devices import StageModels
from sir_convert_a_lot.infrastructure.engines.docling.stage_audit import CurrentAudit, JobAudit, WatchedStage
from sir_convert_a_lot.infrastructure.engines.docling.weights import OcrFiles, cpu_ocr_files, gpu_ocr_files

# TableFormer gives loggers of these names a handler on stdout, unless they have one; stdout is for data.
TALKATIVE_LOGGERS = (
    "TFPredictor",
    "CellMatcher",
    "MatchingPostProcessor",
    "TableModel04_rs",
    "Encoder04",
    "CellAttention",
    "BBoxDecoder",
    "docling_ibm_models.tableformer.common",
    "docling_ibm_models.tableformer.data_management.tf_predictor",
)


@dataclass(frozen=True, slots=True)
class PipelineChoice:
    """What a pipeline is kept under: two jobs with equal choices share one."""

    device: str  # "cpu" | "cuda:N"
    table_mode: TableMode
    ocr: OcrPass
    ocr_device: str  # "cpu" | "cuda:N"; `device` unless a server rule lets OCR stay on the CPU


@dataclass(slots=True)
class LoadedPipeline:
    """A converter whose models are loaded, and the place where the current job's audit is put."""

    choice: PipelineChoice
    converter: Any  # docling.document_converter.DocumentConverter
    pipeline: Any  # docling.pipeline.standard_pdf_pipeline.StandardPdfPipeline
    current: CurrentAudit
    stages: tuple[WatchedStage, ...]

    def places(self) -> list[tuple[JobStage, str, StageModels]]:
        """Of each stage the device that it was asked to use, and its models, as far as they are loaded."""
        return [(stage.stage, stage.device_asked, stage.find_models()) for stage in self.stages]


def load_pipeline(choice: PipelineChoice, artifacts: Path | None, threads: int) -> LoadedPipeline:
    """Load the models now. Raises `GpuNotAvailable` when Docling cannot have the device; seconds to tens of seconds."""
    from docling.datamodel.base_models import InputFormat
    from docling.document_converter import DocumentConverter, PdfFormatOption
    from docling.exceptions import AcceleratorDeviceNotAvailableError

    _quieten()
    current = CurrentAudit(JobAudit(choice.device))
    option = PdfFormatOption(
        pipeline_options=_options(choice, artifacts, threads),
        backend=_timed_backend(current),
        backend_options=_parser_options(threads),
    )
    converter = DocumentConverter(allowed_formats=[InputFormat.PDF], format_options={InputFormat.PDF: option})
    try:
        converter.initialize_pipeline(InputFormat.PDF)
    except AcceleratorDeviceNotAvailableError as error:
        raise lost_device(choice.device, str(error), error) from error
    (pipeline,) = converter.initialized_pipelines.values()
    return LoadedPipeline(choice, converter, pipeline, current, _watch(pipeline, choice, current))


def _quieten() -> None:
    """Nothing of Docling's goes to stdout, and no progress bar of its loaders to stderr; its log lines stay."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    for name in TALKATIVE_LOGGERS:
        if not logging.getLogger(name).handlers:
            logging.getLogger(name).addHandler(logging.NullHandler())


def _options(choice: PipelineChoice, artifacts: Path | None, threads: int) -> Any:
    from docling.datamodel.accelerator_options import AcceleratorOptions
    from docling.datamodel.pipeline_options import (
        TableFormerMode,
        TableStructureOptions,
        ThreadedPdfPipelineOptions,
    )

    with_ocr = choice.ocr is OcrPass.FULL_PAGE
    options = ThreadedPdfPipelineOptions(
        artifacts_path=artifacts,
        accelerator_options=AcceleratorOptions(device=choice.device, num_threads=threads),
        table_structure_options=TableStructureOptions(mode=TableFormerMode(choice.table_mode.value)),
        do_ocr=with_ocr,
        enable_remote_services=False,
        allow_external_plugins=False,
    )
    if with_ocr:
        options.ocr_options = ocr_options(choice, artifacts)
    return options


def ocr_options(choice: PipelineChoice, artifacts: Path | None) -> Any:
    """Every model named by its file, so that RapidOCR has nothing to look for; it would download what it misses."""
    from docling.datamodel.pipeline_options import OcrMode, RapidOcrOptions

    on_cpu = choice.ocr_device == "cpu"
    files: OcrFiles = cpu_ocr_files() if on_cpu else gpu_ocr_files(artifacts)
    return RapidOcrOptions(
        mode=OcrMode.FULL_PAGE,
        backend="onnxruntime" if on_cpu else "torch",
        det_model_path=str(files.detection),
        cls_model_path=str(files.classification),
        rec_model_path=str(files.recognition),
        rec_keys_path=str(files.keys) if files.keys else None,
        # Docling hands RapidOCR the pipeline's device; here OCR may stay on the CPU while the rest does not.
        rapidocr_params={"EngineConfig.onnxruntime.use_cuda": False} if on_cpu else {},
    )


def _parser_options(threads: int) -> Any:
    from docling.datamodel.backend_options import ThreadedDoclingParseBackendOptions

    return ThreadedDoclingParseBackendOptions(parser_threads=threads)


def _timed_backend(current: CurrentAudit) -> Any:
    """Docling's default parser, telling the audit how long its pages were waited for.

    It parses ahead in threads of its own, so only this waiting, and opening the file, cost the conversion time.
    """
    from docling.backend.docling_parse_backend import ThreadedDoclingParseDocumentBackend

    class TimedBackend(ThreadedDoclingParseDocumentBackend):  # type: ignore[misc] # Docling is not checked
        def __init__(self, *arguments: Any, **named: Any) -> None:
            with current.audit.add_time(JobStage.PAGE_PARSING):
                super().__init__(*arguments, **named)

        def iter_pages(self) -> Any:
            pages = super().iter_pages()
            while not current.audit.is_over:
                with current.audit.add_time(JobStage.PAGE_PARSING):
                    page = next(pages, None)
                if page is None:
                    return
                yield page

    return TimedBackend


def _watch(pipeline: Any, choice: PipelineChoice, current: CurrentAudit) -> tuple[WatchedStage, ...]:
    """Put a watched stage in the place of every model that Docling calls."""
    watched: list[WatchedStage] = []

    def place(name: str, stage: JobStage, device: str, *, counts_pages: bool = True) -> None:
        stand_in = WatchedStage(getattr(pipeline, name), stage, device, current, counts_pages=counts_pages)
        setattr(pipeline, name, stand_in)
        watched.append(stand_in)

    _place_all(place, choice)
    return tuple(watched)


def _place_all(place: Callable[..., None], choice: PipelineChoice) -> None:
    place("preprocessing_model", JobStage.PAGE_PARSING, choice.device)
    place("layout_model", JobStage.LAYOUT_ANALYSIS, choice.device)
    place("table_model", JobStage.TABLE_STRUCTURE, choice.device)
    if choice.ocr is OcrPass.FULL_PAGE:
        place("ocr_model", JobStage.OCR, choice.ocr_device)
    place("layout_postprocessing_model", JobStage.ASSEMBLY, choice.device, counts_pages=False)
    place("assemble_model", JobStage.ASSEMBLY, choice.device)
    place("reading_order_model", JobStage.ASSEMBLY, choice.device)
    place("heading_hierarchy_model", JobStage.ASSEMBLY, choice.device)
