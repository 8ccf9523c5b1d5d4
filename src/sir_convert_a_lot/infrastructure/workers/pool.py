"""A fixed number of worker processes, each converting one document at a time under a time and a memory limit.

Owns slots, limits and the watch over a running job. Whatever way a job ends other than by finishing (timeout, too much
memory, cancelled by its caller), its process and all it started are killed first. Refuses to queue by priority: who
comes next is the job engine's business.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from sir_convert_a_lot.domain.errors import DocumentTimeout, WorkerCrashed, WorkerOutOfMemory
from sir_convert_a_lot.infrastructure.workers.lane import CPU_ALONE, Lane, sight_for
from sir_convert_a_lot.infrastructure.workers.process_group import read_held_bytes
from sir_convert_a_lot.infrastructure.workers.progress_file import PagesDone, read_progress

logger = logging.getLogger(__name__)

# How often memory and progress are looked at. At 0.1 s a worker that touches 2 GB/s overshoots its limit by 200 MB.
LOOK_EVERY_S = 0.1

# Models from a cold disk, and their first kernels, which MIOpen may compile for minutes: as long as the probe gives it.
LOAD_LIMIT_S = 300.0


class WorkerPool:
    """`work` names what a job runs, as `module:function` (`worker.convert_in_worker` is the product's).

    At most `gpu_workers` of them have the GPU: each holds a runtime, the models and what torch keeps, on the same GPU.
    All methods belong to one event loop.
    """

    def __init__(
        self, work: str, *, workers: int, max_jobs: int, memory_limit_bytes: int, gpu_workers: int = 1
    ) -> None:
        self._lanes = [Lane(work, max_jobs) for _ in range(workers)]
        self._free = list(self._lanes)
        self._slot = asyncio.Semaphore(workers)
        self._gpu_slot = asyncio.Semaphore(gpu_workers)
        self._memory_limit_bytes = memory_limit_bytes

    @property
    def size(self) -> int:
        return len(self._lanes)

    async def warm_up(self) -> None:
        """Start one process for the CPU, so that the first job finds it ready. The others start when needed."""
        async with self._lane(CPU_ALONE.device) as lane:
            await lane.start()

    async def load_ahead(self, load: str, order: dict[str, Any]) -> dict[str, Any]:
        """Have one process load what jobs like `order` need, so that the first of them finds it. `load` names what
        does, as `module:function`. Answers as `Slot.run`; raises `WorkerCrashed`, and
        `WorkerOutOfMemory` where the models alone are above the limit. Meanwhile no job has that worker.
        """
        async with self._lane(order["pci_id"] or CPU_ALONE.device) as lane:
            await lane.start(sight_for(order))
            running = lane.begin_loading(load, order)
            try:
                await asyncio.wait({running}, timeout=LOAD_LIMIT_S)
                if not running.done():
                    raise WorkerCrashed(
                        f"the engine was not loaded within {LOAD_LIMIT_S:g} s", details={"reason": "load_timeout"}
                    )
                outcome = await lane.collect(running)
            finally:
                if not running.done():
                    running.cancel()
                    lane.end()
            self._check_loaded(lane)
            return outcome

    def _check_loaded(self, lane: Lane) -> None:
        """A worker whose models leave no room under its limit would be killed in each job: told before the first."""
        held = read_held_bytes(lane.pid) if lane.pid else 0
        logger.info("a worker holds %d MiB with its models loaded, of %d", held >> 20, self._memory_limit_bytes >> 20)
        if held > self._memory_limit_bytes:
            lane.end()
            raise WorkerOutOfMemory(
                f"with its models loaded the worker used {held >> 20} MiB, and its limit is "
                f"{self._memory_limit_bytes >> 20} MiB",
                details={"resident_bytes": held, "limit_bytes": self._memory_limit_bytes},
            )

    @asynccontextmanager
    async def slot(self, device: str = CPU_ALONE.device) -> AsyncIterator[Slot]:
        """A worker of one's own; waits until one is free. `device` ("cpu", or a PCI id) is what it will most likely be
        used for: one that is warm for it is preferred, and any other is replaced when the job turns out to need it.
        """
        async with self._lane(device) as lane:
            yield Slot(lane, self._memory_limit_bytes)

    @asynccontextmanager
    async def _lane(self, device: str) -> AsyncIterator[Lane]:
        async with AsyncExitStack() as stack:
            if device != CPU_ALONE.device:  # first: who waits for the GPU keeps no worker from others
                await stack.enter_async_context(self._gpu_slot)
            await stack.enter_async_context(self._slot)
            # One that is warm for this device, else a cold one, else one whose process has to go.
            lane = max(self._free, key=lambda free: (free.device == device, not free.is_warm))
            self._free.remove(lane)
            try:
                yield lane
            finally:
                self._free.append(lane)

    def has_work_on_gpu(self) -> bool:
        """A worker computes on the GPU, or is starting to. May be asked from any thread."""
        return any(lane.device not in {None, CPU_ALONE.device} and not lane.is_idle for lane in self._lanes)

    async def end_idle_on_gpu(self) -> int:
        """End the workers that hold the GPU's memory and do nothing; wait until they are gone. How many there were."""
        idle = [lane for lane in self._lanes if lane.device not in {None, CPU_ALONE.device} and lane.is_idle]
        for lane in idle:
            lane.end()
        await asyncio.gather(*(asyncio.to_thread(lane.join) for lane in idle))
        return len(idle)

    async def close(self) -> None:
        """Kill every worker and reap it, as far as that takes no longer than `lane.JOIN_LIMIT_S`. Jobs that still run
        fail.
        """
        for lane in self._lanes:
            lane.end()
        await asyncio.gather(*(asyncio.to_thread(lane.join) for lane in self._lanes))


class Slot:
    """One worker, for one job."""

    def __init__(self, lane: Lane, memory_limit_bytes: int) -> None:
        self._lane = lane
        self._memory_limit_bytes = memory_limit_bytes

    async def run(
        self, order: dict[str, Any], staging: Path, timeout_s: float, report: Callable[[PagesDone], None]
    ) -> dict[str, Any]:
        """What `entry.run_job` returned. Raises `DocumentTimeout`, `WorkerOutOfMemory` or `WorkerCrashed`.

        The time counts from when the worker has the document. On cancellation the worker is dead when this returns.
        """
        await self._lane.start(sight_for(order))
        running = self._lane.begin(order, str(staging))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        seen: PagesDone | None = None
        try:
            while not running.done():
                await asyncio.wait({running}, timeout=min(LOOK_EVERY_S, max(0.0, deadline - loop.time())))
                if not running.done():
                    self._check_limits(deadline - loop.time(), timeout_s)
                with suppress(json.JSONDecodeError):
                    if (now := read_progress(staging)) is not None and now != seen:
                        report(now)
                        seen = now
            return await self._lane.collect(running)
        finally:
            if not running.done():
                running.cancel()
                self._lane.end()

    def _check_limits(self, left_s: float, timeout_s: float) -> None:
        if left_s <= 0:
            raise DocumentTimeout(
                f"the document was not converted within {timeout_s:g} s", details={"timeout_seconds": timeout_s}
            )
        held = read_held_bytes(self._lane.pid)
        if held > self._memory_limit_bytes:
            raise WorkerOutOfMemory(
                f"the worker used {held >> 20} MiB and its limit is {self._memory_limit_bytes >> 20} MiB",
                details={"resident_bytes": held, "limit_bytes": self._memory_limit_bytes},
            )
