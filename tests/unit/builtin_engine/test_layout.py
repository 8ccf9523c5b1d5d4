"""Words become lines, columns and paragraphs in the order a person reads them."""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle, pairwise

from sir_convert_a_lot.infrastructure.engines.builtin.columns import GutterMemory, order_regions
from sir_convert_a_lot.infrastructure.engines.builtin.layout import lay_out
from sir_convert_a_lot.infrastructure.engines.builtin.lines import group_into_lines, read_line
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Box, Cell, Font, Page, Paragraph, Table, Word

SERIF = Font("Serif", 10)
BOLD = Font("Serif-Bold", 10, is_bold=True)
LETTER = 5.0
WIDTH_PT, HEIGHT_PT = 400.0, 600.0
PROSE = ("gull", "swim", "over", "rock", "tern", "dive", "from", "high", "auks", "rest", "here")


def write(text: str, x: float, y: float, font: Font = SERIF) -> list[Word]:
    """Words on the baseline `y` from `x`; letters are half a size wide."""
    words = []
    for part in text.split():
        width = LETTER * font.size_pt / 10 * len(part)
        words.append(Word(part, Box(x, y - 0.8 * font.size_pt, x + width, y + 0.2 * font.size_pt), font))
        x += width + 0.3 * font.size_pt
    return words


def fill(tag: str, x: float, y: float, lines: int, *, width: float = 150, leading: float = 12) -> list[Word]:
    """Lines of prose that fill `width`; every word carries the tag, so that the order can be read off."""
    parts = (f"{tag}{part}" for part in cycle(PROSE))
    in_line = int((width + 3) / (LETTER * (len(tag) + 4) + 3))
    return [
        word
        for line in range(lines)
        for word in write(" ".join(next(parts) for _ in range(in_line)), x, y + line * leading)
    ]


def page_of(*words: Word) -> Page:
    return Page(0, WIDTH_PT, HEIGHT_PT, tuple(words))


def tags_of(words: list[Word]) -> list[str]:
    """The tags in reading order, runs of one tag as one."""
    tags = [word.text[:2] for region in order_regions(words) for line in region.lines for word in line.words]
    return [tags[0], *(after for before, after in pairwise(tags) if before != after)]


def paragraphs_of(*words: Word) -> list[Paragraph]:
    return list(lay_out(page_of(*words), (), ()).paragraphs)


def texts_of(*words: Word) -> list[str]:
    return [paragraph.text for paragraph in paragraphs_of(*words)]


def test_words_on_one_baseline_are_one_line_from_left_to_right() -> None:
    words = write("one two three", 50, 100) + write("next", 50, 112)
    lines = group_into_lines(reversed(words))
    assert [read_line(line.words) for line in lines] == ["one two three", "next"]


def test_a_superscript_stays_on_its_line_and_is_marked() -> None:
    small = Font("Serif", 6)
    words = [*write("noted", 50, 100), *write("1", 75, 96, small), *write("below", 50, 112)]
    first, second = group_into_lines(words)
    assert [(word.text, word.is_superscript) for word in first.words] == [("noted", False), ("1", True)]
    assert [word.text for word in second.words] == ["below"]


def test_a_superscript_seen_from_the_whole_page_is_judged_again_in_its_column() -> None:
    """The neighbour column's larger line must not mark a whole line as raised."""
    large = Font("Serif", 14)
    words = write("raised beside", 50, 100) + write("Large", 250, 104, large)
    (line,) = group_into_lines(words)
    again = group_into_lines([word for word in line.words if word.font == SERIF])
    assert not any(word.is_superscript for word in again[0].words)


def glued(*words: Word) -> list[Word]:
    return [words[0], *(replace(word, is_glued=True) for word in words[1:])]


def test_indices_are_told_as_plain_text_mathematics() -> None:
    small = Font("Math", 7)
    x, two = write("x", 50, 100), write("2", 55, 96, small)
    d, model, end = write("d", 80, 100), write("model", 85, 101.5, small), write(".", 102.5, 100)
    assert read_line([*glued(*x, *two), *glued(*d, *model, *end)]) == "x^2 d_model."
    assert read_line(glued(*write("the", 50, 100), *write("−9", 65, 96, small))) == "the^{−9}"
    assert read_line(glued(*write("21", 50, 100), *write("st", 60, 96, small))) == "21st"


def test_authors_above_the_abstract_are_read_one_by_one() -> None:
    rows = [("Ada Lind", "Tomas Brandt"), ("School", "Institute"), ("ada@a.org", "tomas@b.org")]
    words = write("Counting Swifts", 160, 60, Font("Serif", 16))
    for index, row in enumerate(rows):
        for middle, text in zip((120, 280), row, strict=True):
            words += write(text, middle - 2.5 * len(text), 90 + 12 * index)
    body = write("Abstract", 180, 150, BOLD) + fill("b-", 40, 170, 6, width=320)
    text = " ".join(texts_of(*words, *body))
    assert text.startswith("Counting Swifts Ada Lind School ada@a.org Tomas Brandt Institute tomas@b.org Abstract")
    without = " ".join(texts_of(*words, *body[1:]))
    assert "Ada Lind Tomas Brandt" in without


