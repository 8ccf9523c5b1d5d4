"""Characters of one page, as pdfium draws them, gathered into words with fonts and boxes.

Owns the loop over characters: which are seen, where a word ends, how odd characters are spelt. Refuses to know lines,
columns or anything else about layout. Linear in the number of characters: pdfium is asked for each character's code,
object and box, and for everything else once per text object.
"""

from __future__ import annotations

import ctypes
import math
import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pypdfium2.raw as pdfium_c

from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Box, Font, Word
from sir_convert_a_lot.infrastructure.engines.builtin.page_space import PageSpace

ASCENT, DESCENT = 0.8, 0.2  # of a word's box, in sizes; fonts' own figures are often missing or wrong
WORD_GAP = 0.25  # sizes; wider than this is a space even where pdfium inserted none
GLUE_GAP = 0.12  # sizes; narrower than this is no space when the font changes
BOLD_WEIGHT = 600  # pdfium gives Nimbus Roman regular 425 and bold 700 and more
SMALLEST_PT, LARGEST_PT = 2.0, 500.0  # sizes taken at their word
BLEED_PT = 2.0  # a character this far outside the page still counts as on it
INVISIBLE = 3  # text rendering mode of the PDF reference, table 104
FLAG_FIXED_PITCH, FLAG_ITALIC, FLAG_FORCE_BOLD = 1 << 0, 1 << 6, 1 << 18  # font descriptor flags, table 121
UNMAPPED = "\ufffd"

# Bullets of Symbol and Wingdings, which PDFs carry in the private use area; the rest of that area says nothing.
PRIVATE_USE = {
    0xF0B7: "•", 0xF0A7: "▪", 0xF0A8: "◻", 0xF06F: "◻", 0xF071: "❑", 0xF076: "❖", 0xF0D8: "➢", 0xF0E0: "→",
    0xF0FC: "✓", 0xF06E: "■", 0xF06C: "●", 0xF02D: "-", 0xF0DE: "⇒", 0xF0B0: "°", 0xF0B1: "±",
}  # fmt: skip
LIGATURES = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)}
# Fonts of TeX without ToUnicode: pdfium gives their codes, which no other text has. T1 (Cork) encoding, then OT1.
OLD_TEX = {
    0x0B: "ff", 0x0C: "fi", 0x0E: "ffi", 0x0F: "ffl",
    0x10: "“", 0x11: "”", 0x12: "„", 0x13: "«", 0x14: "»", 0x15: "–", 0x16: "—",
    0x1B: "ff", 0x1C: "fi", 0x1D: "fl", 0x1E: "ffi", 0x1F: "ffl",
}  # fmt: skip
# TeX's font of large signs (CMEX): pdfium gives its codes as letters, "X" for a sum. They hang below their baseline.
LARGE_SIGNS = {
    **dict.fromkeys((0x00, 0x10, 0x12, 0x20), "("), **dict.fromkeys((0x01, 0x11, 0x13, 0x21), ")"),
    **dict.fromkeys((0x02, 0x14, 0x22, 0x68), "["), **dict.fromkeys((0x03, 0x15, 0x23, 0x69), "]"),
    **dict.fromkeys((0x08, 0x1A, 0x28, 0x6E), "{"), **dict.fromkeys((0x09, 0x1B, 0x29, 0x6F), "}"),
    **dict.fromkeys((0x0A, 0x1C, 0x2A), "⟨"), **dict.fromkeys((0x0B, 0x1D, 0x2B), "⟩"),
    **dict.fromkeys((0x50, 0x58), "∑"), **dict.fromkeys((0x51, 0x59), "∏"), **dict.fromkeys((0x52, 0x5A), "∫"),
    **dict.fromkeys((0x53, 0x5B), "⋃"), **dict.fromkeys((0x54, 0x5C), "⋂"), **dict.fromkeys((0x56, 0x5E), "⋀"),
    **dict.fromkeys((0x57, 0x5F), "⋁"), **dict.fromkeys((0x4A, 0x4B), "⨀"), **dict.fromkeys((0x4C, 0x4D), "⨁"),
    **dict.fromkeys((0x4E, 0x4F), "⨂"), **dict.fromkeys((0x70, 0x71, 0x72, 0x73), "√"),
}  # fmt: skip
MATHS_AXIS = 0.25  # sizes above the baseline: where TeX centres large signs
RARE = 0.15  # share of a font's characters: so many may be ligatures and quotes, more tell a font without any order
# Accents that old TeX fonts draw as characters of their own over the letter.
ACCENTS = {
    "´": "\u0301", "`": "\u0300", "¨": "\u0308", "ˆ": "\u0302", "˜": "\u0303", "¯": "\u0304", "˘": "\u0306",
    "˙": "\u0307", "¸": "\u0327", "ˇ": "\u030c", "˚": "\u030a", "˝": "\u030b",
}  # fmt: skip
HYPHEN_AT_LINE_END = 2  # pdfium's code for a hyphen it takes for one of hyphenation
SPACES = frozenset((9, 10, 13, 32, 0xF020, 0xA0, 0x3000, 0x202F, 0x205F, *range(0x2000, 0x200B)))
NOTHING = frozenset((0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF))


