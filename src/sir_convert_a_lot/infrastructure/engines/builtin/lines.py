"""Words gathered into lines, and lines read as text.

Owns baselines, superscripts and the spaces between words. Refuses to know columns: whoever calls gives the words of one
column, or takes what runs across. Sorting aside, linear in the number of words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import median

from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Box, Font, Line, Word

DESCENT = 0.2  # of a word's height below its baseline (`page_model.Word`)

OPEN_LINES = 6  # how many of the last lines may still take a word; superscripts and fractions need two or three
DROP_CAP_RATIO = 1.8  # a word this much larger than a line joins it only on the same baseline
SCRIPT_SHIFT = 0.08  # sizes between the baselines; TeX lowers an index by 0.15
HUGS = 0.18  # of an index's size, between it and its letter: less than a space
TOUCHING = 0.12  # sizes, between indices and what follows them without a space
MOST_INDICES = 12  # words looked back at from the letter after an index
ORDINALS = frozenset(("st", "nd", "rd", "th", "°", "º", "ª", "™", "®", "o", "er", "e"))
LETTERSPACED = 5  # single letters in a row: fewer may be variables or initials
SUPERSCRIPT_SIZE, SUPERSCRIPT_RISE = 0.85, 0.15  # of the line's main size: smaller than, and raised by


def _rank(word: Word) -> tuple[bool, float]:
    """Which word tells a line's size: letters before signs, then the larger."""
    return any(map(str.isalnum, word.text)), word.box.height


class _OpenLine:
    """A line being built; its largest word says where it is, a bullet or a sign only where there is no other."""

    __slots__ = ("height", "main", "words", "y0", "y1")

    def __init__(self, word: Word) -> None:
        self.words = [word]
        self._stand_on(word)

    def _stand_on(self, word: Word) -> None:
        self.main = word
        _, self.y0, _, self.y1 = word.box
        self.height = self.y1 - self.y0

    def overlap(self, y0: float, y1: float) -> float:
        """How much of its height a word shares with the line; 0 when its middle is not on this line."""
        height = y1 - y0
        if self.height >= height:
            large, small, middle = self.height, height, (y0 + y1) / 2
            is_off = not self.y0 <= middle <= self.y1
        else:
            large, small, middle = height, self.height, (self.y0 + self.y1) / 2
            is_off = not y0 <= middle <= y1
        if is_off or (large > DROP_CAP_RATIO * small and abs(self.y1 - y1) > 0.6 * small):
            return 0.0
        return min(self.y1, y1) - max(self.y0, y0)

    def add(self, word: Word) -> None:
        self.words.append(word)
        if _rank(word) > (_rank(self.main)[0], self.height * 1.05):
            self._stand_on(word)


def group_into_lines(words: Iterable[Word]) -> list[Line]:
    """Lines from top to bottom, the words of each from left to right. Superscripts are marked."""
    open_lines: list[_OpenLine] = []
    for word in sorted(words, key=lambda word: (word.box[3], word.box[0], word.text)):
        _, y0, _, y1 = word.box
        best, most = None, 0.0
        for line in open_lines[-OPEN_LINES:]:
            if (shared := line.overlap(y0, y1)) > most:
                best, most = line, shared
        if best is None:
            open_lines.append(_OpenLine(word))
        else:
            best.add(word)
    lines = [_close(line) for line in open_lines]
    return sorted(lines, key=lambda line: (line.box.y1, line.box.x0))


def _close(line: _OpenLine) -> Line:
    words = sorted(line.words, key=lambda word: (word.box[0], word.box[2]))
    marked = tuple(
        word
        if word.is_superscript == _is_raised(word, line.main)
        else replace(word, is_superscript=not word.is_superscript)
        for word in words
    )
    return Line(marked, Box(marked[0].box.x0, line.y0, max(word.box[2] for word in marked), line.y1))


def _is_raised(word: Word, main: Word) -> bool:
    size = main.font.size_pt
    return word.font.size_pt < SUPERSCRIPT_SIZE * size and main.box.y1 - word.box.y1 > SUPERSCRIPT_RISE * size


