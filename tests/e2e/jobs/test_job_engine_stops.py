"""Cancel, time limit, memory limit and stop: no process outlives its job."""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pikepdf
import pytest

from sir_convert_a_lot.bootstrap import WORK
from sir_convert_a_lot.domain.errors import JobNotCancelable
from sir_convert_a_lot.domain.job import JobRecord, JobStage, JobStatus
from sir_convert_a_lot.infrastructure.workers.pool import WorkerPool

DEAD_WITHIN_S = 5.0  # the contract's bound
MIB = 1 << 20


def is_running(record: JobRecord) -> bool:
    return record.status is JobStatus.RUNNING


def has_begun(record: JobRecord) -> bool:
    return is_running(record) and record.progress.stage is JobStage.LAYOUT_ANALYSIS


async def wait_until_gone(pids: set[int], processes: Callable[[], set[int]]) -> None:
    deadline = time.monotonic() + DEAD_WITHIN_S
    while alive := pids & processes():
        assert time.monotonic() < deadline, f"still alive: {alive}"
        await asyncio.sleep(0.05)


def test_a_canceled_job_leaves_no_process(start: Any, processes: Any, tmp_path: Path) -> None:
    """Neither the worker, which ignores SIGTERM, nor its child, nor the daemon that left the group."""

    async def scenario() -> None:
        async with start() as client:
            await client.end_of(await client.submit("ok"))
            before = processes()
            record = await client.when(await client.submit("stubborn"), has_begun)
            started = processes() - before
            assert len(started) == 2
            worker = read_worker_pid(tmp_path)
            answer = await client.jobs.cancel(record.job_id)
            assert answer.record.status is JobStatus.CANCELED
            assert not answer.was_canceled_before
            await wait_until_gone(started | {worker}, processes)
            assert (await client.jobs.cancel(record.job_id)).was_canceled_before
            after = await client.end_of(await client.submit("ok"))
            assert after.status is JobStatus.SUCCEEDED
        folder = tmp_path / "root" / "jobs" / record.job_id
        assert json.loads((folder / "manifest.json").read_text())["status"] == "canceled"
        assert list((tmp_path / "root" / "staging").iterdir()) == []

    asyncio.run(scenario())


def read_worker_pid(tmp_path: Path) -> int:
    """The warm worker's id, from the receipt of the job it did before."""
    receipt = next((tmp_path / "root" / "jobs").glob("*/artifacts/execution.json"))
    return int(json.loads(receipt.read_text())["worker_pid"])


def test_a_canceled_job_that_waits_never_starts_and_its_neighbours_go_on(start: Any) -> None:
    async def scenario() -> None:
        async with start() as client:
            first = await client.when(await client.submit("sleep-0.5"), is_running)
            second, third = await client.submit("ok"), await client.submit("ok")
            assert (await client.jobs.cancel(second.job_id)).record.status is JobStatus.CANCELED
            assert (await client.end_of(first)).status is JobStatus.SUCCEEDED
            assert (await client.end_of(third)).status is JobStatus.SUCCEEDED
            assert (await client.jobs.read(second.job_id)).attempt == 0

    asyncio.run(scenario())


def test_many_cancels_at_once_are_all_obeyed(start: Any) -> None:
    async def scenario() -> None:
        async with start(workers=2) as client:
            records = [await client.submit("sleep-20") for _ in range(12)]
            await client.when(records[1], is_running)
            await asyncio.gather(*(client.jobs.cancel(record.job_id) for record in records))
            ended = [await client.jobs.read(record.job_id) for record in records]
            assert {record.status for record in ended} == {JobStatus.CANCELED}
            after = await client.end_of(await client.submit("ok"))
            assert after.status is JobStatus.SUCCEEDED

    asyncio.run(scenario())


def test_cancels_that_race_with_the_start_leave_every_worker_free(start: Any) -> None:
    async def scenario() -> None:
        async with start() as client:
            await client.end_of(await client.submit("ok"))
            for number in range(20):
                record = await client.submit("ok")
                await asyncio.sleep(number / 1000)
                with suppress(JobNotCancelable):
                    await client.jobs.cancel(record.job_id)
            after = await client.end_of(await client.submit("ok"), limit_s=10)
            assert after.status is JobStatus.SUCCEEDED

    asyncio.run(scenario())


def test_a_decompression_bomb_is_bounded_by_the_memory_limit(start: Any, tmp_path: Path) -> None:
    """Three megabytes that become 600 MB of drawing, with the real engine."""
    bomb = tmp_path / "bomb.pdf"
    write_bomb(bomb, 600 * MIB)
    assert bomb.stat().st_size < 4 * MIB

    async def scenario() -> None:
        async with start(work=WORK, worker_memory_limit_bytes=256 * MIB) as client:
            ended = await client.end_of(await client.submit("bomb", pdf=bomb), limit_s=60)
            assert ended.failure.code == "worker_out_of_memory"
            assert (await client.end_of(await client.submit("digital"))).status is JobStatus.SUCCEEDED

    asyncio.run(scenario())


