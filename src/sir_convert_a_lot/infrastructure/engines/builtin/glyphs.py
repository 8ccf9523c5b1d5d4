"""Characters of one page, as pdfium draws them, gathered into words with fonts and boxes.

Owns the loop over characters: which are seen, where a word ends, how odd characters are spelt. Refuses to know lines,
columns or anything else about layout. Linear in the number of characters: pdfium is asked for each character's code,
object and box, and for everything else once per text object.
"""

from __future__ import annotations

import ctypes
import math
import unicodedata
from dataclasses import dataclass
from typing import Any

import pypdfium2.raw as pdfium_c

from sir_convert_a_lot.infrastructure.engines.builtin.objects import find_cut_off
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Box, Font, Word
from sir_convert_a_lot.infrastructure.engines.builtin.page_space import PageSpace
from sir_convert_a_lot.infrastructure.engines.builtin.spelling import (
    HANGING,
    LARGE_SIGNS,
    UNMAPPED,
    Glyph,
    Run,
    join_marks,
    spell,
    spell_old_tex,
)

ASCENT, DESCENT = 0.8, 0.2  # of a word's box, in sizes; fonts' own figures are often missing or wrong
WORD_GAP = 0.25  # sizes; wider than this is a space even where pdfium inserted none
GLUE_GAP = 0.12  # sizes; narrower than this is no space when the font changes
BOLD_WEIGHT = 600  # pdfium gives Nimbus Roman regular 425 and bold 700 and more
SMALLEST_PT, LARGEST_PT = 2.0, 500.0  # sizes taken at their word
MATHS_AXIS = 0.25  # sizes above the baseline: where TeX centres large signs
HANGS = 0.3  # sizes between where a sign stands and where it should, from which on it hangs
LINE_OF_TEXT = 15  # characters on one baseline: labels of an axis and words under a plot are shorter
BLEED_PT = 2.0  # a character this far outside the page still counts as on it
INVISIBLE = 3  # text rendering mode of the PDF reference, table 104
FLAG_FIXED_PITCH, FLAG_ITALIC, FLAG_FORCE_BOLD = 1 << 0, 1 << 6, 1 << 18  # font descriptor flags, table 121
SPACES = frozenset((9, 10, 13, 32, 0xF020, 0xA0, 0x3000, 0x202F, 0x205F, *range(0x2000, 0x200B)))
NOTHING = frozenset((0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF))


@dataclass(frozen=True, slots=True)
class PageText:
    """The words of a page in the order they are drawn, and what was left out."""

    words: tuple[Word, ...]
    space: PageSpace
    turned_characters: int
    unmapped_characters: int
    turned_text: str  # what `turned_characters` counts
    hidden_text: str  # what nobody sees


def read_words(page: Any, space: PageSpace) -> PageText:
    """All visible words of a `pypdfium2.PdfPage`; invisible ones only where no visible text is (a scan with OCR)."""
    text_page = page.get_textpage()
    try:
        cut_off = find_cut_off(page.raw)
        hidden: list[str] = []
        glyphs = _read_glyphs(text_page.raw, space, cut_off, hidden)
        glyphs, space, turned = _upright(glyphs, text_page.raw, space, cut_off)
    finally:
        text_page.close()
    visible = [glyph for glyph in glyphs if not glyph.run.is_invisible]
    if visible and len(visible) < len(glyphs):
        hidden.append(_text_of([glyph for glyph in glyphs if glyph.run.is_invisible]))
    glyphs = visible or glyphs
    spell_old_tex(glyphs)
    words = tuple(_group_into_words(join_marks(glyphs)))
    unmapped = sum(word.text.count(UNMAPPED) for word in words)
    return PageText(words, space, len(turned), unmapped, _text_of(turned), "".join(hidden))


def _text_of(glyphs: list[Glyph]) -> str:
    return "".join(f" {glyph.text}" if glyph.after_space or glyph.after_gap else glyph.text for glyph in glyphs)


