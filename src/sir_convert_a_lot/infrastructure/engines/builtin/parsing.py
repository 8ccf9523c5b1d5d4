"""From a PDF file to pages of words, rulings and images.

Owns opening the file, its typed refusals, and the page model's first form. Refuses any layout work.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pypdfium2
import pypdfium2.raw as pdfium_c

from sir_convert_a_lot.domain.pdf_problems import PdfProblem, refuse_pdf
from sir_convert_a_lot.infrastructure.engines.builtin.drawings import read_drawings
from sir_convert_a_lot.infrastructure.engines.builtin.glyphs import read_words
from sir_convert_a_lot.infrastructure.engines.builtin.outline import Entry, read_outline
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Page
from sir_convert_a_lot.infrastructure.engines.builtin.page_space import PageSpace


class PageUnreadable(Exception):
    """One page could not be loaded or read; the rest of the document may be fine."""


class PdfFile:
    """An open PDF. Not thread-safe: pdfium is not."""

    def __init__(self, path: Path, max_pages: int) -> None:
        """Opens `path`. Raises `PdfUnreadable` with reason encrypted, damaged, no_pages or too_many_pages."""
        self._path = path
        self._document = _open(path)
        self.page_count: int = len(self._document)
        if self.page_count == 0:
            self._document.close()
            raise refuse_pdf(PdfProblem.NO_PAGES)
        if self.page_count > max_pages:
            self._document.close()
            raise refuse_pdf(PdfProblem.TOO_MANY_PAGES, pages=self.page_count, max_pages=max_pages)

    def forget_pages(self) -> None:
        """Opens the file anew: pdfium keeps what it parsed of every page, 0.4 MB each, until the document is closed.

        No page may be open. Raises as the constructor does, when the file has gone or changed meanwhile.
        """
        self._document.close()
        self._document = _open(self._path)

    def outline(self) -> tuple[Entry, ...]:
        """The bookmarks of the file."""
        return read_outline(self._document)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._document.close()

    def load_page(self, page_index: int) -> Any:
        """The `pypdfium2.PdfPage`, to be closed by the caller. Raises `PageUnreadable`."""
        try:
            return self._document[page_index]
        except pypdfium2.PdfiumError as error:
            raise PageUnreadable(f"page {page_index + 1} cannot be loaded: {error}") from error


def _open(path: Path) -> Any:
    try:
        return pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if _loads(path):
            raise refuse_pdf(PdfProblem.NO_PAGES) from error
        if error.err_code in {pdfium_c.FPDF_ERR_PASSWORD, pdfium_c.FPDF_ERR_SECURITY}:
            raise refuse_pdf(PdfProblem.ENCRYPTED) from error
        raise refuse_pdf(PdfProblem.DAMAGED) from error


def _loads(path: Path) -> bool:
    """Whether pdfium itself loads it. pypdfium2 refuses a file without pages, with the error code of an earlier one."""
    document = pdfium_c.FPDF_LoadDocument(str(path).encode("utf-8", errors="surrogateescape") + b"\x00", None)
    if document:
        pdfium_c.FPDF_CloseDocument(document)
    return bool(document)


def parse_page(page: Any, page_index: int) -> Page:
    """Everything the layout steps need of one `pypdfium2.PdfPage`. Raises `PageUnreadable`."""
    try:
        shown = PageSpace.of_page(page)
        text = read_words(page, shown)
        drawings = read_drawings(page, text.space)
    except pypdfium2.PdfiumError as error:
        raise PageUnreadable(f"page {page_index + 1} cannot be read: {error}") from error
    return Page(
        page_index=page_index,
        width_pt=round(text.space.width_pt, 2),
        height_pt=round(text.space.height_pt, 2),
        words=text.words,
        rulings=drawings.rulings,
        image_boxes=drawings.image_boxes,
        shapes=drawings.shapes,
        turned_characters=text.turned_characters,
        unmapped_characters=text.unmapped_characters,
        turned_by=(text.space.quarter_turns - shown.quarter_turns) % 4,
        turned_text=text.turned_text,
        hidden_text=text.hidden_text,
    )
