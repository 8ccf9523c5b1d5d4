"""Straight rulings and image boxes of one page.

Owns the walk over pdfium's path and image objects, forms included. Refuses to read text and to say what a ruling means.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import pypdfium2.raw as pdfium_c

from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Box, Ruling
from sir_convert_a_lot.infrastructure.engines.builtin.page_space import PageSpace

THIN_PT = 2.5  # a filled rectangle no thicker than this is a line
SHORTEST_PT = 4.0
MAX_OBJECTS = 50_000  # of one page: a drawn map has more, and no table
MAX_SEGMENTS = (
    64  # of one path: a curve of a plot has more, a table's grid is drawn in short paths or in one of rectangles
)
MAX_DEPTH = 4  # of forms in forms


class Drawings(NamedTuple):
    rulings: tuple[Ruling, ...]
    image_boxes: tuple[Box, ...]


class _Matrix(NamedTuple):
    a: float
    b: float
    c: float
    d: float
    e: float
    f: float

    def apply(self, x: float, y: float) -> tuple[float, float]:
        return self.a * x + self.c * y + self.e, self.b * x + self.d * y + self.f

    def then(self, outer: _Matrix) -> _Matrix:
        return _Matrix(
            self.a * outer.a + self.b * outer.c,
            self.a * outer.b + self.b * outer.d,
            self.c * outer.a + self.d * outer.c,
            self.c * outer.b + self.d * outer.d,
            self.e * outer.a + self.f * outer.c + outer.e,
            self.e * outer.b + self.f * outer.d + outer.f,
        )


IDENTITY = _Matrix(1, 0, 0, 1, 0, 0)


def read_drawings(page: Any, space: PageSpace) -> Drawings:
    """Rulings (sorted top to bottom, left to right, duplicates dropped) and images of a `pypdfium2.PdfPage`."""
    rulings: set[Ruling] = set()
    images: list[Box] = []
    for count, (obj, kind, matrix) in enumerate(_walk(page.raw)):
        if count >= MAX_OBJECTS:
            break
        if kind == pdfium_c.FPDF_PAGEOBJ_PATH:
            rulings.update(_read_path(obj, matrix, space))
        elif kind == pdfium_c.FPDF_PAGEOBJ_IMAGE and (box := _bounds(obj, matrix, space)):
            images.append(box)
    return Drawings(tuple(sorted(rulings, key=lambda ruling: (ruling.box.y0, ruling.box))), tuple(images))


def _walk(page: Any) -> Iterator[tuple[Any, int, _Matrix]]:
    for index in range(pdfium_c.FPDFPage_CountObjects(page)):
        yield from _walk_object(pdfium_c.FPDFPage_GetObject(page, index), IDENTITY, 0)


def _walk_object(obj: Any, outer: _Matrix, depth: int) -> Iterator[tuple[Any, int, _Matrix]]:
    kind = pdfium_c.FPDFPageObj_GetType(obj)
    if kind != pdfium_c.FPDF_PAGEOBJ_FORM:
        yield obj, kind, outer
    elif depth < MAX_DEPTH:
        inner = _matrix_of(obj).then(outer)
        for index in range(pdfium_c.FPDFFormObj_CountObjects(obj)):
            yield from _walk_object(pdfium_c.FPDFFormObj_GetObject(obj, index), inner, depth + 1)


def _matrix_of(obj: Any) -> _Matrix:
    raw = pdfium_c.FS_MATRIX()
    if not pdfium_c.FPDFPageObj_GetMatrix(obj, raw):
        return IDENTITY
    return _Matrix(raw.a, raw.b, raw.c, raw.d, raw.e, raw.f)


def _bounds(obj: Any, outer: _Matrix, space: PageSpace) -> Box | None:
    left, bottom, right, top = (ctypes.c_float() for _ in range(4))
    if not pdfium_c.FPDFPageObj_GetBounds(obj, left, bottom, right, top):
        return None
    corners = [outer.apply(x.value, y.value) for x in (left, right) for y in (bottom, top)]
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    return _rounded(space.box(min(xs), min(ys), max(xs), max(ys)))


def _rounded(box: Box) -> Box:
    return Box(round(box.x0, 2), round(box.y0, 2), round(box.x1, 2), round(box.y1, 2))


def _read_path(obj: Any, outer: _Matrix, space: PageSpace) -> Iterator[Ruling]:
    fill, stroke = ctypes.c_int(), ctypes.c_int()
    pdfium_c.FPDFPath_GetDrawMode(obj, fill, stroke)
    if not fill.value and not stroke.value:
        return
    matrix = _matrix_of(obj).then(outer)
    for points in _subpaths(obj, matrix, space):
        if fill.value and (ruling := _thin(points)):
            yield ruling
        elif stroke.value:
            for start, end in pairwise(points):
                if ruling := _ruling(
                    Box(min(start[0], end[0]), min(start[1], end[1]), max(start[0], end[0]), max(start[1], end[1]))
                ):
                    yield ruling


def _subpaths(obj: Any, matrix: _Matrix, space: PageSpace) -> Iterator[list[tuple[float, float]]]:
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
