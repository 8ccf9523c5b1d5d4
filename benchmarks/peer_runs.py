"""One run of the product or of a peer over some PDFs: what it wrote, and what that cost.

Owns dealing the PDFs to processes and reading back what these left. Every process converts `START_PDF` before its
share; what that alone costs is `measure_start`, so that starting is told apart from converting, for all the same way.
"""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pypdfium2

from peers import OFFLINE, REPOSITORY, Peer, command_for
from process_costs import Cost, run_side_by_side

START_PDF = REPOSITORY / "examples" / "digital.pdf"
START_LIMIT_S = 180.0  # the slowest takes half a minute on a machine that is busy
PAGE_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Run:
    """What came of each PDF, in their order, and a cost for each process. A text is None where that PDF failed."""

    texts: tuple[str | None, ...]
    failures: tuple[str, ...]  # "file name: reason", of those without a text
    costs: tuple[Cost, ...]

    @property
    def wall_s(self) -> float:
        return max(cost.wall_s for cost in self.costs)

    @property
    def processor_s(self) -> float:
        return sum(cost.processor_s for cost in self.costs)

    @property
    def peak_mb(self) -> float:
        """The processes ran together, so their peaks are added up."""
        return sum(cost.peak_mb for cost in self.costs)


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds and memory of an engine. A page's seconds are those of the run less those of starting."""

    start_wall_s: float
    start_processor_s: float
    page_wall_s: float
    page_processor_s: float
    peak_mb: float


def count_pages(pdfs: Iterable[Path]) -> int:
    """Of all that open; one that does not is for the engines to refuse."""
    total = 0
    for pdf in pdfs:
        try:
            document = pypdfium2.PdfDocument(pdf)
        except pypdfium2.PdfiumError:
            continue
        total += len(document)
        document.close()
    return total


def run_peer(peer: Peer, pdfs: Sequence[Path], processes: int = 1) -> Run:
    """Converts `pdfs` in `processes` processes side by side, each on a core of its own."""
    limit_s = START_LIMIT_S + PAGE_LIMIT_S * count_pages(pdfs)
    with tempfile.TemporaryDirectory() as folder:
        commands = []
        for process in range(processes):
            given, out = Path(folder, f"in{process}"), Path(folder, f"out{process}")
            given.mkdir()
            out.mkdir()
            (given / "0.pdf").symlink_to(START_PDF)  # the first by name
            for index in range(process, len(pdfs), processes):
                (given / f"1-{index:05}.pdf").symlink_to(pdfs[index].resolve())
            commands.append([*command_for(peer, given, out, cores=1), "--first-core", str(process)])
        costs = run_side_by_side(commands, limit_s, OFFLINE)
        found = [
            read_back(Path(folder, f"out{index % processes}"), f"1-{index:05}", costs[index % processes])
            for index in range(len(pdfs))
        ]
    failures = tuple(f"{pdf.name}: {reason}" for pdf, (_, reason) in zip(pdfs, found, strict=True) if reason)
    return Run(tuple(text for text, _ in found), failures, tuple(costs))


def read_back(out: Path, stem: str, cost: Cost) -> tuple[str | None, str | None]:
    """(text, None) or (None, reason) for what a process left of one PDF."""
    markdown, error = out / f"{stem}.md", out / f"{stem}.error"
    if markdown.is_file():
        return markdown.read_text("utf-8", errors="replace"), None
    if error.is_file():
        return None, error.read_text("utf-8").strip()[:200]
    return None, cost.failure or "its process left nothing"


def measure_start(peer: Peer, rounds: int = 1, processes: int = 1) -> list[Run]:
    """Runs that convert `START_PDF` alone."""
    return [run_peer(peer, [], processes) for _ in range(rounds)]


def pace_of(starts: Sequence[Run], runs: Sequence[Run], pages: int) -> Pace:
    """The best of each figure over the runs; never below zero, which a busy machine can make of short runs.

    Raises `ZeroDivisionError` for no pages.
    """

    def best(figure: Callable[[Run], float], of: Sequence[Run]) -> float:
        return min(figure(run) for run in of)

    start_wall_s, start_processor_s = best(lambda run: run.wall_s, starts), best(lambda run: run.processor_s, starts)
    return Pace(
        start_wall_s,
        start_processor_s,
        max(0.0, best(lambda run: run.wall_s, runs) - start_wall_s) / pages,
        max(0.0, best(lambda run: run.processor_s, runs) - start_processor_s) / pages,
        best(lambda run: run.peak_mb, runs),
    )


def machine_line() -> str:
    """Where and when, and whether the machine did other work too: to be asked before a benchmark adds to its load."""
    load, cpus = os.getloadavg()[0], os.cpu_count() or 1
    line = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {cpus} CPUs, load {load:.1f}, Python {platform.python_version()}"
    if load > cpus / 2:
        line += "\nThe machine is busy with other work: wall times are too high, compare figures within this run only."
    return line
