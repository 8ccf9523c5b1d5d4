"""What a paragraph is in its document: heading, list item, note; what runs on, what is broken, what is furniture."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sir_convert_a_lot.infrastructure.engines.builtin.flow import join_across_breaks
from sir_convert_a_lot.infrastructure.engines.builtin.furniture import drop_furniture
from sir_convert_a_lot.infrastructure.engines.builtin.headings import classify, numbering_depth
from sir_convert_a_lot.infrastructure.engines.builtin.hyphens import BREAK, join_lines, mend_all
from sir_convert_a_lot.infrastructure.engines.builtin.lists import match_marker, nest
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import (
    Block,
    BlockKind,
    Box,
    Cell,
    Font,
    Page,
    Paragraph,
    Table,
    Word,
)
from sir_convert_a_lot.infrastructure.engines.builtin.quality import TextQuality

WIDTH_PT, HEIGHT_PT = 400.0, 600.0
LEFT, RIGHT = Box(40, 50, 190, 550), Box(210, 50, 360, 550)
PROSE = "A paragraph of the body, long enough that its size is the usual one of the document. " * 3


def paragraph(
    text: str,
    *,
    size: float = 10,
    bold: bool = False,
    lines: int = 1,
    page: int = 0,
    region: Box = LEFT,
    is_open: bool = False,
    marker: str = "",
) -> Paragraph:
    box = Box(region.x0, 100, region.x1, 112)
    font = Font("Serif", size, is_bold=bold)
    return Paragraph(page, box, text, font, lines, region, marker=marker, is_open=is_open)


def kinds_of(*paragraphs: Paragraph) -> list[tuple[str, int]]:
    """(kind, level) of each, judged among the prose of a document."""
    body = paragraph(PROSE, lines=6)
    return [(block.kind.value, block.level) for block in classify([*paragraphs, body])[:-1]]


def write(text: str, x: float, y: float, size: float = 10) -> list[Word]:
    words = []
    for part in text.split():
        width = 0.5 * size * len(part)
        words.append(Word(part, Box(x, y - 0.8 * size, x + width, y + 0.2 * size), Font("Serif", size)))
        x += width + 0.3 * size
    return words


def page_of(index: int, *words: Word) -> Page:
    return Page(index, WIDTH_PT, HEIGHT_PT, words)


def texts_of(page: Page) -> str:
    return " ".join(word.text for word in page.words)


def body(y: float = 200) -> list[Word]:
    return [word for line in range(20) for word in write("the body of the page goes on and on", 40, y + 12 * line)]


def test_levels_follow_title_numbers_and_type() -> None:
    assert kinds_of(
        paragraph("A Study of Swifts", size=20, bold=True),
        paragraph("1 Introduction", size=14, bold=True),
        paragraph("1.1 Birds", size=12, bold=True),
        paragraph("1.1.1 Small birds", size=12, bold=True),
        paragraph("Thanks", size=14, bold=True),
    ) == [("heading", 1), ("heading", 2), ("heading", 3), ("heading", 4), ("heading", 2)]


def test_without_a_title_the_largest_type_is_level_one() -> None:
    chapters = [paragraph(f"Chapter {name}", size=16, page=index) for index, name in enumerate(("A", "B", "C"))]
    assert kinds_of(*chapters, paragraph("Inside", size=13)) == [("heading", 1)] * 3 + [("heading", 2)]


def test_a_bold_line_over_prose_is_a_heading_and_a_bold_sentence_is_not() -> None:
    assert kinds_of(paragraph("Methods in brief", bold=True)) == [("heading", 1)]
    assert kinds_of(paragraph("This is important.", bold=True)) == [("paragraph", 0)]


def test_a_bold_statement_of_mathematics_is_no_heading() -> None:
    assert kinds_of(paragraph("Proof of Theorem 1.7", bold=True)) == [("paragraph", 0)]


def test_a_bold_name_over_an_address_is_no_heading() -> None:
    assert kinds_of(paragraph("Ada Lindqvist", bold=True), paragraph("Harbour Street School")) == [
        ("paragraph", 0),
        ("paragraph", 0),
    ]


def test_names_before_the_abstract_are_no_headings() -> None:
    address = paragraph("Harbour Street School, Department of Birds, ada@example.org and tomas@example.org")
    name = paragraph("Ada Lindqvist", bold=True)
    abstract = paragraph("Abstract", size=12, bold=True)
    assert kinds_of(name, address, abstract, name, address) == [
        ("paragraph", 0),
        ("paragraph", 0),
        ("heading", 1),
        ("heading", 2),
        ("paragraph", 0),
    ]


def test_authors_with_marks_of_notes_are_no_headings_in_larger_print_either() -> None:
    title, abstract = paragraph("A Study of Swifts", size=18), paragraph("Abstract", size=12, bold=True)
    names = paragraph("Ada Lindqvist^∗ and Tomas Berg^{a,b}", size=12)
    assert [kind for kind, _ in kinds_of(title, names, abstract)] == ["heading", "paragraph", "heading"]


def test_numbers_below_a_heading_are_headings_without_bold() -> None:
    told = kinds_of(
        paragraph("3 Methods", size=14, bold=True), paragraph("3.1. Counting"), paragraph("7.1 litres of water")
    )
    assert told == [("heading", 1), ("heading", 2), ("paragraph", 0)]


def test_captions_notes_and_names_are_told() -> None:
    assert kinds_of(
        paragraph("Figure 3: Swifts over the school"),
        paragraph("1 A note in smaller print", size=8),
        paragraph("References"),
    ) == [("caption", 0), ("footnote", 0), ("heading", 1)]


@pytest.mark.parametrize(
    ("text", "depth"),
    [("3 Method", 1), ("3.1 Data", 2), ("3.1.2. Birds", 3), ("IV. Results", 1), ("A.2 Proofs", 2), ("Methods", 0)],
)
def test_numbering_tells_the_depth(text: str, depth: int) -> None:
    assert numbering_depth(text) == depth


@pytest.mark.parametrize(
    ("text", "marker"),
    [
        ("• item", "•"),
        ("12. item", "12."),
        ("(a) item", "(a)"),
        ("b) item", "b)"),
        ("– item", "–"),
        ("iv. item", "iv."),
        ("1999 was a year", ""),
        ("3.5 metres", ""),
        ("-5 degrees", ""),
        ("e.g. this", ""),
    ],
)
def test_markers_of_list_items(text: str, marker: str) -> None:
    assert match_marker(text) == marker


def test_list_items_lose_their_bullet_and_keep_their_number() -> None:
    blocks = classify(
        [
            paragraph("• first", marker="•"),
            paragraph("2. second", marker="2."),
            paragraph("(a) third", marker="(a)"),
            paragraph(PROSE, lines=6),
        ]
    )
    assert [(block.marker, block.text) for block in blocks[:3]] == [
        ("-", "first"),
        ("2.", "second"),
        ("-", "(a) third"),
    ]


def test_nesting_follows_where_the_markers_stand() -> None:
    xs = [40, 60, 60, 80, 40]
    items = [Block(BlockKind.LIST_ITEM, 0, Box(x, 0, 100, 10), "item", marker="-") for x in xs]
    assert [block.level for block in nest(items)] == [0, 1, 1, 2, 0]


def test_a_paragraph_goes_on_in_the_next_column_past_a_caption() -> None:
    joined = join_across_breaks(
        [
            paragraph("The sentence is cut", is_open=True),
            paragraph("Figure 1: between", size=8),
            paragraph("in two halves.", region=RIGHT),
        ]
    )
    assert [p.text for p in joined] == ["The sentence is cut in two halves.", "Figure 1: between"]


def test_a_paragraph_goes_on_over_three_pages_past_a_table() -> None:
    table = Paragraph(1, LEFT, "", Font("", 10), 1, LEFT, table=Table(1, LEFT, 1, 1, (Cell(0, 0, "x"),)))
    joined = join_across_breaks(
        [
            paragraph("One", is_open=True),
            table,
            paragraph("two", page=1, is_open=True),
            paragraph("three.", page=2),
        ]
    )
    assert [p.text for p in joined] == ["One two three.", ""]


def half(page: int, *rows: str, has_header: bool, x1: float = 190) -> Paragraph:
    box = Box(40, 100, x1, 300)
    cells = tuple(Cell(row, column, text) for row, line in enumerate(rows) for column, text in enumerate(line.split()))
    return Paragraph(page, box, "", Font("", 10), 1, box, table=Table(page, box, len(rows), 2, cells, has_header))


def rows_of(paragraph: Paragraph) -> list[str]:
    table = paragraph.table
    assert table is not None
    return [" ".join(cell.text for cell in table.cells if cell.row == row) for row in range(table.rows)]


def test_a_table_goes_on_over_the_page_with_or_without_its_head_again() -> None:
    first, again = (
        half(0, "Street Nests", "Mill 7", has_header=True),
        half(1, "Street Nests", "Quay 2", has_header=True),
    )
    (joined,) = join_across_breaks([first, again, half(2, "Dock 5", has_header=False)])
    assert rows_of(joined) == ["Street Nests", "Mill 7", "Quay 2", "Dock 5"]


@pytest.mark.parametrize(
    "second",
    [
        half(1, "Bird Count", "Swift 2", has_header=True),
        half(1, "Dock 5", has_header=False, x1=250),
        half(2, "Dock 5", has_header=False),
    ],
)
def test_another_table_is_not_joined(second: Paragraph) -> None:
    paragraphs = [half(0, "Street Nests", "Mill 7", has_header=True), second]
    assert join_across_breaks(paragraphs) == paragraphs


def test_a_new_sentence_or_a_finished_paragraph_is_not_joined() -> None:
    paragraphs = [
        paragraph("It ends here."),
        paragraph("then lower case.", region=RIGHT),
        paragraph("Cut off", region=RIGHT, is_open=True),
        paragraph("Another paragraph.", page=1),
    ]
    assert join_across_breaks(paragraphs) == paragraphs


@pytest.mark.parametrize(
    ("lines", "elsewhere", "text"),
    [
        (("recog-", "nition"), "", "recognition"),
        (("well-", "known"), "", "well-known"),
        (("dot-", "product"), "the dot-product of", "dot-product"),
        (("sequence-", "aligned"), "a sequence is aligned", "sequence-aligned"),
        (("rule-", "based"), "", "rule-based"),
        (("in-", "dependent"), "", "independent"),
        (("infor-", "mation"), "information", "information"),
        (("thirty-", "five"), "", "thirty-five"),
        (("Berkeley-", "Parser"), "", "Berkeley-Parser"),
        (("the N-", "way function"), "", "the N-way function"),
        (("baryon-", "like states"), "hadron-like and quark-like", "baryon-like states"),
        (("child-", "like wonder"), "quark-like", "childlike wonder"),
        (("1990-", "2000"), "", "1990- 2000"),
        (("see https://example.org/", "page here"), "", "see https://example.org/page here"),
    ],
)
def test_words_broken_at_line_ends_are_mended(lines: tuple[str, str], elsewhere: str, text: str) -> None:
    mended = mend_all([paragraph(join_lines(*lines)), paragraph(elsewhere)])
    assert mended[0].text == text
    assert BREAK not in mended[0].text


def test_a_hyphen_before_a_capital_decides_nothing_about_the_breaks_before_it() -> None:
    text = join_lines(join_lines("the recog-", "nition of Braun-"), "Munzinger")
    assert mend_all([paragraph(text)])[0].text == "the recognition of Braun-Munzinger"


def test_headers_and_page_numbers_that_come_again_are_dropped() -> None:
    pages = [
        page_of(index, *write(f"Journal of Swifts, page {index}", 40, 30), *body(), *write(f"{index + 1}", 195, 580))
        for index in range(4)
    ]
    assert {texts_of(page) for page in drop_furniture(pages)} == {texts_of(page_of(0, *body()))}


def test_headers_of_odd_and_even_pages_are_dropped() -> None:
    pages = [page_of(index, *write(("Swifts", "A. Lindqvist")[index % 2], 40, 30), *body()) for index in range(6)]
    assert all(texts_of(page) == texts_of(page_of(0, *body())) for page in drop_furniture(pages))


def test_headers_of_pages_with_wide_margins_are_dropped_when_they_come_again() -> None:
    pages = [page_of(index, *write("A. Lindqvist et al.", 40, 100), *body(130)) for index in range(3)]
    assert all(texts_of(page) == texts_of(page_of(0, *body())) for page in drop_furniture(pages))


def test_on_a_single_page_small_print_apart_from_the_body_is_furniture() -> None:
    (page,) = drop_furniture([page_of(0, *write("Collected Samples", 40, 30, 8), *body(80), *write("1", 195, 580, 8))])
    assert texts_of(page) == texts_of(page_of(0, *body()))


def test_a_note_of_one_line_at_the_foot_of_one_page_is_kept() -> None:
    pages = [page_of(index, *body(), *write(f"{index + 1}", 195, 580)) for index in range(3)]
    noted = page_of(3, *body(), *write("1 See the appendix.", 40, 545, 8), *write("4", 195, 580))
    assert texts_of(drop_furniture([*pages, noted])[3]).endswith("1 See the appendix.")


def test_the_first_lines_of_the_body_are_no_furniture() -> None:
    pages = [page_of(index, *write(f"Chapter {name}", 40, 50), *body(90)) for index, name in enumerate("ABC")]
    assert [texts_of(page).startswith("Chapter") for page in drop_furniture(pages)] == [True] * 3


def test_confidence_is_poor_for_scans_and_unmapped_fonts_and_good_for_text() -> None:
    def judged(*pages: Page) -> str:
        quality = TextQuality()
        for index, page in enumerate(pages):
            quality.add(replace(page, page_index=index))
        assert quality.confidence is not None
        return quality.confidence.value

    text = page_of(0, *body())
    scan = Page(0, WIDTH_PT, HEIGHT_PT, (), image_boxes=(Box(0, 0, WIDTH_PT, HEIGHT_PT),))
    blank = page_of(0)
    broken = Page(0, WIDTH_PT, HEIGHT_PT, tuple(body()), unmapped_characters=300)
    assert judged(text, blank) == "good"
    assert judged(scan) == "poor"
    assert judged(*[text] * 4, scan) == "fair"
    assert judged(broken) == "poor"
