"""Markers of list items: what begins one, how it is written in Markdown, and which list lies inside which.

Owns the patterns and the nesting. Refuses to say where an item begins: that takes lines (`paragraphs.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Block, BlockKind

NESTED_PT = 6.0  # a marker this far right of the one before it begins a list inside
MAX_STEP_PT = 60.0  # farther right is another column
MAX_NESTING = 3
BULLETS = "•▪▫◦‣⁃∙●○■□◆◇❖➢➤✓✔❑◻"
DASHES = "–—-*"  # a list's marker only where it hangs left of its text
BULLET = re.compile(rf"^([{re.escape(BULLETS)}])\s*(?=\S|$)")
DASH = re.compile(rf"^([{re.escape(DASHES)}])\s+(?=\S)")
ORDERED = re.compile(r"^(\(?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{2,5})[.)])\s+(?=\S)")
REFERENCE = re.compile(r"^(\[(?:\d{1,4}|[A-Z][A-Za-z+&]{0,11}\d{2,4}[a-z]?)\])\s*(?=\S)")


def match_marker(text: str) -> str:
    """The marker `text` begins with, as drawn: a bullet, "1.", "(a)"; "" when there is none."""
    for pattern in (BULLET, ORDERED, DASH):
        if match := pattern.match(text):
            return match.group(1)
    return ""


def is_certain(marker: str) -> bool:
    """Whether the marker is a bullet; numbers and dashes also begin ordinary sentences."""
    return marker in BULLETS and marker != ""


def is_initial(marker: str) -> bool:
    """Whether the marker may be a part of a name: "J." of "J. Smith"."""
    return len(marker) == 2 and marker[0].isupper() and marker[1] == "."


def starts_reference(text: str) -> bool:
    """Whether `text` begins like an entry of a bibliography: "[12]", "[Knu84]"."""
    return bool(REFERENCE.match(text))


def number_of(marker: str) -> int | None:
    """The number of "12." or "(12)"; None for letters and bullets."""
    digits = marker.strip("().")
    return int(digits) if digits.isdecimal() else None


def is_alike(marker: str, other: str) -> bool:
    """Whether two markers can belong to one list: the same sign, both numbers, or both letters."""
    return _shape(marker) == _shape(other)


def _shape(marker: str) -> str:
    return re.sub(r"[a-zA-Z]+", "a", re.sub(r"\d+", "1", marker))


def strip_marker(text: str, marker: str) -> str:
    """`text` without the marker at its start."""
    return text[len(marker) :].lstrip() if text.startswith(marker) else text


def markdown_marker(marker: str) -> str:
    """How the item begins in Markdown: "-" or "12."; letters and romans stay in the text, under "-"."""
    number = number_of(marker)
    return "-" if number is None else f"{number}."


def nest(blocks: Sequence[Block]) -> list[Block]:
    """The same blocks, list items with their nesting told by where their markers stand."""
    nested: list[Block] = []
    stack: list[float] = []
    page_index = -1
    for block in blocks:
        if block.kind != BlockKind.LIST_ITEM:
            stack = []
            nested.append(block)
            continue
        if block.page_index != page_index:
            stack = stack[:1]
            page_index = block.page_index
        while len(stack) > 1 and block.box.x0 < stack[-1] - NESTED_PT:
            stack.pop()
        if not stack or NESTED_PT < block.box.x0 - stack[-1] < MAX_STEP_PT:
            stack.append(block.box.x0)
        else:
            stack[-1] = block.box.x0
        nested.append(replace(block, level=min(len(stack) - 1, MAX_NESTING)))
    return nested
