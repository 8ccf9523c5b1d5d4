"""Progress of a run on stderr: live bars on a terminal, plain lines everywhere else.

Owns the drawing: pages, queue, rate. Refuses to know where progress comes from; a service and a local run report alike.
All methods may be called from any thread.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Protocol

from sir_convert_a_lot.domain.job import JobStatus
from sir_convert_a_lot.interfaces.cli.outcome import Outcome
from sir_convert_a_lot.interfaces.cli.sources import Document
from sir_convert_a_lot.interfaces.cli.talk import explain, say
from sir_convert_a_lot.interfaces.client.answers import ProgressView

if TYPE_CHECKING:
    from rich.progress import TaskID

LINE_INTERVAL_S = 5.0  # of plain lines about one document: a log should be readable afterwards


class ProgressDisplay(Protocol):
    """What a run tells while it goes on. `close` may be called twice."""

    def started(self, document: Document) -> None: ...
    def progressed(self, document: Document, progress: ProgressView) -> None: ...
    def finished(self, outcome: Outcome) -> None: ...
    def told(self, line: str) -> None: ...
    def close(self) -> None: ...


def open_display(documents_total: int) -> ProgressDisplay:
    """Bars when stderr is a terminal, lines otherwise."""
    return BarDisplay(documents_total) if sys.stderr.isatty() else LineDisplay(documents_total)


def outcome_lines(outcome: Outcome) -> list[str]:
    """What is worth reading about a finished document."""
    name = outcome.document.shown
    if outcome.has_succeeded:
        pages = "converted" if outcome.pages is None else f"{outcome.pages} page{'' if outcome.pages == 1 else 's'}"
        elapsed = "" if outcome.elapsed_s is None else f" in {outcome.elapsed_s:.1f} s"
        if outcome.is_reused:
            elapsed = f", reused {outcome.job_id},"
        line = f"{name}: {pages}{elapsed} by {outcome.backend_used} on {outcome.acceleration_used}"
        return [line, *(f"{name}: warning: {warning}" for warning in outcome.warnings)]
    if outcome.error is None and outcome.status == JobStatus.RUNNING.value:
        return [
            f"{name}: still running as {outcome.job_id}; later: convert-a-lot collect {outcome.job_id} --output-dir DIR"
        ]
    if outcome.error is None:
        return [f"{name}: {outcome.status}"]
    return [f"{name}: {outcome.status}", *explain(outcome.error)]


def describe(progress: ProgressView) -> str:
    """One progress in words: "6 of 18 pages, layout_analysis"."""
    if progress.queued_ahead is not None:
        return f"queued, {progress.queued_ahead} ahead"
    if progress.pages_total is None:
        return progress.stage
    return f"{progress.pages_processed} of {progress.pages_total} pages, {progress.stage}"


class LineDisplay:
    """One line when a document ends, and now and then while it takes long."""

    def __init__(self, documents_total: int) -> None:
        self._total = documents_total
        self._done = 0
        self._lock = threading.Lock()
        self._last: dict[Document, tuple[float, ProgressView]] = {}

    def started(self, document: Document) -> None:
        with self._lock:
            self._last[document] = (time.monotonic(), ProgressView(""))

    def progressed(self, document: Document, progress: ProgressView) -> None:
        now = time.monotonic()
        with self._lock:
            at, last = self._last.get(document, (now, ProgressView("")))
            if now - at < LINE_INTERVAL_S or progress == last:
                return
            self._last[document] = (now, progress)
        say(f"{document.shown}: {describe(progress)}")

    def finished(self, outcome: Outcome) -> None:
        with self._lock:
            self._last.pop(outcome.document, None)
            self._done += 1
            for line in outcome_lines(outcome):
                say(f"[{self._done}/{self._total}] {line}" if not line.startswith(("  ", "error:")) else line)

    def told(self, line: str) -> None:
        say(line)

    def close(self) -> None:
        return


class BarDisplay:
    """A bar for the whole run and one for each document under way."""

    def __init__(self, documents_total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._lock = threading.Lock()
        self._pages: dict[Document, int] = {}  # processed, of every document that reported any
        self._began = time.monotonic()
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self._run = self._bars.add_task("documents", total=documents_total, note="")
        self._tasks: dict[Document, TaskID] = {}
        self._bars.start()

    def started(self, document: Document) -> None:
        with self._lock:
            self._tasks[document] = self._bars.add_task(document.shown, total=None, note="sending")

    def progressed(self, document: Document, progress: ProgressView) -> None:
        with self._lock:
            task = self._tasks.get(document)
            if task is None:
                return
            note = f"{progress.queued_ahead} ahead" if progress.queued_ahead is not None else progress.stage
            self._bars.update(task, total=progress.pages_total, completed=progress.pages_processed, note=note)
            self._pages[document] = progress.pages_processed
            self._note_rate()

    def finished(self, outcome: Outcome) -> None:
        with self._lock:
            task = self._tasks.pop(outcome.document, None)
            if task is not None:
                self._bars.remove_task(task)
            if outcome.pages is not None and not outcome.is_reused:
                self._pages[outcome.document] = outcome.pages
            self._note_rate()
            self._bars.advance(self._run)
        for line in outcome_lines(outcome):
            self.told(line)

    def told(self, line: str) -> None:
        self._bars.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        self._bars.stop()

    def _note_rate(self) -> None:
        pages, elapsed_s = sum(self._pages.values()), time.monotonic() - self._began
        if pages and elapsed_s > 0:
            self._bars.update(self._run, note=f"{pages} pages, {pages / elapsed_s:.1f} pages/s")