def read_line(words: Sequence[Word]) -> str:
    """The line's text: one space between words, none where a word is glued to the one before it.

    Indices are told as plain-text mathematics tells them, "x^2" and "d_model": "x2" would be something else.
    """
    if _is_letterspaced(words):
        return _read_letterspaced(words)
    main = max(words, key=lambda word: (_rank(word)[0], round(word.box.height), len(word.text)))
    parts: list[str] = []
    index = 0
    while index < len(words):
        word = words[index]
        last = words[index - 1] if index else None
        is_glued = last is not None and _continues(last, word)
        kind = _script(word, main)
        hugs = last is not None and not _script(last, main) and _hugs(last.box.x1, word)
        if kind and (is_glued or hugs or kind == "^"):
            indices = _take_indices(words[index:], main, last)
            if last is not None and not (is_glued or hugs) and not parts[-1].endswith(" "):
                parts.append(" ")
            parts.append(_write_indices(indices, main))
            index += len(indices)
            if last is None and index < len(words):  # a mark that begins the line stands apart from its note
                parts.append(" ")
            continue
        is_apart = last is not None and not is_glued and not (_script(last, main) and _touches(words[:index], word))
        if is_apart and not parts[-1].endswith(" "):
            parts.append(" ")
        parts.append(word.text)
        index += 1
    return "".join(parts)


def _hugs(end: float, word: Word) -> bool:
    """Whether an index stands right after what ends at `end`, whatever was drawn before it."""
    return -0.5 * word.font.size_pt < word.box.x0 - end < HUGS * word.font.size_pt


def _touches(before: Sequence[Word], word: Word) -> bool:
    """Whether no space is between a word and the indices before it, of which the longer one was drawn first."""
    end = max(other.box.x1 for other in before[-MOST_INDICES:])
    return -0.3 * word.font.size_pt < word.box.x0 - end < TOUCHING * word.font.size_pt


def _take_indices(words: Sequence[Word], main: Word, last: Word | None) -> list[Word]:
    """The words from the first on that are indices of what stands before them: above, below, or stacked."""
    ends: dict[str, float] = {}
    taken: list[Word] = []
    for word in words:
        kind = _script(word, main)
        if not kind or (last is None and taken and kind not in ends):  # a mark at the line's start has no letter
            break
        if kind not in ends:
            is_index = not taken or (last is not None and _hugs(last.box.x1, word))
        else:
            is_index = _continues(taken[-1], word) or abs(word.box.x0 - ends[kind]) < TOUCHING * word.font.size_pt
        if not is_index:
            break
        ends[kind] = max(ends.get(kind, word.box.x1), word.box.x1)
        taken.append(word)
    return taken


def _write_indices(words: Sequence[Word], main: Word) -> str:
    """Lower index first: "x_i^2"."""
    lower = [word for word in words if _script(word, main) == "_"]
    upper = [word for word in words if _script(word, main) == "^"]
    return _write_index(lower, "_") + _write_index(upper, "^")


def _script(word: Word, main: Word) -> str:
    """A caret above the line, an underscore below it, nothing on it."""
    size = main.font.size_pt
    drop = word.box.y1 - main.box.y1 + DESCENT * (main.box.height - word.box.height)
    if word.font.size_pt >= SUPERSCRIPT_SIZE * size or abs(drop) < SCRIPT_SHIFT * size:
        return ""
    return "^" if drop < 0 else "_"


def _write_index(words: Sequence[Word], script: str) -> str:
    text = read_line(words).replace(" ", "") if words else ""
    if not text or (script == "^" and text in ORDINALS):
        return text
    return f"{script}{text}" if text.isalnum() or len(text) == 1 else f"{script}{{{text}}}"


def _is_letterspaced(words: Sequence[Word]) -> bool:
    """Whether the line is a title set like "A B S T R A C T"."""
    return len(words) >= LETTERSPACED and all(len(word.text) == 1 and word.text.isalpha() for word in words)


def _read_letterspaced(words: Sequence[Word]) -> str:
    gaps = [after.box.x0 - word.box.x1 for word, after in pairwise(words)]
    usual = median(gaps)
    spaces = ["", *(" " if gap > 1.6 * usual else "" for gap in gaps)]
    return "".join(space + word.text for space, word in zip(spaces, words, strict=True))


def _continues(last: Word, word: Word) -> bool:
    return word.is_glued and word.box.x0 - last.box.x1 < 0.3 * max(word.font.size_pt, last.font.size_pt)


def main_font(words: Iterable[Word]) -> Font:
    """The font most characters are set in; ties go to the first."""
    counts: Counter[Font] = Counter()
    for word in words:
        counts[word.font] += len(word.text)
    return max(counts, key=lambda font: counts[font])


def median_size(lines: Sequence[Line]) -> float:
    """The median size of the lines' words, in points."""
    return median(word.font.size_pt for line in lines for word in line.words)
