"""The text of one Markdown paragraph: tidied, or filled to a width, without changing what it says.

Owns white space inside a paragraph and where a line of it may begin. Whatever might change the meaning is read back
with the inline parser, and given up when it does. Refuses to know blocks: `normalise` finds the paragraphs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping
from typing import Any

from markdown_it import MarkdownIt

# A code span on one or more lines. Longer ones than any real code are left to the parser to find.
CODE_SPAN = r"(?<![`\\])(`+)(?!`)[^`](?:.{0,500}?[^`])??(?<!`)\1(?!`)"
SPAN = re.compile(CODE_SPAN, re.DOTALL)
WORD = re.compile(rf"(?:{CODE_SPAN}|[^ \t\n])+", re.DOTALL)

# Where white space can carry meaning: code, HTML, escapes and hard breaks, titles of links.
DELICATE = re.compile(r"[`<\\]|\]\(|\]:")

# A longer paragraph with any of these keeps its lines: reading 64,000 characters back takes about 0.15 s (measured on
# one 2.6 GHz core), and no paragraph of a paper comes near.
MAX_DELICATE_LENGTH = 64_000

# What could start a block at the beginning of a line: headings, quotes, lists, rules, setext underlines, fences, HTML,
# rows that make a table of the line above. Broader than the grammar, so that no indentation matters.
STARTS_A_BLOCK = re.compile(r"[-+=~|<:>#]|```|[*_]+(?:\s|$)|\d{1,9}[.)](?:\s|$)")

INLINE = MarkdownIt("commonmark").enable("strikethrough")

Environment = MutableMapping[str, Any]  # what the block parser learnt: the targets of reference links


def tidy(text: str, source: str, env: Environment) -> str | None:
    """One space between words, none at the ends of lines but the two of a hard break. Lines stay lines.

    `text` is the paragraph without the margins of its lines, `source` is as the block parser read it. None: it has to
    stay as it is, since tidying would change what it says, or since it has a formula between `$$`.
    """
    if "$$" in source or _is_too_long(source):
        return None
    pieces: list[str] = []
    end = 0
    for span in SPAN.finditer(text):
        pieces += [_tidy_spaces(text[end : span.start()]), span[0]]
        end = span.end()
    pieces.append(_tidy_spaces(text[end:]))
    return _check("".join(pieces), source, env)


def _tidy_spaces(text: str) -> str:
    text = re.sub(r"[ \t]+\n", lambda found: "  \n" if found[0].endswith("  \n") else "\n", text)
    return re.sub(r"(?<![ \t])[ \t]+(?=[^ \t\n]|\Z)", " ", text)


def fill(text: str, env: Environment, *, width: int) -> str | None:
    """The paragraph in lines of at most `width` characters; hard breaks stay.

    A line is longer where a word is, or where the next word must not begin a line. None: the paragraph has to keep its
    lines, since filling could turn it into a block of another kind, or change what it says.
    """
    if _is_too_long(text) or (text.startswith("[") and "]:" in text):
        return None
    lines: list[str] = []
    for segment, ending in _split_at_hard_breaks(text):
        if not may_begin_a_line(segment):
            return None
        filled = _fill_segment(segment, width)
        filled[-1] += ending
        lines += filled
    return _check("\n".join(lines), text, env)


def may_begin_a_line(text: str) -> bool:
    """Whether a line of a paragraph can begin with this text and still be a line of that paragraph."""
    return STARTS_A_BLOCK.match(text) is None


def _split_at_hard_breaks(text: str) -> Iterator[tuple[str, str]]:
    """Pieces of the text and the mark after each: two spaces, a backslash, or nothing after the last."""
    lines = text.split("\n")
    begun: list[str] = []
    for line in lines[:-1]:
        if line.endswith("  "):
            mark = "  "
        elif (len(line) - len(line.rstrip("\\"))) % 2:
            mark = "\\"
        else:
            begun.append(line)
            continue
        begun.append(line[: -len(mark)])
        yield "\n".join(begun), mark
        begun = []
    yield "\n".join([*begun, lines[-1]]), ""


def _fill_segment(segment: str, width: int) -> list[str]:
    lines: list[str] = []
    current = ""
    for unit in _join_inseparable(segment):
        if current and len(current) + 1 + len(unit) > width:
            lines.append(current)
            current = unit
        else:
            current = f"{current} {unit}" if current else unit
    return [*lines, current]


def _join_inseparable(segment: str) -> Iterator[str]:
    """Words, each with those after it that must stay on its line."""
    unit: list[str] = []
    for found in WORD.finditer(segment):
        word = found[0].replace("\n", " ")  # a line end within code counts as a space
        if unit and may_begin_a_line(word) and not unit[-1].endswith("\\"):
            yield " ".join(unit)
            unit = []
        unit.append(word)
    if unit:
        yield " ".join(unit)


def _is_too_long(source: str) -> bool:
    return len(source) > MAX_DELICATE_LENGTH and DELICATE.search(source) is not None


def _check(text: str, source: str, env: Environment) -> str | None:
    """`text`, or None when it does not say what `source` says."""
    if text == source or DELICATE.search(source) is None or read_inline(text, env) == read_inline(source, env):
        return text
    return None


def read_inline(text: str, env: Environment) -> list[tuple[Any, ...]]:
    """What the text says: its inline tokens, with any white space between words as one space."""
    read: list[tuple[Any, ...]] = []
    words = ""
    for token in INLINE.parseInline(text, env)[0].children or ():
        if token.type in {"text", "softbreak"}:
            words += token.content or " "
            continue
        if words:
            read.append(("text", _squeeze(words)))
            words = ""
        content = _squeeze(token.content) if token.type == "image" else token.content
        read.append((token.type, token.tag, token.markup, content, sorted(token.attrs.items())))
    return [*read, ("text", _squeeze(words))] if words else read


def _squeeze(text: str) -> str:
    return re.sub(r"[ \t\n]+", " ", text)
