"""`bench:quality` converts every PDF of a corpus, and hides no failure."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sir_convert_a_lot.infrastructure.engines.installed import installed_engines


@pytest.fixture
def corpus(tmp_path: Path, examples: Path) -> Path:
    """One good PDF with its truth, and the encrypted example without one."""
    folder = tmp_path / "corpus"
    (folder / "truth").mkdir(parents=True)
    shutil.copy(examples / "digital.pdf", folder)
    shutil.copy(examples / "encrypted.pdf", folder)
    shutil.copy(examples / "truth" / "digital.md", folder / "truth")
    return folder


def run_benchmark(
    repository: Path, corpus: Path, *options: str
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    report = corpus.parent / "report.json"
    command = [sys.executable, "benchmarks/quality.py", "--corpus", str(corpus), "--json", str(report), *options]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False, timeout=120)
    return done, json.loads(report.read_text("utf-8")) if report.is_file() else {}


def test_a_corpus_is_converted_and_scored(repository: Path, corpus: Path) -> None:
    done, report = run_benchmark(repository, corpus)

    assert done.returncode == 0, done.stderr
    (measured,) = report["corpora"]
    digital, encrypted = measured["documents"]
    assert digital["scores"]["overall"] == measured["scores"]["overall"] > 0.8
    assert measured["seconds_a_page"] > 0
    assert encrypted["refusal"].startswith("pdf_unreadable encrypted")
    assert f"{measured['scores']['overall']:.4f}" in done.stdout
    assert "refused corpus/encrypted.pdf" in done.stdout


def test_a_pdf_with_a_truth_that_fails_counts_as_empty_and_fails_the_run(repository: Path, corpus: Path) -> None:
    (corpus / "truth" / "encrypted.md").write_text("# Secret\n\nWords.", "utf-8")

    done, report = run_benchmark(repository, corpus)

    assert done.returncode == 1
    (measured,) = report["corpora"]
    assert measured["documents"][1]["scores"]["overall"] == 0.0
    assert measured["scores"]["overall"] == pytest.approx(measured["documents"][0]["scores"]["overall"] / 2)
    assert "FAILED corpus/encrypted.pdf: pdf_unreadable encrypted" in done.stdout


def test_an_engine_that_is_not_there_fails_every_document(repository: Path, corpus: Path) -> None:
    # Where every engine is installed, as in the environment of the tests, one that does not exist stands for it.
    missing = next((name for name in ("docling", "pymupdf") if name not in installed_engines()), "nonesuch")

    done, report = run_benchmark(repository, corpus, "--engine", missing)

    assert done.returncode == 1
    documents = report["corpora"][0]["documents"]
    assert documents
    assert all(f"'{missing}'" in document["failure"] for document in documents)


def test_a_folder_without_pdfs_is_a_usage_error(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    done, report = run_benchmark(repository, tmp_path / "empty")

    assert done.returncode == 2
    assert "no PDFs in" in done.stderr
    assert report == {}
