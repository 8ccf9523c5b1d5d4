"""Lines of one region gathered into paragraphs, list items and code.

Owns where a paragraph begins: by space, indent, type, marker, or a line that ended although more would have fitted.
Looks at one region; what runs on into the next column or page is joined in `flow.py`. Refuses to name headings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from sir_convert_a_lot.infrastructure.engines.builtin.columns import FORMULA_NUMBER, enclose
from sir_convert_a_lot.infrastructure.engines.builtin.hyphens import join_lines
from sir_convert_a_lot.infrastructure.engines.builtin.lines import main_font, read_line
from sir_convert_a_lot.infrastructure.engines.builtin.lists import (
    is_alike,
    is_certain,
    is_initial,
    match_marker,
    starts_reference,
)
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Box, Font, Line, Paragraph, Region

LOOSE = 1.25  # times the usual distance between lines: more begins a paragraph
WIDEST_LEADING = 2.6  # sizes; double spacing of 1.2 sizes is 2.4
SINGLE_SPACED = 1.5  # sizes; more, between lines that are not full, is space between paragraphs
PROSE = 20.0  # sizes: lines of prose are longer, about 40 characters
INDENT = 0.7  # sizes
SAME_SIZE = 0.08  # share by which sizes may differ inside a paragraph
SCRIPT_SIZE = 0.85  # of the line's height: smaller words are indices and say nothing of the line's type
SHORT_LINE = 0.25  # of the region's width left empty after a sentence's end: the paragraph ended there
NUMBER_GAP = 2.0  # sizes between a displayed formula and its number
SENTENCE_END = (".", "!", "?", ":", "”", '"', ")", "]", ";")


@dataclass(frozen=True, slots=True)
class _Measured:
    """A line with what the rules ask of it."""

    line: Line
    text: str
    font: Font
    marker: str
    is_bold: bool  # every letter of it
    is_code: bool


def build_paragraphs(region: Region, page_index: int) -> list[Paragraph]:
    """The paragraphs of a region, top to bottom."""
    lines = [_measure(line) for line in region.lines]
    leading = _usual_leading(lines, region.box)
    groups: list[list[_Measured]] = []
    for index, line in enumerate(lines):
        after = lines[index + 1] if index + 1 < len(lines) else None
        if groups and not _begins(groups[-1], line, after, region.box, leading):
            groups[-1].append(line)
        else:
            groups.append([line])
    items = _find_items(groups, region.box)
    return [_make(group, region.box, page_index, is_item=is_item) for group, is_item in zip(groups, items, strict=True)]


def _measure(line: Line) -> _Measured:
    text = read_line(line.words)
    full_size = [word for word in line.words if word.font.size_pt >= SCRIPT_SIZE * line.box.height] or list(line.words)
    letters = [word for word in full_size if any(char.isalnum() for char in word.text)] or full_size
    return _Measured(
        line=line,
        text=text,
        font=main_font(full_size),
        marker=match_marker(text),
        is_bold=all(word.font.is_bold for word in letters),
        is_code=all(word.font.is_monospaced for word in letters),
    )


def _usual_leading(lines: Sequence[_Measured], region: Box) -> float:
    """The distance between baselines inside paragraphs, in sizes; the space between paragraphs is not taken for it."""
    steps = sorted(
        (after.line.box.y1 - line.line.box.y1) / after.font.size_pt
        for line, after in pairwise(lines)
        if abs(line.font.size_pt - after.font.size_pt) < SAME_SIZE * after.font.size_pt
    )
    steps = [step for step in steps if 0.9 <= step <= WIDEST_LEADING]
    if not steps:
        return 1.25
    middle = median(steps)
    full = sum(line.line.box.width > max(0.8 * region.width, PROSE * line.font.size_pt) for line in lines)
    if full > 0.6 * len(lines) and sum(abs(step - middle) < 0.06 * middle for step in steps) > 0.6 * len(steps):
        return middle  # a manuscript set with wide spaces: full lines, evenly apart
    return min(steps[len(steps) // 5], SINGLE_SPACED)


def _begins(group: list[_Measured], line: _Measured, after: _Measured | None, region: Box, leading: float) -> bool:
    last = group[-1]
    size = max(line.font.size_pt, 0.1)
    if abs(last.font.size_pt - size) > SAME_SIZE * max(size, last.font.size_pt):
        return True
    step = (line.line.box.y1 - last.line.box.y1) / size
    if step > LOOSE * leading + 0.05:
        return True
    if line.is_code or last.is_code:
        return line.is_code != last.is_code
    if last.is_bold != line.is_bold and (last.is_bold or len(group) == 1 or _stands_alone(last, line, after, region)):
        return True
    if _is_formula(last, region) or _is_formula(line, region):
        return not _is_number(line, region)
    if _begins_item(group, line, region, size):
        return True
    if line.is_bold:
        return False
    return _is_indented(group, line, after, region, size) or _is_cut_short(last, line, region, size)


def _stands_alone(last: _Measured, line: _Measured, after: _Measured | None, region: Box) -> bool:
    """Whether a bold line between lines of text is a heading: after a sentence's end, and not full."""
    room = region.x1 - line.line.box.x1
    return (
        line.is_bold
        and last.text.endswith(SENTENCE_END)
        and after is not None
        and not after.is_bold
        and (room > after.line.words[0].box.width + line.font.size_pt)
    )


