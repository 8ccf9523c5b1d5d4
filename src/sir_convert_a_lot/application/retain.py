"""Let files and jobs expire: raw uploads after a day, results after a week, pinned jobs never (the defaults).

Owns the order of deletion: tombstone, then files, then the engine's record. A sweep that dies half-way is finished by
the next one, and at no moment does a job that existed look as if it never had.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sir_convert_a_lot.application.ports import JobEngine, JobFiles, JobLedger
from sir_convert_a_lot.domain.job import JobRecord

BATCH = 500
# A tombstone needs to outlive the clients that still ask, not the service.
TOMBSTONES_LIVE = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class RetentionPeriods:
    raw: timedelta
    artifacts: timedelta


@dataclass(frozen=True, slots=True)
class Swept:
    """How many jobs expired and how many raw uploads were dropped."""

    jobs: int
    raw_uploads: int


async def sweep(
    jobs: JobEngine, files: JobFiles, ledger: JobLedger, periods: RetentionPeriods, now: Callable[[], datetime]
) -> Swept:
    """One pass. Safe to run at any time and more than once."""
    moment = now()
    expired = await _unpinned(jobs, files, moment - periods.artifacts)
    ids = [record.job_id for record in expired]
    await asyncio.to_thread(ledger.bury, ids)
    for job_id in ids:
        await asyncio.to_thread(files.drop_job, job_id)
    await jobs.forget(ids)
    raw = await _unpinned(jobs, files, moment - periods.raw)
    for record in raw:
        await asyncio.to_thread(files.drop_raw, record.job_id)
    await asyncio.to_thread(ledger.sweep, moment - TOMBSTONES_LIVE)
    return Swept(jobs=len(ids), raw_uploads=len(raw))


async def _unpinned(jobs: JobEngine, files: JobFiles, cutoff: datetime) -> list[JobRecord]:
    ended = await jobs.list_ended_before(cutoff, BATCH)
    return [record for record in ended if not await asyncio.to_thread(files.is_pinned, record.job_id)]
