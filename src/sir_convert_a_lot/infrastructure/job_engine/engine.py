"""Jobs as DBOS workflows: submit, read, list, cancel, wait, forget.

Owns the public face of the engine. A job's state is the row DBOS keeps; what this process adds is only what it alone
can know: which worker has the job and how far it is (`execution`), and who waits for a change (`changes`).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta

from dbos import DBOS, SetEnqueueOptions, SetWorkflowID, WorkflowStatus
from dbos import error as dbos_error
from sqlalchemy.exc import SQLAlchemyError

from sir_convert_a_lot.application.ports import JobPage, JobRequest
from sir_convert_a_lot.domain.errors import ServiceUnavailable
from sir_convert_a_lot.domain.job import JobRecord, JobStatus
from sir_convert_a_lot.domain.job_spec import Priority
from sir_convert_a_lot.infrastructure.job_engine.changes import Changes
from sir_convert_a_lot.infrastructure.job_engine.cursor import Cursor
from sir_convert_a_lot.infrastructure.job_engine.dispatch import QUEUE, WORKFLOW
from sir_convert_a_lot.infrastructure.job_engine.execution import Execution
from sir_convert_a_lot.infrastructure.job_engine.manifest import describe_admitted, describe_manifest
from sir_convert_a_lot.infrastructure.job_engine.records import STATUSES, TERMINAL_NAMES, describe_job, names_of
from sir_convert_a_lot.infrastructure.job_engine.wire import write_request
from sir_convert_a_lot.infrastructure.job_files import StoredFiles

logger = logging.getLogger(__name__)

# DBOS orders a queue by ascending priority, and what has none comes first: so both are always written.
PRIORITIES = {Priority.HIGH: 10, Priority.NORMAL: 100}
# DBOS repeats a failed statement for a long time; a caller is told sooner that the database does not answer.
DATABASE_LIMIT_S = 10.0
# A kill cuts off at most what ran at that moment, and that is among the newest jobs.
SETTLE_LAST = 500
# Two callers may settle one end, within moments of each other: a cancellation does, and the end of its workflow.
REMEMBERED_ENDS = 1000
# Waiters are woken in process; this is for a change that no announcement told of.
LOOK_AGAIN_S = 1.0


class DbosJobEngine:
    """`application.ports.JobEngine`. One to a process, since DBOS is. All methods belong to one event loop."""

    def __init__(self, *, files: StoredFiles, execution: Execution, changes: Changes, keeps: timedelta) -> None:
        self._files = files
        self._execution = execution
        self._changes = changes
        self._keeps = keeps
        self._end_listeners: list[Callable[[JobRecord], None]] = []
        self._told_ends: deque[str] = deque(maxlen=REMEMBERED_ENDS)
        # One write at a time, each of a record read within it: so no manifest goes back to what was.
        self._manifests = asyncio.Lock()
        execution.settle = self._settle
        execution.tell_start = self.refresh_manifest

    async def submit(self, request: JobRequest) -> None:
        priority = PRIORITIES[request.spec.execution.priority]
        self._execution.dispatcher.expect(request.job_id, priority, request.created_at)
        try:
            await self._write_admitted(request)  # before it is queued: it may start at once
            async with _database():
                with SetWorkflowID(request.job_id), SetEnqueueOptions(priority=priority):
                    await DBOS.enqueue_workflow_async(QUEUE, self._execution.workflow, write_request(request))
        except BaseException:
            self._execution.dispatcher.forget(request.job_id)
            raise
        self._execution.dispatcher.poke()

    async def read(self, job_id: str) -> JobRecord | None:
        async with _database():
            rows = await DBOS.list_workflows_async(workflow_ids=[job_id], name=WORKFLOW)
        return self._describe(rows[0]) if rows else None

    async def list_jobs(self, status: JobStatus | None, limit: int, cursor: str | None) -> JobPage:
        here = Cursor.read(cursor)
        shown: list[tuple[WorkflowStatus, JobRecord]] = []
        async for row in self._rows_after(here, status, limit + 1):
            record = self._describe(row)
            if status in {None, record.status}:
                shown.append((row, record))
            if len(shown) > limit:
                break
        records = tuple(record for _, record in shown[:limit])
        return JobPage(records, Cursor.at(shown[limit - 1][0]).write() if len(shown) > limit else None)

    async def refresh_manifest(self, job_id: str) -> None:
        async with self._manifests:
            record = await self.read(job_id)
            if record is not None:
                await asyncio.to_thread(self._files.write_manifest, job_id, describe_manifest(record))

    async def _write_admitted(self, request: JobRequest) -> None:
        def write() -> None:
            expires_at = None if self._files.is_pinned(request.job_id) else request.created_at + self._keeps
            manifest = describe_admitted(request, expires_at)
            self._files.write_manifest(request.job_id, manifest)

        await asyncio.to_thread(write)

    async def cancel(self, job_id: str) -> None:
        record = await self.read(job_id)
        if record is None or record.status.is_terminal:
            return
        async with _database():
            await DBOS.cancel_workflow_async(job_id)
        await self._execution.stop(job_id)
        self._changes.announce(job_id)
        await self._settle(job_id)

    async def wait_for_change(self, seen: JobRecord, timeout_s: float) -> JobRecord | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        with self._changes.listen(seen.job_id) as changes:
            while True:
                record = self._advanced(seen) or await self.read(seen.job_id)
                left = deadline - loop.time()
                if record is None or left <= 0 or _differs(record, seen):
                    return record
                await changes.next(min(left, LOOK_AGAIN_S))

    def _advanced(self, seen: JobRecord) -> JobRecord | None:
        """The record of a job that was running and still is, without asking the database; None: ask it."""
        now = self._execution.look_at(seen.job_id)
        if seen.status is not JobStatus.RUNNING or now.progress is None:
            return None
        return replace(seen, progress=now.progress, updated_at=now.updated_at or seen.updated_at)

    async def count_queued(self) -> int:
        return self._execution.dispatcher.count_waiting()

    def on_end(self, tell: Callable[[JobRecord], None]) -> None:
        self._end_listeners.append(tell)

    async def list_ended_before(self, moment: datetime, limit: int, offset: int = 0) -> Sequence[JobRecord]:
        async with _database():
            rows = await DBOS.list_workflows_async(
                name=WORKFLOW,
                status=TERMINAL_NAMES,
                completed_before=moment.isoformat(),
                limit=limit,
                offset=offset,
            )
        return [self._describe(row) for row in rows]

    async def find_unknown(self, job_ids: Sequence[str]) -> set[str]:
        if not job_ids:
            return set()
        async with _database():
            rows = await DBOS.list_workflows_async(workflow_ids=list(job_ids), load_input=False, load_output=False)
        return set(job_ids) - {row.workflow_id for row in rows}

    async def forget(self, job_ids: Sequence[str]) -> None:
        if job_ids:
            async with _database():
                await DBOS.delete_workflows_async(list(job_ids))

    async def is_healthy(self) -> bool:
        """Whether the database answers and jobs are being started."""
        try:
            async with _database():
                await DBOS.list_workflows_async(limit=1, load_input=False, load_output=False)
        except ServiceUnavailable:
            return False
        return self._execution.dispatcher.is_running

    async def _rows_after(self, here: Cursor, status: JobStatus | None, batch: int) -> AsyncIterator[WorkflowStatus]:
        """Rows in the order of a listing, read from the database as they are asked for."""
        is_past = here.created_ms is None
        for offset in itertools.count(0, batch):
            async with _database():
                rows = await DBOS.list_workflows_async(
                    name=WORKFLOW,
                    status=None if status is None else names_of(status),
                    end_time=here.until,
                    offset=offset,
                    limit=batch,
                    sort_desc=True,
                )
            for row in rows:
                is_past = is_past or row.created_at != here.created_ms
                if is_past:
                    yield row
                is_past = is_past or row.workflow_id == here.job_id
            if len(rows) < batch:
                return

    async def settle_left(self) -> None:
        """Finish what a kill of the service cut off between the end of a job and its manifest."""
        async with _database():
            rows = await DBOS.list_workflows_async(
                name=WORKFLOW, status=TERMINAL_NAMES, sort_desc=True, limit=SETTLE_LAST, load_input=False
            )
        for row in rows:
            # Told by the state in the manifest, not by times: before Python 3.12 DBOS keeps whole seconds on SQLite.
            told = await asyncio.to_thread(self._files.manifest_status, row.workflow_id)
            if told != STATUSES[row.status]:
                await self._settle(row.workflow_id)

    async def _settle(self, job_id: str) -> None:
        """Write the manifest of a job that ended without its workflow's doing, and keep nothing it published."""
        async with self._manifests:
            record = await self.read(job_id)
            if record is None or not record.status.is_terminal:
                return
            self._tell_end(record)
            if record.status is JobStatus.CANCELED:
                await asyncio.to_thread(self._files.drop_artifacts, job_id)
            await asyncio.to_thread(self._files.write_manifest, job_id, describe_manifest(record))

    def _tell_end(self, record: JobRecord) -> None:
        if record.job_id in self._told_ends:
            return
        self._told_ends.append(record.job_id)
        for tell in self._end_listeners:
            tell(record)

    def _describe(self, row: WorkflowStatus) -> JobRecord:
        job_id = row.workflow_id
        return describe_job(
            row,
            self._execution.look_at(job_id),
            is_pinned=self._files.is_pinned(job_id),
            unpinned_at=self._files.unpinned_at(job_id),
            keeps=self._keeps,
        )


def _differs(record: JobRecord, seen: JobRecord) -> bool:
    return _face(record) != _face(seen)


def _face(record: JobRecord) -> tuple[object, ...]:
    return record.status, record.progress.stage, record.progress.pages_processed, record.progress.pages_total


@asynccontextmanager
async def _database() -> AsyncIterator[None]:
    """Every trouble with the database is one error to callers."""
    try:
        async with asyncio.timeout(DATABASE_LIMIT_S):
            yield
    except (SQLAlchemyError, dbos_error.DBOSException, TimeoutError) as error:
        logger.exception("the job database failed")
        raise ServiceUnavailable(
            "the job engine cannot reach its database", details={"reason": "job_engine"}, retry_after_s=5
        ) from error
