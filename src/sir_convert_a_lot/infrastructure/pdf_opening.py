"""What the inspection child runs: open a PDF with PDFium and count its pages.

Owns the one import of a PDF library outside the engines. Runs in a process of its own: PDFium may crash or hang on a
hostile file. Calls PDFium itself, since pypdfium2 refuses a file without pages with the error code of an earlier file.
"""

from __future__ import annotations

import ctypes
import os

import pypdfium2 as pdfium  # importing it starts the library
from pypdfium2 import raw

PROBLEMS = {raw.FPDF_ERR_PASSWORD: "encrypted", raw.FPDF_ERR_SECURITY: "encrypted"}

Opened = tuple[int | None, str | None, str]


def start_up() -> None:
    """Load the library, so that the first inspection does not pay for it."""
    if pdfium.PYPDFIUM_INFO is None:
        raise RuntimeError("pypdfium2 did not load")


def open_pdf(path: str, max_pages: int) -> Opened:
    """(pages, problem, detail); `problem` is one of `application.ports.Inspection`. Raises `OSError`."""
    os.stat(path)  # noqa: PTH116 - a file that is not there is no damaged PDF
    document = raw.FPDF_LoadDocument(os.fsencode(path) + b"\x00", None)
    if not document:
        code = raw.FPDF_GetLastError()
        return None, PROBLEMS.get(code, "damaged"), f"PDFium error {code}"
    try:
        return _judge(document, max_pages)
    finally:
        raw.FPDF_CloseDocument(document)


def _judge(document: raw.FPDF_DOCUMENT, max_pages: int) -> Opened:
    pages = int(raw.FPDF_GetPageCount(document))
    if pages <= 0:
        return 0, "no_pages", "the document has no pages"
    if pages > max_pages:
        return pages, "too_many_pages", f"{pages} pages, and the limit is {max_pages}"
    # The page tree may name pages that are not there; the first one tells.
    width, height = ctypes.c_double(), ctypes.c_double()
    if not raw.FPDF_GetPageSizeByIndex(document, 0, ctypes.byref(width), ctypes.byref(height)):
        return pages, "damaged", "the first page cannot be read"
    return pages, None, ""