def write_bomb(path: Path, size_bytes: int) -> None:
    drawing = b"0 0 m 1 1 l S\n" * (MIB // 14)
    deflate = zlib.compressobj(1)
    content = b"".join(deflate.compress(drawing) for _ in range(size_bytes // MIB)) + deflate.flush()
    with pikepdf.new() as document:
        stream = pikepdf.Stream(document, b"")
        stream.write(content, filter=pikepdf.Name.FlateDecode)
        document.add_blank_page().Contents = stream
        document.save(path)


def test_a_worker_above_its_memory_limit_is_killed(start: Any, processes: Any) -> None:
    async def scenario() -> None:
        async with start(worker_memory_limit_bytes=256 * MIB) as client:
            ended = await client.end_of(await client.submit("hog"))
            assert ended.failure.code == "worker_out_of_memory"
            assert 256 * MIB < ended.failure.details["resident_bytes"] < 1024 * MIB
            after = await client.end_of(await client.submit("ok"))
            assert after.status is JobStatus.SUCCEEDED

    asyncio.run(scenario())


def test_a_document_past_its_time_limit_is_killed_with_all_it_started(processes: Any, tmp_path: Path) -> None:
    """On the pool itself: a job's own limit is at least 30 s."""
    from sir_convert_a_lot.domain.errors import DocumentTimeout

    async def scenario() -> None:
        pool = WorkerPool("fault_work:convert", workers=1, max_jobs=10, memory_limit_bytes=1024 * MIB)
        await pool.warm_up()
        try:
            began = time.monotonic()
            with pytest.raises(DocumentTimeout):
                async with pool.slot() as slot:
                    await slot.run(order("stubborn"), tmp_path, 1.0, lambda _: None)
            assert time.monotonic() - began < 2.0
            await wait_until_gone(processes() - helpers(processes), processes)
        finally:
            await pool.close()

    asyncio.run(scenario())


def order(name: str) -> dict[str, Any]:
    spec = {"api_version": "v1", "source": {"kind": "upload", "filename": f"{name}.pdf"}}
    return {
        "spec": spec,
        "pdf": "none.pdf",
        "engine": "builtin",
        "engine_arguments": {},
        "device": "cpu",
        "pci_id": None,
        "masks": {},
        "probe_id": None,
        "warnings": [],
        "correlation_id": "corr_test",
        "max_pages": 10,
        "max_page_pixels": 1_000_000,
    }


def helpers(processes: Callable[[], set[int]]) -> set[int]:
    """Multiprocessing's own resource tracker lives as long as this process."""
    return {pid for pid in processes() if b"resource_tracker" in Path(f"/proc/{pid}/cmdline").read_bytes()}


def test_a_worker_is_replaced_after_its_share_of_jobs(start: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with start(worker_max_jobs=2) as client:
            pids = []
            for _ in range(5):
                ended = await client.end_of(await client.submit("ok"))
                pids.append(ended.result.execution["worker_pid"])
            assert pids[0] == pids[1] != pids[2] == pids[3] != pids[4]

    asyncio.run(scenario())


def test_a_stop_lets_running_jobs_finish_within_the_grace_time(start: Any) -> None:
    async def scenario() -> None:
        async with start(shutdown_grace_s=10.0) as client:
            record = await client.when(await client.submit("sleep-0.7"), is_running)
            waiting = await client.submit("ok")
        async with start() as client:
            ended = await client.jobs.read(record.job_id)
            assert (ended.status, ended.attempt) == (JobStatus.SUCCEEDED, 1)
            assert (await client.end_of(waiting)).status is JobStatus.SUCCEEDED

    asyncio.run(scenario())


def test_a_job_that_outlasts_the_grace_time_is_run_again_at_the_next_start(start: Any, processes: Any) -> None:
    async def scenario() -> None:
        async with start(shutdown_grace_s=0.1) as client:
            record = await client.when(await client.submit("sleep-1.5"), is_running)
            began = time.monotonic()
        assert time.monotonic() - began < 5
        assert processes() == helpers(processes)
        async with start() as client:
            again = await client.jobs.read(record.job_id)
            assert again.status in {JobStatus.QUEUED, JobStatus.RUNNING}
            ended = await client.end_of(again)
            assert (ended.status, ended.attempt) == (JobStatus.SUCCEEDED, 2)

    asyncio.run(scenario())


def test_a_service_can_be_stopped_at_once_after_its_start(start: Any, processes: Any) -> None:
    async def scenario() -> None:
        for turns in range(4):
            async with asyncio.timeout(20), start():
                for _ in range(turns):
                    await asyncio.sleep(0)
        assert processes() == helpers(processes)

    asyncio.run(scenario())


def test_jobs_that_begin_while_the_service_stops_are_run_at_the_next_start(start: Any) -> None:
    async def scenario() -> None:
        async with start(workers=2, max_recovery_attempts=50) as client:
            records = [await client.submit("sleep-0.3") for _ in range(3)]
        for turns in range(8):
            async with start(workers=2, max_recovery_attempts=50):
                await asyncio.sleep(turns / 500)
        async with start(workers=2, max_recovery_attempts=50) as client:
            ended = [await client.end_of(await client.jobs.read(record.job_id)) for record in records]
            assert {record.status for record in ended} == {JobStatus.SUCCEEDED}

    asyncio.run(scenario())
