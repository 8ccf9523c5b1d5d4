"""Tables without rules: lines of figures that stand in columns, one below the other.

Owns a narrow rule that would rather miss a table than make one of text: at least two columns of figures beside a column
of labels, line after line, each column flush at its left, its right or its middle. Refuses columns of words, which two
columns of running text would be, and tables of which another column of the page stands beside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from sir_convert_a_lot.infrastructure.engines.builtin.lines import group_into_lines
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Box, Line, Word
from sir_convert_a_lot.infrastructure.engines.builtin.tables.cells import is_number
from sir_convert_a_lot.infrastructure.engines.builtin.tables.gaps import Extent, bounds_between, extent_of, split_line
from sir_convert_a_lot.infrastructure.engines.builtin.tables.lattice import Lattice

MIN_LINES = 4  # of figures; fewer are an equation, a row of numbers under a plot, an address
MIN_FIGURES = 2  # figures in such a line, and columns of figures in the table
FIGURE_COLUMN = 0.8  # of the texts in a column of figures are figures
LABELLED = 0.7  # of the lines begin with words: the figures at the axes of plots have none
LABEL_WORDS = 12  # a label is no longer
LINE_GAP_EM = 2.5  # baselines further apart do not belong together
FILLED = 0.6  # of the fields; where most are empty, every place a figure happened to stand became a column
FLUSH_PT = 2.5
FLUSH = 0.8  # of a column's texts
HEAD_LINES = 3  # above the figures, at most
NO_FIGURE = frozenset("-–—*") | {"n/a", "na", "nil", "..."}
CURRENCY = frozenset("$€£¥%")


class _Row:
    """One line of the page, in runs of words without a gap between columns."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.texts: list[str] = []
        self.extents: list[Extent] = []
        for chunk in split_line(line):
            text, extent = " ".join(word.text for word in chunk), extent_of(chunk)
            if self.texts and self.texts[-1] in CURRENCY:
                self.texts[-1] += text
                self.extents[-1] = (self.extents[-1][0], extent[1])
            else:
                self.texts.append(text)
                self.extents.append(extent)

    @property
    def size_pt(self) -> float:
        return self.line.words[0].font.size_pt

    @property
    def has_label(self) -> bool:
        return not is_figure(self.texts[0])

    @property
    def has_figures(self) -> bool:
        """A label (or none) with figures beside it, and nothing else."""
        beside = self.texts[1:] if self.has_label else self.texts
        return len(beside) >= MIN_FIGURES and all(map(is_figure, beside)) and _word_count(self.texts[0]) <= LABEL_WORDS

    def is_label_before(self, figures_x0: float) -> bool:
        """One short text that ends before the figures begin: the title of the lines below it."""
        return len(self.texts) == 1 and self.extents[0][1] < figures_x0 and _word_count(self.texts[0]) <= LABEL_WORDS


def is_figure(text: str) -> bool:
    """Whether a text stands for a figure: one, or a sign that there is none."""
    return is_number(text) or text.lower() in NO_FIGURE or text in CURRENCY


def _word_count(text: str) -> int:
    return text.count(" ") + 1


def find_borderless(words: Iterable[Word]) -> Iterator[Lattice]:
    """The lattices of tables without rules among these words, top to bottom."""
    rows = [_Row(line) for line in group_into_lines(words)]
    start = 0
    while start < len(rows):
        end = _run_end(rows, start)
        figures = [row for row in rows[start:end] if row.has_figures]
        labels = _share(row.has_label for row in figures)
        if len(figures) >= MIN_LINES and labels >= LABELLED and (bounds := _bounds_of(figures)):
            head = _head_start(rows, start, bounds)
            yield _lattice_of(rows[head:end], bounds)
        start = max(end, start + 1)


def _run_end(rows: Sequence[_Row], start: int) -> int:
    """Where the lines of figures that begin at `start` end; titles between them belong to them."""
    if not rows[start].has_figures:
        return start
    end = start + 1
    figures_x0 = rows[start].extents[-MIN_FIGURES][0]
    for index in range(start + 1, len(rows)):
        if not _is_near(rows[index - 1], rows[index]):
            break
        if rows[index].has_figures:
            end = index + 1
        elif not rows[index].is_label_before(figures_x0):
            break
    return end


def _is_near(above: _Row, below: _Row) -> bool:
    return below.line.box.y1 - above.line.box.y1 <= LINE_GAP_EM * max(above.size_pt, below.size_pt)


def _bounds_of(figures: Sequence[_Row]) -> list[float]:
    """The bounds between the columns; none when the lines do not keep to columns of figures."""
    bounds = bounds_between([row.extents for row in figures])
    columns: list[list[tuple[str, Extent]]] = [[] for _ in range(len(bounds) + 1)]
    for row in figures:
        places = [sum((x0 + x1) / 2 > bound for bound in bounds) for x0, x1 in row.extents]
        if len(set(places)) < len(places):
            return []
        for place, text, extent in zip(places, row.texts, row.extents, strict=True):
            columns[place].append((text, extent))
    if sum(map(len, columns)) < FILLED * len(columns) * len(figures):
        return []
    sure = [column for column in columns if _share(is_figure(text) for text, _extent in column) >= FIGURE_COLUMN]
    are_flush = all(_is_flush([extent for _text, extent in column]) for column in columns)
    return bounds if len(sure) >= MIN_FIGURES and are_flush else []


def _is_flush(extents: Sequence[Extent]) -> bool:
    """Whether most of a column's texts share their left end, their right end or their middle."""
    for places in ([x0 for x0, _ in extents], [x1 for _, x1 in extents], [(x0 + x1) / 2 for x0, x1 in extents]):
        usual = sorted(places)[len(places) // 2]
        if _share(abs(place - usual) <= FLUSH_PT for place in places) >= FLUSH:
            return True
    return False


def _share(claims: Iterable[bool]) -> float:
    found = list(claims)
    return sum(found) / len(found) if found else 0.0


def _head_start(rows: Sequence[_Row], start: int, bounds: Sequence[float]) -> int:
    """The first of the lines right above that name the columns: several texts, none over two columns of the table."""
    for index in range(start - 1, max(-1, start - 1 - HEAD_LINES), -1):
        row = rows[index]
        stays = all(not x0 < bound < x1 for x0, x1 in row.extents for bound in bounds)
        if len(row.texts) < 2 or not stays or not _is_near(row, rows[index + 1]):
            return index + 1
    return max(0, start - HEAD_LINES)


def _lattice_of(rows: Sequence[_Row], bounds: Sequence[float]) -> Lattice:
    """One row of the table for each line; only lines of the head are joined, since a head may take several."""
    boxes = [row.line.box for row in rows]
    inner = [(above.y1 + below.y0) / 2 for above, below in pairwise(boxes)]
    box = Box(min(b.x0 for b in boxes), boxes[0].y0, max(b.x1 for b in boxes), boxes[-1].y1)
    first = next(index for index, row in enumerate(rows) if row.has_figures)
    head = inner[max(0, first - 1) :] if first else inner
    return Lattice([box.x0 - 1, *bounds, box.x1 + 1], [box.y0, *head, box.y1], is_measured=False)
