"""One conversion as the product does it, for the benchmarks: engine, OCR rule, normaliser, in this process."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Converted:
    """What one conversion gave, as it comes back from its process."""

    markdown: str
    pages: int
    seconds: float
    refusal: str | None = None  # the product says that the PDF cannot be read


def convert(pdf: Path, engine_name: str) -> Converted:
    """Runs in a process of its own. Raises what the product raises, except a refusal of the PDF as unreadable."""
    from sir_convert_a_lot.application.convert import ConversionOrder, convert_document
    from sir_convert_a_lot.domain.engine import EngineOptions
    from sir_convert_a_lot.domain.errors import PdfUnreadable
    from sir_convert_a_lot.domain.job_spec import JobSpec
    from sir_convert_a_lot.infrastructure.engines.installed import load_engine
    from sir_convert_a_lot.infrastructure.markdown.normalise import normalise

    spec = JobSpec.model_validate(
        {
            "api_version": "v1",
            "source": {"kind": "upload", "filename": pdf.name},
            "conversion": {"backend_strategy": engine_name, "ocr_mode": "off" if engine_name == "pymupdf" else "auto"},
            "execution": {"acceleration_policy": "cpu_only"},
        }
    )
    limits = EngineOptions()
    order = ConversionOrder(spec, "cpu", None, (), limits.max_pages, limits.max_page_pixels)
    pages = 0

    def count_pages(_stage: object, _processed: int, total: int) -> None:
        nonlocal pages
        pages = total

    started = time.perf_counter()
    try:
        markdown = convert_document(pdf, order, load_engine(engine_name), normalise, count_pages).markdown
    except PdfUnreadable as error:
        return Converted("", 0, 0.0, refusal=f"{error.code} {error.details.get('reason', '')}: {error.message}")
    return Converted(markdown, pages, time.perf_counter() - started)
