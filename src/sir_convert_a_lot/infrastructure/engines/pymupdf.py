"""The optional engine `pymupdf`: PyMuPDF's own text, heading and table rules, written as Markdown by its own code.

Owns opening the PDF, progress, and the receipt. Refuses OCR, and PyMuPDF's layout model: it uses the rules alone, so
that the receipt needs no look into a model. PyMuPDF is under AGPL-3.0 (or a commercial licence), which is why it is an
extra. Its modules are imported by name, since they may be missing when types are checked.
"""

from __future__ import annotations

import sys
import time
from importlib import import_module
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

from sir_convert_a_lot.domain.engine import EngineOptions, EngineOutcome, OcrPass, ReportProgress
from sir_convert_a_lot.domain.errors import PdfUnreadable, ValidationError
from sir_convert_a_lot.domain.job import JobStage
from sir_convert_a_lot.domain.pdf_problems import PdfProblem, refuse_pdf
from sir_convert_a_lot.domain.receipt import StageReceipt
from sir_convert_a_lot.infrastructure.engines.builtin.process_devices import measure_device

# What PyMuPDF raises on a broken page, its C++ errors aside; anything else is a bug and fails the job.
PAGE_ERRORS = (RuntimeError, ArithmeticError, LookupError, ValueError)


class PymupdfEngine:
    """PyMuPDF by its rules. Needs the extra `pymupdf`; imports it at construction. Not thread-safe."""

    name = "pymupdf"

    def __init__(self) -> None:
        pymupdf: Any = import_module("pymupdf")
        pymupdf4llm: Any = import_module("pymupdf4llm")
        # Both write to stdout unless told otherwise, and stdout is data.
        pymupdf.set_messages(stream=sys.stderr)
        pymupdf.TOOLS.mupdf_display_errors(False)
        pymupdf4llm.use_layout(False)
        self.version = package_version("pymupdf")

    def convert(self, pdf: Path, options: EngineOptions, report: ReportProgress) -> EngineOutcome:
        """Converts `pdf` page by page. Raises `PdfUnreadable`, and `ValidationError` when OCR is asked for."""
        if options.ocr is not OcrPass.OFF:
            raise ValidationError(
                "The pymupdf engine runs no OCR: ask for ocr_mode off, or for another engine.",
                details={
                    "field": "conversion.ocr_mode",
                    "reason": "backend_option_incompatible",
                    "backend": self.name,
                    "supported": ["off"],
                },
            )
        with _open(pdf, options.max_pages) as document:
            return _convert(document, report)


def _open(pdf: Path, max_pages: int) -> Any:
    pymupdf: Any = import_module("pymupdf")
    try:
        document = pymupdf.open(pdf, filetype="pdf")
    except (pymupdf.FileDataError, pymupdf.mupdf.FzErrorBase) as error:
        raise refuse_pdf(PdfProblem.DAMAGED) from error
    refusal = _refusal(document, max_pages)
    if refusal is not None:
        document.close()
        raise refusal
    return document


def _refusal(document: Any, max_pages: int) -> PdfUnreadable | None:
    if document.needs_pass:
        return refuse_pdf(PdfProblem.ENCRYPTED)
    if document.page_count == 0:
        return refuse_pdf(PdfProblem.NO_PAGES)
    if document.page_count > max_pages:
        return refuse_pdf(PdfProblem.TOO_MANY_PAGES, pages=document.page_count, max_pages=max_pages)
    return None


def _convert(document: Any, report: ReportProgress) -> EngineOutcome:
    pymupdf: Any = import_module("pymupdf")
    rules: Any = import_module("pymupdf4llm.helpers.pymupdf_rag")
    total = document.page_count
    started = time.perf_counter()
    headings = rules.IdentifyHeaders(document)
    parsed = time.perf_counter()
    texts: list[str] = []
    failed: dict[int, str] = {}
    for page_index in range(total):
        try:
            text = rules.to_markdown(document, pages=[page_index], hdr_info=headings, ignore_images=True)
            texts.append(text.strip())
        except (*PAGE_ERRORS, pymupdf.mupdf.FzErrorBase) as error:
            failed[page_index + 1] = f"page {page_index + 1} could not be converted: {type(error).__name__}: {error}"
        report(JobStage.LAYOUT_ANALYSIS, page_index + 1, total)
    done = time.perf_counter()
    return EngineOutcome(
        markdown="\n\n".join(text for text in texts if text) + "\n" if any(texts) else "",
        pages_total=total,
        stages=(
            _receipt(JobStage.PAGE_PARSING, parsed - started, total),
            _receipt(JobStage.LAYOUT_ANALYSIS, done - parsed, total - len(failed)),
        ),
        failed_pages=tuple(failed),
        warnings=tuple(failed.values()),
    )


def _receipt(stage: JobStage, seconds: float, pages: int) -> StageReceipt:
    device_used, measured_by = measure_device()
    return StageReceipt(stage.value, "cpu", device_used, measured_by, round(seconds * 1000, 3), pages)
