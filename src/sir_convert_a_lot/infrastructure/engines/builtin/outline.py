"""The outline of a PDF (its bookmarks): which lines are headings, and how deep, told by whoever made the file.

Owns reading it and matching its titles with paragraphs. Refuses to invent a heading that the page does not show, and an
outline that is a list of something else: titles that most pages do not have.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pypdfium2

from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Paragraph

MAX_ENTRIES = 5_000
MAX_DEPTH = 6
LEAST_FOUND = 0.5  # of the titles have to stand on their pages: links, figures and file names do not
FEWEST = 2
NUMBER = re.compile(
    r"^(?:(?:chapter|section|part|appendix|kapitel)\s+)?(?:\d+(?:\.\d+)*|[IVX]+|[A-Z])[.:)]?\s+", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One title of the outline: the page it leads to (0-based) and how deep it lies (1 outermost)."""

    title: str
    page_index: int
    depth: int


def read_outline(document: pypdfium2.PdfDocument | Any) -> tuple[Entry, ...]:
    """The entries in order; none where the file has no outline, or one that pdfium cannot read."""
    entries: list[Entry] = []
    try:
        for bookmark in document.get_toc(max_depth=MAX_DEPTH):
            target = bookmark.get_dest()
            page_index = target.get_index() if target is not None else None
            if page_index is not None and (title := bookmark.get_title().strip()):
                entries.append(Entry(title, page_index, bookmark.level + 1))
            if len(entries) >= MAX_ENTRIES:
                break
    except pypdfium2.PdfiumError:
        return ()
    return tuple(entries)


def find_titles(entries: Sequence[Entry], paragraphs: Sequence[Paragraph]) -> dict[int, int]:
    """Which paragraphs are titles of the outline, by their place, and the depth of each; none where few are."""
    if len(entries) < FEWEST:
        return {}
    waiting: dict[tuple[int, str], list[int]] = {}
    for place, paragraph in enumerate(paragraphs):
        if paragraph.table is None:
            for key in _keys(paragraph.text):
                waiting.setdefault((paragraph.page_index, key), []).append(place)
    depths: dict[int, int] = {}
    found = 0
    for entry in entries:
        places = [
            place
            for key in _keys(entry.title)
            for place in waiting.get((entry.page_index, key), ())
            if place not in depths
        ]
        if places:
            found += 1
            depths[min(places, key=lambda place: (*_plainness(paragraphs[place]), place))] = entry.depth
    return depths if found >= max(FEWEST, LEAST_FOUND * len(entries)) else {}


def _plainness(paragraph: Paragraph) -> tuple[bool, bool, float]:
    """Lowest for what looks most like a heading, where a page shows a title twice."""
    return not NUMBER.match(paragraph.text), not paragraph.font.is_bold, -paragraph.font.size_pt


def _keys(text: str) -> Iterable[str]:
    """The title as letters and digits only, with and without its number."""
    return {_plain(text), _plain(NUMBER.sub("", text))} - {""}


def _plain(text: str) -> str:
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text).lower()))
