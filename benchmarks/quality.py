"""Converts folders of PDFs whose Markdown is known, and prints how close the product's Markdown comes to it.

    python benchmarks/quality.py [--corpus PATH…] [--engine builtin] [--json FILE]

A corpus is a folder of PDFs (or one with a folder `pdf` in it). The truth of `x.pdf` is `x.md` in the folder `truth`
inside the corpus, or else in `truth_<corpus>` or `truth` beside it. Every PDF is converted through the product's own
path: engine, OCR rule, normaliser. One that fails is printed and counts as an empty text, and the exit code is 1. A PDF
without a truth is converted too and not scored; the product may refuse it as unreadable (the examples hold a damaged
and an encrypted one).

Seconds a page are wall time of the conversions, two at a time.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from markdown_scores import Scores, mean_scores, score

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED_CORPUS = REPOSITORY.parent / "shared" / "corpus"
DEFAULT_CORPORA = (
    REPOSITORY / "examples",
    *(SHARED_CORPUS / "roundtrip" / name for name in ("single", "paper", "volume")),
    SHARED_CORPUS / "papers",
)
PROCESSES = 2
COLUMNS = ("n", "overall", "nid", "teds", "mhs", "s/page", "failures")


@dataclass(frozen=True, slots=True)
class Converted:
    """What one conversion gave, as it comes back from its process."""

    markdown: str
    pages: int
    seconds: float
    refusal: str | None = None  # the product says that the PDF cannot be read


@dataclass(frozen=True, slots=True)
class Document:
    """One PDF of a corpus: its scores, or why it has none."""

    name: str
    pages: int
    seconds: float
    scores: Scores | None = None
    failure: str | None = None
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """One corpus. `scores` are means over the documents that have a truth."""

    corpus: str
    documents: tuple[Document, ...]
    scores: Scores
    seconds_a_page: float | None

    @property
    def failures(self) -> int:
        return sum(document.failure is not None for document in self.documents)


def convert(pdf: Path, engine_name: str) -> Converted:
    """Runs in a process of the pool. Raises what the product raises, except a refusal of the PDF as unreadable."""
    from sir_convert_a_lot.application.convert import ConversionOrder, convert_document
    from sir_convert_a_lot.domain.engine import EngineOptions
    from sir_convert_a_lot.domain.errors import PdfUnreadable
    from sir_convert_a_lot.domain.job_spec import JobSpec
    from sir_convert_a_lot.infrastructure.engines.installed import load_engine
    from sir_convert_a_lot.infrastructure.markdown.normalise import normalise

    spec = JobSpec.model_validate(
        {
            "api_version": "v1",
            "source": {"kind": "upload", "filename": pdf.name},
            "conversion": {"backend_strategy": engine_name, "ocr_mode": "off" if engine_name == "pymupdf" else "auto"},
            "execution": {"acceleration_policy": "cpu_only"},
        }
    )
    limits = EngineOptions()
    order = ConversionOrder(spec, "cpu", None, (), limits.max_pages, limits.max_page_pixels)
    pages = 0

    def count_pages(_stage: object, _processed: int, total: int) -> None:
        nonlocal pages
        pages = total

    started = time.perf_counter()
    try:
        markdown = convert_document(pdf, order, load_engine(engine_name), normalise, count_pages).markdown
    except PdfUnreadable as error:
        return Converted("", 0, 0.0, refusal=f"{error.code} {error.details.get('reason', '')}: {error.message}")
    return Converted(markdown, pages, time.perf_counter() - started)


def find_pdfs(corpus: Path) -> list[Path]:
    """The PDFs of a corpus by name."""
    folder = corpus / "pdf" if (corpus / "pdf").is_dir() else corpus
    return sorted(folder.glob("*.pdf"))


def find_truth(corpus: Path) -> Path | None:
    """The folder with the true Markdown of a corpus."""
    candidates = (corpus / "truth", corpus.parent / f"truth_{corpus.name}", corpus.parent / "truth")
    return next((folder for folder in candidates if folder.is_dir()), None)


def measure_corpus(corpus: Path, engine_name: str, pool: ProcessPoolExecutor) -> Report:
    """Converts and scores one corpus."""
    truths = find_truth(corpus)
    running = {pdf: pool.submit(convert, pdf, engine_name) for pdf in find_pdfs(corpus)}
    documents = tuple(_judge(pdf, future, truths) for pdf, future in running.items())
    pages = sum(document.pages for document in documents)
    return Report(
        corpus=corpus.name,
        documents=documents,
        scores=mean_scores(document.scores for document in documents if document.scores),
        seconds_a_page=sum(document.seconds for document in documents) / pages if pages else None,
    )


def _judge(pdf: Path, future: Future[Converted], truths: Path | None) -> Document:
    truth = truths / f"{pdf.stem}.md" if truths else None
    is_scored = truth is not None and truth.is_file()
    error = future.exception()
    converted = Converted("", 0, 0.0) if error else future.result()
    failure = f"{type(error).__name__}: {error}" if error else None
    if is_scored and converted.refusal:
        failure = converted.refusal
    return Document(
        name=pdf.name,
        pages=converted.pages,
        seconds=converted.seconds,
        scores=score(truth.read_text("utf-8"), converted.markdown) if truth and is_scored else None,
        failure=failure,
        refusal=converted.refusal,
    )


def print_reports(reports: Iterable[Report]) -> None:
    """One line a corpus, then every failure and refusal."""
    reports = list(reports)
    width = max(len(report.corpus) for report in reports)
    print(" " * width, *(f"{name:>8}" for name in COLUMNS))
    for report in reports:
        values = [getattr(report.scores, name) for name in ("overall", "nid", "teds", "mhs")]
        numbers = ["n/a" if value is None else f"{value:.4f}" for value in (*values, report.seconds_a_page)]
        scored = sum(document.scores is not None for document in report.documents)
        row = [str(scored), *numbers, str(report.failures)]
        print(f"{report.corpus:<{width}}", *(f"{value:>8}" for value in row))
    for report in reports:
        for document in report.documents:
            if document.failure:
                print(f"FAILED {report.corpus}/{document.name}: {document.failure}")
            elif document.refusal:
                print(f"refused {report.corpus}/{document.name}: {document.refusal}")


def as_json(reports: Iterable[Report], engine_name: str) -> str:
    return json.dumps({"engine": engine_name, "corpora": [asdict(report) for report in reports]}, indent=2)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Score the product's Markdown against the truth.")
    parser.add_argument("--corpus", type=Path, nargs="+", metavar="PATH", help="folders of PDFs with a truth")
    parser.add_argument("--engine", default="builtin")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every document's scores here")
    options = parser.parse_args(arguments)
    corpora = options.corpus or [corpus for corpus in DEFAULT_CORPORA if corpus.is_dir()]
    empty = [corpus for corpus in corpora if not find_pdfs(corpus)]
    if empty:
        parser.error(f"no PDFs in {', '.join(map(str, empty))}")
    with ProcessPoolExecutor(PROCESSES) as pool:
        reports = [measure_corpus(corpus, options.engine, pool) for corpus in corpora]
    print_reports(reports)
    if options.json:
        options.json.write_text(as_json(reports, options.engine), "utf-8")
    return 1 if any(report.failures for report in reports) else 0


if __name__ == "__main__":
    sys.exit(main())
