"""The rulings of a page as straight rules: pieces joined, and rules that touch each other gathered.

Owns joining and touching. Refuses to read words and to say which rules are a table.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Ruling

# How far apart ends of rules may be and still touch. Browsers and LaTeX draw cell borders that miss each other by up to
# the width of a rule (1 to 2 pt); rows of a table are never closer than this.
TOUCH_PT = 2.5
MAX_PIECES = 10_000  # of one direction on one page: a drawn map or a plot has more, and no table worth the time


class Rule(NamedTuple):
    """One straight line. `at` is y of a horizontal rule and x of a vertical one; it runs from `start` to `end`.

    `seams` are the places inside where one drawn piece ended and the next began: borders drawn cell by cell tell the
    columns.
    """

    at: float
    start: float
    end: float
    seams: tuple[float, ...] = ()

    @property
    def length(self) -> float:
        return self.end - self.start


class Frame(NamedTuple):
    """Rules that touch each other, directly or through others."""

    horizontal: tuple[Rule, ...]
    vertical: tuple[Rule, ...]


def join_rules(rulings: Iterable[Ruling], *, horizontal: bool) -> list[Rule]:
    """Rules of one direction, by place and then start; pieces in one line that touch or overlap become one rule."""
    pieces = []
    for ruling in rulings:
        box = ruling.box
        if ruling.is_horizontal is horizontal:
            piece = ((box.y0 + box.y1) / 2, box.x0, box.x1) if horizontal else ((box.x0 + box.x1) / 2, box.y0, box.y1)
            pieces.append(piece)
    if len(pieces) > MAX_PIECES:
        return []
    levels = cluster([at for at, _start, _end in pieces], TOUCH_PT)
    placed = sorted((nearest(levels, at), start, end) for at, start, end in pieces)
    rules = []
    for level, group in groupby(placed, key=lambda piece: piece[0]):
        rules += _join_level(levels[level], [(start, end) for _level, start, end in group])
    return rules


def _join_level(at: float, pieces: Sequence[tuple[float, float]]) -> list[Rule]:
    rules: list[Rule] = []
    seams: list[float] = []
    for start, end in pieces:
        last = rules[-1] if rules else None
        if last is None or start > last.end + TOUCH_PT:
            rules.append(Rule(at, start, end))
            seams = []
            continue
        if abs(start - last.end) <= TOUCH_PT and end > last.end + TOUCH_PT:
            seams = [*seams, (start + last.end) / 2]
        rules[-1] = Rule(at, last.start, max(last.end, end), tuple(seams))
    return rules


def cluster(values: Iterable[float], tolerance: float) -> list[float]:
    """Means of the runs of values whose neighbours are within `tolerance`, ascending."""
    runs: list[list[float]] = []
    for value in sorted(values):
        if runs and value - runs[-1][-1] <= tolerance:
            runs[-1].append(value)
        else:
            runs.append([value])
    return [sum(run) / len(run) for run in runs]


def nearest(levels: Sequence[float], value: float) -> int:
    """Index of the level nearest to `value`; `levels` ascend."""
    index = bisect_left(levels, value)
    if index == len(levels) or (index > 0 and value - levels[index - 1] <= levels[index] - value):
        index -= 1
    return index


def gather_frames(horizontal: Sequence[Rule], vertical: Sequence[Rule]) -> list[Frame]:
    """Rules of both directions that touch; one that touches none of the other direction is left out.

    `vertical` ascends by place, as `join_rules` gives it.
    """
    parent = list(range(len(horizontal) + len(vertical)))

    def find(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    places = [down.at for down in vertical]
    for index, across in enumerate(horizontal):
        first, last = bisect_left(places, across.start - TOUCH_PT), bisect_right(places, across.end + TOUCH_PT)
        for other in range(first, last):
            if vertical[other].start - TOUCH_PT <= across.at <= vertical[other].end + TOUCH_PT:
                parent[find(index)] = find(len(horizontal) + other)
    members: dict[int, tuple[list[Rule], list[Rule]]] = {}
    for index, rule in enumerate((*horizontal, *vertical)):
        members.setdefault(find(index), ([], []))[index >= len(horizontal)].append(rule)
    return [Frame(tuple(across), tuple(down)) for across, down in members.values() if across and down]
