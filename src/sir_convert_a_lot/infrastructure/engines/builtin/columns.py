"""Columns and reading order: the regions of a page, in the order a person reads them.

Owns the search for gutters. A gutter is an x that few lines cross; between the lines that do cross it the page falls
into bands, and a band is read column by column when both sides hold running text. Full-width titles, figures and
formulas are the lines that cross. Refuses to see paragraphs, and to judge tables beyond "these short cells are no
columns of text".
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from statistics import median

from sir_convert_a_lot.infrastructure.engines.builtin.lines import group_into_lines, median_size
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Box, Line, Page, Region, Word

MAX_DEPTH = 4  # of columns in columns: 3 columns need 2
MAX_CANDIDATES = 12  # gutters tried for one region
MIN_GUTTER = 0.7  # sizes; LaTeX's \columnsep is 1.0, IEEE's 1.2
ALIGNED = 0.3  # sizes; lines that begin a column begin this near each other
OVERFULL = 0.2  # sizes; what a line too long for its column may leave of the gutter
SAFE_GUTTER = 1.4  # sizes; spaces of justified lines stacked by chance are narrower
WIDE_GUTTER = 1.9  # sizes; text this far apart is not one line of prose
MIN_LINES = 3  # of text on both sides of a band
NARROW_LINES = 5  # the same for a gutter narrower than `SAFE_GUTTER`
SURE_LINES = 8  # on both sides: enough to expect the same gutter on other pages
MIN_FILL = 0.6  # of a side's width, by its usual line: text fills its column, the cells of a table do not
PAIRED = 0.8  # of the lines share their baseline with one across the gutter: rows of a table, if they also fill little
MIN_WORDS = 2.5  # a line on both sides, on average: cells of a table have fewer
FORMULA_NUMBER = re.compile(r"^\([A-Z]?\d{1,3}(?:[.–-]\d{1,3})*[a-z]?\)$")
MIN_SHARE = 0.12  # of the region's width, of each side


@dataclass(frozen=True, slots=True)
class _Band:
    """Consecutive lines that all keep clear of a gutter (`left` and `right` of it), or all cross it (`across`)."""

    left: tuple[Line, ...] = ()
    right: tuple[Line, ...] = ()
    across: tuple[Word, ...] = ()


def order_regions(words: Sequence[Word], known_gutters: Sequence[float] = ()) -> list[Region]:
    """The regions of a page in reading order. `known_gutters`: where other pages of the document have theirs."""
    return _split(list(words), known_gutters, 0)


class GutterMemory:
    """Where the pages of a document have their gutters; what two pages agree on is known for all that follow."""

    def __init__(self) -> None:
        self._seen: list[float] = []

    def learn(self, pages: Sequence[Page]) -> None:
        """Adds the gutters these pages show by themselves."""
        for page in pages:
            self._seen += find_gutters(page.words)

    @property
    def known(self) -> tuple[float, ...]:
        """Gutters seen on two pages or more, within three points, the most frequent first."""
        counts = Counter(round(x / 3) for x in self._seen)
        total = {place: counts[place] + counts[place + 1] for place in sorted(counts)}
        ranked = sorted((place for place in total if total[place] > 1), key=lambda place: (-total[place], place))
        return tuple(3.0 * place for place in ranked[:2])


def find_gutters(words: Sequence[Word]) -> list[float]:
    """The x of the gutters this page shows by itself, without what other pages say."""
    if not words:
        return []
    best = _best_split(group_into_lines(words), ())
    if best is None or max(min(len(band.left), len(band.right)) for band in best[1]) < SURE_LINES:
        return []
    return [best[0]]


def _split(words: list[Word], known: Sequence[float], depth: int) -> list[Region]:
    if not words:
        return []
    rows = group_into_lines(words)
    best = _best_split(rows, known) if depth < MAX_DEPTH else None
    if best is None:
        return [_region(rows)]
    regions: list[Region] = []
    for band in best[1]:
        if band.across:
            regions += _split(list(band.across), known, depth + 1)
        else:
            for side in (band.left, band.right):
                regions += _split([word for line in side for word in line.words], known, depth + 1)
    return regions


def _region(rows: list[Line]) -> Region:
    return Region(enclose([row.box for row in rows]), tuple(rows))


def enclose(boxes: Sequence[Box]) -> Box:
    """The smallest box around all; there must be one at least."""
    return Box(
        min(box.x0 for box in boxes),
        min(box.y0 for box in boxes),
        max(box.x1 for box in boxes),
        max(box.y1 for box in boxes),
    )


def _best_split(rows: Sequence[Line], known: Sequence[float]) -> tuple[float, list[_Band]] | None:
    size = median_size(rows)
    region = enclose([row.box for row in rows])
    best: tuple[tuple[float, float], float, list[_Band]] | None = None
    for x in _candidates(rows, size, region, known):
        is_known = any(abs(x - gutter) < size for gutter in known)
        bands = _cut(rows, x, size)
        bands = _merge(
            [band if _is_columns(band, size, region, is_known=is_known) else _across(band) for band in bands]
        )
        gain = sum(min(len(band.left), len(band.right)) for band in bands)
        rank = (float(gain), -abs(x - (region.x0 + region.x1) / 2))
        if gain and (best is None or rank > best[0]):
            best = (rank, x, bands)
    return None if best is None else (best[1], best[2])


def _candidates(rows: Sequence[Line], size: float, region: Box, known: Sequence[float]) -> list[float]:
    """Where most lines have a gap: the middle of the stretches covered by the most gaps."""
    events: list[tuple[float, int]] = []
    for row in rows:
        end = row.words[0].box.x1
        for word in row.words[1:]:
            if word.box.x0 - end >= MIN_GUTTER * size:
                events += [(end, 1), (word.box.x0, -1)]
            end = max(end, word.box.x1)
    events.sort()
    peaks: list[tuple[int, float]] = []
    depth = 0
    for (x, step), (next_x, next_step) in pairwise(events):
        depth += step
        if step == 1 and next_step == -1:
            peaks.append((depth, (x + next_x) / 2))
    peaks.sort(key=lambda peak: (-peak[0], peak[1]))
    inside = [gutter for gutter in known if region.x0 + size < gutter < region.x1 - size]
    return [*inside, *(x for _, x in peaks[:MAX_CANDIDATES]), *_thin_places(rows, size, region)]


def _thin_places(rows: Sequence[Line], size: float, region: Box) -> list[float]:
    """The middles of the emptiest vertical strips: found also where no line has text on both sides of the gutter."""
    events = sorted(event for row in rows for word in row.words for event in ((word.box.x0, 1), (word.box.x1, -1)))
    strips: list[tuple[int, float]] = []
    depth = 0
    for (x, step), (next_x, _) in pairwise(events):
        depth += step
        is_inside = x > region.x0 + MIN_SHARE * region.width and next_x < region.x1 - MIN_SHARE * region.width
        if next_x - x > OVERFULL * size and is_inside:
            strips.append((depth, (x + next_x) / 2))
    strips.sort()
    return [x for _, x in strips[: MAX_CANDIDATES // 2]]


def _cut(rows: Sequence[Line], x: float, size: float) -> list[_Band]:
    bands: list[_Band] = []
    left: list[Line] = []
    right: list[Line] = []

    def flush() -> None:
        if left or right:
            bands.append(_Band(left=tuple(left), right=tuple(right)))
        left.clear()
        right.clear()

    clear = _clear_rows(rows, x, size)
    for row, is_clear in zip(rows, clear, strict=True):
        if not is_clear:
            flush()
            bands.append(_Band(across=row.words))
            continue
        # By where a word begins, as in `_space_around`: the end of an overfull line may reach beyond `x`.
        sides = [word for word in row.words if word.box.x0 < x], [word for word in row.words if word.box.x0 >= x]
        for words, lines in zip(sides, (left, right), strict=True):
            if words:
                lines.append(Line(tuple(words), enclose([word.box for word in words])))
    flush()
    return bands


def _clear_rows(rows: Sequence[Line], x: float, size: float) -> list[bool]:
    """Which rows keep clear of the gutter at `x`.

    A row with a gap there no wider than a space may be one line of prose. It is an overfull line of the left column
    when it stands alone between clear rows, and what follows the gap begins where the right column does.
    """
    around = [_space_around(row, x) for row in rows]
    wide = [_gap(before, after, x) >= MIN_GUTTER * size for before, after in around]
    starts = [after for (_, after), is_wide in zip(around, wide, strict=True) if is_wide and after < inf]
    edge = median(starts) if starts else inf
    clear = list(wide)
    for index, (before, after) in enumerate(around):
        is_alone = 0 < index < len(wide) - 1 and wide[index - 1] and wide[index + 1]
        is_overfull = _gap(before, after, x) > OVERFULL * size and abs(after - edge) < ALIGNED * size
        clear[index] = wide[index] or (is_alone and (is_overfull or (after == inf and before <= edge)))
    return clear


def _space_around(row: Line, x: float) -> tuple[float, float]:
    """Where the words before `x` end, and where the words after it begin; infinite where there are none."""
    before, after = -inf, inf
    for word in row.words:  # from left to right
        x0, _, x1, _ = word.box
        if x0 >= x:
            return before, x0
        before = max(before, x1)
    return before, after


def _gap(before: float, after: float, x: float) -> float:
    """How wide the space around `x` is; negative where a word stands on it. Beside the row's ends it counts double."""
    if before > x:
        return x - before
    return 2 * min(x - before, after - x) if inf in {-before, after} else after - before


