"""Why a PDF cannot be opened: the reasons, and what is said about each, whoever meets it.

Owns the words: admission, every engine and a conversion without a service refuse the same PDF alike. Refuses to open
anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from sir_convert_a_lot.domain.errors import PdfUnreadable


class PdfProblem(StrEnum):
    """`details.reason` of a `pdf_unreadable` that opening the file tells."""

    DAMAGED = "damaged"
    NO_PAGES = "no_pages"
    ENCRYPTED = "encrypted"
    TOO_MANY_PAGES = "too_many_pages"


WORDS: Mapping[PdfProblem, str] = MappingProxyType(
    {
        PdfProblem.DAMAGED: "the PDF is damaged and cannot be opened",
        PdfProblem.NO_PAGES: "the PDF has no pages",
        PdfProblem.ENCRYPTED: "the PDF is encrypted: remove the password first, for example with qpdf --decrypt",
        PdfProblem.TOO_MANY_PAGES: "the PDF has more pages than are accepted: split it first",
    }
)


def refuse_pdf(problem: PdfProblem, **more: Any) -> PdfUnreadable:
    """The refusal; `more` are details beside the reason."""
    return PdfUnreadable(WORDS[problem], details={"reason": problem.value, **more})
