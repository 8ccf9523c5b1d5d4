"""The built-in CPU engine: born-digital PDFs to Markdown without a model.

Owns the order of the steps, progress, stage times and failed pages. Every step is a module of its own. Refuses to use a
GPU, to run OCR unasked, and to skip a page silently.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version as package_version
from pathlib import Path

from sir_convert_a_lot.domain.engine import EngineOptions, EngineOutcome, OcrPass, ReportProgress
from sir_convert_a_lot.domain.job import JobStage
from sir_convert_a_lot.domain.quality import LeftOut
from sir_convert_a_lot.domain.receipt import StageReceipt
from sir_convert_a_lot.infrastructure.engines.builtin.columns import GutterMemory
from sir_convert_a_lot.infrastructure.engines.builtin.figures import drop_labels
from sir_convert_a_lot.infrastructure.engines.builtin.flow import join_across_breaks
from sir_convert_a_lot.infrastructure.engines.builtin.formulas import flatten_formulas
from sir_convert_a_lot.infrastructure.engines.builtin.furniture import NEIGHBOURS, drop_furniture
from sir_convert_a_lot.infrastructure.engines.builtin.headings import classify
from sir_convert_a_lot.infrastructure.engines.builtin.hyphens import mend_all
from sir_convert_a_lot.infrastructure.engines.builtin.layout import PageView, lay_out
from sir_convert_a_lot.infrastructure.engines.builtin.lists import nest
from sir_convert_a_lot.infrastructure.engines.builtin.outline import find_titles
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Page, Paragraph
from sir_convert_a_lot.infrastructure.engines.builtin.parsing import PageUnreadable, PdfFile, parse_page
from sir_convert_a_lot.infrastructure.engines.builtin.process_devices import measure_device
from sir_convert_a_lot.infrastructure.engines.builtin.quality import TextQuality
from sir_convert_a_lot.infrastructure.engines.builtin.render import render
from sir_convert_a_lot.infrastructure.engines.builtin.tables import find_tables
from sir_convert_a_lot.infrastructure.engines.ocr import PageOcr

BATCH_PAGES = 32  # held with all their words at once: about 200 KB for a page of 500 words
# What a broken font or impossible geometry of one page may raise. Anything else is a bug of ours and fails the job.
PAGE_ERRORS = (PageUnreadable, ArithmeticError, LookupError, ValueError)


class BuiltinEngine:
    """Words through pdfium, layout by rules. Same PDF, same options: byte-identical Markdown. Not thread-safe."""

    name = "builtin"

    def __init__(self) -> None:
        self.version = package_version("sir-convert-a-lot")

    def convert(self, pdf: Path, options: EngineOptions, report: ReportProgress) -> EngineOutcome:
        """Converts `pdf` page by page. Raises `PdfUnreadable` (encrypted, damaged, no_pages, too_many_pages)."""
        with PdfFile(pdf, options.max_pages) as document:
            return Conversion(document, options, report).run()


class Conversion:
    """One document on its way through the steps. Use it once: to convert, or to look at a page."""

    def __init__(self, document: PdfFile, options: EngineOptions, report: ReportProgress) -> None:
        self._document = document
        self._options = options
        self._report = report
        self._seconds: defaultdict[JobStage, float] = defaultdict(float)
        self._ocr = PageOcr(options.max_page_pixels) if options.ocr is not OcrPass.OFF else None
        self._pages_ocred = 0
        self._gutters = GutterMemory()
        self._quality = TextQuality()
        self._failed: dict[int, str] = {}
        self._context: list[Page] = []
        self._pages_read = 0  # the one count that progress tells: it never goes back within a pass

    def run(self) -> EngineOutcome:
        paragraphs: list[Paragraph] = []
        for start in range(0, self._document.page_count, BATCH_PAGES):
            pages = self._read_batch(range(start, min(start + BATCH_PAGES, self._document.page_count)))
            paragraphs += self._lay_out_batch(pages)
            self._document.forget_pages()
        self._tell(JobStage.ASSEMBLY)
        with self._timed(JobStage.ASSEMBLY):
            paragraphs = mend_all(join_across_breaks(paragraphs))
            titles = find_titles(self._document.outline(), paragraphs)
            blocks = nest(classify(paragraphs, titles))
            markdown = render(blocks)
            quality, told = self._quality.settle(blocks, markdown, self._document.page_count)
        return EngineOutcome(
            markdown=markdown,
            pages_total=self._document.page_count,
            stages=self._receipts(),
            confidence=self._quality.confidence,
            failed_pages=tuple(index + 1 for index in sorted(self._failed)),
            warnings=(*(self._failed[index] for index in sorted(self._failed)), *told),
            quality=quality,
            pages_for_ocr=self._quality.pages_for_ocr,
        )

    def look_at(self, page_index: int) -> PageView:
        """What a conversion finds on this page. Reads the pages before it and, as a conversion does, its whole batch.

        Raises `PAGE_ERRORS` when this page cannot be read; other pages that cannot are passed over.
        """
        for start in range(0, page_index + 1, BATCH_PAGES):
            pages = self._read_batch(range(start, min(start + BATCH_PAGES, self._document.page_count)))
            clean = self._clean_batch(pages)
        for before in pages:
            for page in clean:
                if page.page_index == before.page_index == page_index:
                    return replace(self._lay_out_page(page), words_read=before.words)
        raise PageUnreadable(self._failed[page_index])

    @contextmanager
    def _timed(self, stage: JobStage) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[stage] += time.perf_counter() - start

    def _tell(self, stage: JobStage) -> None:
        self._report(stage, self._pages_read, self._document.page_count)

    def _read_batch(self, indexes: range) -> list[Page]:
        pages: list[Page] = []
        told: JobStage | None = None
        for index in indexes:
            stage = JobStage.OCR if self._needs_ocr(index) else JobStage.PAGE_PARSING
            if stage is not told:
                self._tell(stage)
                told = stage
            try:
                page = self._read_page(index)
            except PAGE_ERRORS as error:
                self._fail(index, error)
            else:
                pages.append(page)
                self._quality.add(page, is_ocr=self._needs_ocr(index))
            self._pages_read = index + 1
            self._tell(stage)
        return pages

    def _needs_ocr(self, index: int) -> bool:
        return self._options.ocr is OcrPass.FULL_PAGE or (
            self._options.ocr is OcrPass.SOME_PAGES and index + 1 in self._options.ocr_pages
        )

    def _read_page(self, index: int) -> Page:
        with self._timed(JobStage.PAGE_PARSING):
            raw = self._document.load_page(index)
        try:
            with self._timed(JobStage.PAGE_PARSING):
                page = parse_page(raw, index)
            if self._ocr is None or not self._needs_ocr(index):
                return page
            with self._timed(JobStage.OCR):
                words = self._ocr.read_page(raw, index)
            self._pages_ocred += 1
            return replace(
                page, words=words, unmapped_characters=0, turned_characters=0, turned_text="", hidden_text=""
            )
        finally:
            raw.close()

    def _clean_batch(self, pages: list[Page]) -> list[Page]:
        """Without furniture, and without pages that raised; what they say of the document's gutters is learnt."""
        with self._timed(JobStage.LAYOUT_ANALYSIS):
            clean = drop_furniture([*self._context, *pages])[len(self._context) :]
            for before, after in zip(pages, clean, strict=True):
                self._quality.leave_out(LeftOut.FURNITURE, before, after)
            self._context = [*self._context, *pages][-NEIGHBOURS:]
            return [page for page in clean if self._learn(page)]

    def _lay_out_batch(self, pages: list[Page]) -> list[Paragraph]:
        self._tell(JobStage.LAYOUT_ANALYSIS)
        paragraphs: list[Paragraph] = []
        for page in self._clean_batch(pages):
            try:
                paragraphs += self._lay_out_page(page).paragraphs
            except PAGE_ERRORS as error:
                self._fail(page.page_index, error)
        return paragraphs

    def _learn(self, page: Page) -> bool:
        """Takes the page's gutters into account; False when the page raised and is counted as failed."""
        try:
            self._gutters.learn([page])
        except PAGE_ERRORS as error:
            self._fail(page.page_index, error)
            return False
        return True

    def _lay_out_page(self, page: Page) -> PageView:
        with self._timed(JobStage.LAYOUT_ANALYSIS):
            unlabelled = drop_labels(page)
            self._quality.leave_out(LeftOut.FIGURE_LABELS, page, unlabelled)
            page = flatten_formulas(unlabelled)
        with self._timed(JobStage.TABLE_STRUCTURE):
            tables = find_tables(page)
        with self._timed(JobStage.LAYOUT_ANALYSIS):
            return lay_out(page, tables, self._gutters.known)

    def _fail(self, index: int, error: Exception) -> None:
        self._failed[index] = f"page {index + 1} could not be converted: {type(error).__name__}: {error}"

    def _receipts(self) -> tuple[StageReceipt, ...]:
        done = self._document.page_count - len(self._failed)
        own = measure_device()
        stages = [JobStage.PAGE_PARSING, JobStage.LAYOUT_ANALYSIS, JobStage.TABLE_STRUCTURE, JobStage.ASSEMBLY]
        devices = dict.fromkeys(stages, own)
        if self._ocr is not None:
            stages.insert(1, JobStage.OCR)
            devices[JobStage.OCR] = self._ocr.measured_device()
        return tuple(
            StageReceipt(
                stage=stage.value,
                device_asked="cpu",
                device_used=devices[stage][0],
                measured_by=devices[stage][1],
                wall_ms=round(self._seconds[stage] * 1000, 3),
                pages=self._pages_ocred if stage is JobStage.OCR else done,
            )
            for stage in stages
        )
