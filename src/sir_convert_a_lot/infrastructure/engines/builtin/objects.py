"""The objects that a page draws, forms opened, each with the way from its coordinates to the page's.

Owns the walk through pdfium's tree of objects, and what a form's clip path cuts off. Refuses to say what they show.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from math import inf
from typing import Any, NamedTuple

import pypdfium2.raw as pdfium_c

MAX_DEPTH = 4  # of forms in forms
MAX_CLIP_SEGMENTS = 64  # of one clip path; one that is no box cuts off at least what lies outside its box


class Matrix(NamedTuple):
    a: float
    b: float
    c: float
    d: float
    e: float
    f: float

    def apply(self, x: float, y: float) -> tuple[float, float]:
        return self.a * x + self.c * y + self.e, self.b * x + self.d * y + self.f

    def then(self, outer: Matrix) -> Matrix:
        return Matrix(
            self.a * outer.a + self.b * outer.c,
            self.a * outer.b + self.b * outer.d,
            self.c * outer.a + self.d * outer.c,
            self.c * outer.b + self.d * outer.d,
            self.e * outer.a + self.f * outer.c + outer.e,
            self.e * outer.b + self.f * outer.d + outer.f,
        )


IDENTITY = Matrix(1, 0, 0, 1, 0, 0)


class Extent(NamedTuple):
    """A rectangle in PDF space, which is the page's before its rotation."""

    left: float
    bottom: float
    right: float
    top: float

    def within(self, other: Extent) -> Extent:
        """What both have in common; turned inside out where that is nothing."""
        return Extent(
            max(self.left, other.left),
            max(self.bottom, other.bottom),
            min(self.right, other.right),
            min(self.top, other.top),
        )

    def has_middle_of(self, other: Extent) -> bool:
        x, y = (other.left + other.right) / 2, (other.bottom + other.top) / 2
        return self.left <= x <= self.right and self.bottom <= y <= self.top


EVERYWHERE = Extent(-inf, -inf, inf, inf)


class Drawn(NamedTuple):
    """One object: pdfium's handle and type, the way to the page, and where its forms let it be seen."""

    obj: Any
    kind: int
    matrix: Matrix
    clip: Extent
    is_in_form: bool


def walk(page: Any) -> Iterator[Drawn]:
    """Every object of a raw page that is no form, in the order of drawing."""
    for index in range(pdfium_c.FPDFPage_CountObjects(page)):
        yield from _walk_object(pdfium_c.FPDFPage_GetObject(page, index), IDENTITY, EVERYWHERE, 0)


def _walk_object(obj: Any, outer: Matrix, clip: Extent, depth: int) -> Iterator[Drawn]:
    kind = pdfium_c.FPDFPageObj_GetType(obj)
    if kind != pdfium_c.FPDF_PAGEOBJ_FORM:
        yield Drawn(obj, kind, outer, clip, depth > 0)
    elif depth < MAX_DEPTH:
        inner, inside = matrix_of(obj).then(outer), clip.within(_clip_of(obj, outer))
        for index in range(pdfium_c.FPDFFormObj_CountObjects(obj)):
            yield from _walk_object(pdfium_c.FPDFFormObj_GetObject(obj, index), inner, inside, depth + 1)


def find_cut_off(page: Any) -> frozenset[int]:
    """The addresses of the text objects of a raw page that their forms' clip paths cut off: nobody sees them."""
    forms = range(pdfium_c.FPDFPage_CountObjects(page))
    kinds = (pdfium_c.FPDFPageObj_GetType(pdfium_c.FPDFPage_GetObject(page, index)) for index in forms)
    if pdfium_c.FPDF_PAGEOBJ_FORM not in kinds:
        return frozenset()
    return frozenset(
        ctypes.cast(drawn.obj, ctypes.c_void_p).value or 0
        for drawn in walk(page)
        if drawn.kind == pdfium_c.FPDF_PAGEOBJ_TEXT
        and drawn.is_in_form
        and (clip := drawn.clip.within(_clip_of(drawn.obj, drawn.matrix))) != EVERYWHERE
        and (extent := bounds_of(drawn.obj, drawn.matrix)) is not None
        and not clip.has_middle_of(extent)
    )


def matrix_of(obj: Any) -> Matrix:
    """The object's own matrix; the identity for one that has none."""
    raw = pdfium_c.FS_MATRIX()
    if not pdfium_c.FPDFPageObj_GetMatrix(obj, raw):
        return IDENTITY
    return Matrix(raw.a, raw.b, raw.c, raw.d, raw.e, raw.f)


def bounds_of(obj: Any, outer: Matrix) -> Extent | None:
    """Where the object lies on the page; None where pdfium does not know."""
    left, bottom, right, top = (ctypes.c_float() for _ in range(4))
    if not pdfium_c.FPDFPageObj_GetBounds(obj, left, bottom, right, top):
        return None
    return _enclose([(x.value, y.value) for x in (left, right) for y in (bottom, top)], outer)


def _clip_of(obj: Any, outer: Matrix) -> Extent:
    """The box of the object's clip path on the page."""
    path = pdfium_c.FPDFPageObj_GetClipPath(obj)
    extent, x, y = EVERYWHERE, ctypes.c_float(), ctypes.c_float()
    for place in range(max(pdfium_c.FPDFClipPath_CountPaths(path), 0)):
        points: list[tuple[float, float]] = []
        count = pdfium_c.FPDFClipPath_CountPathSegments(path, place)
        if not 0 < count <= MAX_CLIP_SEGMENTS:
            continue
        for index in range(count):
            pdfium_c.FPDFPathSegment_GetPoint(pdfium_c.FPDFClipPath_GetPathSegment(path, place, index), x, y)
            points.append((x.value, y.value))
        extent = extent.within(_enclose(points, outer))
    return extent


def _enclose(points: list[tuple[float, float]], outer: Matrix) -> Extent:
    on_page = [outer.apply(x, y) for x, y in points]
    xs, ys = [x for x, _ in on_page], [y for _, y in on_page]
    return Extent(min(xs), min(ys), max(xs), max(ys))
