"""Which PDFs a command line means, and where their Markdown goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from sir_convert_a_lot.interfaces.cli.sources import find_documents, find_pdfs
from sir_convert_a_lot.interfaces.cli.talk import UsageMistake


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def outputs(folder: Path, *sources: Path, recursive: bool = True) -> list[str]:
    documents = find_documents(sources, folder / "out", recursive=recursive)
    return [str(document.output.relative_to(folder / "out")) for document in documents]


def test_a_folder_keeps_its_shape(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.pdf", "in/b/c.PDF", "in/b/notes.txt")
    assert outputs(tmp_path, tmp_path / "in") == ["a.md", "b/c.md"]


def test_without_recursive_only_the_folder_itself_is_read(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.pdf", "in/b/c.pdf")
    assert outputs(tmp_path, tmp_path / "in", recursive=False) == ["a.md"]


def test_hidden_files_and_folders_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.pdf", "in/._a.pdf", "in/.trash/b.pdf")
    assert outputs(tmp_path, tmp_path / "in") == ["a.md"]


def test_a_file_given_by_name_is_taken_whatever_its_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "paper.v2.bin", "paper.v2.pdf")
    assert outputs(tmp_path, tmp_path / "paper.v2.bin", tmp_path / "paper.v2.pdf") == ["paper.v2.bin.md", "paper.v2.md"]


def test_a_file_named_twice_is_one_document(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.pdf")
    assert outputs(tmp_path, tmp_path / "in", tmp_path / "in" / ".." / "in" / "a.pdf") == ["a.md"]


@pytest.mark.parametrize("names", [("a.pdf", "a.PDF"), ("a.pdf", "a.md/b.pdf")])
def test_documents_that_would_meet_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    touch(tmp_path / "in", *names)
    with pytest.raises(UsageMistake) as refused:
        outputs(tmp_path, tmp_path / "in")
    assert refused.value.details["reason"] == "output_collision"


@pytest.mark.parametrize(("source", "reason"), [("nowhere", "missing"), ("empty", "no_pdf")])
def test_a_source_without_a_pdf_is_refused(tmp_path: Path, source: str, reason: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageMistake) as refused:
        outputs(tmp_path, tmp_path / source)
    assert refused.value.details["reason"] == reason


def test_files_of_one_name_may_be_submitted_together(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.pdf", "other/a.pdf")
    found = find_pdfs([tmp_path / "other", tmp_path / "in"], recursive=False)
    assert found == (tmp_path / "in" / "a.pdf", tmp_path / "other" / "a.pdf")
