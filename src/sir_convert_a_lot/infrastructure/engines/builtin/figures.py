"""Figures: the parts of a page that show a drawing or a picture over its caption, and the labels in them.

Owns which words are labels of a figure and no text of the document: ticks, legends, names of boxes. Refuses a drawing
without a caption, and whatever holds sentences: what looks like prose stays, even inside a frame.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

from sir_convert_a_lot.infrastructure.engines.builtin.columns import enclose
from sir_convert_a_lot.infrastructure.engines.builtin.lines import group_into_lines
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Box, Page, Word

CELL_PT = 8.0  # of the raster in which shapes that touch become one drawing
MIN_STROKES = 16  # curves and slanted lines: a frame with round corners has 4, a plot or a diagram many
TICK_PT = 8.0  # rulings this short are marks on an axis, and count as strokes
MIN_SIDE_PT = 36.0  # of a figure: half an inch
LARGEST = 0.7  # of the page, above which a shape is its background
CAPTION_REACH_PT = 60.0  # between a figure and its caption: names of its parts may stand between
HANGING_INDENT, CAPTION_LEADING = 4.0, 1.5  # sizes, inside a caption
APART_PT = 48.0  # between the parts of one figure
CAPTION_WORD = re.compile(r"^(?:fig|figs|figure|scheme|plate|abb|abbildung|chart|illustration)\.?$", re.IGNORECASE)
OTHER_CAPTION = re.compile(r"^(?:table|tab|tabelle|algorithm|listing)\.?$", re.IGNORECASE)
CAPTION_NUMBER = re.compile(r"^[A-Z]?\d+(?:\.\d+)*[a-z]?(?:[.:|–—-]|$)")
FIGURE_NUMBER = re.compile(r"^[-−+±]?[\d.,·×^%°eEkM]+$")
SENTENCE_WORDS = 8  # words of letters on one line: a label has fewer
SENTENCE_LINES = 2  # of them make prose
CHUNK_GAP = 1.2  # sizes between two labels on one baseline
LABEL_WORDS = 6
LABEL_SIZE = 0.93  # of the body's size: labels outside a drawing are smaller, or figures
BESIDE, BELOW = 3.0, 2.2  # sizes between a drawing and a label at its side, or above or below it
LABEL_ROUNDS = 3  # ticks, then the name of the axis, then a title

_Cell = tuple[int, int]  # of the raster: column and row


@dataclass(frozen=True, slots=True)
class _Drawing:
    """Shapes that touch. `is_figure`: curves, slanted lines or a picture are among them, so that it is no table."""

    box: Box
    is_figure: bool


@dataclass(frozen=True, slots=True)
class _Caption:
    """The word that begins a caption, and the block of its lines. `is_figure`: not of a table or listing."""

    word: Word
    block: Box
    is_figure: bool


def drop_labels(page: Page) -> Page:
    """The page without the words that are labels of its figures; `label_characters` counts what they had."""
    captions = _find_captions(page)
    if not any(caption.is_figure for caption in captions) or not (page.shapes or page.image_boxes):
        return page
    drawings = [drawing for drawing in _find_drawings(page) if not _is_of_table(drawing.box, captions, page)]
    body = _body_size(page.words)
    labels: set[int] = set()
    for caption in captions:
        region = _region_of(caption, captions, drawings, page) if caption.is_figure else None
        if region is not None:
            labels |= _labels_in(region, caption, page.words, body)
    if not labels:
        return page
    return replace(
        page,
        words=tuple(word for word in page.words if id(word) not in labels),
        label_characters=sum(len(word.text) for word in page.words if id(word) in labels),
    )


def _find_captions(page: Page) -> list[_Caption]:
    found = []
    for word, after in pairwise(page.words):
        is_figure = bool(CAPTION_WORD.match(word.text))
        if not (is_figure or OTHER_CAPTION.match(word.text)) or not CAPTION_NUMBER.match(after.text):
            continue
        if abs(word.box.y1 - after.box.y1) < word.box.height / 2 and _begins_line(word, page.words):
            found.append(_Caption(word, _caption_block(word, page.words), is_figure))
    return found


def _begins_line(word: Word, words: Iterable[Word]) -> bool:
    """Whether nothing stands right before it: a caption, not a sentence that speaks of a figure."""
    size = word.font.size_pt
    return not any(
        abs(other.box.y1 - word.box.y1) < size / 2 and -size < word.box.x0 - other.box.x1 < CHUNK_GAP * size
        for other in words
        if other is not word
    )


def _body_size(words: Iterable[Word]) -> float:
    sizes = Counter[float]()
    for word in words:
        sizes[word.font.size_pt] += len(word.text)
    return max(sizes, key=lambda size: (sizes[size], size))


def _find_drawings(page: Page) -> list[_Drawing]:
    """What the page draws, touching shapes together: the connected cells of a raster."""
    largest = LARGEST * page.width_pt * page.height_pt
    shapes = [(shape.box, shape.strokes) for shape in page.shapes]
    shapes += [(ruling.box, int(max(ruling.box.width, ruling.box.height) <= TICK_PT)) for ruling in page.rulings]
    shapes += [(box, MIN_STROKES if min(box.width, box.height) >= MIN_SIDE_PT else 0) for box in page.image_boxes]
    owners: dict[_Cell, int] = {}
    seen: dict[tuple[_Cell, _Cell], int] = {}  # most marks of a plot lie in the same few cells
    parents = list(range(len(shapes)))

    def root(index: int) -> int:
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    for index, (box, _) in enumerate(shapes):
        if box.width * box.height <= largest:
            corners = _cell(box.x0, box.y0, page), _cell(box.x1, box.y1, page)
            if (same := seen.setdefault(corners, index)) != index:
                parents[root(index)] = root(same)
                continue
            for cell in _outline(*corners):
                parents[root(index)] = root(owners.setdefault(cell, index))
    groups: dict[int, list[int]] = {}
    for index, (box, _) in enumerate(shapes):
        if box.width * box.height <= largest:
            groups.setdefault(root(index), []).append(index)
    return [
        _Drawing(
            enclose([shapes[index][0] for index in group]),
            sum(shapes[index][1] for index in group) >= MIN_STROKES,
        )
        for group in groups.values()
    ]


def _cell(x: float, y: float, page: Page) -> _Cell:
    """Where a point lies in the raster; at the edge where it hangs over it."""
    return int(min(max(x, 0.0), page.width_pt) / CELL_PT), int(min(max(y, 0.0), page.height_pt) / CELL_PT)


def _outline(first: _Cell, last: _Cell) -> Iterator[_Cell]:
    """The cells around a box: what lies inside is of the same figure anyway."""
    for x in range(first[0], last[0] + 1):
        yield x, first[1]
        yield x, last[1]
    for y in range(first[1], last[1] + 1):
        yield first[0], y
        yield last[0], y


def _is_of_table(box: Box, captions: Sequence[_Caption], page: Page) -> bool:
    """Whether the nearest caption is one of a table or listing."""
    near = [caption for caption in captions if _is_near(box, caption.block, page)]
    return bool(near) and not min(near, key=lambda caption: _gap(box, caption.block)).is_figure


def _region_of(caption: _Caption, captions: Sequence[_Caption], drawings: Sequence[_Drawing], page: Page) -> Box | None:
    """The figure above its caption or, where none is, below it; all its parts, as long as no sentence is in them."""
    above = [drawing for drawing in drawings if drawing.box.y0 < caption.block.y0]
    below = [drawing for drawing in drawings if drawing.box.y0 >= caption.block.y0]
    for side in (above, below):
        region, has_figure = _gather(caption, captions, side, page)
        if region is not None and has_figure and min(region.width, region.height) >= MIN_SIDE_PT:
            return region
    return None


def _gather(
    caption: _Caption, captions: Sequence[_Caption], drawings: Sequence[_Drawing], page: Page
) -> tuple[Box | None, bool]:
    """The drawings at one side of a caption, from the nearest on, part by part; and whether a figure is among them."""
    region: Box | None = None
    has_figure = False
    waiting = list(drawings)
    while True:
        beside = [
            drawing
            for drawing in waiting
            if (_is_near(drawing.box, caption.block, page) if region is None else _gap(drawing.box, region) <= APART_PT)
        ]
        for drawing in beside:
            larger = drawing.box if region is None else enclose([region, drawing.box])
            if larger == region:
                has_figure = has_figure or drawing.is_figure
            elif not any(_holds(larger, other.word) for other in captions) and not _has_prose(larger, page.words):
                region, has_figure = larger, has_figure or drawing.is_figure
        waiting = [drawing for drawing in waiting if drawing not in beside]
        if not beside:
            return region, has_figure


def _caption_block(caption: Word, words: Sequence[Word]) -> Box:
    """The caption's word and the lines below it that begin where it does, in its size."""
    x0, y0, x1, bottom = caption.box
    size = caption.font.size_pt
    starts = sorted(
        word.box.y1
        for word in words
        if x0 - 1.0 <= word.box.x0 <= x0 + HANGING_INDENT * size and abs(word.font.size_pt - size) < 0.05 * size
    )
    for y1 in starts:
        if 0.5 * size < y1 - bottom <= CAPTION_LEADING * size:
            bottom = y1
    return Box(x0, y0, x1, bottom)


