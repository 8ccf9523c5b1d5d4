"""Jobs that run: the workflow, the step that awaits a worker, and the dispatcher that starts the next job.

Owns what happens between the claim of a job and its recorded outcome. The step is at-least-once: each attempt writes to
a staging folder of its own, and only the attempt whose outcome DBOS records counts. A job that failed ends its workflow
with an error that carries the failure as JSON, so that listings can tell failed jobs apart by DBOS's own status.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dbos import DBOS, PortableWorkflowError, Queue
from dbos import error as dbos_error
from sqlalchemy.exc import SQLAlchemyError

from sir_convert_a_lot.application.ports import JobRequest
from sir_convert_a_lot.domain.errors import InternalError, SirConvertError
from sir_convert_a_lot.domain.job import JobStage, Progress
from sir_convert_a_lot.infrastructure.job_engine.changes import Changes
from sir_convert_a_lot.infrastructure.job_engine.claims import claim_next
from sir_convert_a_lot.infrastructure.job_engine.records import Now, request_of
from sir_convert_a_lot.infrastructure.job_engine.wire import Json, read_request
from sir_convert_a_lot.infrastructure.job_files import StoredFiles
from sir_convert_a_lot.infrastructure.workers.entry import describe_failure
from sir_convert_a_lot.infrastructure.workers.pool import Slot, WorkerPool
from sir_convert_a_lot.infrastructure.workers.progress_file import PagesDone

logger = logging.getLogger(__name__)

WORKFLOW = "convert_job"
QUEUE = "convert"
# The dispatcher is told of every job; looking unasked picks up what DBOS's recovery puts back into the queue.
LOOK_EVERY_S = 1.0
# A job that was running at that many deaths of the service may be what killed it: from then on jobs run one at a time,
# so that it takes no other down with it, until it ended.
SUSPECT_AFTER_STARTS = 2

# Asks the policy again: returns the request as it may run now, or raises why it may not.
CheckAgain = Callable[[JobRequest], Awaitable[JobRequest]]


@dataclass(slots=True)
class _Running:
    """A job that a worker has."""

    progress: Progress
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class PageLimits:
    max_pages: int
    max_page_pixels: int


@dataclass(slots=True)
class Execution:
    """Belongs to one event loop. `start` after `runtime.configure`."""

    pool: WorkerPool
    files: StoredFiles
    changes: Changes
    check_again: CheckAgain
    limits: PageLimits
    max_recovery_attempts: int
    settle: Callable[[str], Awaitable[None]] | None = None
    workflow: Any = None
    _dispatcher: asyncio.Task[None] | None = None
    _wanted: asyncio.Event = field(default_factory=asyncio.Event)
    _closing: bool = False
    _waiting: dict[str, tuple[int, datetime, str]] = field(default_factory=dict)
    _claimed: set[str] = field(default_factory=set)  # taken off the queue, and not yet done with their worker
    _released: set[str] = field(default_factory=set)  # done with their worker while a claim was under way
    _suspects: set[str] = field(default_factory=set)
    _running: dict[str, _Running] = field(default_factory=dict)
    _steps: dict[str, asyncio.Task[Any]] = field(default_factory=dict)
    _workflows: set[asyncio.Task[Any]] = field(default_factory=set)
    _chores: set[asyncio.Task[Any]] = field(default_factory=set)

    def register(self) -> None:
        """Declare the workflow and its step to DBOS; before its launch, since that recovers jobs."""

        @DBOS.step(name="convert", preemptible=True)
        async def convert_step(stored: Json) -> Json:
            return await self._convert(stored)

        @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=self.max_recovery_attempts)
        async def convert_job(stored: Json) -> Json:
            self._follow(stored["job_id"], _this_task())
            outcome = await convert_step(stored)
            if outcome["ok"]:
                return outcome
            failure = outcome["failure"]
            raise PortableWorkflowError(failure["message"], "JobFailed", failure["code"], outcome)

        self.workflow = convert_job

    async def start(self) -> None:
        """Begin to dispatch, after DBOS was launched. Jobs of an earlier run wait again, in their order."""
        queue = await DBOS.register_queue_async(
            QUEUE,
            worker_concurrency=self.pool.size,
            on_conflict="always_update",
        )
        rows = await DBOS.list_workflows_async(name=WORKFLOW, status=["ENQUEUED", "PENDING"], load_output=False)
        for row in rows:
            self.expect(request_of(row), row.priority or 0)
            if (row.recovery_attempts or 0) >= SUSPECT_AFTER_STARTS:
                self._suspects.add(row.workflow_id)
        self._dispatcher = asyncio.create_task(self._dispatch(queue), name="dispatcher")
        self.poke()

    @property
    def is_running(self) -> bool:
        return self._dispatcher is not None and not self._dispatcher.done()

    def expect(self, request: JobRequest, priority: int) -> None:
        """Count the job among those that wait."""
        self._waiting[request.job_id] = (priority, request.created_at, request.job_id)

    def forget(self, job_id: str) -> None:
        self._waiting.pop(job_id, None)

    def count_waiting(self) -> int:
        return len(self._waiting)

    def poke(self) -> None:
        """A job was queued or a worker came free: see whether one can start."""
        self._wanted.set()

    def look_at(self, job_id: str) -> Now:
        running = self._running.get(job_id)
        if running is not None:
            return Now(running.progress, running.updated_at, 0)
        place = self._waiting.get(job_id)
        return Now(None, None, 0 if place is None else sum(other < place for other in self._waiting.values()))

    async def stop(self, job_id: str) -> None:
        """Take the job from its worker; that process is dead when this returns. For jobs already canceled in DBOS."""
        self.forget(job_id)
        step = self._steps.get(job_id)
        if step is not None:
            step.cancel()
            await asyncio.wait({step})

    async def close(self, grace_s: float) -> None:
        """Start nothing more, let running jobs finish for `grace_s`, leave the rest to the next start."""
        self._closing = True
        if self._dispatcher is not None:
            self._dispatcher.cancel()
            await asyncio.wait({self._dispatcher})
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

    async def _dispatch(self, queue: Queue) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), LOOK_EVERY_S)
            self._wanted.clear()
            room = (1 if self._suspects else self.pool.size) - len(self._claimed)
            if room <= 0:
                continue
            self._released.clear()
            try:
                started, given_up = await asyncio.to_thread(claim_next, queue, self.pool.size - room)
            except (SQLAlchemyError, dbos_error.DBOSException):
                logger.exception("could not take the next job, trying again soon")
                continue
            # A short job may be over before this thread's answer arrives.
            self._claimed.update(set(started) - self._released)
            for job_id in given_up:
                self._ended(job_id)

    def _follow(self, job_id: str, task: asyncio.Task[Any]) -> None:
        """Learn when the workflow's outcome is recorded: its task ends after that."""
        self._workflows.add(task)
        task.add_done_callback(self._workflows.discard)
        task.add_done_callback(lambda _: self._ended(job_id))

    def _release(self, job_id: str) -> None:
        self._claimed.discard(job_id)
        self._released.add(job_id)
        if self._waiting:  # else there is nothing to look for, and a look costs the next write its turn
            self.poke()

    def _ended(self, job_id: str) -> None:
        self.forget(job_id)
        self._suspects.discard(job_id)
        self._release(job_id)
        self.changes.announce(job_id)
        if self.settle is not None:
            chore = asyncio.ensure_future(self.settle(job_id))
            self._chores.add(chore)
            chore.add_done_callback(self._chores.discard)

    async def _convert(self, stored: Json) -> Json:
        """The step. Its result is JSON: `ok` with `result`, or not `ok` with `failure`."""
        job_id = str(stored["job_id"])
        self._claimed.add(job_id)
        self._steps[job_id] = _this_task()
        try:
            async with self.pool.slot() as slot:
                if self._closing:
                    await asyncio.Event().wait()  # until `close` cancels this task
                return await self._convert_in(slot, read_request(stored))
        finally:
            self._steps.pop(job_id, None)
            self._release(job_id)

    async def _convert_in(self, slot: Slot, request: JobRequest) -> Json:
        self.forget(request.job_id)
        running = _Running(Progress(JobStage.STARTING, request.pages_total), datetime.now(UTC))
        self._running[request.job_id] = running
        self.changes.announce(request.job_id)
        try:
            outcome = await self._attempt(slot, request, running)
        finally:
            del self._running[request.job_id]
        pages = [running.progress.pages_total, running.progress.pages_processed]
        return outcome | {"progress": pages, "pages_total": pages[0]}

    async def _attempt(self, slot: Slot, request: JobRequest, running: _Running) -> Json:
        """The per-job boundary: whatever goes wrong becomes this job's failure, and the service lives on."""
        staging: Path | None = None
        try:
            self.files.require_input(request.job_id)
            request = await self.check_again(request)
            staging = await asyncio.to_thread(self.files.new_staging, request.job_id)
            outcome = await slot.run(
                self._order(request),
                staging,
                request.spec.execution.document_timeout_seconds,
                lambda now: self._report(request.job_id, running, now),
            )
            await asyncio.to_thread(self.files.publish, request.job_id, staging)
            return outcome
        except SirConvertError as error:
            logger.warning("job %s failed: %s: %s", request.job_id, error.code, error.message)
            return {"ok": False, "failure": describe_failure(error)}
        except Exception as error:
            logger.exception("job %s failed unexpectedly", request.job_id)
            told = InternalError(f"the job failed unexpectedly: {type(error).__name__}")
            return {"ok": False, "failure": describe_failure(told)}
        finally:
            if staging is not None:
                await asyncio.to_thread(self.files.drop_staging, staging)

    def _order(self, request: JobRequest) -> Json:
        return {
            "pdf": str(self.files.input_path(request.job_id)),
            "spec": request.spec.model_dump(mode="json"),
            "engine": request.engine,
            "device": request.device,
            "probe_id": request.probe_id,
            "warnings": list(request.warnings),
            "correlation_id": request.correlation_id,
            "max_pages": self.limits.max_pages,
            "max_page_pixels": self.limits.max_page_pixels,
        }

    def _report(self, job_id: str, running: _Running, now: PagesDone) -> None:
        running.progress = Progress(JobStage(now.stage), now.pages_total, now.pages_processed)
        running.updated_at = datetime.now(UTC)
        self.changes.announce(job_id)


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("called outside of a task")
    return task