def test_a_centred_line_above_a_short_line_at_the_left_is_read_first() -> None:
    words = write("a centred line of words", 180, 100) + write("Present", 40, 130) + fill("b-", 40, 150, 3, width=330)
    assert texts_of(*words)[0] == "a centred line of words"


def test_a_large_bullet_does_not_make_its_text_an_index() -> None:
    (line,) = group_into_lines([*write("•", 50, 101, Font("Sans", 14)), *write("a microphone", 62, 100)])
    assert read_line(line.words) == "• a microphone"
    assert line.box.height == 10


def test_a_mark_of_a_note_is_told_with_and_without_a_space_before_it() -> None:
    small = Font("Serif", 6)
    assert read_line([*write("noted", 50, 100), *write("4", 79, 96, small)]) == "noted ^4"
    assert read_line(glued(*write("4", 50, 96, small), *write("The note", 53, 100))) == "^4 The note"


def test_a_letterspaced_title_is_one_word() -> None:
    assert read_line(write("A B S T R A C T", 50, 100)) == "ABSTRACT"
    assert read_line(write("x y z", 50, 100)) == "x y z"


def test_two_columns_are_read_one_after_the_other() -> None:
    assert tags_of(fill("L-", 40, 100, 12) + fill("R-", 220, 100, 12)) == ["L-", "R-"]


def test_columns_whose_lines_do_not_meet_are_still_columns() -> None:
    assert tags_of(fill("L-", 40, 100, 12) + fill("R-", 220, 105, 11, leading=13)) == ["L-", "R-"]


def test_three_columns_are_read_from_left_to_right() -> None:
    words = fill("C-", 300, 100, 8, width=100) + fill("A-", 20, 100, 8, width=100) + fill("B-", 160, 100, 8, width=100)
    assert tags_of(words) == ["A-", "B-", "C-"]


def test_a_title_above_and_a_figure_between_split_the_columns() -> None:
    words = [
        *fill("T-", 40, 60, 1, width=340),
        *fill("L-", 40, 100, 6),
        *fill("R-", 220, 100, 6),
        *fill("F-", 40, 200, 1, width=340),
        *fill("l-", 40, 230, 6),
        *fill("r-", 220, 230, 6),
    ]
    assert tags_of(words) == ["T-", "L-", "R-", "F-", "l-", "r-"]


def test_one_overfull_line_does_not_cut_a_column() -> None:
    words = fill("L-", 40, 100, 12) + fill("R-", 220, 100, 12)
    words += write("L-overfull", 167.5, 148)
    assert tags_of(words) == ["L-", "R-"]


def test_the_end_of_an_overfull_line_stays_in_its_column() -> None:
    words = fill("L-", 40, 100, 12) + fill("R-", 220, 106, 12)
    words += write("L-overhang", 168, 148)  # beyond the middle of the gutter, beside no line of the other column
    assert tags_of(words) == ["L-", "R-"]


def test_spaces_of_justified_lines_stacked_by_chance_are_no_gutter() -> None:
    words = fill("a-", 40, 100, 10, width=300)
    for line in range(3):
        words += write("four words stand here", 40, 220 + 12 * line) + write(
            "and four over there", 149, 220 + 12 * line
        )
    assert len(order_regions(words)) == 1


def test_cells_of_a_table_without_rules_stay_in_their_rows() -> None:
    words = []
    for row, name in enumerate(("swift", "house martin", "barn swallow", "sand martin", "crag martin")):
        words += write(name, 40, 100 + 12 * row) + write(f"{row} 7", 300, 100 + 12 * row)
    (region,) = order_regions(words)
    assert read_line(region.lines[1].words) == "house martin 1 7"


def test_a_short_page_takes_the_gutter_of_the_pages_before_it() -> None:
    memory = GutterMemory()
    memory.learn([page_of(*fill("L-", 40, 100, 20), *fill("R-", 220, 100, 20))] * 2)
    words = write("left", 40, 100) + write("right", 220, 100) + write("left", 40, 112)
    assert [read_line(line.words) for region in order_regions(words, memory.known) for line in region.lines] == [
        "left",
        "left",
        "right",
    ]


def test_space_begins_a_paragraph() -> None:
    words = write("one of these", 50, 100) + write("lines goes on.", 50, 112) + write("Another begins.", 50, 136)
    assert texts_of(*words) == ["one of these lines goes on.", "Another begins."]


def test_paragraphs_of_one_line_each_stay_apart() -> None:
    words = [word for index in range(5) for word in write(f"line number {index}", 50, 100 + 22 * index)]
    assert len(texts_of(*words)) == 5


