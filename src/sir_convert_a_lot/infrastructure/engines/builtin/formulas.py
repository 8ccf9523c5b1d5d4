"""Formulas that stand on several levels, brought onto one: fractions, roots, and large signs with their limits.

Owns which words a fraction bar, a root or a sum holds together; each becomes one word on the formula's baseline, "a/b",
"√(a+b)", "∑_{i=1}^n". Refuses to know lines: indices at the side of a letter are told when the line is read
(`lines.py`). Refuses rules of tables and underlines, which are wider than what they part.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from sir_convert_a_lot.infrastructure.engines.builtin.columns import enclose
from sir_convert_a_lot.infrastructure.engines.builtin.lines import group_into_lines, read_line
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Box, Page, Ruling, Word

ASCENT, DESCENT = 0.8, 0.2  # of a word's box, in sizes (`page_model.Word`)
AXIS = 0.25  # sizes above the baseline: where TeX draws the bar
OVERHANG = 0.5  # sizes by which a bar may be longer than the longer of its two halves
CENTRED = 0.4  # sizes between the middles of a bar and of a half
LARGEST_GAP = 1.2  # sizes between two words of one half: the cells of a table stand farther apart
HIGHEST, HIGHEST_INDEX = 0.8, 1.2  # sizes between a bar and the baselines above it, of words and of their indices
DEEPEST = 1.5  # sizes between a bar and the baselines below it
SAME_ROW = 0.7  # sizes between the baselines of words and indices of one half
FARTHEST = 2.6  # sizes from a bar to any word that it could hold
UNDERLINE = 0.3  # sizes below the baseline; the bar of a fraction of this size is lower
GRID_PT = 1.5  # between the ends of two rules of one grid
MAX_RULINGS = 800  # of one page: a plot has more, and the time grows with their square
NEIGHBOUR = 0.7  # sizes: a word this near to a half, on its baseline, is of the same line
AT_ROOT = 0.25  # sizes between the end of a root's sign and the beginning of its bar
TALLEST_ROOT = 2.6  # sizes from its bar down to the sign's baseline
CLOSING = frozenset(")]}⟩|")
LARGE_SIGNS_FONT = "cmex"
LIMITED = frozenset("∑∏∐⋃⋂⋁⋀⨁⨂⨀⨆")
LIMIT_SIZE = 0.85  # of the sign's size: limits are smaller
LIMIT_ABOVE, LIMIT_BELOW = (0.9, 1.8), (0.8, 2.3)  # sizes between the baselines of a sign and of its limits
OFF_CENTRE = 0.35  # sizes between the middles of a sign and of its limits
GLUED = 0.15  # sizes: nearer words have no space between them
ATOM = re.compile(r"^(?:[^\W_]+(?:\.\d+)?|[^\W\d_]['′]?_[^\W_]|[^\W\d_]['′]?_\{[^\W_]+\}|√[^\W_]|√\([^()]*\))$")
LETTER = re.compile(r"^(?:[^\W_]|\d+)$")


def flatten_formulas(page: Page) -> Page:
    """The page with every fraction, root and limited sign as one word."""
    bars = [ruling for ruling in page.rulings if ruling.is_horizontal and ruling.box.width < page.width_pt / 2]
    bars = [bar for bar in bars if not _is_of_grid(bar, page.rulings)] if len(page.rulings) <= MAX_RULINGS else []
    has_signs = any(word.text in LIMITED for word in page.words)
    if not (bars or has_signs):
        return page
    words = _lower_indices(list(page.words))
    if has_signs:
        words = _join_limits(words)
    for bar in sorted(bars, key=lambda bar: (bar.box.width, bar.box)):
        words = _join_at_bar(words, bar, bars)
    return replace(page, words=tuple(words))


def _lower_indices(words: list[Word]) -> list[Word]:
    """An index at the upper end of a tall bracket, brought near to the line: it would begin one of its own."""
    brackets = [word for word in words if word.text in CLOSING and word.font.name.lower().startswith(LARGE_SIGNS_FONT)]
    if not brackets:
        return words
    lowered: list[Word] = []
    for word in words:
        bracket = next((bracket for bracket in brackets if _is_high_index(word, bracket)), None)
        if bracket is None:
            lowered.append(word)
        else:
            baseline = _baseline(bracket) - 0.4 * bracket.font.size_pt
            lowered.append(_at(word, word.text, word.box.x0, word.box.x1, baseline, is_glued=True))
    return lowered


def _is_high_index(word: Word, bracket: Word) -> bool:
    size = bracket.font.size_pt
    rise = _baseline(bracket) - _baseline(word)
    is_right_after = -0.3 * size < word.box.x0 - bracket.box.x1 < 0.3 * size
    return is_right_after and 0.5 * size < rise < 2.0 * size and word.font.size_pt < LIMIT_SIZE * size


def _baseline(word: Word) -> float:
    return word.box.y1 - DESCENT * word.font.size_pt


def _middle(box: Box) -> float:
    return (box.x0 + box.x1) / 2


def _join_at_bar(words: list[Word], bar: Ruling, bars: Sequence[Ruling]) -> list[Word]:
    """The words with the fraction or root of one bar joined; as they are, where the bar belongs to neither."""
    box = bar.box
    near = [
        word
        for word in words
        if word.box.x1 > box.x0
        and word.box.x0 < box.x1
        and abs(_baseline(word) - box.y0) < FARTHEST * word.font.size_pt
    ]
    if not near:
        return words
    root = _root_of(words, bar)
    if root is not None:
        level, reach = _baseline(root), 0.7 * root.font.size_pt
        inside = [word for word in near if word is not root and abs(_baseline(word) - level) < reach]
        inside = [word for word in inside if box.x0 - 1.0 <= _middle(word.box) <= box.x1 + 1.0]
        return _put(words, [root, *inside], _write_root(root, inside)) if inside else words
    size = max(word.font.size_pt for word in near)
    above = _row([word for word in near if -0.15 * size <= box.y0 - _baseline(word) <= _highest(word, size)], box.y0)
    below = _row(
        [word for word in near if 0.4 * word.font.size_pt <= _baseline(word) - box.y0 <= DEEPEST * size], box.y0
    )
    if not above or not below or not all(_is_half(half, box) for half in (above, below)):
        return words
    widest = max(enclose([word.box for word in half]).width for half in (above, below))
    if box.width > widest + OVERHANG * size or any(_goes_on(half, words, bars) for half in (above, below)):
        return words
    whole = _write_fraction(words, above, below, bar)
    return words if _is_underline(above, whole, bar) else _put(words, [*above, *below], whole)


def _is_underline(above: Sequence[Word], whole: Word, bar: Ruling) -> bool:
    """Whether the bar is as near to the line above it as underlines are; so near TeX sets small fractions only."""
    main = max(above, key=lambda word: word.font.size_pt)
    gap = bar.box.y0 - max(_baseline(word) for word in above if word.font.size_pt == main.font.size_pt)
    return gap < UNDERLINE * main.font.size_pt and whole.font.size_pt * LIMIT_SIZE < main.font.size_pt


def _is_of_grid(bar: Ruling, rulings: Iterable[Ruling]) -> bool:
    """Whether another rule goes on from an end of the bar, or stands on it: the border of a cell."""
    x0, y, x1, _ = bar.box
    for other in rulings:
        box = other.box
        if other is bar or not box.y0 - 1.0 <= y <= box.y1 + 1.0:
            continue
        ends = (box.x1, box.x0) if other.is_horizontal else (box.x0, box.x0)
        if abs(ends[0] - x0) < GRID_PT or abs(ends[1] - x1) < GRID_PT:
            return True
    return False


def _row(words: Sequence[Word], y: float) -> list[Word]:
    """Of words at one side of a bar those that stand in the row nearest to it."""
    if not words:
        return []
    nearest = min(words, key=lambda word: abs(_baseline(word) - y))
    close = [word for word in words if abs(_baseline(word) - _baseline(nearest)) <= SAME_ROW * nearest.font.size_pt]
    main = max(close, key=lambda word: word.font.size_pt)  # the nearest may be an index of it
    return [word for word in words if abs(_baseline(word) - _baseline(main)) <= SAME_ROW * main.font.size_pt]


def _highest(word: Word, size: float) -> float:
    """How far above the bar a word of the upper half stands at most; its indices stand higher."""
    return HIGHEST * size if word.font.size_pt > LIMIT_SIZE * size else HIGHEST_INDEX * size


def _goes_on(half: Sequence[Word], words: Iterable[Word], bars: Sequence[Ruling]) -> bool:
    """Whether words stand right beside a half, at no bar of their own: then it is part of a line of text."""
    inside = {id(word) for word in half}
    main = max(half, key=lambda word: word.font.size_pt)
    around, size = enclose([word.box for word in half]), main.font.size_pt
    return any(
        id(word) not in inside
        and abs(_baseline(word) - _baseline(main)) < 0.1 * size
        and max(word.box.x0 - around.x1, around.x0 - word.box.x1) < NEIGHBOUR * size
        and not any(
            bar.box.x0 - 1 <= _middle(word.box) <= bar.box.x1 + 1 and abs(bar.box.y0 - _baseline(word)) < DEEPEST * size
            for bar in bars
        )
        for word in words
    )


def _is_half(half: Sequence[Word], bar: Box) -> bool:
    """Whether the words are one half of a fraction: within the bar's ends, centred, and close together."""
    around = enclose([word.box for word in half])
    size = max(word.font.size_pt for word in half)
    ordered = sorted(half, key=lambda word: word.box.x0)
    end = ordered[0].box.x1
    for word in ordered[1:]:
        if word.box.x0 - end > LARGEST_GAP * size:
            return False
        end = max(end, word.box.x1)
    is_inside = around.x0 >= bar.x0 - 0.3 * size and around.x1 <= bar.x1 + 0.3 * size
    return is_inside and abs(_middle(around) - _middle(bar)) <= CENTRED * size


