"""Normalises Markdown: white space and blank lines tidied, and on demand paragraphs filled to a width.

Owns which lines may be touched. A Markdown parser finds the blocks; paragraphs are edited, white space after headings
and rules is cut, runs of blank lines become one, and every other line stays as it is, byte for byte: fences, tables,
HTML, indented code, quotes, setext headings, link definitions. Refuses to judge style: no marker is changed, nothing is
renumbered or escaped (docs/decisions/0003-markdown-normalisation.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markdown_it import MarkdownIt
from markdown_it.token import Token

from sir_convert_a_lot.domain.job_spec import Normalize
from sir_convert_a_lot.infrastructure.markdown.paragraph_text import Environment, fill, may_begin_a_line, tidy

WIDTH = 100  # characters a line under `strict`
MIN_TEXT_WIDTH = 40  # what deep lists leave to the text, even past WIDTH

BLANK = " \t"
BARE_MARKER = re.compile(r"(?:[-+*]|\d[.)])[ \t]*$")

# CommonMark with tables, without the inline half: it would take longer than all the rest, and few paragraphs need it.
BLOCKS = MarkdownIt("commonmark").enable("table")
BLOCKS.core.ruler.enableOnly(["normalize", "block"])

# A form feed can hide what opens a block, so removing some shows others; after this many rounds all are removed.
FORM_FEED_ROUNDS = 8


@dataclass(frozen=True, slots=True)
class Block:
    """Source lines `start` to `end` (exclusive, 0-based) of one leaf, or of a quote as a whole."""

    kind: str  # "paragraph" | "line" (white space after it can go) | "verbatim"
    start: int
    end: int
    content: str = ""  # of a paragraph: its text as the parser took it from the lines
    is_nested: bool = False  # in a list


def normalise(markdown: str, mode: Normalize) -> str:
    """The Markdown, tidied as `mode` says; it means the same, and doing it twice changes nothing more.

    `none` gives the text as it is. Otherwise lines end with a line feed, the last one too, and a form feed is a blank
    line when it stands alone and a space when it does not, but in code, HTML and tables.
    """
    if mode is Normalize.NONE:
        return markdown
    text = _replace_form_feeds(markdown.replace("\r\n", "\n").replace("\r", "\n"))
    lines = text.split("\n")
    env: Environment = {}
    blocks = {block.start: block for block in find_blocks(BLOCKS.parse(text, env))}
    out: list[str] = []
    index, gap, is_bare = 0, 0, False
    while index < len(lines):
        block = blocks.get(index)
        if block is None and not lines[index].strip(BLANK):
            index, gap = index + 1, gap + 1
            continue
        if out:
            # To the parser, two blank lines after a list marker with nothing behind it end the list, and one does not.
            out += [""] * min(gap, 2 if is_bare else 1)
        end = index + 1 if block is None else block.end
        out += lines[index:end] if block is None else edit(block, lines[index:end], mode, env)
        index, gap, is_bare = end, 0, block is None and BARE_MARKER.search(lines[index]) is not None
    return "\n".join(out) + "\n" if out else ""


def find_blocks(tokens: Sequence[Token]) -> Iterator[Block]:
    """Every leaf in the order of its lines; a quote counts as one, whatever is in it."""
    quotes = 0
    for index, token in enumerate(tokens):
        if token.type == "blockquote_close":
            quotes -= 1
        if token.map is not None and not quotes:
            start, end = token.map
            if token.type == "paragraph_open":
                yield Block("paragraph", start, end, tokens[index + 1].content, token.level > 0)
            elif token.type in {"fence", "code_block", "html_block", "table_open"}:
                yield Block("verbatim", start, end)
            elif token.type in {"heading_open", "hr"}:
                yield Block("line" if end - start == 1 else "verbatim", start, end)
        if token.type == "blockquote_open":
            if token.map is not None and not quotes:
                yield Block("quote", token.map[0], token.map[1])
            quotes += 1


def edit(block: Block, lines: list[str], mode: Normalize, env: Environment) -> list[str]:
    """The lines of a block as they shall be."""
    if block.kind == "line":
        return [line.rstrip(BLANK) for line in lines]
    if block.kind == "paragraph":
        return edit_paragraph(block, lines, mode, env)
    return lines


def edit_paragraph(block: Block, lines: list[str], mode: Normalize, env: Environment) -> list[str]:
    """A paragraph tidied or filled, its first line after whatever stands before its text (a list marker)."""
    first = lines[0].rstrip(BLANK)
    head = block.content.partition("\n")[0].rstrip(BLANK)
    if not first.endswith(head) or len(block.content.split("\n")) != len(lines):
        return lines  # the parser cut something that is more than white space: leave it
    prefix = first[: len(first) - len(head)]
    prefix = prefix if block.is_nested else prefix.lstrip(BLANK)
    bodies = [head + lines[0][len(first) :], *(line.lstrip(BLANK) for line in lines[1:])]
    text = tidy("\n".join(bodies).rstrip(BLANK), block.content, env)
    if text is None:
        return lines
    if mode is Normalize.STRICT and (filled := _fill(text, prefix, env)):
        return filled
    tidied = text.split("\n")
    margins = [_keep_margin(line, block.is_nested) for line in lines[1:]]
    return [prefix + tidied[0], *(margin + line for margin, line in zip(margins, tidied[1:], strict=True))]


def _fill(text: str, prefix: str, env: Environment) -> list[str]:
    """The filled lines, further ones below the first's text; none when the paragraph has to keep its lines."""
    indent = " " * len(prefix.expandtabs(4))
    filled = fill(text, env, width=max(WIDTH - len(indent), MIN_TEXT_WIDTH))
    return [] if filled is None else (prefix + filled.replace("\n", "\n" + indent)).split("\n")


def _keep_margin(line: str, is_nested: bool) -> str:
    """The white space before a further line. In a list it shows the structure; elsewhere it goes where it can."""
    body = line.lstrip(BLANK)
    if not is_nested and may_begin_a_line(body):
        return ""
    return line[: len(line) - len(body)]


def _replace_form_feeds(text: str) -> str:
    """Page breaks become blank lines, and other form feeds spaces, but not in code, HTML and tables."""
    for _ in range(FORM_FEED_ROUNDS):
        if "\f" not in text:
            return text
        lines = text.split("\n")
        kept = {
            number
            for block in find_blocks(BLOCKS.parse(text, {}))
            if block.kind == "verbatim"
            for number in range(block.start, block.end)
        }
        replaced = "\n".join(line if number in kept else _drop(line) for number, line in enumerate(lines))
        if replaced == text:
            return text
        text = replaced
    return text.replace("\f", " ")


def _drop(line: str) -> str:
    if "\f" not in line:
        return line
    line = line.rstrip(" \t\f")
    text = line.lstrip(" \t\f")
    margin = line[: len(line) - len(text)]
    return ("" if "\f" in margin else margin) + text.replace("\f", " ")
