"""Words broken at the end of a line, mended.

While paragraphs are built a soft hyphen (U+00AD) marks "a line ended here after a hyphen". Whether the hyphen goes is
decided at the end, by the words of the whole document: "recog-nition" is joined when the document writes "recognition",
kept when it writes "recog-nition" inside a line, or its ending after other
hyphens; unknown words are joined. Owns that decision and nothing else.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Paragraph

BREAK = "\u00ad"
HYPHENS = "-\u2010\u00ad"
ADDRESS = re.compile(r"(?:https?://|www\.|doi\.org/)\S*[/.=&?_-]$")  # broken after a sign that ends no sentence there
LONGEST_ADDRESS = 300  # characters looked at, so that long paragraphs stay linear
# Words that follow a hyphen ("rule-based") and end no longer word.
ENDS = frozenset(("based", "aligned", "driven", "oriented", "dependent", "independent", "specific", "level", "valued"))
KNOWN_ENDING = 2  # different words that the document hyphenates with this ending: "hadron-like", "quark-like"
HALF = 4  # letters: shorter halves are syllables of some other word as often as words
WORD = re.compile(r"[^\W_]+(?:[-\u2010][^\W_]+)*")
BROKEN = re.compile(rf"([^\W\d_]+(?:[-\u2010][^\W_]+)*){BREAK}([^\W_]+(?:[-\u2010][^\W_]+)*)")
# After these a hyphen stands in print anyway: prefixes that English style guides hyphenate before any word, and tens.
PREFIXES = frozenset(
    (
        *("self", "ex", "non", "quasi", "all", "half", "well", "cross"),
        *("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"),
    )
)


def join_lines(first: str, second: str) -> str:
    """Two lines as one text; a break after a letter and a hyphen is marked for `mend`."""
    if first and first[-1] in HYPHENS and len(first) > 1 and first[-2].isalpha() and second[:1].isalpha():
        if second[0].islower():
            return first[:-1] + BREAK + second
        return first[:-1] + "-" + second
    if ADDRESS.search(first[-LONGEST_ADDRESS:]) and second[:1].isalnum():
        return first + second
    return f"{first} {second}"


class Vocabulary:
    """The words of a document, whole and hyphenated, as they stand inside its lines."""

    def __init__(self) -> None:
        self._words: set[str] = set()
        self._endings: defaultdict[str, set[str]] = defaultdict(set)  # of hyphenated words, each with what came before

    def add(self, text: str) -> None:
        """Adds the words of `text`; the halves of a broken one are left out."""
        whole = BROKEN.sub(" ", text)
        for word in WORD.findall(whole):
            self._words.add(lower := word.lower())
            if "-" in lower or "\u2010" in lower:
                beginning, _, ending = lower.replace("\u2010", "-").rpartition("-")
                self._endings[ending].add(beginning)

    def mend(self, text: str) -> str:
        """`text` with every marked break decided."""
        while BREAK in text:
            mended = BROKEN.sub(lambda match: self._join(match.group(1), match.group(2)), text)
            text = mended if mended != text else text.replace(BREAK, "-")
        return text

    def _join(self, first: str, second: str) -> str:
        hyphenated = f"{first}-{second}".lower()
        if hyphenated in self._words or hyphenated.replace("-", "\u2010") in self._words:
            return f"{first}-{second}"
        if (first + second).lower() in self._words:
            return first + second
        is_compound = (
            len(first) == 1  # no hyphenation leaves a letter alone: "N-way"
            or first.lower() in PREFIXES
            or len(self._endings.get(second.lower(), ())) >= KNOWN_ENDING
        ) or (
            min(len(first), len(second)) >= HALF
            and (second.lower() in ENDS or {first.lower(), second.lower()} <= self._words)
        )
        return f"{first}-{second}" if is_compound else first + second


def mend_all(paragraphs: Sequence[Paragraph]) -> list[Paragraph]:
    """The same paragraphs, every broken word decided by the words of all of them."""
    vocabulary = Vocabulary()
    for paragraph in paragraphs:
        vocabulary.add(paragraph.text)
    return [
        replace(paragraph, text=vocabulary.mend(paragraph.text)) if BREAK in paragraph.text else paragraph
        for paragraph in paragraphs
    ]
