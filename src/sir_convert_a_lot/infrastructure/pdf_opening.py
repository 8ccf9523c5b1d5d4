"""What the inspection child runs: open a PDF with PDFium and count its pages.

Owns the one import of a PDF library outside the engines. Runs in a process of its own: PDFium may crash or hang on a
hostile file.
"""

from __future__ import annotations

import ctypes

import pypdfium2 as pdfium
from pypdfium2 import raw


def start_up() -> None:
    """Load the library, so that the first inspection does not pay for it."""
    raw.FPDF_GetLastError()


def open_pdf(path: str, max_pages: int) -> tuple[int | None, str | None, str]:
    """(pages, problem, detail); `problem` is one of `application.ports.Inspection`."""
    try:
        document = pdfium.PdfDocument(path)
    except pdfium.PdfiumError as error:
        encrypted = error.err_code == raw.FPDF_ERR_PASSWORD
        return None, "encrypted" if encrypted else "damaged", str(error)
    try:
        return _judge(document, max_pages)
    finally:
        document.close()


def _judge(document: pdfium.PdfDocument, max_pages: int) -> tuple[int | None, str | None, str]:
    pages = len(document)
    if pages == 0:
        return 0, "no_pages", "the document has no pages"
    if pages > max_pages:
        return pages, "too_many_pages", f"{pages} pages, and the limit is {max_pages}"
    # The page tree may name pages that are not there; the first one tells.
    width, height = ctypes.c_double(), ctypes.c_double()
    if not raw.FPDF_GetPageSizeByIndex(document.raw, 0, ctypes.byref(width), ctypes.byref(height)):
        return pages, "damaged", "the first page cannot be read"
    return pages, None, ""
