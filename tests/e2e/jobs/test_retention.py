"""What expires, what stays, and what a caller is told of it."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sir_convert_a_lot.application.retain import RetentionPeriods, Swept, sweep
from sir_convert_a_lot.domain.errors import JobExpired, JobNotFound

PERIODS = RetentionPeriods(raw=timedelta(days=1), artifacts=timedelta(days=7))


async def sweep_in(client: Any, later: timedelta) -> Swept:
    """A sweep as it will be at a later time."""
    service = client.service
    engine, ledger = service.jobs._jobs, service.jobs._ledger
    return await sweep(engine, service.files, ledger, PERIODS, lambda: datetime.now(UTC) + later)


def test_raw_files_go_first_then_the_job_and_pinned_ones_stay(start: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with start() as client:
            plain = await client.end_of(await client.submit("ok"))
            pinned = await client.end_of(await client.submit("ok", pin=True))
            assert (plain.expires_at is None, pinned.expires_at is None) == (False, True)
            raw = {record.job_id: client.service.files.input_path(record.job_id) for record in (plain, pinned)}

            assert await sweep_in(client, timedelta(hours=23)) == Swept(0, 0, 0)
            assert await sweep_in(client, timedelta(days=2)) == Swept(0, 1, 0)
            assert [path.exists() for path in raw.values()] == [False, True]
            assert (await client.jobs.read(plain.job_id)) == plain
            await client.jobs.find_markdown(plain.job_id)

            assert await sweep_in(client, timedelta(days=8)) == Swept(1, 0, 0)
            with pytest.raises(JobExpired):
                await client.jobs.read(plain.job_id)
            with pytest.raises(JobNotFound):
                await client.jobs.read("job_00000000000000000000000000")
            assert not (tmp_path / "root" / "jobs" / plain.job_id).exists()
            await client.jobs.find_markdown(pinned.job_id)

            unpinned = await client.jobs.set_pinned(pinned.job_id, False)
            assert unpinned.expires_at is not None
            assert await sweep_in(client, timedelta(days=8)) == Swept(1, 0, 0)

    asyncio.run(scenario())


def test_a_running_job_keeps_its_upload_however_old(start: Any) -> None:
    async def scenario() -> None:
        async with start() as client:
            record = await client.submit("sleep-1")
            assert await sweep_in(client, timedelta(days=30)) == Swept(0, 0, 0)
            assert client.service.files.input_path(record.job_id).exists()

    asyncio.run(scenario())


def test_folders_of_jobs_that_never_became_durable_are_removed(start: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with start() as client:
            kept = await client.end_of(await client.submit("ok"))
            orphan = tmp_path / "root" / "jobs" / "job_0000000000000000000000ORPH"
            (orphan / "raw").mkdir(parents=True)
            for folder in orphan.parent.iterdir():
                os.utime(folder, (time.time() - 7200, time.time() - 7200))
            assert await sweep_in(client, timedelta(0)) == Swept(0, 0, 1)
            assert not orphan.exists()
            await client.jobs.find_markdown(kept.job_id)

    asyncio.run(scenario())
