"""Read, list, cancel and pin jobs, and fetch their results.

Owns which of "not found", "expired", "not finished" and "not succeeded" a caller is told. State comes from the job
engine alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from sir_convert_a_lot.application.ports import JobEngine, JobFiles, JobLedger, JobPage
from sir_convert_a_lot.domain.errors import (
    InternalError,
    JobExpired,
    JobNotCancelable,
    JobNotFound,
    JobNotSucceeded,
)
from sir_convert_a_lot.domain.job import JobRecord, JobStatus


@dataclass(frozen=True, slots=True)
class CancelAnswer:
    """`was_canceled_before`: the job had already been canceled, nothing was asked of anyone."""

    record: JobRecord
    was_canceled_before: bool


def _now() -> datetime:
    return datetime.now(UTC)


class Jobs:
    """Every method raises `JobNotFound` or `JobExpired` for an id that is not there (any more).

    A job whose retention is over has expired for every caller, whether or not the next sweep has come by.
    """

    def __init__(self, jobs: JobEngine, files: JobFiles, ledger: JobLedger, now: Callable[[], datetime] = _now) -> None:
        self._jobs = jobs
        self._files = files
        self._ledger = ledger
        self._now = now

    async def read(self, job_id: str) -> JobRecord:
        return await self._known(job_id, await self._jobs.read(job_id))

    async def list_jobs(self, status: JobStatus | None, limit: int, cursor: str | None) -> JobPage:
        """Newest first; a page may be shorter than `limit` before the end, since expired jobs are left out. Raises
        `ValidationError` for a cursor that no listing gave.
        """
        page = await self._jobs.list_jobs(status, limit, cursor)
        now = self._now()
        return replace(page, records=tuple(record for record in page.records if not record.has_expired(now)))

    async def count_queued(self) -> int:
        """Jobs that wait for a worker."""
        return await self._jobs.count_queued()

    def on_end(self, tell: Callable[[JobRecord], None]) -> None:
        """Call `tell` with the record of each job that ends from now on, once each. It must be quick and not raise."""
        self._jobs.on_end(tell)

    async def wait_for_change(self, seen: JobRecord, timeout_s: float) -> JobRecord:
        """The record once status, stage or pages differ from `seen`, or after `timeout_s` as it is."""
        return await self._known(seen.job_id, await self._jobs.wait_for_change(seen, timeout_s))

    async def wait_until_terminal(self, record: JobRecord, timeout_s: float) -> JobRecord:
        """The terminal record, or the record as it is after `timeout_s`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while not record.status.is_terminal and (left := deadline - loop.time()) > 0:
            record = await self.wait_for_change(record, left)
        return record

    async def cancel(self, job_id: str) -> CancelAnswer:
        """Raises `JobNotCancelable` when the job ended otherwise."""
        record = await self.read(job_id)
        if record.status is JobStatus.CANCELED:
            return CancelAnswer(record, was_canceled_before=True)
        if not record.status.is_terminal:
            await self._jobs.cancel(job_id)
            record = await self.read(job_id)
        if record.status.is_terminal and record.status is not JobStatus.CANCELED:
            raise JobNotCancelable(
                f"the job has {record.status.value} already", details={"status": record.status.value}
            )
        return CancelAnswer(record, was_canceled_before=False)

    async def set_pinned(self, job_id: str, pinned: bool) -> JobRecord:
        """Keep the job's files until unpinned, or let them expire, their time counted from now. A second call changes
        nothing.
        """
        await self.read(job_id)
        await asyncio.to_thread(self._files.set_pinned, job_id, pinned)
        await self._jobs.refresh_manifest(job_id)
        return await self.read(job_id)

    async def find_markdown(self, job_id: str) -> tuple[JobRecord, Path]:
        """The succeeded job and the path of its Markdown. Raises `JobNotSucceeded` unless it succeeded."""
        record = await self.read(job_id)
        if record.status is not JobStatus.SUCCEEDED:
            raise not_succeeded(record)
        path = self._files.markdown_path(job_id)
        if not await asyncio.to_thread(path.is_file):
            await self.read(job_id)  # it may have expired a moment ago
            raise InternalError("the Markdown of this job is missing from the storage", details={"job_id": job_id})
        return record, path

    async def _known(self, job_id: str, record: JobRecord | None) -> JobRecord:
        if record is not None and not record.status.is_terminal:
            return record
        is_over = record is not None and record.has_expired(self._now())
        if is_over or await asyncio.to_thread(self._ledger.is_buried, job_id):
            raise JobExpired("the job's retention is over and its files are deleted", details={"job_id": job_id})
        if record is None:
            raise JobNotFound("no job has this id", details={"job_id": job_id})
        return record


def not_succeeded(record: JobRecord) -> JobNotSucceeded:
    """The 409 of a result that will not come, or has not come yet."""
    failure = record.failure
    return JobNotSucceeded(
        f"the job is {record.status.value}" + (f": {failure.message}" if failure else ""),
        details={
            "status": record.status.value,
            "failure_code": failure.code if failure else None,
            "failure_message": failure.message if failure else None,
            "retryable": failure.retryable if failure else False,
            "failure_details": failure.details if failure else {},
        },
    )
