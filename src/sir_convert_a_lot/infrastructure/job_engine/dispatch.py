"""Which job starts next, and when: as soon as one was queued or a worker came free.

Owns the one task that claims jobs, the count of those that wait and of those that have a claim on a worker. Both are
known without asking the database, since one service owns a root; the order itself is the database's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from dbos import DBOS, Queue
from dbos import error as dbos_error
from sqlalchemy.exc import SQLAlchemyError

from sir_convert_a_lot.infrastructure.job_engine.claims import claim_next
from sir_convert_a_lot.infrastructure.job_engine.records import request_of

logger = logging.getLogger(__name__)

WORKFLOW = "convert_job"
QUEUE = "convert"
# The dispatcher is told of every job; looking unasked picks up what DBOS's recovery puts back into the queue.
LOOK_EVERY_S = 1.0
# A started workflow comes to its step within milliseconds, or not at all when it was canceled just then.
ARRIVAL_LIMIT_S = 5.0
# A job that was running at that many deaths of the service may be what killed it: from then on jobs run one at a time,
# so that it takes no other down with it, until it ended. One at a time includes the record of the outcome: a job whose
# conversion is done and whose record is not yet written would count as running at the next death too.
SUSPECT_AFTER_STARTS = 2


class Dispatcher:
    """Belongs to one event loop. `give_up` is called for each job that is not to be started any more."""

    def __init__(self, size: int, give_up: Callable[[str], None]) -> None:
        self._size = size
        self._give_up = give_up
        self._wanted = asyncio.Event()
        self._waiting: dict[str, tuple[int, datetime, str]] = {}
        self._suspects: set[str] = set()
        self._claimed: set[str] = set()  # taken off the queue, and not yet done with their worker
        self._at_work: set[str] = set()  # those of them that came to their step
        self._unrecorded: set[str] = set()  # came to their step, and their outcome is not recorded yet
        self._released: set[str] = set()  # done with their worker while a claim was under way
        self._changed = asyncio.Event()  # a claimed job came to its step, or ended
        self._task: asyncio.Task[None] | None = None
        self._claiming: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """After DBOS was launched. Jobs of an earlier run wait again, in their order."""
        queue = await DBOS.register_queue_async(QUEUE, worker_concurrency=self._size, on_conflict="always_update")
        rows = await DBOS.list_workflows_async(name=WORKFLOW, status=["ENQUEUED", "PENDING"], load_output=False)
        for row in rows:
            self.expect(row.workflow_id, row.priority or 0, request_of(row).created_at)
            if (row.recovery_attempts or 0) >= SUSPECT_AFTER_STARTS:
                self._suspects.add(row.workflow_id)
        self._task = asyncio.create_task(self._run(queue), name="dispatcher")
        self.poke()

    async def stop(self) -> None:
        """Start nothing more. A claim under way is let finish, and its jobs come to their step.

        Otherwise they would begin while the engine goes away under them, and be recorded as failed.
        """
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        if self._claiming is not None:
            await asyncio.gather(self._claiming, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(ARRIVAL_LIMIT_S):
                while self._claimed - self._at_work:
                    self._changed.clear()
                    await self._changed.wait()

    @property
    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    def poke(self) -> None:
        """A job was queued or a worker came free: see whether one can start."""
        self._wanted.set()

    def expect(self, job_id: str, priority: int, created_at: datetime) -> None:
        """Count the job among those that wait."""
        self._waiting[job_id] = (priority, created_at, job_id)

    def forget(self, job_id: str) -> None:
        """The job does not wait any more."""
        self._waiting.pop(job_id, None)

    def count_waiting(self) -> int:
        return len(self._waiting)

    def count_ahead(self, job_id: str) -> int:
        """Waiting jobs that start before this one."""
        place = self._waiting.get(job_id)
        return 0 if place is None else sum(other < place for other in self._waiting.values())

    def begin(self, job_id: str) -> None:
        """The job came to its step."""
        self._claimed.add(job_id)
        self._at_work.add(job_id)
        self._unrecorded.add(job_id)
        self._changed.set()

    def release(self, job_id: str) -> None:
        """The job is done with its worker, or never needed one."""
        self._at_work.discard(job_id)
        self._claimed.discard(job_id)
        self._released.add(job_id)
        self._changed.set()
        if self._waiting:  # else there is nothing to look for, and a look costs the next write its turn
            self.poke()

    def end(self, job_id: str) -> None:
        """The job's outcome is recorded."""
        self.forget(job_id)
        self._suspects.discard(job_id)
        self._unrecorded.discard(job_id)
        self.release(job_id)

    async def _run(self, queue: Queue) -> None:
        while True:
            # Not `wait_for`: before Python 3.12 it may swallow the cancellation that stops this task.
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._wanted.wait()
            is_look_around = not self._wanted.is_set()
            self._wanted.clear()
            try:
                if is_look_around:
                    await self._release_lost()
                self._claiming = asyncio.create_task(self._claim(queue))
                await asyncio.shield(self._claiming)
            except (SQLAlchemyError, dbos_error.DBOSException):
                logger.exception("could not take the next job, trying again soon")

    async def _claim(self, queue: Queue) -> None:
        room = self._count_room()
        if room <= 0:
            return
        self._released.clear()
        started, given_up = await asyncio.to_thread(claim_next, queue, self._size - room)
        self._claimed |= started - self._released  # a short job may be over before this answer arrives
        for job_id in given_up:
            self._give_up(job_id)

    def _count_room(self) -> int:
        if self._suspects:
            return 1 - len(self._claimed | self._unrecorded)
        return self._size - len(self._claimed)

    async def _release_lost(self) -> None:
        """Free the place of a job that was claimed and never came to its step: canceled just then."""
        if lost := self._claimed - self._at_work:
            rows = await DBOS.list_workflows_async(workflow_ids=list(lost), load_input=False, load_output=False)
            for job_id in lost - {row.workflow_id for row in rows if row.status == "PENDING"}:
                self.release(job_id)