def test_double_spaced_prose_is_one_paragraph() -> None:
    assert len(texts_of(*fill("a-", 50, 100, 10, width=300, leading=24))) == 1


def test_an_indent_begins_a_paragraph() -> None:
    words = [
        *write("a first line as long as the others are", 50, 100),
        *write("a second line as long as the others", 50, 112),
        *write("indented it begins another one here", 65, 124),
        *write("that goes on at the left edge again", 50, 136),
    ]
    assert len(texts_of(*words)) == 2


def test_centred_lines_are_one_paragraph() -> None:
    wide = fill("w", 20, 160, 3, width=300)
    middle = (20 + max(word.box.x1 for word in wide)) / 2
    words = [*write("one-long-centred-line-of-text", middle - 72.5, 100), *write("and-two", middle - 17.5, 112)]
    assert texts_of(*words, *wide)[0] == "one-long-centred-line-of-text and-two"


def test_a_bold_line_is_a_paragraph_of_its_own() -> None:
    words = write("Heading", 50, 100, BOLD) + write("The text that follows it.", 50, 112)
    assert [(p.text, p.font.is_bold) for p in paragraphs_of(*words)] == [
        ("Heading", True),
        ("The text that follows it.", False),
    ]


def test_a_short_bold_line_between_sentences_is_a_paragraph_of_its_own() -> None:
    bold = Font("Serif-Bold", 10, is_bold=True)
    lines = [
        *fill("a", 40, 100, 3),
        *write("end.", 40, 136),
        *write("Proof of it", 40, 148, bold),
        *fill("b", 40, 160, 3),
    ]
    texts = texts_of(*lines)
    assert texts[1] == "Proof of it"
    assert len(texts) == 3


def test_list_items_begin_at_their_markers_and_hang() -> None:
    words = [
        *write("• the first item, which is long", 60, 100),
        *write("enough for two lines", 72, 112),
        *write("• the second", 60, 124),
        *write("1. not a bullet", 60, 148),
        *write("2. but a number", 60, 160),
    ]
    assert [(p.marker, p.text) for p in paragraphs_of(*words, *write("wide " * 20, 20, 300))][:4] == [
        ("•", "• the first item, which is long enough for two lines"),
        ("•", "• the second"),
        ("1.", "1. not a bullet"),
        ("2.", "2. but a number"),
    ]


def test_dashes_at_one_place_are_one_list() -> None:
    words = write("– one item that is long enough", 20, 100) + write("to hang", 30, 112)
    words += write("– another", 20, 124) + write("wide " * 12, 20, 200)
    assert [p.marker for p in paragraphs_of(*words)] == ["–", "–", ""]


def test_references_begin_at_their_numbers() -> None:
    words = [
        *write("[1] A. Author. A title that is long,", 50, 100),
        *write("and ends here.", 65, 112),
        *write("[2] B. Author. Another.", 50, 124),
    ]
    assert texts_of(*words) == ["[1] A. Author. A title that is long, and ends here.", "[2] B. Author. Another."]


def test_an_initial_at_the_start_of_a_hanging_line_begins_no_item() -> None:
    words = [
        *write("[Si97] D. Simon, A study of swifts over towns, SIAM", 40, 100),
        *write("J. on Birds, Vol. 26, 1997.", 60, 112),
        *write("[Va87a] U. Vasili, Another study of the very same.", 40, 124),
    ]
    assert [made.text[:6] for made in paragraphs_of(*words)] == ["[Si97]", "[Va87a"]


def test_code_keeps_its_lines_and_indents() -> None:
    mono = Font("Courier", 10, is_monospaced=True)
    words = write("def f():", 50, 100, mono) + write("return 1", 74, 112, mono)
    (paragraph,) = paragraphs_of(*words)
    assert paragraph.text == "def f():\n    return 1"


def test_an_index_does_not_tell_the_size_of_its_line() -> None:
    small = Font("Math", 6)
    words = [
        *write("The dimension of the inner layer of it,", 50, 100),
        *write("d", 50, 112),
        *write("model_of_the_layer", 55, 114, small),
        *write("= 512.", 120, 112),
    ]
    assert len(paragraphs_of(*words)) == 1


def test_a_table_stands_where_it_was_found() -> None:
    table = Table(0, Box(40, 200, 190, 260), 1, 1, (Cell(0, 0, "cell"),))
    words = [
        *fill("L-", 40, 100, 8),
        *write("inside", 60, 230),
        *fill("l-", 40, 280, 8),
        *fill("R-", 220, 100, 22),
    ]
    found = lay_out(page_of(*words), (table,), ()).paragraphs
    kinds = ["table" if p.table else p.text[:2] for p in found]
    assert kinds.index("L-") < kinds.index("table") < kinds.index("l-") < kinds.index("R-")
    assert not any("inside" in p.text for p in found)
