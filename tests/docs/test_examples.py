"""The example PDFs are what `scripts/make_examples.py` makes, and show what examples/README.md says."""

from __future__ import annotations

import re
from pathlib import Path

import pikepdf
import pypdfium2
import pytest

import example_texts
import make_examples


@pytest.fixture(scope="module")
def made() -> dict[str, bytes]:
    return make_examples.make_all()


def test_two_runs_make_the_same_bytes(made: dict[str, bytes]) -> None:
    assert make_examples.make_all() == made


def test_the_truth_in_the_repository_is_the_one_that_is_made(made: dict[str, bytes], examples: Path) -> None:
    for name, content in made.items():
        if name.endswith(".md"):
            assert (examples / name).read_bytes() == content


def test_every_example_is_in_the_repository_and_described(made: dict[str, bytes], examples: Path) -> None:
    described = (examples / "README.md").read_text(encoding="utf-8")
    shipped = {
        str(path.relative_to(examples)) for path in examples.rglob("*") if path.name != "README.md" and path.is_file()
    }
    assert shipped == set(made)
    assert all(f"({name})" in described for name in made)
    assert sum((examples / name).stat().st_size for name in made) < 1_000_000


@pytest.mark.parametrize("name", ["digital", "two_column", "tagged"])
def test_every_word_of_the_truth_is_in_the_pdf(examples: Path, name: str) -> None:
    shown = "".join(page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(examples / f"{name}.pdf"))
    letters = re.sub(r"\W", "", shown)
    truth = (examples / "truth" / f"{name}.md").read_text(encoding="utf-8")
    missing = [word for word in re.findall(r"\w+", truth) if word not in letters]
    assert missing == []


def test_the_scanned_page_holds_a_picture_and_no_text(examples: Path) -> None:
    (page,) = pypdfium2.PdfDocument(examples / "scanned.pdf")
    assert page.get_textpage().get_text_range().strip() == ""


def test_the_tagged_page_names_its_structure(examples: Path) -> None:
    with pikepdf.open(examples / "tagged.pdf") as pdf:
        kinds = [str(kid.S) for kid in pdf.Root.StructTreeRoot.K.K]
        assert pdf.Root.MarkInfo.Marked
    assert kinds == ["/H1", "/P", "/H2", "/P", "/L", "/H2", "/P", "/Table", "/H2", "/P"]


@pytest.mark.parametrize("name", ["encrypted", "damaged"])
def test_what_must_be_refused_does_not_open(examples: Path, name: str) -> None:
    with pytest.raises(pypdfium2.PdfiumError):
        pypdfium2.PdfDocument(examples / f"{name}.pdf")


def test_the_encrypted_example_opens_with_its_password(examples: Path) -> None:
    assert len(pypdfium2.PdfDocument(examples / "encrypted.pdf", password=example_texts.PASSWORD)) == 1