@dataclass(slots=True)
class _Run:
    """What all characters of one text object share."""

    font: Font
    quadrant: int  # of the direction of writing on the turned page: 0 to the right, 1 down, 2 left, 3 up
    is_invisible: bool
    has_large_signs: bool  # its font is TeX's CMEX


@dataclass(slots=True)
class _Glyph:
    text: str
    x0: float
    x1: float
    baseline: float
    run: _Run
    after_space: bool
    after_gap: bool  # pdfium put a space here that the PDF does not draw


@dataclass(frozen=True, slots=True)
class PageText:
    """The words of a page in the order they are drawn, and what was left out."""

    words: tuple[Word, ...]
    space: PageSpace
    turned_characters: int
    unmapped_characters: int


def read_words(page: Any, space: PageSpace) -> PageText:
    """All visible words of a `pypdfium2.PdfPage`; invisible ones only where no visible text is (a scan with OCR)."""
    text_page = page.get_textpage()
    try:
        glyphs, space, turned = _upright(_read_glyphs(text_page.raw, space), text_page.raw, space)
    finally:
        text_page.close()
    visible = [glyph for glyph in glyphs if not glyph.run.is_invisible]
    glyphs = visible or glyphs
    _spell_old_tex(glyphs)
    words = tuple(_group_into_words(_join_accents(glyphs)))
    return PageText(words, space, turned, sum(word.text.count(UNMAPPED) for word in words))


def _upright(glyphs: list[_Glyph], text_page: Any, space: PageSpace) -> tuple[list[_Glyph], PageSpace, int]:
    """Turns the page so that most of its text runs left to right, and leaves out what then does not."""
    counts = [0, 0, 0, 0]
    for glyph in glyphs:
        counts[glyph.run.quadrant] += 1
    main = max(range(4), key=lambda quadrant: (counts[quadrant], -quadrant))
    if main:
        space = space.turned(main)
        glyphs = _read_glyphs(text_page, space)
    upright = [glyph for glyph in glyphs if glyph.run.quadrant == 0]
    return upright, space, len(glyphs) - len(upright)


def _read_glyphs(text_page: Any, space: PageSpace) -> list[_Glyph]:
    runs: dict[int | None, _Run] = {}
    glyphs: list[_Glyph] = []
    rect, x, y = pdfium_c.FS_RECTF(), ctypes.c_double(), ctypes.c_double()
    right_edge, bottom_edge = space.width_pt + BLEED_PT, space.height_pt + BLEED_PT
    after_space, after_gap = True, False
    for index in range(pdfium_c.FPDFText_CountChars(text_page)):
        code = pdfium_c.FPDFText_GetUnicode(text_page, index)
        if code in SPACES:
            after_gap = bool(pdfium_c.FPDFText_IsGenerated(text_page, index)) and not after_space
            after_space = not after_gap
            continue
        if code in NOTHING:
            continue
        pointer = pdfium_c.FPDFText_GetTextObject(text_page, index)
        address = ctypes.cast(pointer, ctypes.c_void_p).value
        run = runs.get(address)
        if run is None:
            run = runs[address] = _read_run(text_page, index, pointer, space)
        pdfium_c.FPDFText_GetLooseCharBox(text_page, index, rect)
        pdfium_c.FPDFText_GetCharOrigin(text_page, index, x, y)
        x0, x1 = space.span(rect.left, rect.bottom, rect.right, rect.top)
        origin_x, baseline = space.point(x.value, y.value)
        if x1 < -BLEED_PT or x0 > right_edge or not -BLEED_PT <= baseline <= bottom_edge:
            continue
        if x1 <= x0:
            x0, x1 = origin_x, origin_x + run.font.size_pt * 0.3
        text = _spell(code)
        if run.has_large_signs and pdfium_c.FPDFText_HasUnicodeMapError(text_page, index):
            text = LARGE_SIGNS.get(code, UNMAPPED)
            baseline = _middle(text_page, index, space) + MATHS_AXIS * run.font.size_pt
        glyphs.append(_Glyph(text, x0, x1, baseline, run, after_space, after_gap))
        after_space = after_gap = False
    return glyphs


