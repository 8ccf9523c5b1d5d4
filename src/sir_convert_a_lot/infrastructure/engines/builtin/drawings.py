"""Straight rulings, images and other shapes of one page.

Owns what pdfium's path and image objects draw, forms included. Refuses to read text and to say what a ruling means.
"""

from __future__ import annotations

import ctypes
from itertools import pairwise
from typing import Any, NamedTuple

import pypdfium2.raw as pdfium_c

from sir_convert_a_lot.infrastructure.engines.builtin.objects import Matrix, bounds_of, matrix_of, walk
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Box, Ruling, Shape
from sir_convert_a_lot.infrastructure.engines.builtin.page_space import PageSpace

THIN_PT = 2.5  # a filled rectangle no thicker than this is a line
SHORTEST_PT = 2.5  # the bar over a digit of an index
SLANT_PT = 1.0  # both ways: a segment that goes farther is neither horizontal nor vertical
MAX_OBJECTS = 50_000  # of one page: a drawn map has more, and no table
MAX_SEGMENTS = (
    64  # of one path: a curve of a plot has more, a table's grid is drawn in short paths or in one of rectangles
)


class Drawings(NamedTuple):
    rulings: tuple[Ruling, ...]
    image_boxes: tuple[Box, ...]
    shapes: tuple[Shape, ...]


def read_drawings(page: Any, space: PageSpace) -> Drawings:
    """Rulings (sorted top to bottom, left to right, duplicates dropped), images and shapes of a `pypdfium2.PdfPage`."""
    rulings: set[Ruling] = set()
    images: list[Box] = []
    shapes: list[Shape] = []
    for count, (obj, kind, matrix, *_) in enumerate(walk(page.raw)):
        if count >= MAX_OBJECTS:
            break
        if kind == pdfium_c.FPDF_PAGEOBJ_PATH:
            found, shape = _read_path(obj, matrix, space)
            rulings.update(found)
            if shape is not None:
                shapes.append(shape)
        elif kind == pdfium_c.FPDF_PAGEOBJ_IMAGE and (box := _bounds(obj, matrix, space)):
            images.append(box)
    in_order = sorted(rulings, key=lambda ruling: (ruling.box.y0, ruling.box))
    return Drawings(tuple(in_order), tuple(images), tuple(shapes))


def _bounds(obj: Any, outer: Matrix, space: PageSpace) -> Box | None:
    extent = bounds_of(obj, outer)
    return None if extent is None else _rounded(space.box(*extent))


def _rounded(box: Box) -> Box:
    return Box(round(box.x0, 2), round(box.y0, 2), round(box.x1, 2), round(box.y1, 2))


def _read_path(obj: Any, outer: Matrix, space: PageSpace) -> tuple[list[Ruling], Shape | None]:
    """The rulings of a path, and all of it as a shape where it is more than rulings."""
    fill, stroke = ctypes.c_int(), ctypes.c_int()
    pdfium_c.FPDFPath_GetDrawMode(obj, fill, stroke)
    if not fill.value and not stroke.value:
        return [], None
    subpaths, curves = _subpaths(obj, matrix_of(obj).then(outer), space)
    rulings: list[Ruling] = []
    is_more, strokes = curves > 0, curves
    for points in subpaths:
        if len(points) > MAX_SEGMENTS:
            is_more = True
            strokes += sum(map(_is_slanted, points, points[1:]))
        elif fill.value and (ruling := _thin(points)):
            rulings.append(ruling)
        elif stroke.value:
            for start, end in pairwise(points):
                box = Box(min(start[0], end[0]), min(start[1], end[1]), max(start[0], end[0]), max(start[1], end[1]))
                if ruling := _ruling(box):
                    rulings.append(ruling)
                elif _is_slanted(start, end):
                    is_more, strokes = True, strokes + 1
        else:
            is_more = True
            strokes += sum(map(_is_slanted, points, points[1:]))
    everything = [point for points in subpaths for point in points]
    shape = Shape(_around(everything), strokes) if is_more and everything else None
    return rulings, shape


def _is_slanted(start: tuple[float, float], end: tuple[float, float]) -> bool:
    return abs(start[0] - end[0]) > SLANT_PT and abs(start[1] - end[1]) > SLANT_PT


def _subpaths(obj: Any, matrix: Matrix, space: PageSpace) -> tuple[list[list[tuple[float, float]]], int]:
    """Runs of straight segments, the points of curves each for itself; and the number of curves."""
    count = pdfium_c.FPDFPath_CountSegments(obj)
    runs: list[list[tuple[float, float]]] = []
    points: list[tuple[float, float]] = []
    curve_points = 0
    x, y = ctypes.c_float(), ctypes.c_float()
    for index in range(min(count, MAX_OBJECTS)):
        segment = pdfium_c.FPDFPath_GetPathSegment(obj, index)
        kind = pdfium_c.FPDFPathSegment_GetType(segment)
        pdfium_c.FPDFPathSegment_GetPoint(segment, x, y)
        here = space.point(*matrix.apply(x.value, y.value))
        if kind != pdfium_c.FPDF_SEGMENT_LINETO:
            curve_points += kind == pdfium_c.FPDF_SEGMENT_BEZIERTO
            if points:
                runs.append(points)
            points = []
        points.append(here)
        if pdfium_c.FPDFPathSegment_GetClose(segment) and points and kind == pdfium_c.FPDF_SEGMENT_LINETO:
            points.append(points[0])
    if points:
        runs.append(points)
    return runs, curve_points // 3


def _around(points: list[tuple[float, float]]) -> Box:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return _rounded(Box(min(xs), min(ys), max(xs), max(ys)))


def _thin(points: list[tuple[float, float]]) -> Ruling | None:
    return _ruling(_around(points)) if len(points) > 1 else None


def _ruling(box: Box) -> Ruling | None:
    if box.height <= THIN_PT and box.width >= max(SHORTEST_PT, 2 * box.height):
        return Ruling(_rounded(box), is_horizontal=True)
    if box.width <= THIN_PT and box.height >= max(SHORTEST_PT, 2 * box.width):
        return Ruling(_rounded(box), is_horizontal=False)
    return None
