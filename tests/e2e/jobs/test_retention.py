"""What expires, what stays, and what a caller is told of it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sir_convert_a_lot.application.jobs import Jobs
from sir_convert_a_lot.application.retain import RetentionPeriods, Swept, sweep
from sir_convert_a_lot.domain.errors import InternalError, JobExpired, JobNotFound

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
            record = await client.submit("sleep-30")
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


def test_a_job_past_its_time_has_expired_for_every_reader_before_any_sweep(start: Any) -> None:
    async def scenario() -> None:
        async with start() as client:
            plain = await client.end_of(await client.submit("ok"))
            pinned = await client.end_of(await client.submit("ok", pin=True))
            service = client.service
            later = Jobs(
                service.jobs._jobs, service.files, service.jobs._ledger, lambda: plain.expires_at + timedelta(seconds=1)
            )
            for ask in (later.read, later.find_markdown, later.cancel, lambda job_id: later.set_pinned(job_id, True)):
                with pytest.raises(JobExpired):
                    await ask(plain.job_id)
            assert [record.job_id for record in (await later.list_jobs(None, 10, None)).records] == [pinned.job_id]
            assert not service.files.is_pinned(plain.job_id)

    asyncio.run(scenario())


def test_a_buried_job_has_expired_though_its_record_is_still_there(start: Any) -> None:
    async def scenario() -> None:
        async with start() as client:
            ended = [await client.end_of(await client.submit("ok")) for _ in range(2)]
            buried, robbed = (record.job_id for record in ended)
            client.service.jobs._ledger.bury([buried])
            for job_id in (buried, robbed):
                client.service.files.drop_job(job_id)
            with pytest.raises(JobExpired):
                await client.jobs.find_markdown(buried)
            with pytest.raises(InternalError):  # nobody let this one expire, so its loss is a fault
                await client.jobs.find_markdown(robbed)

    asyncio.run(scenario())


def test_the_time_of_a_job_that_was_unpinned_begins_at_that_moment(start: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with start() as client:
            record = await client.end_of(await client.submit("ok", pin=True))
            unpinned = await client.jobs.set_pinned(record.job_id, False)
            again = await client.jobs.set_pinned(record.job_id, False)
            assert again.expires_at == unpinned.expires_at
            # As if it had been unpinned 30 days after its end.
            mark = tmp_path / "root" / "jobs" / record.job_id / "unpinned"
            moment = datetime.now(UTC) + timedelta(days=30)
            os.utime(mark, (moment.timestamp(), moment.timestamp()))
            late = await client.jobs.read(record.job_id)
            assert abs(late.expires_at - (moment + timedelta(days=7))) < timedelta(seconds=1)
            assert await sweep_in(client, timedelta(days=30, hours=23)) == Swept(0, 0, 0)
            assert await sweep_in(client, timedelta(days=32)) == Swept(0, 1, 0)
            assert await sweep_in(client, timedelta(days=36)) == Swept(0, 0, 0)
            assert await sweep_in(client, timedelta(days=38)) == Swept(1, 0, 0)

    asyncio.run(scenario())


def test_unpinning_a_job_that_never_was_pinned_gives_it_no_more_time(start: Any) -> None:
    async def scenario() -> None:
        async with start() as client:
            record = await client.end_of(await client.submit("ok"))
            assert (await client.jobs.set_pinned(record.job_id, False)).expires_at == record.expires_at

    asyncio.run(scenario())


def sweeps_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What each sweep so far came to: its level."""
    return [record.levelname for record in caplog.records if record.getMessage().startswith(("swept", "the sweep"))]


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(2000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to pass")


def test_sweeps_go_on_after_one_that_could_not(start: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    jobs, away = tmp_path / "root" / "jobs", tmp_path / "away"

    async def scenario() -> None:
        async with start(sweep_interval_s=0.05) as client:
            jobs.rename(away)
            await until(lambda: sweeps_in(caplog)[-2:] == ["ERROR", "ERROR"])
            told = next(record for record in caplog.records if record.levelname == "ERROR")
            assert told.exc_info is not None
            assert await client.service.is_healthy()
            away.rename(jobs)
            await until(lambda: sweeps_in(caplog)[-1] == "INFO")

    asyncio.run(scenario())


def test_a_broken_database_is_told_once_a_sweep(start: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with start(sweep_interval_s=0.2):
            for database in (tmp_path / "root").glob("jobs.sqlite*"):
                with database.open("r+b") as file:
                    file.write(b"garbage" * 1000)
            await until(lambda: bool(sweeps_in(caplog)))
            caplog.clear()
            await asyncio.sleep(1)
            assert len(sweeps_in(caplog)) <= 5
            assert len(caplog.records) <= 20

    asyncio.run(scenario())


def test_a_service_whose_sweeps_ended_is_not_healthy(start: Any) -> None:
    async def scenario() -> None:
        async with start() as client:
            assert await client.service.is_healthy()
            (sweeper,) = (task for task in asyncio.all_tasks() if task.get_name() == "sweeper")
            sweeper.cancel()
            await asyncio.wait({sweeper})
            assert not await client.service.is_healthy()

    asyncio.run(scenario())