def _is_formula(line: _Measured, region: Box) -> bool:
    """Whether a line ends a displayed formula: its number stands far to the right, alone or behind a wide gap."""
    words = line.line.words
    if not FORMULA_NUMBER.match(words[-1].text):
        return False
    gap = words[-1].box.x0 - words[-2].box.x1 if len(words) > 1 else words[-1].box.x0 - region.x0
    return gap > NUMBER_GAP * line.font.size_pt


def _is_number(line: _Measured, region: Box) -> bool:
    return len(line.line.words) == 1 and _is_formula(line, region)


def _begins_item(group: list[_Measured], line: _Measured, region: Box, size: float) -> bool:
    first, last = group[0], group[-1]
    if starts_reference(line.text) and (
        starts_reference(first.text) or line.line.box.x0 < last.line.box.x0 - INDENT * size
    ):
        return True
    if not line.marker:
        # Back at the left edge after hanging lines: the next entry of a list without markers, or text after the item.
        hangs = len(group) > 1 and last.line.box.x0 > first.line.box.x0 + INDENT * size
        return hangs and line.line.box.x0 < last.line.box.x0 - INDENT * size
    if is_certain(line.marker):
        return True
    is_like_first = bool(first.marker) and abs(line.line.box.x0 - first.line.box.x0) < 2 * size
    if is_initial(line.marker):
        return is_like_first and (first.marker == line.marker or last.text.endswith(SENTENCE_END))
    is_set_left = line.line.box.x0 < last.line.box.x0 - INDENT * size
    is_indented = line.line.box.x0 > region.x0 + INDENT * size and line.line.box.x0 > last.line.box.x0 + INDENT * size
    return is_like_first or is_set_left or is_indented


def _is_centred(box: Box, region: Box) -> bool:
    """Whether both sides are left equally empty; a full line is centred as well."""
    return abs((box.x0 - region.x0) - (region.x1 - box.x1)) < 0.02 * region.width


def _is_indented(group: list[_Measured], line: _Measured, after: _Measured | None, region: Box, size: float) -> bool:
    """The first line of a paragraph stands right of the line before it and of the line after it."""
    x0 = line.line.box.x0
    if x0 - group[-1].line.box.x0 < INDENT * size or group[0].marker:
        return False
    if len(group) == 1 and starts_reference(group[0].text):
        return False
    if _is_centred(line.line.box, region) and _is_centred(group[-1].line.box, region):
        return False
    return after is not None and x0 - after.line.box.x0 >= INDENT * size


def _is_cut_short(last: _Measured, line: _Measured, region: Box, size: float) -> bool:
    """The line before ended a sentence although the next word would have fitted with room to spare."""
    room = region.x1 - last.line.box.x1
    first_word = line.line.words[0].box.width
    if room < first_word + size or not last.text.endswith(SENTENCE_END):
        return False
    return room > SHORT_LINE * region.width and not line.text[:1].islower()


def _make(group: list[_Measured], region: Box, page_index: int, *, is_item: bool) -> Paragraph:
    words = [word for line in group for word in line.line.words]
    first, last = group[0], group[-1]
    font = main_font([word for word in words if word.font.size_pt >= SCRIPT_SIZE * first.font.size_pt] or words)
    return Paragraph(
        page_index=page_index,
        box=enclose([line.line.box for line in group]),
        text=_join_code(group) if first.is_code else _join(group),
        font=Font(font.name, font.size_pt, all(line.is_bold for line in group), font.is_italic, first.is_code),
        line_count=len(group),
        region_box=region,
        marker=first.marker if is_item else "",
        is_open=not last.text.endswith((".", "!", "?", ":")),
        is_indented=len(group) > 1 and first.line.box.x0 - group[1].line.box.x0 >= INDENT * font.size_pt,
    )


def _find_items(groups: list[list[_Measured]], region: Box) -> list[bool]:
    """Which groups are list items: by themselves, or beside one whose marker stands at the same x."""
    items = [_is_item(group, region) for group in groups]
    for step in (1, -1):
        order = range(len(groups))[::step]
        for index, after in pairwise(order):
            if items[index] and _is_like(groups[index][0], groups[after][0]):
                items[after] = True
    return items


def _is_like(item: _Measured, other: _Measured) -> bool:
    return (
        bool(other.marker)
        and not other.is_code
        and is_alike(item.marker, other.marker)
        and abs(item.line.box.x0 - other.line.box.x0) < 0.3 * item.font.size_pt
    )


def _is_item(group: list[_Measured], region: Box) -> bool:
    first = group[0]
    if not first.marker or first.is_code:
        return False
    if is_certain(first.marker):
        return True
    size = first.font.size_pt
    hangs = len(group) > 1 and group[1].line.box.x0 > first.line.box.x0 + INDENT * size
    return hangs or first.line.box.x0 > region.x0 + INDENT * size


def _join(group: list[_Measured]) -> str:
    text = group[0].text
    for line in group[1:]:
        text = join_lines(text, line.text)
    return text


def _join_code(group: list[_Measured]) -> str:
    """Lines stay lines; spaces at their start follow from the x of the first word."""
    left = min(line.line.box.x0 for line in group)
    width = max(0.3, 0.6 * group[0].font.size_pt)  # a monospaced character is 0.6 sizes wide in Courier
    return "\n".join(" " * round((line.line.box.x0 - left) / width) + line.text for line in group)
