"""How many pages a PDF has and how large they are, before Docling sees it.

Owns the limits on pages and pixels, with the same refusals as every engine. Refuses to read any content.
"""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from pathlib import Path

import pypdfium2.raw as pdfium_c

from sir_convert_a_lot.domain.errors import PdfUnreadable
from sir_convert_a_lot.infrastructure.engines.builtin.parsing import PdfFile

# Pixels a point at which Docling renders a page: for the layout model, for a table, for OCR (72, 144 and 216 dpi).
LAYOUT_SCALE = 1.0
TABLE_SCALE = 2.0
OCR_SCALE = 3.0


@dataclass(frozen=True, slots=True)
class PageSizes:
    count: int
    largest_pt2: float  # width x height of the largest page, in square points


def measure_pages(pdf: Path, max_pages: int, max_page_pixels: int) -> PageSizes:
    """Raises `PdfUnreadable`: encrypted, damaged, no_pages, too_many_pages, or page_too_large."""
    with _SizedFile(pdf, max_pages) as file:
        largest = max(file.area_pt2(index) for index in range(file.page_count))
        sizes = PageSizes(file.page_count, largest)
    if largest * LAYOUT_SCALE**2 > max_page_pixels:
        raise PdfUnreadable(
            f"A page has {largest * LAYOUT_SCALE**2:.0f} pixels at 72 dpi; at most {max_page_pixels} are rendered.",
            details={"reason": "page_too_large", "max_page_pixels": max_page_pixels},
        )
    return sizes


def fit_scale(wanted: float, sizes: PageSizes, max_page_pixels: int) -> float:
    """Pixels a point: `wanted`, or less where the largest page would have more than `max_page_pixels`."""
    return min(wanted, math.sqrt(max_page_pixels / sizes.largest_pt2)) if sizes.largest_pt2 else wanted


class _SizedFile(PdfFile):
    def area_pt2(self, page_index: int) -> float:
        """Width x height of a page without loading it; 0.0 where it cannot be read, which Docling will tell."""
        width, height = ctypes.c_double(), ctypes.c_double()
        found = pdfium_c.FPDF_GetPageSizeByIndex(
            self._document.raw, page_index, ctypes.byref(width), ctypes.byref(height)
        )
        return width.value * height.value if found else 0.0
