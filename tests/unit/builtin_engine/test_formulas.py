"""What a formula says on several levels is said on one line, and rules that are no bars of fractions join nothing."""

from __future__ import annotations

import pytest

from sir_convert_a_lot.infrastructure.engines.builtin.columns import order_regions
from sir_convert_a_lot.infrastructure.engines.builtin.formulas import flatten_formulas
from sir_convert_a_lot.infrastructure.engines.builtin.lines import group_into_lines, read_line
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Box, Font, Page, Ruling, Word
from sir_convert_a_lot.infrastructure.engines.builtin.paragraphs import build_paragraphs

MATHS, TEXT = "CMMI10", "Times"


def word(text: str, x0: float, baseline: float, size: float = 10, *, name: str = TEXT, glued: bool = False) -> Word:
    width = 0.5 * size * len(text)
    box = Box(x0, baseline - 0.8 * size, x0 + width, baseline + 0.2 * size)
    return Word(text, box, Font(name, size), is_glued=glued)


def bar(x0: float, x1: float, y: float) -> Ruling:
    return Ruling(Box(x0, y, x1, y), is_horizontal=True)


def read(words: list[Word], *bars: Ruling) -> list[str]:
    page = flatten_formulas(Page(0, 600, 800, tuple(words), bars))
    return [read_line(line.words) for line in group_into_lines(page.words)]


def test_a_displayed_fraction_stands_on_the_line_of_its_formula() -> None:
    words = [
        word("x", 80, 102.5),
        word("=", 90, 102.5),
        word("ab", 105, 95),
        word("c", 107.5, 110),
        word("y", 120, 102.5),
    ]
    assert read(words, bar(105, 115, 100)) == ["x = ab/c y"]


def test_a_sum_over_a_bar_is_bracketed() -> None:
    words = [word("a", 100, 95), word("+", 108, 95), word("b", 116, 95), word("2", 108, 110)]
    assert read(words, bar(100, 121, 100)) == ["(a + b)/2"]


def test_a_small_fraction_stands_in_its_line_of_text() -> None:
    words = [word("error", 60, 102.5), word("1", 90, 98.5, 6), word("3", 90, 106, 6), word("of", 100, 102.5)]
    assert read(words, bar(90, 93, 100)) == ["error 1/3 of"]


def test_a_root_holds_what_stands_under_its_bar_and_nothing_below() -> None:
    words = [
        *(word("O(", 80, 100), word("√", 90, 100, glued=True), word("2", 95, 100, glued=True)),
        *(
            word("n", 100, 96.5, 7, glued=True),
            word(")", 104, 100, glued=True),
            word("the", 92, 112),
            word("next", 109, 112),
        ),
    ]
    assert read(words, bar(95, 103.5, 91)) == ["O(√(2^n))", "the next"]


def test_a_root_in_a_fraction_is_read_inside_out() -> None:
    words = [word("1", 97.5, 95), word("√", 92.5, 112), word("d", 97.5, 112, glued=True)]
    assert read(words, bar(92.5, 102.5, 100), bar(97.5, 102.5, 103)) == ["1/√d"]


def test_limits_of_a_sum_are_its_indices() -> None:
    words = [word("∑", 100, 100), word("i=1", 97.25, 113, 7), word("n", 100.75, 89, 7), word("f", 110, 100)]
    assert read(words) == ["∑_{i=1}^n f"]


def test_an_index_of_the_line_above_is_no_limit() -> None:
    words = [word("x", 95, 88), word("ij", 100, 89.5, 6, glued=True), word("∑", 100, 100), word("f", 110, 100)]
    assert read(words) == ["x_ij", "∑ f"]


def test_stacked_indices_are_told_lower_first() -> None:
    drawn = [word("χ", 100, 100), word("BC", 105, 96, 7, glued=True), word("13", 105, 103, 7), word(",", 112.5, 100)]
    assert read(drawn) == ["χ_13^BC,"]


def test_indices_of_indices_are_kept() -> None:
    drawn = [word("R", 100, 100), word("d", 105, 96, 7, glued=True), word("k", 108.5, 97, 5, glued=True)]
    assert read(drawn) == ["R^{d_k}"]


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        # a line above text whose last letters stand under it: an overline
        ([word("must", 100, 95), word("be", 123, 95), word("g(x)", 100, 109), word("B", 122, 109)], bar(100, 120, 100)),
        # the rule between the head and the column of a table
        ([word("BLEU", 110, 95), word("EN-DE", 100, 110), word("EN-FR", 140, 110)], bar(95, 170, 100)),
        # one of two links below each other
        ([word("Minnesota", 100, 98), word("Nebraska", 100, 111)], bar(100, 145, 100)),
        # an underlined line
        ([word("Heading", 100, 97), word("Prose", 100, 112), word("goes", 128, 112)], bar(100, 135, 99)),
    ],
)
def test_other_rules_join_nothing(words: list[Word], rule: Ruling) -> None:
    page = Page(0, 600, 800, tuple(words), (rule,))
    assert flatten_formulas(page).words == page.words


def write(text: str, x0: float, baseline: float) -> list[Word]:
    words: list[Word] = []
    for part in text.split():
        words.append(word(part, x0, baseline))
        x0 = words[-1].box.x1 + 3
    return words


def test_borders_of_cells_join_nothing() -> None:
    words = (word("Main", 100, 95), word("2nd", 102, 110))
    rules = (bar(98, 122, 100), Ruling(Box(98, 80, 98, 120), is_horizontal=False))
    page = Page(0, 600, 800, words, rules)
    assert flatten_formulas(page).words == words


def test_raised_words_with_spaces_between_them_are_no_one_index() -> None:
    raised = [word("Code", 100, 95, 7), word("from", 115.5, 95, 7)]
    assert read([*raised, word("Patches", 140, 100)]) == ["^Code ^from Patches"]


def test_a_displayed_formula_is_a_paragraph_with_its_number() -> None:
    prose = "the text before and after the formula fills its line from one end to the other end"
    words = [*write(prose, 50, 80), word("x = y,", 100, 100), word("(3)", 400, 100), *write(prose, 50, 112)]
    paragraphs = [made for region in order_regions(words) for made in build_paragraphs(region, 0)]
    assert [made.text for made in paragraphs] == [prose, "x = y, (3)", prose]
