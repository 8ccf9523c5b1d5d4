"""Blocks written as Markdown (CommonMark with GitHub's tables).

Owns escaping: text that would mean something to a Markdown parser is escaped, and nothing else is, so that the source
reads like the page. Refuses to reorder, join or judge blocks; cells are written by `tables`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Block, BlockKind
from sir_convert_a_lot.infrastructure.engines.builtin.tables import render_table

PUNCTUATION = r"!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~"
INLINE = (
    (re.compile(rf"\\(?=[{PUNCTUATION}]|$)"), r"\\\\"),
    (re.compile(r"`"), r"\\`"),
    (re.compile(r"<(?=[A-Za-z/!?])"), r"\\<"),
    (re.compile(r"&(?=#?\w{1,40};)"), r"\\&"),
    (re.compile(r"\](?=\()"), r"\\]"),
    (re.compile(r"\[(?=\^)"), r"\\["),
    (re.compile(r"\*(?!\s|$)"), r"\\*"),  # what cannot open emphasis needs no escape: without an opener nothing closes
    (re.compile(r"(?<![^\W_])(?<![\u0300-\u036f\u20d0-\u20ff])_(?!\s|$)"), r"\\_"),
    (re.compile(r"~(?!\s|$)"), r"\\~"),
)
LINE_START = re.compile(r"^(#{1,6}(?=\s|$)|>|[-+*](?=\s|$)|[-_*=](?=[-_*=\s]*$)|\[(?=[^\]]*\]:)|\|)")
NUMBER_START = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")
CLOSING_HASHES = re.compile(r"(^|\s)(#+)$")


def render(blocks: Sequence[Block]) -> str:
    """The document, ending in one newline; "" when there is nothing to write."""
    parts: list[str] = []
    last: Block | None = None
    for block in blocks:
        text = _render_block(block)
        if not text:
            continue
        if last is not None:
            is_same_list = last.kind == block.kind == BlockKind.LIST_ITEM
            parts.append("\n" if is_same_list else "\n\n")
        parts.append(text)
        last = block
    return "".join(parts) + "\n" if parts else ""


def _render_block(block: Block) -> str:
    if block.kind == BlockKind.TABLE and block.table is not None:
        return render_table(block.table)
    if block.kind == BlockKind.CODE:
        return _render_code(block.text)
    text = _one_line(block.text)
    if not text:
        return ""
    if block.kind == BlockKind.HEADING:
        return f"{'#' * block.level} {CLOSING_HASHES.sub(_escape_hashes, escape_inline(text))}"
    if block.kind == BlockKind.LIST_ITEM:
        return f"{'   ' * block.level}{block.marker} {escape_block(text)}"
    return escape_block(text)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _escape_hashes(match: re.Match[str]) -> str:
    return f"{match.group(1)}\\{match.group(2)}"


def escape_inline(text: str) -> str:
    """`text` so that a Markdown parser reads it as these very characters, anywhere but at the start of a block."""
    for pattern, replacement in INLINE:
        text = pattern.sub(replacement, text)
    return text


def escape_block(text: str) -> str:
    """`text` (one line) so that as a block of its own it is a paragraph of these very characters."""
    text = escape_inline(text)
    text = LINE_START.sub(r"\\\1", text)
    return NUMBER_START.sub(r"\1\\\2", text)


def _render_code(text: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"
