"""A picture of how the built-in engine read one page: what it found is drawn over the page as a reader sees it.

Owns rendering and the colours. Refuses to find anything: it draws a `PageView`, which a conversion's own steps made.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from sir_convert_a_lot.domain.engine import EngineOptions
from sir_convert_a_lot.domain.errors import PdfUnreadable, ValidationError
from sir_convert_a_lot.infrastructure.engines.builtin.engine import PAGE_ERRORS, Conversion
from sir_convert_a_lot.infrastructure.engines.builtin.layout import PageView, is_anchor
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Box, Line, Region
from sir_convert_a_lot.infrastructure.engines.builtin.parsing import PdfFile

PIXELS_A_POINT = 2.0  # 144 dpi: text of 8 points can still be read under the marks
LEGEND_PX = 28  # below the page
LABEL_PX = 16
# One colour for each kind of mark; tests look for them.
COLOURS = {
    "word": (120, 170, 230),
    "left out": (150, 150, 150),
    "line": (40, 160, 80),
    "column": (240, 140, 0),
    "block": (220, 30, 50),
    "table": (140, 40, 190),
    "order": (0, 90, 200),
}


@dataclass(frozen=True, slots=True)
class _Canvas:
    """Draws in points of the page."""

    draw: ImageDraw.ImageDraw
    scale: float

    def outline(self, box: Box, colour: str, width: int) -> None:
        """Marks that have no height, or none to the right order, are drawn as the line they are."""
        x0, y0, x1, y1 = (round(side * self.scale) for side in box)
        self.draw.rectangle((min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)), outline=COLOURS[colour], width=width)

    def strike(self, box: Box, colour: str) -> None:
        middle = round((box.y0 + box.y1) / 2 * self.scale)
        self.draw.line((box.x0 * self.scale, middle, box.x1 * self.scale, middle), fill=COLOURS[colour], width=2)

    def underline(self, box: Box, colour: str) -> None:
        y = round(box.y1 * self.scale)
        self.draw.line((round(box.x0 * self.scale), y, round(box.x1 * self.scale), y), fill=COLOURS[colour], width=2)

    def label(self, box: Box, text: str) -> None:
        """A number on a filled field at the upper left corner of a box, inside the page."""
        font = ImageFont.load_default(LABEL_PX - 3)
        width = round(self.draw.textlength(text, font)) + 6
        x, y = max(0, round(box.x0 * self.scale) - width), max(0, round(box.y0 * self.scale))
        self.draw.rectangle((x, y, x + width, y + LABEL_PX), fill=COLOURS["order"])
        self.draw.text((x + 3, y), text, fill=(255, 255, 255), font=font)

    def step(self, before: Box, after: Box) -> None:
        ends = [((box.x0 + box.x1) / 2 * self.scale, (box.y0 + box.y1) / 2 * self.scale) for box in (before, after)]
        self.draw.line(ends, fill=COLOURS["order"], width=2)


def draw_page(pdf: Path, page_number: int, options: EngineOptions) -> Image.Image:
    """The page (1-based) with its words, lines, columns, blocks, tables and their order; RGB, under a legend.

    Reads the pages before it too, as a conversion would: they say where headers and columns are. Raises `PdfUnreadable`
    as a conversion does or when this page cannot be read, and `ValidationError` for a page that the PDF does not have.
    """
    with PdfFile(pdf, options.max_pages) as document:
        if not 1 <= page_number <= document.page_count:
            raise ValidationError(
                f"there is no page {page_number}: the PDF has {document.page_count}",
                details={"field": "page", "reason": "out_of_range", "pages": document.page_count},
            )
        try:
            view = Conversion(document, options, lambda *_: None).look_at(page_number - 1)
            raw = document.load_page(page_number - 1)
        except PAGE_ERRORS as error:
            raise PdfUnreadable(
                f"page {page_number} cannot be read: {error}", details={"reason": "damaged", "page": page_number}
            ) from error
        try:
            return draw_view(_render(raw, view, options.max_page_pixels), view)
        finally:
            raw.close()


def _render(raw: Any, view: PageView, max_page_pixels: int) -> Image.Image:
    """Turned as the engine turned it, and no larger than allowed."""
    page = view.page
    scale = min(PIXELS_A_POINT, math.sqrt(max_page_pixels / max(page.width_pt * page.height_pt, 1.0)))
    image: Image.Image = raw.render(scale=scale, rotation=90 * page.turned_by).to_pil()
    return image.convert("RGB")


def draw_view(image: Image.Image, view: PageView) -> Image.Image:
    """`image` shows the page of the view, whatever its size; the marks are drawn on a copy of it."""
    picture = Image.new("RGB", (image.width, image.height + LEGEND_PX), (255, 255, 255))
    picture.paste(image)
    canvas = _Canvas(ImageDraw.Draw(picture), image.width / view.page.width_pt)
    kept = {id(word) for word in view.page.words}
    for word in view.page.words:
        canvas.outline(word.box, "word", 1)
    for word in view.words_read:
        if id(word) not in kept:
            canvas.strike(word.box, "left out")
    for region in view.regions:
        for line in _lines_of(region):
            canvas.underline(line.box, "line")
        canvas.outline(_widen(region.box, 3), "column", 2)
    for table in view.tables:
        canvas.outline(_widen(table.box, 1), "table", 3)
    _draw_blocks(canvas, [paragraph.box for paragraph in view.paragraphs if paragraph.table is None], view)
    _draw_legend(canvas.draw, image.height)
    return picture


def _draw_blocks(canvas: _Canvas, boxes: Iterable[Box], view: PageView) -> None:
    for box in boxes:
        canvas.outline(_widen(box, 1), "block", 1)
    in_order = [paragraph.box for paragraph in view.paragraphs]
    for before, after in pairwise(in_order):
        canvas.step(before, after)
    for number, box in enumerate(in_order, start=1):
        canvas.label(box, str(number))


def _lines_of(region: Region) -> list[Line]:
    """Without the places that stand for tables."""
    return [line for line in region.lines if not all(is_anchor(word) for word in line.words)]


def _widen(box: Box, by: float) -> Box:
    return Box(box.x0 - by, box.y0 - by, box.x1 + by, box.y1 + by)


def _draw_legend(draw: ImageDraw.ImageDraw, top: int) -> None:
    font = ImageFont.load_default(13)
    x = 8
    for name, colour in COLOURS.items():
        draw.rectangle((x, top + 8, x + 12, top + 20), fill=colour)
        draw.text((x + 16, top + 6), name, fill=(0, 0, 0), font=font)
        x += 32 + round(draw.textlength(name, font))
