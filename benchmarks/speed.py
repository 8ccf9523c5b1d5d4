"""Seconds a page and peak memory of the product and of its peers, in one run: `pdm run bench:speed`.

    python benchmarks/speed.py [--pdfs PATH…] [--peers NAME…] [--rounds 3]
        [--long-pages 1000] [--long-peers NAME…] [--json FILE]

Owns the speed table. Each engine converts the same PDFs in one process on one core, then in two processes on two cores,
the best of `--rounds`; engines take turns, round by round, so that all meet the same weather. Starting (a process that
converts one small PDF and ends) is told apart from seconds a page. Then the product, and the peers that `--long-peers`
names, convert one document of `--long-pages` pages, the pages of the PDFs over and over, once. Exit code 1 when the
product needs more than `LONG_LIMIT_MB` for it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pypdfium2

from peer_runs import START_PDF, Pace, Run, count_pages, machine_line, measure_start, pace_of, run_peer
from peers import BY_NAME, PEERS, PRODUCT, REPOSITORY, Peer

LONG_LIMIT_MB = 400.0
EXAMPLES = tuple(REPOSITORY / "examples" / f"{name}.pdf" for name in ("digital", "two_column", "report", "tagged"))
SHARED_CORPUS = REPOSITORY.parent / "shared" / "corpus"
# How many of each corpus, where a site has them; the examples stand in for all of them where it has not.
SHARES = (("roundtrip/single", 10), ("roundtrip/paper", 10), ("roundtrip/volume", 2), ("papers/pdf", 4))
HEADINGS = (
    "engine",
    "start s",
    "s/page",
    "processor s/page",
    "of ours",
    "peak MB",
    "s/page, two",
    "peak MB, two",
    "long s",
    "long peak MB",
)


@dataclass(slots=True)
class Timing:
    """All runs of one engine, by the number of processes."""

    peer: Peer
    missing: str | None
    starts: dict[int, list[Run]] = field(default_factory=lambda: {1: [], 2: []})
    runs: dict[int, list[Run]] = field(default_factory=lambda: {1: [], 2: []})
    long: Run | None = None

    def pace(self, processes: int, pages: int) -> Pace:
        return pace_of(self.starts[processes], self.runs[processes], pages)


def choose_pdfs(given: Sequence[Path]) -> list[Path]:
    """The files named, folders replaced by the PDFs in them; or the fixed set."""
    if given:
        return [pdf for path in given for pdf in (sorted(path.glob("*.pdf")) if path.is_dir() else [path])]
    found = [pdf for name, share in SHARES for pdf in sorted((SHARED_CORPUS / name).glob("*.pdf"))[:share]]
    return found or list(EXAMPLES)


def make_long(sources: Sequence[Path], pages: int, target: Path) -> None:
    """Writes a document of `pages` pages: those of the sources in their order, again and again."""
    book = pypdfium2.PdfDocument.new()
    while len(book) < pages:
        for source in sources:
            document = pypdfium2.PdfDocument(source)
            take = min(len(document), pages - len(book))
            if take > 0:
                book.import_pages(document, pages=list(range(take)))
            document.close()
    book.save(target)
    book.close()


def measure(timings: Sequence[Timing], pdfs: Sequence[Path], rounds: int) -> None:
    for _ in range(rounds):
        for timing in timings:
            for processes in (1, 2):
                timing.starts[processes] += measure_start(timing.peer, processes=processes)
                timing.runs[processes].append(run_peer(timing.peer, pdfs, processes))


def write_table(timings: Sequence[Timing], pages: int) -> str:
    """A pipe table, one row an engine. `of ours`: processor time of a page, in those of the product."""
    measured = {timing.peer.name: timing for timing in timings if timing.missing is None}
    ours = measured[PRODUCT].pace(1, pages).page_processor_s if PRODUCT in measured else None
    lines = [_row(HEADINGS), _row(["---"] * len(HEADINGS))]
    for timing in timings:
        if timing.missing is not None:
            lines.append(_row([timing.peer.name, timing.missing, *[""] * (len(HEADINGS) - 2)]))
            continue
        one, two = timing.pace(1, pages), timing.pace(2, pages)
        lines.append(
            _row(
                [
                    timing.peer.name,
                    f"{one.start_wall_s:.2f}",
                    f"{one.page_wall_s:.4f}",
                    f"{one.page_processor_s:.4f}",
                    f"{one.page_processor_s / ours:.2f}" if ours else "n/a",
                    f"{one.peak_mb:.0f}",
                    f"{two.page_wall_s:.4f}",
                    f"{two.peak_mb:.0f}",
                    *_write_long(timing.long),
                ]
            )
        )
    return "\n".join(lines)


def _write_long(run: Run | None) -> tuple[str, str]:
    if run is None:
        return "n/a", "n/a"
    return ("failed" if run.failures else f"{run.wall_s:.0f}"), f"{run.peak_mb:.0f}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def all_failures(timing: Timing) -> list[str]:
    """Each failure once, in the order of its first time."""
    runs = [*timing.runs[1], *timing.runs[2], *([timing.long] if timing.long else [])]
    return list(dict.fromkeys(failure for run in runs for failure in run.failures))


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure seconds a page and memory against the peers.")
    parser.add_argument("--pdfs", type=Path, nargs="+", default=[], metavar="PATH", help="PDFs, or folders of them")
    parser.add_argument("--peers", nargs="+", choices=BY_NAME, default=list(BY_NAME), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--long-pages", type=int, default=1000, help="0: no long document")
    parser.add_argument(
        "--long-peers", nargs="*", choices=BY_NAME, default=[], metavar="NAME", help="peers that do so too"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run here")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = read_options(arguments)
    print(machine_line(), flush=True)
    pdfs = choose_pdfs(options.pdfs)
    pages = count_pages(pdfs)
    timings = [Timing(peer, peer.missing()) for peer in PEERS if peer.name in {PRODUCT, *options.peers}]
    present = [timing for timing in timings if timing.missing is None]
    measure(present, pdfs, options.rounds)
    if options.long_pages:
        with tempfile.TemporaryDirectory() as folder:
            book = Path(folder, "long.pdf")
            make_long(pdfs, options.long_pages, book)
            for timing in (timing for timing in present if timing.peer.name in {PRODUCT, *options.long_peers}):
                timing.long = run_peer(timing.peer, [book])
    print(f"{len(pdfs)} PDFs, {pages} pages, the best of {options.rounds}; starting converts {START_PDF.name};")
    print(f"the long document has {options.long_pages} pages, one process, starting included\n")
    print(write_table(timings, pages))
    for timing in present:
        for failure in all_failures(timing):
            print(f"FAILED {timing.peer.name} {failure}")
    if options.json:
        options.json.write_text(as_json(present), "utf-8")
    ours = next((timing.long for timing in present if timing.peer.name == PRODUCT), None)
    if ours and (ours.failures or ours.peak_mb > LONG_LIMIT_MB):
        print(f"OVER THE LIMIT: {ours.peak_mb:.0f} MB for the long document, where {LONG_LIMIT_MB:.0f} are allowed")
        return 1
    return 0


def as_json(timings: Sequence[Timing]) -> str:
    """Every cost that was measured, without the texts."""
    told = {
        timing.peer.name: {
            "starts": {
                count: [asdict(cost) for run in runs for cost in run.costs] for count, runs in timing.starts.items()
            },
            "runs": {
                count: [asdict(cost) for run in runs for cost in run.costs] for count, runs in timing.runs.items()
            },
            "long": [asdict(cost) for cost in timing.long.costs] if timing.long else None,
        }
        for timing in timings
    }
    return json.dumps(told, indent=2) + "\n"


if __name__ == "__main__":
    sys.exit(main())
