"""Whatever prose is set in one column or two: its words come back once, in order, and as they were written."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.sax.saxutils import escape

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from reportlab.lib.enums import TA_JUSTIFY, TA_LEFT
from reportlab.lib.styles import ParagraphStyle
from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate
from reportlab.platypus import Paragraph as Text

from sir_convert_a_lot.domain.engine import EngineOptions
from sir_convert_a_lot.domain.job_spec import Normalize
from sir_convert_a_lot.infrastructure.engines.builtin.engine import BuiltinEngine
from sir_convert_a_lot.infrastructure.markdown.normalise import normalise

PARSER = MarkdownIt("commonmark").enable("table").enable("strikethrough")
WORDS = (
    *("swifts", "return", "to", "the", "town", "in", "May", "and", "leave", "it", "again", "before", "August", "ends"),
    *(
        "*stars*",
        "snake_case",
        "_lines_",
        "`ticks`",
        "a|b",
        "[1]",
        "<b>",
        "&amp;",
        "x^2",
        "~3",
        "#5",
        "back\\slash",
        "**",
    ),
)
FIRST = ("Every", "Nobody", "Swifts", "Whoever")
PAGES = ((595.0, 842.0), (612.0, 792.0), (420.0, 595.0))


def write(seed: int) -> list[str]:
    """Paragraphs of 12 to 90 words, none of which begins like a list, a heading or a note."""
    source = random.Random(seed)  # words drawn one by one would shrink to pages of one word, which no one writes
    return [
        f"{source.choice(FIRST)} {' '.join(source.choices(WORDS, k=source.randint(12, 90)))} night."
        for _ in range(source.randint(4, 24))
    ]


def set_in_columns(path: Path, texts: list[str], look: Look) -> None:
    margin, gutter = 48.0, 20.0
    width = (look.page[0] - 2 * margin - gutter * (look.columns - 1)) / look.columns
    height = look.page[1] - 2 * margin
    frames = [
        Frame(margin + place * (width + gutter), margin, width, height, 0, 0, 0, 0) for place in range(look.columns)
    ]
    style = ParagraphStyle(
        "body",
        fontName="Times-Roman",
        fontSize=look.size,
        leading=1.2 * look.size,
        alignment=look.alignment,
        spaceAfter=look.space,
        firstLineIndent=look.indent,
    )
    document = BaseDocTemplate(str(path), pagesize=look.page)
    document.addPageTemplates(PageTemplate(frames=frames))
    document.build([Text(escape(text), style) for text in texts])


def _shown(child: Token) -> str:
    if child.type == "softbreak":
        return " "
    return child.content if child.type in {"text", "text_special"} else f" {child.type} "


def words_of(markdown: str) -> list[str]:
    """What a Markdown parser shows, word by word; markup that the text did not have shows as its own name."""
    words: list[str] = []
    for token in PARSER.parse(markdown):
        if token.type == "inline":
            words += [_shown(child) for child in token.children or []]
            words.append(" ")
        elif token.type not in {"paragraph_open", "paragraph_close"}:
            words.append(f" {token.type} ")
    return "".join(words).split()


@dataclass(frozen=True)
class Look:
    """How a story is set. Sizes in points."""

    page: tuple[float, float]
    columns: int
    size: float
    alignment: int
    space: float
    indent: float


LOOKS = st.builds(
    Look,
    page=st.sampled_from(PAGES),
    columns=st.sampled_from((1, 2)),
    size=st.sampled_from((9.0, 10.0, 11.5)),
    alignment=st.sampled_from((TA_JUSTIFY, TA_LEFT)),
    space=st.sampled_from((0.0, 6.0)),
    indent=st.sampled_from((0.0, 12.0)),
)


@settings(max_examples=40, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(seed=st.integers(0, 10**6), look=LOOKS)
def test_prose_comes_back_once_and_in_order(seed: int, look: Look) -> None:
    texts = write(seed)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "story.pdf"
        set_in_columns(path, texts, look)
        markdown = BuiltinEngine().convert(path, EngineOptions(), lambda *_: None).markdown
    assert words_of(markdown) == " ".join(texts).split()
    tidied = normalise(markdown, Normalize.STRICT)
    assert words_of(tidied) == words_of(markdown)
    assert normalise(tidied, Normalize.STRICT) == tidied
