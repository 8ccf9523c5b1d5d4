"""Let files and jobs expire: raw uploads after a day, results after a week, pinned jobs never (the defaults). Of a job
that was unpinned, both periods begin at that moment.

Owns the order of deletion: tombstone, then files, then the engine's record. A sweep that dies half-way is finished by
the next one, and at no moment does a job that existed look as if it never had. Also removes what a crash left: uploads
and attempts nobody owns, and folders of jobs that never became durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sir_convert_a_lot.application.ports import JobEngine, JobFiles, JobLedger

BATCH = 500
# A tombstone needs to outlive the clients that still ask, not the service.
TOMBSTONES_LIVE = timedelta(days=90)
# Between storing an upload and making its job durable lie milliseconds; an upload itself may take minutes.
ABANDONED_AFTER = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class RetentionPeriods:
    raw: timedelta
    artifacts: timedelta


@dataclass(frozen=True, slots=True)
class Swept:
    """How many jobs expired, how many raw uploads were dropped, and how many leftovers of crashes."""

    jobs: int
    raw_uploads: int
    leftovers: int


async def sweep(
    jobs: JobEngine, files: JobFiles, ledger: JobLedger, periods: RetentionPeriods, now: Callable[[], datetime]
) -> Swept:
    """One pass. Safe to run at any time and more than once."""
    moment = now()
    expired = await _expire_jobs(jobs, files, ledger, moment, periods.artifacts)
    raw = await _drop_raw(jobs, files, moment - periods.raw)
    leftovers = await _drop_leftovers(jobs, files, moment - ABANDONED_AFTER)
    await asyncio.to_thread(ledger.sweep, moment - TOMBSTONES_LIVE)
    return Swept(expired, raw, leftovers)


async def _expire_jobs(jobs: JobEngine, files: JobFiles, ledger: JobLedger, moment: datetime, period: timedelta) -> int:
    expired = kept = 0
    is_last = False
    while not is_last:
        ended = await jobs.list_ended_before(moment - period, BATCH, offset=kept)
        is_last = len(ended) < BATCH
        ids = [record.job_id for record in ended if record.has_expired(moment)]
        await asyncio.to_thread(ledger.bury, ids)
        for job_id in ids:
            await asyncio.to_thread(files.drop_job, job_id)
        await jobs.forget(ids)
        expired += len(ids)
        kept += len(ended) - len(ids)
    return expired


async def _drop_raw(jobs: JobEngine, files: JobFiles, cutoff: datetime) -> int:
    dropped = 0
    for job_id in await asyncio.to_thread(files.list_raw_before, cutoff):
        record = await jobs.read(job_id)
        # A job that waits that long still needs its upload; a folder without a job is a leftover.
        if record is None or not record.status.is_terminal or record.expires_at is None:
            continue
        unpinned_at = await asyncio.to_thread(files.unpinned_at, job_id)
        if unpinned_at is not None and unpinned_at >= cutoff:
            continue
        await asyncio.to_thread(files.drop_raw, job_id)
        dropped += 1
    return dropped


async def _drop_leftovers(jobs: JobEngine, files: JobFiles, cutoff: datetime) -> int:
    dropped = await asyncio.to_thread(files.drop_abandoned, cutoff)
    for batch in _batches(await asyncio.to_thread(files.list_jobs_before, cutoff)):
        for job_id in await jobs.find_unknown(batch):
            await asyncio.to_thread(files.drop_job, job_id)
            dropped += 1
    return dropped


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + BATCH] for start in range(0, len(ids), BATCH))
