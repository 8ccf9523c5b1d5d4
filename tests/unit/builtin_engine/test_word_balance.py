"""What the text layer has and the Markdown has not is counted, and nothing else is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pypdfium2
import pytest
from made_pages import a_page, write

from sir_convert_a_lot.domain.engine import EngineOptions
from sir_convert_a_lot.domain.quality import LeftOut
from sir_convert_a_lot.infrastructure.engines.builtin.engine import BuiltinEngine
from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Block, BlockKind, Box, Page
from sir_convert_a_lot.infrastructure.engines.builtin.quality import TextQuality
from sir_convert_a_lot.infrastructure.engines.builtin.word_balance import Balance, WordBalance

EXAMPLES = Path(__file__).parents[3] / "examples"
BLOCK = Block(BlockKind.PARAGRAPH, 0, Box(0, 0, 1, 1))


def balance(text: str, markdown: str) -> Balance:
    counted = WordBalance()
    counted.read(a_page(write(text, 50, 100), ()))
    return counted.settle(markdown)


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("The swifts came back", "The swifts came back\n"),
        ("came back. The swifts", "The swifts\n\ncame back.\n"),  # order is not its business
        ("recog- nition of calls", "recognition of calls\n"),
        ("recog- nition of calls", "recog-nition of calls\n"),
        ("a self- organised party", "a self-organised party\n"),
        ("Count 12 and 30", "| Count | 12 |\n| --- | --- |\n| and | 30 |\n"),
        ("Count A&B <td>", '<table>\n<tr>\n<th colspan="2">Count A&amp;B</th>\n<td>&lt;td&gt;</td>\n</tr>\n</table>\n'),
        ("snake_case * stars", "snake\\_case \\* stars\n"),
        ("鳥が飛ぶ", "鳥が 飛ぶ\n"),
        ("x2 of Hel lo", "x^2 of Hello\n"),  # an index, and a word in two fonts
    ],
)
def test_the_same_words_written_otherwise_are_not_lost(text: str, markdown: str) -> None:
    assert balance(text, markdown).lost == 0


@pytest.mark.parametrize(
    ("text", "markdown", "lost"),
    [
        ("The swifts came back", "The swifts back\n", ("came",)),
        ("swifts and swifts again", "swifts and again\n", ("swifts",)),
        ("table of swifts", "<table>\n<tr><td>of swifts</td></tr>\n</table>\n", ("table",)),  # no tag stands for it
        ("recognition of calls", "recog of calls\n", ("recognition",)),
        ("all of it", "", ("all", "of", "it")),
    ],
)
def test_a_word_that_is_not_written_is_lost(text: str, markdown: str, lost: tuple[str, ...]) -> None:
    found = balance(text, markdown)
    assert (found.lost, set(found.examples)) == (len(lost), set(lost))


def test_what_was_left_out_on_purpose_is_counted_apart() -> None:
    page = replace(a_page(write("7 swifts came", 50, 100), ()), turned_text="stamp", hidden_text="under the picture")
    counted = WordBalance()
    counted.read(page)
    counted.leave_out(LeftOut.FURNITURE, page, replace(page, words=page.words[1:]))
    found = counted.settle("swifts\n")
    assert (found.read, found.lost, found.examples) == (7, 1, ("came",))
    assert found.left_out == {
        LeftOut.FURNITURE: 1,
        LeftOut.FIGURE_LABELS: 0,
        LeftOut.TURNED: 1,
        LeftOut.HIDDEN: 3,
    }


def test_a_loss_is_warned_of_above_its_share_and_names_words() -> None:
    def warnings_for(words_lost: int) -> tuple[str, ...]:
        quality = TextQuality()
        words = [f"w{index}" for index in range(100)]
        quality.add(a_page(write(" ".join(words), 50, 100), ()))
        return quality.settle([BLOCK], " ".join(words[words_lost:]), 1)[1]

    assert warnings_for(2) == ()
    (told,) = warnings_for(3)
    assert told.startswith("3 of 100 words of the text layer are not in the Markdown")
    assert "“w0”" in told


@pytest.mark.parametrize("name", ["digital.pdf", "report.pdf", "tagged.pdf", "two_column.pdf"])
def test_the_words_that_are_counted_are_those_of_the_file_and_none_is_lost(name: str) -> None:
    """Counted against pdfium's own text of the whole page, which no step of ours has touched."""
    quality = BuiltinEngine().convert(EXAMPLES / name, EngineOptions(), lambda *_: None).quality
    assert quality is not None
    with pypdfium2.PdfDocument(EXAMPLES / name) as document:
        raw = " ".join(page.get_textpage().get_text_range() for page in document)
    apart = WordBalance()
    plain = raw.replace("\ufffe", "-").replace("\r\n", " ").replace("- ", "-")
    apart.read(a_page(write(plain, 0, 0), ()))
    assert quality.words_read == apart.settle("").read
    assert (quality.words_lost, quality.lost_share) == (0, 0.0)


def test_pages_are_told_that_are_empty_garbled_or_doubtful() -> None:
    text = "The swifts came back to the town in the second week of May"

    def page(index: int, words: str = text, **more: int) -> Page:
        return replace(a_page(write(words, 50, 100), ()), page_index=index, **more)

    nobodys = "ͼ\u0378\u0379\u0380\u0381 " * 8  # code points that Unicode has given to nobody, among others
    quality = TextQuality()
    for each in (page(0), page(1, ""), page(2, unmapped_characters=12), page(3, unmapped_characters=3)):
        quality.add(each)
    quality.add(page(4, nobodys))
    report, _ = quality.settle([BLOCK], f"{text} {text} {text} {nobodys}", 5)
    assert (report.empty_pages, report.garbled_pages) == ((2,), (3, 5))
    assert (report.poor_pages, report.fair_pages) == ((3, 5), (4,))


def test_headings_and_tables_are_counted(tmp_path: Path) -> None:
    quality = BuiltinEngine().convert(EXAMPLES / "report.pdf", EngineOptions(), lambda *_: None).quality
    truth = (EXAMPLES / "truth" / "report.md").read_text()
    assert quality is not None
    assert quality.headings == sum(line.startswith("#") for line in truth.splitlines())
    assert quality.tables == 3