def _upright(
    glyphs: list[Glyph], text_page: Any, space: PageSpace, cut_off: frozenset[int]
) -> tuple[list[Glyph], PageSpace, list[Glyph]]:
    """Turns the page so that most of its lines run left to right, and sets aside what then does not."""
    counts, in_lines = [0, 0, 0, 0], [0, 0, 0, 0]
    length, last = 0, None
    for glyph in glyphs:
        counts[glyph.run.quadrant] += 1
        length = length + 1 if last is not None and _goes_on(last, glyph) else 1
        last = glyph
        if length >= LINE_OF_TEXT:
            in_lines[glyph.run.quadrant] += LINE_OF_TEXT if length == LINE_OF_TEXT else 1
    main = max(range(4), key=lambda quadrant: (in_lines[quadrant], counts[quadrant], -quadrant))
    if main:
        space = space.turned(main)
        glyphs = _read_glyphs(text_page, space, cut_off, [])
    upright = [glyph for glyph in glyphs if glyph.run.quadrant == 0]
    return upright, space, [glyph for glyph in glyphs if glyph.run.quadrant]


def _goes_on(last: Glyph, glyph: Glyph) -> bool:
    """Whether a character stands on the line of the one before it, no more than a wide space away."""
    if glyph.run.quadrant != last.run.quadrant:
        return False
    across, along = abs(glyph.baseline - last.baseline), abs(glyph.x0 - last.x1)
    if glyph.run.quadrant % 2:
        across, along = abs(glyph.x0 - last.x0), across
    return across < 0.3 * glyph.run.font.size_pt and along < 2 * glyph.run.font.size_pt


def _read_glyphs(text_page: Any, space: PageSpace, cut_off: frozenset[int], hidden: list[str]) -> list[Glyph]:
    """The characters on the page; those that are not seen there are added to `hidden`."""
    runs: dict[int | None, Run] = {}
    glyphs: list[Glyph] = []
    rect, x, y = pdfium_c.FS_RECTF(), ctypes.c_double(), ctypes.c_double()
    right_edge, bottom_edge = space.width_pt + BLEED_PT, space.height_pt + BLEED_PT
    after_space, after_gap = True, False
    for index in range(pdfium_c.FPDFText_CountChars(text_page)):
        code = pdfium_c.FPDFText_GetUnicode(text_page, index)
        if code in SPACES:
            after_gap = bool(pdfium_c.FPDFText_IsGenerated(text_page, index)) and not after_space
            after_space = not after_gap
            if hidden:
                hidden.append(" ")
            continue
        if code in NOTHING:
            continue
        pointer = pdfium_c.FPDFText_GetTextObject(text_page, index)
        address = ctypes.cast(pointer, ctypes.c_void_p).value
        if address in cut_off:
            hidden.append(spell(code))
            continue
        run = runs.get(address)
        if run is None:
            run = runs[address] = _read_run(text_page, index, pointer, space)
        pdfium_c.FPDFText_GetLooseCharBox(text_page, index, rect)
        pdfium_c.FPDFText_GetCharOrigin(text_page, index, x, y)
        x0, x1 = space.span(rect.left, rect.bottom, rect.right, rect.top)
        origin_x, baseline = space.point(x.value, y.value)
        if x1 < -BLEED_PT or x0 > right_edge or not -BLEED_PT <= baseline <= bottom_edge:
            hidden.append(spell(code))
            continue
        if x1 <= x0:
            x0, x1 = origin_x, origin_x + run.font.size_pt * 0.3
        text = spell(code)
        if run.has_large_signs and (code < 32 or pdfium_c.FPDFText_HasUnicodeMapError(text_page, index)):
            text = LARGE_SIGNS.get(code, UNMAPPED)
        if run.has_large_signs or text in HANGING:
            baseline = _hung(text_page, index, space, baseline, run.font.size_pt)
        if not text:
            continue
        glyphs.append(Glyph(text, x0, x1, baseline, run, after_space, after_gap))
        after_space = after_gap = False
    return glyphs


def _hung(text_page: Any, index: int, space: PageSpace, baseline: float, size_pt: float) -> float:
    """The baseline of the formula that a sign stands in: told by its ink, where it hangs far from its own."""
    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    pdfium_c.FPDFText_GetCharBox(text_page, index, left, right, bottom, top)
    _, y0, _, y1 = space.box(left.value, bottom.value, right.value, top.value)
    hung = (y0 + y1) / 2 + MATHS_AXIS * size_pt
    return hung if abs(hung - baseline) > HANGS * size_pt else baseline


