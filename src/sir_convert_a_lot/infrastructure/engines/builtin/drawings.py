"""Straight rulings and image boxes of one page.

Owns what pdfium's path and image objects draw, forms included. Refuses to read text and to say what a ruling means.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import pypdfium2.raw as pdfium_c

from sir_convert_a_lot.infrastructure.engines.builtin.objects import Matrix, bounds_of, matrix_of, walk
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Box, Ruling
from sir_convert_a_lot.infrastructure.engines.builtin.page_space import PageSpace

THIN_PT = 2.5  # a filled rectangle no thicker than this is a line
SHORTEST_PT = 4.0
MAX_OBJECTS = 50_000  # of one page: a drawn map has more, and no table
MAX_SEGMENTS = (
    64  # of one path: a curve of a plot has more, a table's grid is drawn in short paths or in one of rectangles
)


class Drawings(NamedTuple):
    rulings: tuple[Ruling, ...]
    image_boxes: tuple[Box, ...]


def read_drawings(page: Any, space: PageSpace) -> Drawings:
    """Rulings (sorted top to bottom, left to right, duplicates dropped) and images of a `pypdfium2.PdfPage`."""
    rulings: set[Ruling] = set()
    images: list[Box] = []
    for count, (obj, kind, matrix, *_) in enumerate(walk(page.raw)):
        if count >= MAX_OBJECTS:
            break
        if kind == pdfium_c.FPDF_PAGEOBJ_PATH:
            rulings.update(_read_path(obj, matrix, space))
        elif kind == pdfium_c.FPDF_PAGEOBJ_IMAGE and (box := _bounds(obj, matrix, space)):
            images.append(box)
    return Drawings(tuple(sorted(rulings, key=lambda ruling: (ruling.box.y0, ruling.box))), tuple(images))


def _bounds(obj: Any, outer: Matrix, space: PageSpace) -> Box | None:
    extent = bounds_of(obj, outer)
    return None if extent is None else _rounded(space.box(*extent))


def _rounded(box: Box) -> Box:
    return Box(round(box.x0, 2), round(box.y0, 2), round(box.x1, 2), round(box.y1, 2))


def _read_path(obj: Any, outer: Matrix, space: PageSpace) -> Iterator[Ruling]:
    fill, stroke = ctypes.c_int(), ctypes.c_int()
    pdfium_c.FPDFPath_GetDrawMode(obj, fill, stroke)
    if not fill.value and not stroke.value:
        return
    matrix = matrix_of(obj).then(outer)
    for points in _subpaths(obj, matrix, space):
        if fill.value and (ruling := _thin(points)):
            yield ruling
        elif stroke.value:
            for start, end in pairwise(points):
                if ruling := _ruling(
                    Box(min(start[0], end[0]), min(start[1], end[1]), max(start[0], end[0]), max(start[1], end[1]))
                ):
                    yield ruling


def _subpaths(obj: Any, matrix: Matrix, space: PageSpace) -> Iterator[list[tuple[float, float]]]:
    """Runs of straight segments; a curve ends a run."""
    count = pdfium_c.FPDFPath_CountSegments(obj)
    points: list[tuple[float, float]] = []
    x, y = ctypes.c_float(), ctypes.c_float()
    for index in range(min(count, MAX_OBJECTS)):
        segment = pdfium_c.FPDFPath_GetPathSegment(obj, index)
        kind = pdfium_c.FPDFPathSegment_GetType(segment)
        pdfium_c.FPDFPathSegment_GetPoint(segment, x, y)
        here = space.point(*matrix.apply(x.value, y.value))
        if kind != pdfium_c.FPDF_SEGMENT_LINETO:
            if 1 < len(points) <= MAX_SEGMENTS:
                yield points
            points = []
        points.append(here)
        if pdfium_c.FPDFPathSegment_GetClose(segment) and points and kind == pdfium_c.FPDF_SEGMENT_LINETO:
            points.append(points[0])
    if 1 < len(points) <= MAX_SEGMENTS:
        yield points


def _thin(points: list[tuple[float, float]]) -> Ruling | None:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return _ruling(Box(min(xs), min(ys), max(xs), max(ys)))


def _ruling(box: Box) -> Ruling | None:
    if box.height <= THIN_PT and box.width >= max(SHORTEST_PT, 2 * box.height):
        return Ruling(_rounded(box), is_horizontal=True)
    if box.width <= THIN_PT and box.height >= max(SHORTEST_PT, 2 * box.width):
        return Ruling(_rounded(box), is_horizontal=False)
    return None