def _root_of(words: Iterable[Word], bar: Ruling) -> Word | None:
    for word in words:
        size = word.font.size_pt
        is_at_bar = word.text == "√" and abs(bar.box.x0 - word.box.x1) <= AT_ROOT * size
        if is_at_bar and -0.2 * size <= _baseline(word) - bar.box.y0 <= TALLEST_ROOT * size:
            return word
    return None


def _read(words: Sequence[Word]) -> str:
    return ", ".join(read_line(line.words) for line in group_into_lines(words))


def _in_brackets(text: str) -> str:
    return text if ATOM.match(text) else f"({text})"


def _write_root(root: Word, inside: Sequence[Word]) -> Word:
    text = _read(inside)
    main = max(inside, key=lambda word: (word.font.size_pt, -word.box.x0))
    around = enclose([root.box, *(word.box for word in inside)])
    inner = text if LETTER.match(text) else f"({text})"
    return _at(main, f"√{inner}", around.x0, around.x1, _baseline(main), is_glued=root.is_glued)


def _write_fraction(words: Sequence[Word], above: Sequence[Word], below: Sequence[Word], bar: Ruling) -> Word:
    text = f"{_in_brackets(_read(above))}/{_in_brackets(_read(below))}"
    around = enclose([bar.box, *(word.box for word in (*above, *below))])
    # A small fraction in a line of text stands on the line's baseline.
    model = _beside(around, bar.box.y0, words, [*above, *below]) or max(above, key=lambda word: word.font.size_pt)
    size = model.font.size_pt
    is_glued = any(
        -0.5 * size < around.x0 - word.box.x1 < GLUED * size and word.box.y0 < bar.box.y0 < word.box.y1
        for word in words
    )
    return _at(model, text, around.x0, around.x1, bar.box.y0 + AXIS * size, is_glued=is_glued)


