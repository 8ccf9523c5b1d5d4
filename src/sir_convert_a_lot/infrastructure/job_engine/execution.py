"""The workflow of a job, its one step, and what this process knows of the jobs it runs.

Owns what happens between the claim of a job and its recorded outcome. The step is at-least-once, and only the attempt
whose outcome DBOS records counts. A job that failed ends its workflow with an error that carries the failure as JSON:
so listings tell failed jobs apart by DBOS's own status.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from dbos import DBOS, PortableWorkflowError

from sir_convert_a_lot.application.ports import JobRequest
from sir_convert_a_lot.domain.errors import SirConvertError
from sir_convert_a_lot.domain.job import JobStage, Progress
from sir_convert_a_lot.infrastructure.job_engine.attempt import Attempts
from sir_convert_a_lot.infrastructure.job_engine.changes import Changes
from sir_convert_a_lot.infrastructure.job_engine.dispatch import WORKFLOW, Dispatcher
from sir_convert_a_lot.infrastructure.job_engine.records import Now
from sir_convert_a_lot.infrastructure.job_engine.wire import Json, read_request
from sir_convert_a_lot.infrastructure.workers.pool import Slot, WorkerPool
from sir_convert_a_lot.infrastructure.workers.progress_file import PagesDone

logger = logging.getLogger(__name__)

# A job that is over sooner never has a manifest that calls it running: nobody could read it in that time, and the
# conversion would share its cores with the reading of the record and the writing of the file.
TELL_START_AFTER_S = 0.1
Tell = Callable[[str], Awaitable[None]]
LOGGED = ("job_id", "correlation_id")


@dataclass(slots=True)
class _Running:
    """A job that a worker has."""

    progress: Progress
    updated_at: datetime


class Execution:
    """Belongs to one event loop. `tell_start` is called, beside the conversion, with the id of each job that a worker
    has had for a moment; `settle` with the id of each whose outcome was recorded.
    """

    def __init__(self, *, pool: WorkerPool, attempts: Attempts, changes: Changes, max_recovery_attempts: int) -> None:
        self.dispatcher = Dispatcher(pool.size, self._ended)
        self.tell_start: Tell | None = None
        self.settle: Tell | None = None
        self.workflow: Any = None
        self._pool = pool
        self._attempts = attempts
        self._changes = changes
        self._max_recovery_attempts = max_recovery_attempts
        self._running: dict[str, _Running] = {}
        self._steps: dict[str, asyncio.Task[Any]] = {}
        self._workflows: set[asyncio.Task[Any]] = set()
        self._chores: set[asyncio.Future[None]] = set()
        self._is_closing = False

    def register(self) -> None:
        """Declare the workflow and its step to DBOS; before its launch, since that recovers jobs."""

        @DBOS.step(name="convert", preemptible=True)
        async def convert_step(stored: Json) -> Json:
            return await self._convert(stored)

        @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=self._max_recovery_attempts)
        async def convert_job(stored: Json) -> Json:
            # Fields of every log line that this task causes, also of those about its end.
            with structlog.contextvars.bound_contextvars(**{name: stored[name] for name in LOGGED}):
                self._follow(stored["job_id"], _this_task())
                outcome = await convert_step(stored)
                if outcome["ok"]:
                    return outcome
                failure = outcome["failure"]
                raise PortableWorkflowError(failure["message"], "JobFailed", failure["code"], outcome)

        self.workflow = convert_job

    def look_at(self, job_id: str) -> Now:
        running = self._running.get(job_id)
        if running is not None:
            return Now(running.progress, running.updated_at, 0)
        return Now(None, None, self.dispatcher.count_ahead(job_id))

    async def stop(self, job_id: str) -> None:
        """Take the job from its worker; that process is dead when this returns. For jobs already canceled in DBOS."""
        self.dispatcher.forget(job_id)
        step = self._steps.get(job_id)
        if step is not None:
            step.cancel()
            await asyncio.wait({step})

    async def close(self, grace_s: float) -> None:
        """Start nothing more, let running jobs finish for `grace_s`, leave the rest to the next start."""
        self._is_closing = True
        await self.dispatcher.stop()
        if self._workflows:
            await asyncio.wait(self._workflows, timeout=grace_s)
        # A cancelled task records no outcome: the row stays PENDING, and the next start recovers it.
        unfinished = [task for task in self._workflows if not task.done()]
        for task in unfinished:
            task.cancel()
        if unfinished:
            logger.warning("stopping with %d unfinished jobs, the next start runs them again", len(unfinished))
            await asyncio.wait(unfinished)
        if self._chores:
            await asyncio.wait(self._chores)

    def _follow(self, job_id: str, task: asyncio.Task[Any]) -> None:
        """Learn when the workflow's outcome is recorded: its task ends after that."""
        self._workflows.add(task)
        task.add_done_callback(self._workflows.discard)
        task.add_done_callback(lambda _: self._ended(job_id))

    def _ended(self, job_id: str) -> None:
        self.dispatcher.end(job_id)
        self._changes.announce(job_id)
        self._tell(job_id, self.settle)

    def _tell(self, job_id: str, listener: Tell | None) -> None:
        """Beside what goes on; `close` waits for it."""
        if listener is not None:
            chore = asyncio.ensure_future(_try(listener, job_id))
            self._chores.add(chore)
            chore.add_done_callback(self._chores.discard)

    async def _convert(self, stored: Json) -> Json:
        """The step. Its result is JSON: `ok` with `result`, or not `ok` with `failure`; and the pages it came to."""
        job_id = str(stored["job_id"])
        self.dispatcher.begin(job_id)
        self._steps[job_id] = _this_task()
        try:
            async with self._pool.slot(stored.get("pci_id") or "cpu") as slot:
                if self._is_closing:
                    raise asyncio.CancelledError  # as `close` does with those that run: nothing is recorded
                return await self._convert_in(slot, read_request(stored))
        finally:
            del self._steps[job_id]
            self.dispatcher.release(job_id)

    async def _convert_in(self, slot: Slot, request: JobRequest) -> Json:
        job_id = request.job_id
        running = _Running(Progress(JobStage.STARTING, request.pages_total), datetime.now(UTC))
        self._running[job_id] = running
        self.dispatcher.forget(job_id)
        self._changes.announce(job_id)
        telling = asyncio.get_running_loop().call_later(TELL_START_AFTER_S, self._tell, job_id, self.tell_start)
        logger.info("job %s started with %s on %s", job_id, request.engine, request.device)
        began = time.monotonic()
        try:
            outcome = await self._attempts.make(slot, request, lambda now: self._report(job_id, running, now))
        finally:
            telling.cancel()
            del self._running[job_id]
        logger.info("job %s ended ok=%s after %.3f s", job_id, outcome["ok"], time.monotonic() - began)
        pages = [running.progress.pages_total, running.progress.pages_processed]
        return outcome | {"progress": pages, "pages_total": pages[0]}

    def _report(self, job_id: str, running: _Running, now: PagesDone) -> None:
        running.progress = Progress(JobStage(now.stage), now.pages_total, now.pages_processed)
        running.updated_at = datetime.now(UTC)
        self._changes.announce(job_id)


async def _try(listener: Tell, job_id: str) -> None:
    try:
        await listener(job_id)
    except SirConvertError as error:
        logger.warning("the manifest of job %s is behind, the next start mends it: %s", job_id, error.message)


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("called outside of a task")
    return task
