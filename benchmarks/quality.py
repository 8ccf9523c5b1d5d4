"""Converts folders of PDFs whose Markdown is known, and prints how close the product's Markdown comes to it.

    python benchmarks/quality.py [--corpus PATH…] [--engine builtin] [--json FILE]
    python benchmarks/quality.py --peers [NAME…] [--corpus PATH…] [--sample N] [--json FILE]

A corpus is a folder of PDFs (or one with a folder `pdf` in it). The truth of `x.pdf` is `x.md` in the folder `truth`
inside the corpus, or else in `truth_<corpus>` or `truth` beside it. Every PDF is converted through the product's own
path: engine, OCR rule, normaliser. One that fails is printed and counts as an empty text, and the exit code is 1. A PDF
without a truth is converted too and not scored; the product may refuse it as unreadable (the examples hold a damaged
and an encrypted one).

Seconds a page are wall time of the conversions, two at a time.

With `--peers` the product and its peers (`peers.py`; all of them unless named) convert the PDFs that have a truth, and
one table has all of them; `pdm run bench:quality` asks for that.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from markdown_scores import Scores, mean_scores, score
from peer_quality import Corpus, Standing, compare, pick, write_table
from peer_runs import machine_line
from peers import BY_NAME, PEERS, PRODUCT
from product import Converted, convert

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


def compare_with_peers(corpora: Sequence[Path], names: Sequence[str], sample: int | None, target: Path | None) -> int:
    """Prints the table of all engines. A failure of the product makes the exit code 1, one of a peer does not."""
    print(machine_line(), flush=True)
    chosen = [choose_scored(corpus, sample) for corpus in corpora]
    chosen = [corpus for corpus in chosen if corpus.truths]
    counts = ", ".join(f"{corpus.name} {len(corpus.truths)}" for corpus in chosen)
    print(f"PDFs: {counts}{f' (at most {sample} of each)' if sample else ''}; cells are in this order\n", flush=True)
    peers = [peer for peer in PEERS if peer.name in {PRODUCT, *(names or BY_NAME)}]
    standings = []
    for standing in compare(peers, chosen):
        print(f"{standing.peer.name}: {standing.missing or 'measured'}", file=sys.stderr, flush=True)
        standings.append(standing)
    print(write_table(standings, [corpus.name for corpus in chosen]))
    for standing in standings:
        for failure in standing.failures:
            print(f"FAILED {standing.peer.name} {failure}")
    if target:
        target.write_text(standings_as_json(standings), "utf-8")
    return 1 if any(standing.failures for standing in standings if standing.peer.name == PRODUCT) else 0


def choose_scored(corpus: Path, sample: int | None) -> Corpus:
    truths = find_truth(corpus)
    scored = {pdf: truths / f"{pdf.stem}.md" for pdf in find_pdfs(corpus)} if truths else {}
    scored = {pdf: truth for pdf, truth in scored.items() if truth.is_file()}
    return Corpus(corpus.name, {pdf: scored[pdf] for pdf in pick(list(scored), sample)})


def standings_as_json(standings: Iterable[Standing]) -> str:
    told = {
        standing.peer.name: {
            "missing": standing.missing,
            "corpora": {name: asdict(scores) for name, scores in standing.scores.items()},
            "pace": asdict(standing.pace) if standing.pace else None,
            "failures": standing.failures,
        }
        for standing in standings
    }
    return json.dumps(told, indent=2) + "\n"


def as_json(reports: Iterable[Report], engine_name: str) -> str:
    return json.dumps({"engine": engine_name, "corpora": [asdict(report) for report in reports]}, indent=2)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Score the product's Markdown against the truth.")
    parser.add_argument("--corpus", type=Path, nargs="+", metavar="PATH", help="folders of PDFs with a truth")
    parser.add_argument("--engine", default="builtin")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every document's scores here")
    parser.add_argument("--peers", nargs="*", choices=BY_NAME, metavar="NAME", help="compare with these; all if none")
    parser.add_argument("--sample", type=int, metavar="N", help="with --peers: at most so many PDFs of a corpus")
    options = parser.parse_args(arguments)
    corpora = options.corpus or [corpus for corpus in DEFAULT_CORPORA if corpus.is_dir()]
    empty = [corpus for corpus in corpora if not find_pdfs(corpus)]
    if empty:
        parser.error(f"no PDFs in {', '.join(map(str, empty))}")
    if options.peers is not None:
        if not options.corpus and len(corpora) > 1:
            corpora.remove(
                REPOSITORY / "examples"
            )  # made to try this product, one of them scanned: no ground to compare
        return compare_with_peers(corpora, options.peers, options.sample, options.json)
    with ProcessPoolExecutor(PROCESSES) as pool:
        reports = [measure_corpus(corpus, options.engine, pool) for corpus in corpora]
    print_reports(reports)
    if options.json:
        options.json.write_text(as_json(reports, options.engine), "utf-8")
    return 1 if any(report.failures for report in reports) else 0


if __name__ == "__main__":
    sys.exit(main())
