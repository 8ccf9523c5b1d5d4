"""What a character says: codes of odd fonts as letters, accents joined with what they stand over.

Owns the tables of TeX's and Microsoft's encodings and the marks that PDFs draw apart from their letter. Refuses to ask
pdfium, and to know words.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Font

UNMAPPED = "\ufffd"
HYPHEN_AT_LINE_END = 2  # pdfium's code for a hyphen it takes for one of hyphenation

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
CORK_LIGATURES = frozenset(range(0x1B, 0x20))  # the codes that tell T1 from OT1, which has its own lower down
# The upper half of T1 where it differs from Latin-1, which pdfium takes such a font's codes for.
CORK = dict(zip(
    (*range(0xA1, 0xBD), 0xD7, 0xDF, 0xF7, 0xFF),
    ("ą", "ć", "č", "ď", "ě", "ę", "ğ", "ĺ", "ľ", "ł", "ń", "ň", "ŋ", "ő", "ŕ", "ř", "ś", "š", "ş", "ť", "ţ", "ű", "ů",
     "ÿ", "ź", "ž", "ż", "ĳ", "Œ", "SS", "œ", "ß"),
    strict=True,
))  # fmt: skip
# Brackets built of pieces, as Unicode and Adobe's private area name them: one piece speaks for all, the upper one of
# round and square brackets, the middle one of curly ones.
PIECE = "\ufdd1"  # a noncharacter of Unicode: a piece that does not speak
BRACKET_PIECES = {
    **dict.fromkeys((*range(0x239B, 0x23AE), *range(0xF8EB, 0xF8FF)), PIECE),
    0x239B: "(", 0x239E: ")", 0x23A1: "[", 0x23A4: "]", 0x23A8: "{", 0x23AC: "}",
    0xF8EB: "(", 0xF8F6: ")", 0xF8EE: "[", 0xF8F9: "]", 0xF8F2: "{", 0xF8FD: "}",
}  # fmt: skip
# TeX's font of large signs (CMEX): pdfium gives its codes as letters, "X" for a sum. They hang below their baseline.
LARGE_SIGNS = {
    **dict.fromkeys((0x00, 0x10, 0x12, 0x20, 0x30), "("), **dict.fromkeys((0x01, 0x11, 0x13, 0x21, 0x31), ")"),
    **dict.fromkeys((0x02, 0x14, 0x22, 0x68, 0x32), "["), **dict.fromkeys((0x03, 0x15, 0x23, 0x69, 0x33), "]"),
    **dict.fromkeys((0x04, 0x16, 0x24, 0x6A), "⌊"), **dict.fromkeys((0x05, 0x17, 0x25, 0x6B), "⌋"),
    **dict.fromkeys((0x06, 0x18, 0x26, 0x6C), "⌈"), **dict.fromkeys((0x07, 0x19, 0x27, 0x6D), "⌉"),
    **dict.fromkeys((0x08, 0x1A, 0x28, 0x6E, 0x3C), "{"), **dict.fromkeys((0x09, 0x1B, 0x29, 0x6F, 0x3D), "}"),
    **dict.fromkeys((0x0A, 0x1C, 0x2A), "⟨"), **dict.fromkeys((0x0B, 0x1D, 0x2B), "⟩"),
    **dict.fromkeys((0x0C,), "|"), **dict.fromkeys((0x0D,), "∥"), **dict.fromkeys((0x0E, 0x1E, 0x2C, 0x2E), "/"),
    **dict.fromkeys((0x50, 0x58), "∑"), **dict.fromkeys((0x51, 0x59), "∏"), **dict.fromkeys((0x52, 0x5A), "∫"),
    **dict.fromkeys((0x53, 0x5B), "⋃"), **dict.fromkeys((0x54, 0x5C), "⋂"), **dict.fromkeys((0x56, 0x5E), "⋀"),
    **dict.fromkeys((0x57, 0x5F), "⋁"), **dict.fromkeys((0x46, 0x47), "⨆"), **dict.fromkeys((0x48, 0x49), "∮"),
    **dict.fromkeys((0x4A, 0x4B), "⨀"), **dict.fromkeys((0x4C, 0x4D), "⨁"), **dict.fromkeys((0x4E, 0x4F), "⨂"),
    **dict.fromkeys((0x60, 0x61), "∐"), **dict.fromkeys((0x62, 0x63, 0x64), "\u0302"),
    **dict.fromkeys((0x65, 0x66, 0x67), "\u0303"), **dict.fromkeys((0x70, 0x71, 0x72, 0x73, 0x74), "√"),
    **dict.fromkeys((*range(0x34, 0x3C), *range(0x3E, 0x44)), PIECE), 0x75: "", 0x76: "",
}  # fmt: skip
# Signs that TeX hangs below their baseline in whatever font; brackets only in the font of large signs.
HANGING = frozenset(f"{PIECE}√∑∏∫⋃⋂⋁⋀⨁⨂⨀⨆∮∐")
RARE = 0.15  # share of a font's characters: so many may be ligatures and quotes, more tell a font without any order
# Accents that fonts of TeX draw as characters of their own over the letter, before it or after.
ACCENTS = {
    "´": "\u0301", "`": "\u0300", "¨": "\u0308", "ˆ": "\u0302", "^": "\u0302", "˜": "\u0303", "~": "\u0303",
    "¯": "\u0304", "˘": "\u0306", "˙": "\u0307", "¸": "\u0327", "ˇ": "\u030c", "˚": "\u030a", "˝": "\u030b",
    "\u0302": "\u0302", "\u0303": "\u0303", "\u20d7": "\u20d7",
}  # fmt: skip
DOTLESS = {"ı": "i", "ȷ": "j"}
STROKE = "\u0338"  # drawn before the sign that it negates
MARKS = frozenset((*ACCENTS, STROKE, PIECE, "7", "|", "∥"))  # TeX's ↦ has a 7 for its bar
SAME_PLACE_PT = 1.0  # between the left edges of the pieces of one bracket
OVER = 0.4  # sizes by which the baselines of a letter and its accent may differ: over capitals it is raised
AROUND = 40  # characters before and after an accent among which its letter is looked for


@dataclass(slots=True)
class Run:
    """What all characters of one text object share."""

    font: Font
    quadrant: int  # of the direction of writing on the turned page: 0 to the right, 1 down, 2 left, 3 up
    is_invisible: bool
    has_large_signs: bool  # its font is TeX's CMEX


@dataclass(slots=True)
class Glyph:
    text: str
    x0: float
    x1: float
    baseline: float
    run: Run
    after_space: bool
    after_gap: bool  # pdfium put a space here that the PDF does not draw


def spell(code: int) -> str:
    """The text of a character that pdfium gives this code; `UNMAPPED` where nobody can know."""
    if code == HYPHEN_AT_LINE_END:
        return "-"
    if code in LIGATURES:
        return LIGATURES[code]
    if code in OLD_TEX:
        return chr(code)  # `spell_old_tex` sees the rest of the font first
    if code in BRACKET_PIECES:
        return BRACKET_PIECES[code]
    if 0xE000 <= code <= 0xF8FF:
        return PRIVATE_USE.get(code, UNMAPPED)
    if code < 32 or code in {0xFFFE, 0xFFFF} or 0x7F <= code < 0xA0 or code > 0x10FFFF or 0xD800 <= code < 0xE000:
        return UNMAPPED
    return chr(code)


def spell_old_tex(glyphs: Sequence[Glyph]) -> None:
    """Writes out the codes of TeX's fonts; in a font of many ligatures they say nothing and are unmapped."""
    totals, coded = Counter[str](), Counter[str]()
    cork: set[str] = set()
    for glyph in glyphs:
        code = ord(glyph.text[0])
        totals[glyph.run.font.name] += 1
        if code in OLD_TEX:
            coded[glyph.run.font.name] += 1
            if code in CORK_LIGATURES:
                cork.add(glyph.run.font.name)
    if not coded:
        return
    for glyph in glyphs:
        code, name = ord(glyph.text[0]), glyph.run.font.name
        if code in OLD_TEX:
            glyph.text = OLD_TEX[code] if coded[name] <= RARE * totals[name] else UNMAPPED
        elif code in CORK and name in cork and coded[name] <= RARE * totals[name]:
            glyph.text = CORK[code]


