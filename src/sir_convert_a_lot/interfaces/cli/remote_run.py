"""A run of documents through a service: several under way at once, each sent, followed and collected.

Owns the life of one document on this side and what a whole run does about errors and Ctrl-C. Refuses to know flags and
to write the manifest.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

from sir_convert_a_lot.domain.errors import (
    InternalError,
    JobExpired,
    JobNotCancelable,
    JobNotFound,
    RetryLaterError,
    SirConvertError,
)
from sir_convert_a_lot.domain.job import JobStatus
from sir_convert_a_lot.interfaces.cli.interrupts import Interrupts
from sir_convert_a_lot.interfaces.cli.options import Wish
from sir_convert_a_lot.interfaces.cli.outcome import JOB_TIMEOUT, Outcome, OutputNotWritten, failed, is_common
from sir_convert_a_lot.interfaces.cli.progress_display import ProgressDisplay
from sir_convert_a_lot.interfaces.cli.sources import Document
from sir_convert_a_lot.interfaces.client.answers import JobView, ResultView, Submission
from sir_convert_a_lot.interfaces.client.service import ServiceClient
from sir_convert_a_lot.interfaces.client.submission import submissions

POLL_S = 1.0  # how old the pages on the screen may be; a change of state is seen at once
CANCEL_GRACE_S = 10.0  # the contract's 5 s for a worker to be dead, and as much for the answer


@dataclass(frozen=True, slots=True)
class RunLimits:
    """`concurrency`: documents under way at once. `max_poll_s`: how long one job is waited for."""

    concurrency: int
    max_poll_s: float


class RemoteRun:
    """One run. Use it once."""

    def __init__(
        self, client: ServiceClient, wish: Wish, limits: RunLimits, display: ProgressDisplay, interrupts: Interrupts
    ) -> None:
        self._client, self._wish, self._limits = client, wish, limits
        self._display, self._interrupts = display, interrupts
        self._lock = threading.Lock()
        self._own: set[str] = set()  # jobs that this run started, and so may cancel
        self._live: set[str] = set()  # those of them that are not known to have ended
        self._stopped_by: SirConvertError | None = None
        self._interrupted_at: float | None = None
        self._is_over = threading.Event()

    @property
    def stopped_by(self) -> SirConvertError | None:
        """The refusal that ended the run early, if one did."""
        return self._stopped_by

    def convert(self, documents: Sequence[Document]) -> list[Outcome]:
        """Convert all; one outcome a document, in any order. Returns early on Ctrl-C or a refusal common to all."""
        outcomes: list[Outcome] = []
        # The second Ctrl-C ends the process without joining these threads (`Interrupts`).
        with ThreadPoolExecutor(self._limits.concurrency, "convert") as threads:
            pending = {threads.submit(self._outcome_of, document) for document in documents}
            try:
                while pending:
                    done, pending = wait(pending, timeout=0.1, return_when=FIRST_EXCEPTION)
                    outcomes += [future.result() for future in done]
                    self._cancel_when_interrupted()
            finally:  # on a bug in one thread the others must not go on for hours
                self._is_over.set()
                threads.shutdown(cancel_futures=True)
        return outcomes

    def _outcome_of(self, document: Document) -> Outcome:
        outcome = self._try_to_convert(document)
        self._display.finished(outcome)
        return outcome

    def _try_to_convert(self, document: Document) -> Outcome:
        if self._interrupts.asked.is_set():
            return Outcome(document, JobStatus.CANCELED.value)
        if self._stopped_by is not None:
            # Told in full with the first document that met it.
            return Outcome(document, JobStatus.FAILED.value, error_code=self._stopped_by.code)
        self._display.started(document)
        began = time.monotonic()
        try:
            outcome = self._convert(document)
        except SirConvertError as error:
            outcome = self._fail(document, error)
        return replace(outcome, elapsed_s=time.monotonic() - began)

    def _convert(self, document: Document) -> Outcome:
        spec = self._wish.spec_for(document.pdf)
        for submission in submissions(self._client, document.pdf, spec):
            outcome = self._finish(document, submission)
            if outcome is not None:
                return outcome
        raise InternalError("the last submission was made under a fresh key, yet was a replay")

    def _finish(self, document: Document, submission: Submission) -> Outcome | None:
        """Follow and collect the job; None when a replayed one turns out to be of no use."""
        job_id = submission.job.job_id
        if not submission.is_replay:
            with self._lock:
                self._own.add(job_id)
        try:
            job = self._follow(document, submission.job)
            if job.status is JobStatus.CANCELED and submission.is_replay and not self._interrupts.asked.is_set():
                return None  # joined a job that was already being canceled
            is_reused = submission.is_replay and submission.job.status is JobStatus.SUCCEEDED
            return self._collect(document, job, is_reused=is_reused)
        except (JobExpired, JobNotFound) as error:
            return None if submission.is_replay else self._fail(document, error, job_id)
        except SirConvertError as error:
            return self._fail(document, error, job_id)

    def _fail(self, document: Document, error: SirConvertError, job_id: str | None = None) -> Outcome:
        if is_common(error):
            self._stopped_by = error
        if isinstance(error, RetryLaterError) and job_id is not None:
            # Out of sight is not failed: the job goes on, and another run finds it.
            return Outcome(document, JobStatus.RUNNING.value, job_id, error=error, error_code=error.code)
        return failed(document, error, job_id)

    def _follow(self, document: Document, job: JobView) -> JobView:
        """The job when it ended, was waited for long enough, or did not end in time after Ctrl-C."""
        if job.status.is_terminal:
            return job
        if job.job_id in self._own:
            with self._lock:
                self._live.add(job.job_id)
            if self._interrupts.asked.is_set():  # set between sending and knowing the id
                self._cancel(job.job_id)
        last = self._client.wait(
            job.job_id,
            self._limits.max_poll_s,
            poll_s=POLL_S,
            on_seen=lambda seen: self._display.progressed(document, seen.progress),
            give_up=lambda: self._gives_up(job.job_id),
        )
        with self._lock:
            self._live.discard(job.job_id)
        return last

    def _collect(self, document: Document, job: JobView, *, is_reused: bool) -> Outcome:
        if job.status is JobStatus.SUCCEEDED:
            result = self._client.result(job.job_id)
            if isinstance(result, ResultView):
                write_result(self._client, result, document.output)
                return replace(succeeded(document, job, result), is_reused=is_reused)
        if job.status is JobStatus.FAILED:
            return failed(document, self._client.failure(job.job_id), job.job_id)
        if job.status is JobStatus.CANCELED or (self._interrupts.asked.is_set() and job.job_id in self._own):
            return Outcome(document, JobStatus.CANCELED.value, job.job_id)
        # After Ctrl-C this is a job of another run, which goes on.
        code = None if self._interrupts.asked.is_set() else JOB_TIMEOUT
        return Outcome(document, JobStatus.RUNNING.value, job.job_id, error_code=code)

    def _cancel_when_interrupted(self) -> None:
        """Once, on the main thread, after the first Ctrl-C. Jobs that another run started are not ours to cancel."""
        if not self._interrupts.asked.is_set() or self._interrupted_at is not None:
            return
        self._interrupted_at = time.monotonic()
        self._display.told("canceling the jobs that this run started; Ctrl-C again quits at once")
        with self._lock:
            live = sorted(self._live)
        for job_id in live:
            self._cancel(job_id)

    def _cancel(self, job_id: str) -> None:
        try:
            self._client.cancel(job_id)
        except (JobNotCancelable, JobNotFound, JobExpired):
            return  # it ended by itself, which is as good
        except SirConvertError as error:
            self._display.told(f"could not cancel {job_id}: {error.message}")

    def _gives_up(self, job_id: str) -> bool:
        """The run is over; after Ctrl-C, at once for another run's job, and after the grace time for a canceled one."""
        if job_id not in self._own and self._interrupts.asked.is_set():
            return True
        if self._interrupted_at is None:
            return self._is_over.is_set()
        return time.monotonic() > self._interrupted_at + CANCEL_GRACE_S


def write_result(client: ServiceClient, result: ResultView, output: Path) -> None:
    """Download the Markdown to `output`; `OutputNotWritten` when the disk refuses."""
    try:
        client.download_markdown(result, output)
    except OSError as error:
        raise OutputNotWritten(f"cannot write {output}: {error.strerror}") from error


def succeeded(document: Document, job: JobView, result: ResultView) -> Outcome:
    return Outcome(
        document,
        JobStatus.SUCCEEDED.value,
        job.job_id,
        backend_used=result.backend_used,
        acceleration_used=result.acceleration_used,
        pages=job.progress.pages_total,
        warnings=result.warnings,
    )