def _is_near(box: Box, caption: Box, page: Page) -> bool:
    starts_left = caption.x0 < box.x1 and box.x0 - caption.x0 < 0.4 * page.width_pt
    return starts_left and max(caption.y0 - box.y1, box.y0 - caption.y1) <= CAPTION_REACH_PT


def _gap(first: Box, second: Box) -> float:
    """How far apart two boxes are; 0 where they meet."""
    across = max(first.x0 - second.x1, second.x0 - first.x1, 0.0)
    down = max(first.y0 - second.y1, second.y0 - first.y1, 0.0)
    return max(across, down)


def _holds(box: Box, word: Word, slack: float = 2.0) -> bool:
    x, y = (word.box.x0 + word.box.x1) / 2, (word.box.y0 + word.box.y1) / 2
    return box.x0 - slack <= x <= box.x1 + slack and box.y0 - slack <= y <= box.y1 + slack


def _has_prose(region: Box, words: Iterable[Word]) -> bool:
    lines = group_into_lines(word for word in words if _holds(region, word))
    return sum(_is_sentence(line.words) for line in lines) >= SENTENCE_LINES


def _is_sentence(words: Sequence[Word]) -> bool:
    return sum(len(word.text) > 1 and word.text.strip(".,;:()").isalpha() for word in words) >= SENTENCE_WORDS


