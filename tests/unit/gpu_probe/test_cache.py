"""The cached probe: one look for many callers, and never an old answer to a new question."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sir_convert_a_lot.domain.gpu_facts import ProbeSnapshot
from sir_convert_a_lot.infrastructure.gpu_runtime_probe import probe
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.cache import CachedProbe

TTL_S = 60.0


class Clock:
    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class Gate:
    """A probe that counts, and that waits until it is let through."""

    def __init__(self) -> None:
        self.started = threading.Semaphore(0)
        self.open = threading.Event()
        self.count = itertools.count(1)
        self.calls = 0

    def __call__(self) -> ProbeSnapshot:
        self.calls = next(self.count)
        self.started.release()
        assert self.open.wait(10)
        return probe()


@pytest.fixture
def gate() -> Gate:
    return Gate()


def test_many_callers_at_once_cause_one_probe(gate: Gate) -> None:
    cached = CachedProbe(gate)

    async def ask() -> list[ProbeSnapshot]:
        asking = [asyncio.create_task(cached.current()) for _ in range(20)]
        await asyncio.to_thread(gate.started.acquire)
        gate.open.set()
        return await asyncio.gather(*asking)

    assert len({snapshot.probe_id for snapshot in asyncio.run(ask())}) == 1
    assert gate.calls == 1


def test_the_event_loop_goes_on_while_the_probe_runs(gate: Gate) -> None:
    cached = CachedProbe(gate)

    async def ask() -> None:
        asking = asyncio.create_task(cached.current())
        await asyncio.sleep(0)
        gate.open.set()  # reached only if the loop was not blocked
        await asking

    asyncio.run(asyncio.wait_for(ask(), 10))


def test_a_snapshot_is_kept_for_its_time_and_not_longer() -> None:
    clock = Clock()
    cached = CachedProbe(probe, ttl_s=TTL_S, clock=clock)
    first = cached.current_blocking().probe_id
    clock.now_s += TTL_S - 0.001
    assert cached.current_blocking().probe_id == first
    clock.now_s += 0.001
    assert cached.peek() is None
    assert cached.current_blocking().probe_id != first


def test_age_counts_from_the_beginning_of_the_probe() -> None:
    clock = Clock()

    def slow() -> ProbeSnapshot:
        clock.now_s += TTL_S / 2
        return probe()

    cached = CachedProbe(slow, ttl_s=TTL_S, clock=clock)
    cached.current_blocking()
    assert cached.peek() is not None
    clock.now_s += TTL_S / 2
    assert cached.peek() is None


def test_invalidate_forgets_what_is_kept() -> None:
    cached = CachedProbe(probe)
    first = cached.current_blocking().probe_id
    cached.invalidate()
    assert cached.peek() is None
    assert cached.current_blocking().probe_id != first


def test_a_probe_that_began_before_an_invalidation_is_served_to_no_one(gate: Gate) -> None:
    cached = CachedProbe(gate)
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(cached.current_blocking)
        gate.started.acquire()
        cached.invalidate()
        gate.open.set()
        asking.result(10)
    assert gate.calls == 2


def test_a_probe_that_raises_is_not_kept_and_blocks_no_one() -> None:
    breaks = iter([True, False])

    def take() -> ProbeSnapshot:
        if next(breaks):
            raise RuntimeError("broken")
        return probe()

    cached = CachedProbe(take)
    with pytest.raises(RuntimeError, match="broken"):
        cached.current_blocking()
    assert cached.current_blocking().probe_id


def test_a_kept_snapshot_costs_next_to_nothing() -> None:
    cached = CachedProbe(probe)

    async def ask() -> float:
        await cached.current()
        started = time.perf_counter()
        for _ in range(1_000):
            await cached.current()
        return time.perf_counter() - started

    assert asyncio.run(ask()) < 0.5  # 1,000 requests
