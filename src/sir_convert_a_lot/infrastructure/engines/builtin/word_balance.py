"""What the text layer has and the Markdown has not: the words of both as multisets, and their difference.

Owns what counts as a word, and the bookkeeping of what was left out on purpose. Keeps counts, not pages. Refuses to say
where a word was lost, and to judge the order of words.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sir_convert_a_lot.domain.quality import LeftOut
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Page, Word

# Runs of letters and digits; a sign of a script that writes no spaces (kana to Hangul) is a word by itself.
WORD = re.compile(r"[^\W_\u3040-\ud7a3]+|[\u3040-\ud7a3]")
# A hyphen between letters, at the end of a line or not: it may go when lines are joined, so it separates no words.
HYPHEN = re.compile(r"(?<=[^\W\d_])[-\u2010\u00ad] ?(?=[^\W\d_])")
TAG = re.compile(r"</?(?:table|tr|t[hd])(?: (?:row|col)span=\"\d+\")*>")  # as `tables.rendering` writes them
TABLE = re.compile(r"^<table>$.*?^</table>$", re.MULTILINE | re.DOTALL)
SAME_LINE = 0.1  # sizes between the baselines of two parts of one word; an index stands farther off
LONGEST_JOINT = 60  # characters: a longer word is not looked for in pieces
MAX_LEFT = 20_000  # different words on one side, above which pieces are not looked for: the text is another one


@dataclass(frozen=True, slots=True)
class Balance:
    """Counts of words; `examples` are some of the lost ones."""

    read: int
    left_out: dict[LeftOut, int]
    lost: int
    examples: tuple[str, ...]


class WordBalance:
    """Counts while a document is converted."""

    def __init__(self) -> None:
        self._read = Counter[str]()
        self._left_out: dict[LeftOut, Counter[str]] = {reason: Counter() for reason in LeftOut}

    def read(self, page: Page) -> None:
        """Takes in all that was read from a page, before any step leaves words out."""
        self._read.update(_words_of(join_words(page.words)))
        for reason, text in ((LeftOut.TURNED, page.turned_text), (LeftOut.HIDDEN, page.hidden_text)):
            if text:
                words = _words_of(text)
                self._read.update(words)
                self._left_out[reason].update(words)

    def leave_out(self, reason: LeftOut, before: Page, after: Page) -> None:
        """Takes in what a step took off a page on purpose."""
        if len(before.words) != len(after.words):
            kept = {id(word) for word in after.words}
            gone = [word for word in before.words if id(word) not in kept]
            self._left_out[reason].update(_words_of(join_words(gone)))

    def settle(self, markdown: str) -> Balance:
        """The difference to the Markdown that came out."""
        expected = self._read.copy()
        for counts in self._left_out.values():
            expected.subtract(counts)
        written = Counter(_words_of(_plain(markdown)))
        missing, extra = +expected - written, written - +expected
        if max(len(missing), len(extra)) <= MAX_LEFT:
            _match_pieces(missing, extra)
            _match_pieces(extra, missing)
        missing = +missing
        return Balance(
            read=self._read.total(),
            left_out={reason: counts.total() for reason, counts in self._left_out.items()},
            lost=missing.total(),
            examples=tuple(sorted(missing, key=lambda word: (-len(word), word))[:5]),
        )


def join_words(words: Sequence[Word]) -> str:
    """The words in the order they are drawn; what another font began within a word is no word of its own."""
    parts: list[str] = []
    last: Word | None = None
    for word in words:
        is_part = (
            word.is_glued
            and last is not None
            and abs(word.box.y1 - last.box.y1) < SAME_LINE * max(word.font.size_pt, 1.0)
        )
        parts.append(word.text if is_part else f" {word.text}")
        last = word
    return "".join(parts)


def _words_of(text: str) -> list[str]:
    return WORD.findall(HYPHEN.sub("", text))


def _plain(markdown: str) -> str:
    """Without the markup that has letters in it, which is that of HTML tables."""
    return TABLE.sub(lambda table: html.unescape(TAG.sub(" ", table[0])), markdown)


def _match_pieces(words: Counter[str], pieces: Counter[str]) -> None:
    """Takes words out of one side that the other has in pieces: "recognition" for "recog" and "nition"."""
    for word in sorted(words, key=lambda word: (-len(word), word)):
        while words[word] > 0 and (found := _split(word, pieces)):
            words[word] -= 1
            pieces.subtract(found)


def _split(word: str, pieces: Counter[str]) -> list[str]:
    """Pieces, each as often as there is one, that make the word; none where there are none. The fewest go first."""
    if not 1 < len(word) <= LONGEST_JOINT:
        return []
    ways: list[list[str] | None] = [[], *[None] * len(word)]
    for end in range(1, len(word) + 1):
        for start in range(end):
            before, piece = ways[start], word[start:end]
            if before is not None and pieces[piece] > before.count(piece):
                known = ways[end]
                if known is None or len(before) + 1 < len(known):
                    ways[end] = [*before, piece]
    return ways[-1] or []


def most(examples: Iterable[str]) -> str:
    """Some lost words for a sentence."""
    return ", ".join(f"“{word}”" for word in examples)
