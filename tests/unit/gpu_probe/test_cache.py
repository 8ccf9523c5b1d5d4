"""The cached probe: one look for many callers, and never an old answer to a new question."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sir_convert_a_lot.domain.gpu_causes import Cause
from sir_convert_a_lot.domain.gpu_facts import ProbeSnapshot
from sir_convert_a_lot.infrastructure.gpu_runtime_probe import probe
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.cache import UNSETTLED, CachedProbe
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.device_nodes import read_nodes

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


def test_a_probe_that_began_before_an_invalidation_is_served_to_no_one_who_asks_after_it(gate: Gate) -> None:
    cached = CachedProbe(gate)
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(cached.current_blocking)
        gate.started.acquire()
        cached.invalidate()
        later = pool.submit(cached.current_blocking)
        gate.open.set()
        assert asking.result(10).probe_id != later.result(10).probe_id
    assert gate.calls == 2


def test_faults_in_a_row_neither_put_off_who_asked_nor_pass_for_changed_nodes(gate: Gate) -> None:
    cached = CachedProbe(gate)
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(cached.current_blocking)
        gate.started.acquire()
        for _ in range(10):
            cached.invalidate()
        gate.open.set()
        found = asking.result(10)
    assert gate.calls == 1
    assert UNSETTLED not in found.evidence
    assert cached.peek() is None


def test_faults_that_were_reported_while_a_look_ran_share_the_next_one(gate: Gate) -> None:
    cached = CachedProbe(gate)

    async def ask() -> list[ProbeSnapshot]:
        before = asyncio.create_task(cached.current())
        await asyncio.to_thread(gate.started.acquire)
        after = []
        for _ in range(5):
            cached.invalidate()
            after.append(asyncio.create_task(cached.current()))
            await asyncio.sleep(0)
        gate.open.set()
        return await asyncio.gather(before, *after)

    first, *others = asyncio.run(asyncio.wait_for(ask(), 10))
    assert first not in others
    assert len({snapshot.probe_id for snapshot in others}) == 1
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


class Nodes:
    """What is watched, as a test changes it."""

    value = "as before"

    def __call__(self) -> str:
        return self.value


def test_a_snapshot_does_not_outlive_a_change_of_what_is_watched() -> None:
    nodes = Nodes()
    cached = CachedProbe(probe, read_watched=nodes)
    first = cached.current_blocking().probe_id
    assert cached.current_blocking().probe_id == first
    nodes.value = "made anew"
    assert cached.peek() is None
    assert cached.current_blocking().probe_id != first


def test_a_change_while_the_probe_runs_makes_its_answer_an_old_one(gate: Gate) -> None:
    nodes = Nodes()
    cached = CachedProbe(gate, read_watched=nodes)
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(cached.current_blocking)
        gate.started.acquire()
        nodes.value = "made anew"
        gate.open.set()
        asking.result(10)
    assert gate.calls == 2
    assert cached.peek() is not None


def test_a_host_that_does_not_hold_still_is_refused_whatever_its_rungs_say(host: Any) -> None:
    host.add_working_amd()
    snapshot = probe(host.root)
    cached = CachedProbe(lambda: snapshot, read_watched=itertools.count().__next__)
    found = cached.current_blocking()
    assert snapshot.cause is None
    assert found.cause is Cause.PROBE_INCOMPLETE
    assert found.evidence[0] == UNSETTLED


@pytest.mark.parametrize("change", ["made anew", "chmod", "gone", "another", "an instance of MIG"])
def test_what_is_watched_differs_when_a_node_does(change: str, host: Any) -> None:
    host.add_amd()
    node = host.root / "dev/dri/renderD128"
    before = read_nodes(host.root)
    assert before == read_nodes(host.root)
    if change == "made anew":
        node.rename(node.with_name("old"))
        node.write_bytes(b"")
    elif change == "chmod":
        node.chmod(0o600)
    elif change == "gone":
        node.unlink()
    elif change == "an instance of MIG":
        host.write("dev/nvidia-caps/nvidia-cap21", "")
    else:
        host.write("dev/nvidia0", "")
    assert read_nodes(host.root) != before


def test_what_is_not_a_gpu_is_not_watched(host: Any) -> None:
    host.add_amd()
    before = read_nodes(host.root)
    host.write("dev/null", "")
    host.write("dev/dri/card0", "")
    assert read_nodes(host.root) == before


class SlowProbe:
    """A probe that takes seconds of the clock, and says how often it was asked."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.taken = threading.Semaphore(0)

    def __call__(self) -> ProbeSnapshot:
        self.clock.now_s += 5.0
        self.taken.release()
        return probe()