def _labels_in(region: Box, caption: _Caption, words: Sequence[Word], body: float) -> set[int]:
    """The words in the figure, and those around it that name what it shows."""
    is_below = caption.block.y0 >= region.y1 - 2.0
    outside = [word for word in words if not _holds(region, word)]
    labels = {id(word) for word in words if _holds(region, word)}
    chunks = [chunk for chunk in _chunks(outside) if _may_be_label(chunk, caption.word, body, is_below=is_below)]
    for _ in range(LABEL_ROUNDS):
        found = [chunk for chunk in chunks if _touches(chunk, region)]
        if not found:
            break
        labels |= {id(word) for chunk in found for word in chunk}
        region = enclose([region, *(word.box for chunk in found for word in chunk)])
        chunks = [chunk for chunk in chunks if chunk not in found]
    return labels


def _chunks(words: Iterable[Word]) -> list[list[Word]]:
    """Words without a wide gap between them."""
    chunks: list[list[Word]] = []
    for line in group_into_lines(words):
        start = len(chunks)
        for word in line.words:
            if len(chunks) > start and word.box.x0 - chunks[-1][-1].box.x1 < CHUNK_GAP * word.font.size_pt:
                chunks[-1].append(word)
            else:
                chunks.append([word])
    return chunks


def _may_be_label(chunk: Sequence[Word], caption: Word, body: float, *, is_below: bool) -> bool:
    if is_below and chunk[0].box.y1 > caption.box.y0 + 1.0:
        return False
    if not is_below and chunk[0].font == caption.font:  # the caption's own lines
        return False
    if all(FIGURE_NUMBER.match(word.text) for word in chunk):
        return True
    return len(chunk) <= LABEL_WORDS and median(word.font.size_pt for word in chunk) <= LABEL_SIZE * body


def _touches(chunk: Sequence[Word], region: Box) -> bool:
    box = enclose([word.box for word in chunk])
    size = chunk[0].font.size_pt
    if box.y0 < region.y1 and region.y0 < box.y1:
        return max(box.x0 - region.x1, region.x0 - box.x1) <= BESIDE * size
    is_over = region.x0 - size <= box.x0 and box.x1 <= region.x1 + size
    return is_over and max(box.y0 - region.y1, region.y0 - box.y1) <= BELOW * size