def _beside(box: Box, axis: float, words: Sequence[Word], parts: Sequence[Word]) -> Word | None:
    """The nearest word left or right whose own axis is here: it tells the baseline that a construction stands on."""
    inside = {id(part) for part in parts}
    found = [
        (gap, place)
        for place, word in enumerate(words)
        if id(word) not in inside
        and abs(_baseline(word) - axis - AXIS * word.font.size_pt) < 0.2 * word.font.size_pt
        and (gap := max(box.x0 - word.box.x1, word.box.x0 - box.x1)) < 2 * word.font.size_pt
        and any(map(str.isalnum, word.text))
    ]
    return words[min(found)[1]] if found else None


def _at(model: Word, text: str, x0: float, x1: float, baseline: float, *, is_glued: bool) -> Word:
    size = model.font.size_pt
    box = Box(x0, round(baseline - ASCENT * size, 2), x1, round(baseline + DESCENT * size, 2))
    return Word(text, box, replace(model.font, is_bold=False), is_glued=is_glued)


def _put(words: list[Word], parts: Sequence[Word], whole: Word) -> list[Word]:
    """The words with `whole` in the place of the first of `parts`; what touches it at the right is glued to it."""
    gone = {id(part) for part in parts}
    size = whole.font.size_pt
    put: list[Word] = []
    for word in words:
        if id(word) not in gone:
            is_at_end = (
                abs(word.box.y1 - whole.box.y1) < 0.6 * size and -0.3 * size < word.box.x0 - whole.box.x1 < GLUED * size
            )
            put.append(replace(word, is_glued=True) if is_at_end and not word.is_glued else word)
        elif whole not in put:
            put.append(whole)
    return put