def test_a_slow_look_is_renewed_before_its_snapshot_ends_and_no_one_waits() -> None:
    clock = Clock()
    slow = SlowProbe(clock)
    cached = CachedProbe(slow, ttl_s=TTL_S, clock=clock)
    first = cached.current_blocking()
    assert slow.taken.acquire(timeout=10)
    clock.now_s += TTL_S / 2
    assert asyncio.run(cached.current()) is first  # the one who asks is not kept waiting
    assert slow.taken.acquire(timeout=10)
    deadline = time.monotonic() + 10
    while cached.peek() in [first, None] and time.monotonic() < deadline:
        time.sleep(0.01)
    clock.now_s += TTL_S / 2  # the first would be over now
    assert cached.peek() not in [first, None]


def test_a_quick_look_is_never_done_ahead() -> None:
    clock = Clock()
    cached = CachedProbe(probe, ttl_s=TTL_S, clock=clock)
    first = cached.current_blocking()
    clock.now_s += TTL_S * 0.9
    before = threading.active_count()
    assert cached.current_blocking() is first
    assert threading.active_count() == before


def test_a_look_that_hangs_holds_up_neither_who_gives_up_waiting_nor_the_end_of_the_loop(gate: Gate) -> None:
    cached = CachedProbe(gate)

    async def stop_while_it_looks() -> None:
        asking = [asyncio.create_task(cached.current()) for _ in range(3)]
        await asyncio.to_thread(gate.started.acquire)
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)
        assert all(task.cancelled() for task in asking)

    began = time.monotonic()
    asyncio.run(stop_while_it_looks())  # it would wait for threads of its executor
    assert time.monotonic() - began < 5
    gate.open.set()
    assert cached.current_blocking().probe_id  # the look itself was not lost
    assert gate.calls == 1


def test_one_who_gives_up_waiting_takes_no_answer_from_the_others(gate: Gate) -> None:
    cached = CachedProbe(gate)

    async def ask() -> ProbeSnapshot:
        first, second = (asyncio.create_task(cached.current()) for _ in range(2))
        await asyncio.to_thread(gate.started.acquire)
        first.cancel()
        gate.open.set()
        return await second

    assert asyncio.run(asyncio.wait_for(ask(), 10)).probe_id
    assert gate.calls == 1


def test_one_who_asks_in_a_loop_after_an_invalidation_gets_no_look_from_before(gate: Gate) -> None:
    cached = CachedProbe(gate)

    async def ask() -> None:
        before = asyncio.create_task(cached.current())
        await asyncio.to_thread(gate.started.acquire)
        cached.invalidate()
        after = asyncio.create_task(cached.current())
        gate.open.set()
        await asyncio.gather(before, after)

    asyncio.run(asyncio.wait_for(ask(), 10))
    assert gate.calls == 2


def test_a_probe_that_raises_is_told_to_those_who_wait_in_a_loop_and_not_kept() -> None:
    breaks = iter([True, False])

    def take() -> ProbeSnapshot:
        if next(breaks):
            raise RuntimeError("broken")
        return probe()

    async def ask() -> None:
        cached = CachedProbe(take)
        with pytest.raises(RuntimeError, match="broken"):
            await cached.current()
        assert (await cached.current()).probe_id

    asyncio.run(ask())
