"""A table's lattice: where its columns and rows are bounded, and which of these bounds are really there.

Owns the geometry of cells and of merged cells. Refuses to find tables and to read words.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Box
from sir_convert_a_lot.infrastructure.engines.builtin.tables.rules import Rule, cluster

COVERED = 0.6  # a bound is drawn when rules cover this share of it
SAME_LEVEL_PT = 3.0
OVERHANG_PT = 6.0  # rules that run further than this past the last crossing one end at an undrawn outer bound


class Area(NamedTuple):
    """A rectangle of lattice fields: rows `top`..`bottom` and columns `left`..`right`, both ends included."""

    top: int
    left: int
    bottom: int
    right: int


@dataclass(slots=True)
class Lattice:
    """Bounds in points, ascending. A missing bound joins the two fields beside it into one cell.

    `missing_across` holds (row, column) where the bound below that field is not drawn; `missing_down` (row, column)
    where the bound right of it is not. `is_measured`: the columns' bounds were drawn, not found between words.
    `is_half_open`: no rule closes the lattice at its left or right.
    """

    xs: list[float]
    ys: list[float]
    missing_across: set[tuple[int, int]] = field(default_factory=set)
    missing_down: set[tuple[int, int]] = field(default_factory=set)
    is_measured: bool = True
    is_half_open: bool = False

    @property
    def rows(self) -> int:
        return len(self.ys) - 1

    @property
    def columns(self) -> int:
        return len(self.xs) - 1

    @property
    def box(self) -> Box:
        return Box(self.xs[0], self.ys[0], self.xs[-1], self.ys[-1])

    def field_at(self, x: float, y: float) -> tuple[int, int] | None:
        """(row, column) of the field with this point; None outside."""
        row, column = bisect_right(self.ys, y) - 1, bisect_right(self.xs, x) - 1
        return (row, column) if 0 <= row < self.rows and 0 <= column < self.columns else None

    def compact(self) -> Lattice:
        """The same cells on as few bounds as they need: marks on a frame make no rows and no columns."""
        areas = self.areas()
        bottoms = sorted({area.bottom for area in areas})
        rights = sorted({area.right for area in areas})
        missing_across, missing_down = set(), set()
        for area in areas:
            top, bottom = bisect_left(bottoms, area.top), bisect_left(bottoms, area.bottom)
            left, right = bisect_left(rights, area.left), bisect_left(rights, area.right)
            missing_across |= {(row, column) for row in range(top, bottom) for column in range(left, right + 1)}
            missing_down |= {(row, column) for row in range(top, bottom + 1) for column in range(left, right)}
        return replace(
            self,
            xs=[self.xs[0], *(self.xs[right + 1] for right in rights)],
            ys=[self.ys[0], *(self.ys[bottom + 1] for bottom in bottoms)],
            missing_across=missing_across,
            missing_down=missing_down,
        )

    def areas(self) -> list[Area]:
        """The cells: fields joined across missing bounds, grown until each is a rectangle, row by row."""
        areas = [Area(row, column, row, column) for row in range(self.rows) for column in range(self.columns)]
        owner = {(area.top, area.left): index for index, area in enumerate(areas)}
        joins = [((row, column), (row + 1, column)) for row, column in self.missing_across]
        joins += [((row, column), (row, column + 1)) for row, column in self.missing_down]
        pending = sorted(joins)
        while pending:
            one, other = pending.pop()
            pending += _join(areas, owner, owner[one], owner[other])
        return sorted({areas[index] for index in owner.values()})


def _join(
    areas: list[Area], owner: dict[tuple[int, int], int], one: int, other: int
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Makes one area of two; returns the joins that are needed for it to be a rectangle."""
    if one == other:
        return []
    first, second = areas[one], areas[other]
    joined = Area(
        min(first.top, second.top),
        min(first.left, second.left),
        max(first.bottom, second.bottom),
        max(first.right, second.right),
    )
    areas[one] = joined
    fields = [(r, c) for r in range(joined.top, joined.bottom + 1) for c in range(joined.left, joined.right + 1)]
    for place, index in owner.items():
        if index == other:
            owner[place] = one
    return [((joined.top, joined.left), place) for place in fields if owner[place] != one]


def lattice_of_frame(horizontal: Sequence[Rule], vertical: Sequence[Rule], inner_xs: Sequence[float] = ()) -> Lattice:
    """The lattice drawn by rules of both directions. Where rules overhang, the outer bound counts as drawn.

    `inner_xs` are bounds between columns known from elsewhere; they count as drawn too.
    """
    drawn_xs = cluster((rule.at for rule in vertical), SAME_LEVEL_PT)
    outer_xs = _with_overhang(drawn_xs, horizontal)
    xs = sorted([*outer_xs, *inner_xs])
    ys = _with_overhang(cluster((rule.at for rule in horizontal), SAME_LEVEL_PT), vertical)
    lattice = Lattice(xs, ys, is_half_open=len(outer_xs) > len(drawn_xs))
    for row in range(lattice.rows):
        for column in range(lattice.columns):
            if row + 1 < lattice.rows and not is_drawn(horizontal, ys[row + 1], xs[column], xs[column + 1]):
                lattice.missing_across.add((row, column))
            is_inner = column + 1 < lattice.columns and xs[column + 1] not in inner_xs
            if is_inner and not is_drawn(vertical, xs[column + 1], ys[row], ys[row + 1]):
                lattice.missing_down.add((row, column))
    return lattice.compact()


def _with_overhang(levels: list[float], crossing: Iterable[Rule]) -> list[float]:
    starts, ends = zip(*((rule.start, rule.end) for rule in crossing), strict=True)
    if min(starts) < levels[0] - OVERHANG_PT:
        levels = [min(starts), *levels]
    if max(ends) > levels[-1] + OVERHANG_PT:
        levels = [*levels, max(ends)]
    return levels


def is_drawn(rules: Iterable[Rule], at: float, start: float, end: float) -> bool:
    """Whether rules at this place cover most of the stretch from `start` to `end`."""
    covered = sum(
        max(0.0, min(rule.end, end) - max(rule.start, start)) for rule in rules if abs(rule.at - at) <= SAME_LEVEL_PT
    )
    return covered >= COVERED * (end - start)