def join_marks(glyphs: Sequence[Glyph]) -> list[Glyph]:
    """The same characters, accents and strokes joined with the letter or sign that they are drawn over."""
    if not any(glyph.text in MARKS for glyph in glyphs):
        return list(glyphs)
    joined: list[Glyph] = []
    for glyph in glyphs:
        before = joined[-1] if joined else None
        if glyph.text == PIECE or (before is not None and _is_same_bar(before, glyph)):
            if before is not None and abs(before.x0 - glyph.x0) < SAME_PLACE_PT and before.text not in "{}":
                before.baseline = (before.baseline + glyph.baseline) / 2
        elif before is not None and before.text in MARKS and _is_joined(before, glyph):
            glyph.after_space, glyph.after_gap = before.after_space, before.after_gap
            joined[-1] = glyph
        else:
            joined.append(glyph)
    return _join_late_accents(joined)


def _is_same_bar(before: Glyph, glyph: Glyph) -> bool:
    """Whether a tall bar goes on: it is built of equal pieces."""
    is_bar = glyph.run.has_large_signs and glyph.text in "|∥"
    return is_bar and before.text == glyph.text and abs(before.x0 - glyph.x0) < SAME_PLACE_PT


def _is_joined(before: Glyph, glyph: Glyph) -> bool:
    """Whether a mark belongs to the character after it; if so, it now does."""
    if _is_struck(before, glyph):
        glyph.text = "↦" if before.text == "7" else unicodedata.normalize("NFC", glyph.text + STROKE)
    elif before.text in ACCENTS and _is_over(before, glyph):
        _put_over(before, glyph)
    else:
        return False
    return True


