"""What a conversion engine is: a PDF file in, Markdown and the stages it went through out.

Owns the seam between engines and everything else. An engine knows no HTTP, database or settings, chooses no device and
falls back to nothing: it runs where it was told, or raises.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol, runtime_checkable

from sir_convert_a_lot.domain.job import JobStage
from sir_convert_a_lot.domain.job_spec import TableMode
from sir_convert_a_lot.domain.quality import QualityReport
from sir_convert_a_lot.domain.receipt import StageReceipt


class OcrPass(StrEnum):
    """What one pass does about OCR; `application.convert` turns `ocr_mode` into one or two passes."""

    OFF = "off"
    FULL_PAGE = "full_page"
    SOME_PAGES = "some_pages"  # full-page OCR of the pages that `ocr_pages` names, the others as in `OFF`


class Confidence(StrEnum):
    """An engine's own opinion of its output; `poor` and `fair` make `ocr_mode=auto` try again with OCR."""

    POOR = "poor"
    FAIR = "fair"
    GOOD = "good"
    EXCELLENT = "excellent"


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """One pass over one document. `max_page_pixels` bounds width x height of any page that is rendered.

    `ocr_pages` are 1-based, and only for `SOME_PAGES`, which only an engine is asked for that named such pages.
    """

    ocr: OcrPass = OcrPass.OFF
    table_mode: TableMode = TableMode.FAST
    device: str = "cpu"  # "cpu" | "cuda:N", decided by the policy
    max_pages: int = 10_000
    max_page_pixels: int = 40_000_000
    ocr_pages: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class EngineOutcome:
    """What one pass gave. `failed_pages` are 1-based; any failed page fails the job as `partial_conversion`.

    `quality` None: the engine tells nothing of it. `pages_for_ocr` are 1-based, pages without OCR whose text cannot be
    had without it; None from an engine that cannot tell pages apart, or read them so.
    """

    markdown: str
    pages_total: int
    stages: tuple[StageReceipt, ...]
    confidence: Confidence | None = None
    failed_pages: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()
    quality: QualityReport | None = None
    pages_for_ocr: tuple[int, ...] | None = None


# (stage, pages finished in this stage, pages in the document); called after each page, from the engine's own thread.
ReportProgress = Callable[[JobStage, int, int], None]


class Engine(Protocol):
    """Raises `PdfUnreadable` for a PDF that cannot be opened or has more than `max_pages` pages. Not thread-safe."""

    name: str
    version: str

    def convert(self, pdf: Path, options: EngineOptions, report: ReportProgress) -> EngineOutcome: ...


@runtime_checkable
class LoadsModels(Protocol):
    """An engine whose models can be loaded ahead of a document. A second call with equal options does nothing."""

    def load(self, options: EngineOptions) -> object: ...