def _is_columns(band: _Band, size: float, region: Box, *, is_known: bool) -> bool:
    if band.across or not band.left or not band.right:
        return False
    if all(_is_number(line) for line in band.right):
        return False
    left, right = (enclose([line.box for line in side]) for side in (band.left, band.right))
    if is_known:
        return True
    sides = ((band.left, left), (band.right, right))
    gutter = right.x0 - left.x1
    words = [sum(len(line.words) for line in side) / len(side) for side in (band.left, band.right)]
    lines = min(len(band.left), len(band.right))
    if min(words) >= MIN_WORDS and lines >= (MIN_LINES if gutter >= SAFE_GUTTER * size else NARROW_LINES):
        fill = min(median(line.box.width for line in side) / max(box.width, 0.1) for side, box in sides)
        is_table = fill < MIN_FILL and _paired(band, size) >= PAIRED
        return not is_table and min(left.width, right.width) >= MIN_SHARE * region.width
    stand_beside = min(left.y1, right.y1) - max(left.y0, right.y0) > size / 2
    return stand_beside and gutter >= WIDE_GUTTER * size and lines < MIN_LINES and max(words) >= MIN_WORDS


def _is_number(line: Line) -> bool:
    """Whether a line is nothing but the number of a formula."""
    return len(line.words) == 1 and bool(FORMULA_NUMBER.match(line.words[0].text))


def _paired(band: _Band, size: float) -> float:
    """The share of lines (of the side with fewer) that stand on one baseline with a line across the gutter."""
    heights = [sorted(line.box.y1 for line in side) for side in (band.left, band.right)]
    few, many = sorted(heights, key=len)
    paired = 0
    for y in few:
        place = bisect_left(many, y - 0.2 * size)
        paired += place < len(many) and many[place] <= y + 0.2 * size
    return paired / len(few)


def _across(band: _Band) -> _Band:
    if band.across:
        return band
    return _Band(across=tuple(word for line in (*band.left, *band.right) for word in line.words))


def _merge(bands: list[_Band]) -> list[_Band]:
    merged: list[_Band] = []
    for band in bands:
        if band.across and merged and merged[-1].across:
            merged[-1] = _Band(across=(*merged[-1].across, *band.across))
        else:
            merged.append(band)
    return merged