def _is_struck(before: Glyph, glyph: Glyph) -> bool:
    """Whether `before` is a stroke through `glyph`, or the bar of TeX's ↦, which its font has where others have a 7."""
    is_same_place = abs(before.x0 - glyph.x0) < 0.15 * glyph.run.font.size_pt and before.baseline == glyph.baseline
    return is_same_place and (before.text == STROKE or (before.text == "7" and glyph.text == "→"))


def _is_over(accent: Glyph, letter: Glyph) -> bool:
    is_near = abs(accent.baseline - letter.baseline) < OVER * letter.run.font.size_pt
    middle = (accent.x0 + accent.x1) / 2
    return is_near and letter.text.isalpha() and letter.x0 - 0.5 <= middle <= letter.x1 + 0.5


def _put_over(accent: Glyph, letter: Glyph) -> None:
    base = DOTLESS.get(letter.text, letter.text)
    letter.text = unicodedata.normalize("NFC", base + ACCENTS[accent.text])


def _join_late_accents(glyphs: list[Glyph]) -> list[Glyph]:
    """Accents that come after their letter, or after the whole word, put over it. One without a letter stays."""
    gone: set[int] = set()
    for index, glyph in enumerate(glyphs):
        if glyph.text not in ACCENTS:
            continue
        around = [*range(index - 1, max(-1, index - AROUND), -1), *range(index + 1, min(len(glyphs), index + AROUND))]
        letter = next((place for place in around if _is_over(glyph, glyphs[place])), None)
        if letter is not None:
            _put_over(glyph, glyphs[letter])
            gone.add(index)
            if index + 1 < len(glyphs) and glyphs[index + 1].x0 - glyphs[index - 1].x1 < 0.15 * glyph.run.font.size_pt:
                glyphs[index + 1].after_gap = False
    return [glyph for index, glyph in enumerate(glyphs) if index not in gone] if gone else glyphs
