"""A Markdown parser reads back the very characters that were written, as the block that was meant."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Block, BlockKind, Box
from sir_convert_a_lot.infrastructure.engines.builtin.render import render

BOX = Box(0, 0, 1, 1)
PARSER = MarkdownIt("commonmark").enable("table").enable("strikethrough")
# Pieces that mean something to a parser, mixed with plain words, meet far more often than random characters would.
SIGNS = (*"#*_`~<>[]()!|\\-+=&:;.,1a \"'$", "**", "__", "~~", "```", "](", "[^1]", "&amp;", "&#35;", "<br>", "<!--")
RUNS = ("---", "http://a.b", "1.", "1)", "- ", "# ", "> ", "    ", "word", "snake_case", "[x]: y", "![", "***", "==")
PIECES = st.sampled_from((*SIGNS, *RUNS))
TEXTS = st.one_of(st.lists(PIECES, min_size=1, max_size=12).map("".join), st.text(max_size=40))


def block(kind: BlockKind, text: str, **more: object) -> Block:
    return Block(kind, 0, BOX, text, **more)  # type: ignore[arg-type]


def read_back(markdown: str) -> list[tuple[str, str]]:
    """(tag, text) of every inline run; markup inside a run is told instead of the text."""
    tokens = PARSER.parse(markdown)
    runs = []
    for before, token in pairwise(tokens):
        if token.type == "inline":
            children = token.children or []
            marks = [child.type for child in children if child.type not in {"text", "text_special"}]
            runs.append((before.tag, "".join(child.content for child in children) if not marks else f"MARKUP {marks}"))
    others = [token.type for token in tokens if token.type in {"hr", "fence", "code_block", "html_block", "table_open"}]
    return runs + [(kind, "") for kind in others]


def shown(text: str) -> str:
    return " ".join(text.split())


def is_readable(text: str) -> bool:
    """Unicode that a parser has to replace (NUL) is not ours to keep."""
    return bool(shown(text)) and "\x00" not in text


@given(TEXTS.filter(is_readable))
def test_a_paragraph_reads_back_as_its_own_text(text: str) -> None:
    assert read_back(render([block(BlockKind.PARAGRAPH, text)])) == [("p", shown(text))]


@given(TEXTS.filter(is_readable), st.integers(min_value=1, max_value=6))
def test_a_heading_reads_back_as_its_own_text(text: str, level: int) -> None:
    assert read_back(render([block(BlockKind.HEADING, text, level=level)])) == [(f"h{level}", shown(text))]


@given(TEXTS.filter(is_readable), st.sampled_from(["-", "7."]))
def test_a_list_item_reads_back_as_its_own_text(text: str, marker: str) -> None:
    markdown = render([block(BlockKind.LIST_ITEM, text, marker=marker)])
    assert read_back(markdown) == [("p", shown(text))]
    assert PARSER.parse(markdown)[0].type == ("bullet_list_open" if marker == "-" else "ordered_list_open")


@given(st.text(alphabet="ab `~\n", min_size=1))
def test_code_reads_back_line_for_line(text: str) -> None:
    tokens = PARSER.parse(render([block(BlockKind.CODE, text)]))
    assert [token.type for token in tokens] == ["fence"]
    assert tokens[0].content == text + "\n"


@pytest.mark.parametrize(
    "text",
    ["snake_case and a * b", "costs $5 & more", "[1] is a reference", "a < b > c", "x^2 ~ 10", "see (2) | and [3, 4]"],
)
def test_text_that_means_nothing_stays_as_it_is(text: str) -> None:
    assert render([block(BlockKind.PARAGRAPH, text)]) == text + "\n"


def test_blocks_are_apart_and_list_items_together() -> None:
    markdown = render(
        [
            block(BlockKind.HEADING, "Title", level=2),
            block(BlockKind.PARAGRAPH, "Text."),
            block(BlockKind.LIST_ITEM, "one", marker="-"),
            block(BlockKind.LIST_ITEM, "inside", marker="-", level=1),
            block(BlockKind.LIST_ITEM, "two", marker="-"),
            block(BlockKind.PARAGRAPH, "After."),
        ]
    )
    assert markdown == "## Title\n\nText.\n\n- one\n   - inside\n- two\n\nAfter.\n"


def test_nothing_gives_nothing() -> None:
    assert render([]) == ""
    assert render([block(BlockKind.PARAGRAPH, "  ")]) == ""
