"""A service whose own workers hold the GPU's memory: what its looks see, and that it does not refuse itself."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from made_gpus import SITE

from sir_convert_a_lot.domain.acceleration_policy import ONLY_GPU
from sir_convert_a_lot.domain.gpu_causes import Cause
from sir_convert_a_lot.domain.gpu_facts import ProbeSnapshot, Rung
from sir_convert_a_lot.infrastructure.gpu_runtime_probe import NEED_BYTES, probe
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.beside_workers import LookBesideWorkers
from sir_convert_a_lot.infrastructure.workers.lane import Lane
from sir_convert_a_lot.infrastructure.workers.pool import WorkerPool
from sir_convert_a_lot.settings import MIB

FREE = NEED_BYTES + 512 * MIB
TAKEN = {"at": "memory", "error": "CUDA out of memory", "type": "OutOfMemoryError"}

Test = Callable[[WorkerPool, LookBesideWorkers, dict[str, Any]], Awaitable[Any]]


def look_at(host: Any) -> LookBesideWorkers:
    return LookBesideWorkers(lambda takes_memory: probe(host.root, takes_memory=takes_memory))


@pytest.fixture
def gpu(host: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(host.root / SITE))
    return host


def run(host: Any, test: Test, *, workers: int = 1) -> Any:
    """`test` with a pool that the look knows of, and the order of a job for the GPU."""

    async def with_pool() -> Any:
        look = look_at(host)
        admitted = probe(host.root)
        pool = WorkerPool("made_gpu_work:linger", workers=workers, max_jobs=9, memory_limit_bytes=1024 * MIB)
        look.attach(pool)
        order = {"device": ONLY_GPU, "pci_id": admitted.pci_id, "masks": admitted.masks, "seconds": 0}
        try:
            return await test(pool, look, order)
        finally:
            await pool.close()

    return asyncio.run(with_pool())


async def work(pool: WorkerPool, order: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    async with pool.slot(order["pci_id"]) as slot:
        return await slot.run(order, tmp_path / "staging", 60, lambda _: None)


def wait_for_holder(host: Any) -> None:
    deadline = time.monotonic() + 30
    while not (host.root / SITE / "torch/holders").exists() and time.monotonic() < deadline:
        time.sleep(0.05)


def told(snapshot: ProbeSnapshot) -> str:
    return next(report.seen for report in snapshot.rungs if report.rung is Rung.RESOURCE)


def test_idle_workers_that_hold_the_memory_are_ended_and_the_gpu_is_looked_at_once_more(
    gpu: Any, tmp_path: Path
) -> None:
    gpu.add_working_nvidia(free_bytes=FREE, worker_holds=1024 * MIB)

    async def test(pool: WorkerPool, look: LookBesideWorkers, order: dict[str, Any]) -> None:
        await work(pool, order, tmp_path)
        assert probe(gpu.root).cause is Cause.VRAM_EXHAUSTED  # the worker is warm, and holds it
        found = await asyncio.to_thread(look)
        assert found.cause is None, found.evidence
        assert any("1 idle worker(s) of this service were ended" in line for line in found.evidence)
        assert not pool._lanes[0].is_warm
        assert (await work(pool, order, tmp_path))["ok"]

    run(gpu, test)


def test_a_worker_that_has_a_job_is_not_ended_for_its_memory(gpu: Any, tmp_path: Path) -> None:
    gpu.add_working_nvidia(free_bytes=FREE, worker_holds=1024 * MIB)

    async def test(pool: WorkerPool, look: LookBesideWorkers, order: dict[str, Any]) -> None:
        job = asyncio.create_task(work(pool, order | {"seconds": 8}, tmp_path))
        await asyncio.to_thread(wait_for_holder, gpu)
        assert (await asyncio.to_thread(look)).cause is Cause.VRAM_EXHAUSTED
        assert (await job)["ok"]

    run(gpu, test)


def test_beside_a_job_memory_is_asked_for_and_not_taken_and_the_look_says_so(gpu: Any, tmp_path: Path) -> None:
    gpu.add_working_nvidia(faults=[TAKEN], worker_holds=0)

    async def test(pool: WorkerPool, look: LookBesideWorkers, order: dict[str, Any]) -> None:
        job = asyncio.create_task(work(pool, order | {"seconds": 8}, tmp_path))
        await asyncio.to_thread(wait_for_holder, gpu)
        found = await asyncio.to_thread(look)
        assert found.cause is None, found.evidence
        assert "a job of this service was on the GPU" in told(found)
        await job
        assert probe(gpu.root).cause is Cause.VRAM_EXHAUSTED  # taking it fails, as the made fault says

    run(gpu, test)


def test_one_worker_alone_holds_the_gpu_however_many_there_are(gpu: Any, tmp_path: Path) -> None:
    gpu.add_working_nvidia()

    async def test(pool: WorkerPool, _look: LookBesideWorkers, order: dict[str, Any]) -> None:
        jobs = [work(pool, order | {"seconds": 0.5}, tmp_path / str(number)) for number in range(3)]
        outcomes = await asyncio.gather(*jobs)
        assert len({outcome["result"]["pid"] for outcome in outcomes}) == 1

    run(gpu, test, workers=3)


def test_a_worker_that_hangs_in_its_driver_holds_up_no_stop_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    lane = Lane("made_gpu_work:linger", 9)
    lane._endings.add(threading.Thread(target=time.sleep, args=(5,), name="ending of worker 4711", daemon=True))
    for ending in lane._endings:
        ending.start()
    began = time.monotonic()
    lane.join(0.2)
    assert time.monotonic() - began < 3
    assert "worker 4711 was not over within 0.2 s" in caplog.text


@pytest.mark.parametrize(("spare", "calls"), [(1024 * MIB, 0), (1025 * MIB, 1)])
def test_memory_that_torch_kept_beyond_the_models_is_given_back_after_a_job(spare: int, calls: int, gpu: Any) -> None:
    gpu.add_working_nvidia(allocated_bytes=512 * MIB, reserved_bytes=512 * MIB + spare)

    async def test(pool: WorkerPool, _look: LookBesideWorkers, order: dict[str, Any]) -> Any:
        async with pool.slot(order["pci_id"]) as slot:
            return await slot.run(order, gpu.root / "staging", 60, lambda _: None)

    assert run(gpu, test)["result"]["emptied"] == calls
