"""Odd codes, accents and bracket pieces come out as the characters that a reader sees."""

from __future__ import annotations

import pytest

from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Font
from sir_convert_a_lot.infrastructure.engines.builtin.spelling import (
    PIECE,
    UNMAPPED,
    Glyph,
    Run,
    join_marks,
    spell,
    spell_old_tex,
)

RUN = Run(Font("Serif", 10), 0, is_invisible=False, has_large_signs=False)


def glyph(text: str, x0: float, width: float = 5, baseline: float = 100, *, after_space: bool = False) -> Glyph:
    return Glyph(text, x0, x0 + width, baseline, RUN, after_space, after_gap=False)


def row(text: str, x0: float = 0) -> list[Glyph]:
    return [glyph(character, x0 + 5 * place) for place, character in enumerate(text)]


def read(glyphs: list[Glyph]) -> str:
    return "".join(one.text for one in join_marks(glyphs))


def test_an_accent_is_put_over_its_letter_whether_drawn_before_or_after() -> None:
    accent = glyph("¨", 6, 3)
    assert read([glyph("R", 0), accent, *row("odl", 5)]) == "Rödl"
    assert read([*row("Rodl"), glyph("¨", 6, 3)]) == "Rödl"
    assert read([glyph("µ", 0), glyph("ˆ", 1, 3)]) == "µ̂"


def test_an_accent_over_no_letter_stays_a_character() -> None:
    assert read(row("a^b")) == "a^b"
    assert read([*row("a"), glyph("`", 1, 3, baseline=150)]) == "a`"


def test_a_stroke_negates_the_sign_that_follows_it() -> None:
    assert read([glyph("\u0338", 0, 0.1), glyph("=", 0)]) == "≠"
    assert read([glyph("7", 0, 0.1), glyph("→", 0)]) == "↦"
    assert read(row("7→")) == "7→"


def test_a_bracket_of_pieces_is_one_bracket_at_the_height_of_all() -> None:
    (bracket,) = join_marks([glyph("(", 0, baseline=100), glyph(PIECE, 0, baseline=120)])
    assert (bracket.text, bracket.baseline) == ("(", 110)
    assert read([glyph(PIECE, 0, baseline=90), glyph("{", 0), glyph(PIECE, 0, baseline=110)]) == "{"


@pytest.mark.parametrize(("code", "text"), [(0x239B, "("), (0x239D, PIECE), (0xF8EB, "("), (0xE123, UNMAPPED)])
def test_codes_of_pieces_and_of_nothing(code: int, text: str) -> None:
    assert spell(code) == text


def test_a_font_with_cork_ligatures_has_corks_other_letters_too() -> None:
    cork = row("Straÿe und \x1cnden und mehr")
    latin = row("Louÿs und Freunde")
    spell_old_tex(cork)
    spell_old_tex(latin)
    assert read(cork) == "Straße und finden und mehr"
    assert read(latin) == "Louÿs und Freunde"