def _middle(text_page: Any, index: int, space: PageSpace) -> float:
    """The y of the middle of the ink of a character."""
    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    pdfium_c.FPDFText_GetCharBox(text_page, index, left, right, bottom, top)
    _, y0, _, y1 = space.box(left.value, bottom.value, right.value, top.value)
    return (y0 + y1) / 2


def _spell(code: int) -> str:
    if code == HYPHEN_AT_LINE_END:
        return "-"
    if code in LIGATURES:
        return LIGATURES[code]
    if code in OLD_TEX:
        return chr(code)  # `_spell_old_tex` sees the rest of the font first
    if 0xE000 <= code <= 0xF8FF:
        return PRIVATE_USE.get(code, UNMAPPED)
    if code < 32 or code in {0xFFFE, 0xFFFF} or 0x7F <= code < 0xA0 or code > 0x10FFFF or 0xD800 <= code < 0xE000:
        return UNMAPPED
    return chr(code)


def _spell_old_tex(glyphs: list[_Glyph]) -> None:
    """Writes out the ligatures of TeX's fonts; in a font of many such codes they say nothing and are unmapped."""
    totals, coded = Counter[str](), Counter[str]()
    for glyph in glyphs:
        totals[glyph.run.font.name] += 1
        coded[glyph.run.font.name] += ord(glyph.text[0]) in OLD_TEX
    for glyph in glyphs:
        if ord(glyph.text[0]) in OLD_TEX:
            name = glyph.run.font.name
            glyph.text = OLD_TEX[ord(glyph.text)] if coded[name] <= RARE * totals[name] else UNMAPPED


def _read_run(text_page: Any, index: int, pointer: Any, space: PageSpace) -> _Run:
    matrix = pdfium_c.FS_MATRIX()
    pdfium_c.FPDFText_GetMatrix(text_page, index, matrix)
    size = pdfium_c.FPDFText_GetFontSize(text_page, index)
    along = space.direction(matrix.a, matrix.b)
    is_mirrored = matrix.a * matrix.d - matrix.b * matrix.c < 0
    scale = math.hypot(matrix.c, matrix.d) or math.hypot(matrix.a, matrix.b)
    quadrant = 0 if is_mirrored else round(math.atan2(along[1], along[0]) / (math.pi / 2)) % 4
    mode = pdfium_c.FPDFTextObj_GetTextRenderMode(pointer) if pointer else 0
    font = _read_font(text_page, index, abs(size) * scale)
    return _Run(font, quadrant, mode == INVISIBLE, font.name.lower().startswith("cmex"))


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


def _join_accents(glyphs: list[_Glyph]) -> list[_Glyph]:
    joined: list[_Glyph] = []
    for glyph in glyphs:
        before = joined[-1] if joined else None
        if before and abs(before.baseline - glyph.baseline) < glyph.run.font.size_pt * 0.4:
            centre = (before.x0 + before.x1) / 2
            if before.text in ACCENTS and glyph.text.isalpha() and glyph.x0 - 0.5 <= centre <= glyph.x1 + 0.5:
                base = {"ı": "i", "ȷ": "j"}.get(glyph.text, glyph.text)
                glyph.text = unicodedata.normalize("NFC", base + ACCENTS[before.text])
                glyph.after_space, glyph.after_gap = before.after_space, before.after_gap
                joined[-1] = glyph
                continue
        joined.append(glyph)
    return joined


def _group_into_words(glyphs: list[_Glyph]) -> list[Word]:
    words: list[Word] = []
    held: list[_Glyph] = []
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


def _ends_word(last: _Glyph, glyph: _Glyph) -> bool:
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


def _is_glued(last: _Glyph, glyph: _Glyph) -> bool:
    """Whether no space stands between two words: where the font or the height changes, pdfium's spaces say little."""
    if glyph.after_gap and glyph.run.font == last.run.font:
        return False
    size = max(glyph.run.font.size_pt, last.run.font.size_pt)
    is_near = -0.5 * size < glyph.x0 - last.x1 < GLUE_GAP * size
    return not glyph.after_space and is_near and abs(glyph.baseline - last.baseline) < 0.6 * size


def _make_word(glyphs: list[_Glyph], *, is_glued: bool) -> Word:
    font = glyphs[0].run.font
    baseline = glyphs[0].baseline
    box = Box(
        round(min(glyph.x0 for glyph in glyphs), 2),
        round(baseline - ASCENT * font.size_pt, 2),
        round(max(glyph.x1 for glyph in glyphs), 2),
        round(baseline + DESCENT * font.size_pt, 2),
    )
    return Word(unicodedata.normalize("NFC", "".join(glyph.text for glyph in glyphs)), box, font, is_glued=is_glued)