def _read_run(text_page: Any, index: int, pointer: Any, space: PageSpace) -> Run:
    matrix = pdfium_c.FS_MATRIX()
    pdfium_c.FPDFText_GetMatrix(text_page, index, matrix)
    size = pdfium_c.FPDFText_GetFontSize(text_page, index)
    along = space.direction(matrix.a, matrix.b)
    is_mirrored = matrix.a * matrix.d - matrix.b * matrix.c < 0
    scale = math.hypot(matrix.c, matrix.d) or math.hypot(matrix.a, matrix.b)
    quadrant = 0 if is_mirrored else round(math.atan2(along[1], along[0]) / (math.pi / 2)) % 4
    mode = pdfium_c.FPDFTextObj_GetTextRenderMode(pointer) if pointer else 0
    font = _read_font(text_page, index, abs(size) * scale)
    return Run(font, quadrant, mode == INVISIBLE, font.name.lower().startswith("cmex"))


def _read_font(text_page: Any, index: int, size_pt: float) -> Font:
    buffer, flags = ctypes.create_string_buffer(128), ctypes.c_int()
    pdfium_c.FPDFText_GetFontInfo(text_page, index, buffer, 128, flags)
    name = buffer.value.decode("utf-8", errors="replace")
    base = name.split("+")[-1]
    lower = base.lower()
    weight = pdfium_c.FPDFText_GetFontWeight(text_page, index)
    return Font(
        name=base,
        size_pt=round(_plausible_size(text_page, index, size_pt), 2),
        is_bold=_says_bold(lower) or bool(flags.value & FLAG_FORCE_BOLD) or BOLD_WEIGHT <= weight <= 1000,
        is_italic=any(word in lower for word in ("ital", "obli", "slant", "cmti")) or bool(flags.value & FLAG_ITALIC),
        is_monospaced=any(word in lower for word in ("mono", "courier", "cmtt", "typewriter", "consol", "sftt"))
        or bool(flags.value & FLAG_FIXED_PITCH),
    )


def _says_bold(lower_name: str) -> bool:
    return any(word in lower_name for word in ("bold", "black", "heavy", "-medi", "cmbx", "semibd", "-demi"))


def _plausible_size(text_page: Any, index: int, size_pt: float) -> float:
    """Type 3 fonts scale inside their own matrix; where the size says nothing, the drawn box does."""
    rect = pdfium_c.FS_RECTF()
    pdfium_c.FPDFText_GetLooseCharBox(text_page, index, rect)
    height = max(abs(rect.top - rect.bottom), 0.1)
    return size_pt if max(SMALLEST_PT, 0.25 * height) <= size_pt < LARGEST_PT else height


def _group_into_words(glyphs: list[Glyph]) -> list[Word]:
    words: list[Word] = []
    held: list[Glyph] = []
    is_glued = False
    for glyph in glyphs:
        if held and _ends_word(held[-1], glyph):
            words.append(_make_word(held, is_glued=is_glued))
            is_glued = _is_glued(held[-1], glyph)
            held = []
        held.append(glyph)
    if held:
        words.append(_make_word(held, is_glued=is_glued))
    return words


def _ends_word(last: Glyph, glyph: Glyph) -> bool:
    size = glyph.run.font.size_pt
    if glyph.x0 == last.x0 and glyph.baseline == last.baseline and not glyph.after_space and not glyph.after_gap:
        return False  # one ligature, told as its letters
    return (
        glyph.after_space
        or glyph.after_gap
        or (glyph.run is not last.run and glyph.run.font != last.run.font)
        or abs(glyph.baseline - last.baseline) > 0.1 * size
        or not -0.6 * size < glyph.x0 - last.x1 < WORD_GAP * size
    )


def _is_glued(last: Glyph, glyph: Glyph) -> bool:
    """Whether no space stands between two words: where the font or the height changes, pdfium's spaces say little."""
    if glyph.after_gap and glyph.run.font == last.run.font:
        return False
    size = max(glyph.run.font.size_pt, last.run.font.size_pt)
    is_near = -0.5 * size < glyph.x0 - last.x1 < GLUE_GAP * size
    return not glyph.after_space and is_near and abs(glyph.baseline - last.baseline) < 0.6 * size


def _make_word(glyphs: list[Glyph], *, is_glued: bool) -> Word:
    font = glyphs[0].run.font
    baseline = glyphs[0].baseline
    box = Box(
        round(min(glyph.x0 for glyph in glyphs), 2),
        round(baseline - ASCENT * font.size_pt, 2),
        round(max(glyph.x1 for glyph in glyphs), 2),
        round(baseline + DESCENT * font.size_pt, 2),
    )
    return Word(unicodedata.normalize("NFC", "".join(glyph.text for glyph in glyphs)), box, font, is_glued=is_glued)