def _join_limits(words: list[Word]) -> list[Word]:
    """The words with the limits above and below each large sign written as its indices."""
    for sign in [word for word in words if word.text in LIMITED]:
        below = _limits(words, sign, *LIMIT_BELOW)
        above = _limits(words, sign, -LIMIT_ABOVE[1], -LIMIT_ABOVE[0])
        if not (below or above):
            continue
        text = sign.text + _index("_", below) + _index("^", above)
        axis = _baseline(sign) - AXIS * sign.font.size_pt
        model = _beside(sign.box, axis, words, [sign, *below, *above]) or sign
        whole = _at(model, text, sign.box.x0, sign.box.x1, _baseline(model), is_glued=sign.is_glued)
        words = _put(words, [sign, *below, *above], whole)
    return words


def _limits(words: Iterable[Word], sign: Word, least: float, most: float) -> list[Word]:
    """The small words centred above or below a sign, by how far their baselines are from the sign's, in its sizes."""
    size = sign.font.size_pt
    band = sorted(
        (
            word
            for word in words
            if word.font.size_pt < LIMIT_SIZE * size
            and least * size <= _baseline(word) - _baseline(sign) <= most * size
        ),
        key=lambda word: word.box.x0,
    )
    groups: list[list[Word]] = []
    for word in band:
        if groups and word.box.x0 - max(other.box.x1 for other in groups[-1]) < 0.5 * word.font.size_pt:
            groups[-1].append(word)
        else:
            groups.append([word])
    for group in groups:
        around = enclose([word.box for word in group])
        is_over = around.x0 < sign.box.x1 and around.x1 > sign.box.x0
        if is_over and abs(_middle(around) - _middle(sign.box)) < OFF_CENTRE * size and not _is_index(group, words):
            return group
    return []


def _is_index(group: Sequence[Word], words: Iterable[Word]) -> bool:
    """Whether the words stand at the side of a larger one."""
    first, size = group[0], group[0].font.size_pt
    return any(
        word.font.size_pt * LIMIT_SIZE > size
        and -0.3 * size < first.box.x0 - word.box.x1 < 0.3 * size
        and abs(_baseline(word) - _baseline(first)) < 0.8 * word.font.size_pt
        for word in words
    )


def _index(mark: str, words: Sequence[Word]) -> str:
    if not words:
        return ""
    text = _read(words).replace(" ", "")
    return f"{mark}{text}" if LETTER.match(text) else f"{mark}{{{text}}}"
