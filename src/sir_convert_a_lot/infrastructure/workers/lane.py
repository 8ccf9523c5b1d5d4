"""One worker process at a time, kept warm, replaced after a kill, a crash, enough jobs, or for a job on another device.

Owns the life of the process behind a slot of the pool, and which devices that process can see. A lane is a pebble pool
of exactly one process, thrown away whenever that process ends: so the id of the process is always known, a lock that a
killed process held is never waited for, and a broken pool cannot stay broken.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import Any

from pebble import ProcessExpired, ProcessPool

from sir_convert_a_lot.domain.errors import GpuNotAvailable, WorkerCrashed
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.environment import HIDE_EVERY_GPU
from sir_convert_a_lot.infrastructure.workers.entry import begin_process, load_ahead, run_job, start_up
from sir_convert_a_lot.infrastructure.workers.exit_status import describe_exit
from sir_convert_a_lot.infrastructure.workers.process_group import kill_group

logger = logging.getLogger(__name__)

START_LIMIT_S = 60.0  # a spawned interpreter with an engine's imports; a cold disk takes seconds, never this
# A process that hangs inside a driver cannot be killed: it is told, and left to the kernel.
JOIN_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Sight:
    """What a process is for: "cpu", or the PCI id of the one GPU it sees; and the variables that see to that.

    They are read once, when the GPU's runtime starts in a process, so a process keeps its sight for life.
    """

    device: str
    masks: tuple[tuple[str, str], ...]


CPU_ALONE = Sight("cpu", tuple(HIDE_EVERY_GPU.items()))


def sight_for(order: dict[str, Any]) -> Sight:
    """What the process must see that carries out `order`."""
    return CPU_ALONE if order["device"] == "cpu" else Sight(order["pci_id"], tuple(sorted(order["masks"].items())))


class Lane:
    """Not for concurrent use: the pool gives a lane to one job at a time. Call it from the event loop's thread.

    The thread matters: worker processes die with the thread that started them (`enter_own_group`).
    """

    def __init__(self, work: str, max_jobs: int) -> None:
        self._work = work
        self._max_jobs = max_jobs
        self._pool: ProcessPool | None = None
        self._sight = CPU_ALONE
        self._starting: asyncio.Future[tuple[int, str | None]] | None = None
        self._pid = 0
        self._jobs_done = 0
        self._running: Future[dict[str, Any]] | None = None
        self._endings: set[threading.Thread] = set()

    @property
    def pid(self) -> int:
        """The worker's process id; 0 while there is none."""
        return self._pid

    @property
    def is_idle(self) -> bool:
        """There is a process that has started and has nothing to do."""
        return bool(self._pid) and (self._running is None or self._running.done())

    @property
    def is_warm(self) -> bool:
        """There is a process, or one is starting."""
        return self._pool is not None

    @property
    def device(self) -> str | None:
        """What its process is for, as `Sight.device`; None while there is none."""
        return None if self._pool is None else self._sight.device

    async def start(self, sight: Sight = CPU_ALONE) -> None:
        """Have a process with that sight that has imported what it needs; one with another sight is replaced.

        Several may wait for one start.
        """
        if self._sight != sight:
            self.end()
        if self._starting is None:
            self._sight = sight
            self._pool = ProcessPool(
                1,
                initializer=begin_process,
                initargs=(os.getpid(), dict(sight.masks)),
                context=multiprocessing.get_context("spawn"),
            )
            with _spare_from_ctrl_c():  # pebble starts the process in here
                started = self._pool.schedule(start_up, (self._work,), timeout=START_LIMIT_S)
            self._starting = asyncio.wrap_future(started)
            self._starting.add_done_callback(_look_at)
        starting = self._starting
        try:
            pid, problem = await asyncio.shield(starting)
        except (ProcessExpired, BrokenProcessPool, TimeoutError, RuntimeError) as error:
            self._give_up(starting)
            raise _start_failed(type(error).__name__) from error
        if problem is not None:
            self._give_up(starting)
            raise _start_failed(problem)
        if self._starting is starting:
            self._pid = pid

    def _give_up(self, starting: asyncio.Future[tuple[int, str | None]]) -> None:
        """The next job tries a fresh process, unless somebody else who waited had it replaced already."""
        if self._starting is starting:
            self.end()

    def begin(self, order: dict[str, Any], staging: str) -> asyncio.Future[dict[str, Any]]:
        """Start a job on the started process."""
        self._jobs_done += 1
        return self._schedule(run_job, (self._work, order, staging))

    def begin_loading(self, load: str, order: dict[str, Any]) -> asyncio.Future[dict[str, Any]]:
        """Have the started process load what jobs like `order` need; `load` names what does, as `module:function`."""
        return self._schedule(load_ahead, (load, order))

    def _schedule(self, work: Callable[..., dict[str, Any]], given: tuple[Any, ...]) -> asyncio.Future[dict[str, Any]]:
        if self._pool is None:
            raise WorkerCrashed("the worker process ended before its job began", details={"reason": "start_failed"})
        future: Future[dict[str, Any]] = self._pool.schedule(work, given)
        self._running = future
        return asyncio.wrap_future(future)

    async def collect(self, running: asyncio.Future[dict[str, Any]]) -> dict[str, Any]:
        """What the finished job returned. Raises `WorkerCrashed` when its process ended instead."""
        try:
            outcome = await running
        except ProcessExpired as error:
            self.end()
            raise WorkerCrashed("the worker process crashed", details=describe_exit(error.exitcode)) from error
        except (BrokenProcessPool, RuntimeError) as error:
            self.end()
            raise WorkerCrashed("the worker process was lost", details={"reason": type(error).__name__}) from error
        if self._jobs_done >= self._max_jobs or has_failed_on_gpu(outcome):
            self.end()
        return outcome

    def end(self) -> None:
        """Kill the process and all it started, at once; a later `start` makes a fresh one."""
        pool, pid = self._pool, self._pid
        self._pool, self._starting, self._pid, self._jobs_done, self._running = None, None, 0, 0, None
        if pool is None:
            return
        if pid:
            kill_group(pid)
        pool.stop()  # type: ignore[no-untyped-call]
        # Joining may take seconds where the process had not reached its own group yet: nobody waits for that.
        ending = threading.Thread(target=pool.join, name=f"ending of worker {pid}", daemon=True)
        self._endings = {thread for thread in self._endings if thread.is_alive()} | {ending}
        ending.start()

    def join(self, limit_s: float = JOIN_LIMIT_S) -> None:
        """Wait until every ended process is reaped, at most so long: one that hangs is told. Blocking."""
        deadline = time.monotonic() + limit_s
        for ending in tuple(self._endings):
            ending.join(max(0.0, deadline - time.monotonic()))
            if ending.is_alive():
                logger.warning("the %s was not over within %g s, going on without it", ending.name, limit_s)


def has_failed_on_gpu(outcome: dict[str, Any]) -> bool:
    """Then the process may be good for nothing more: a fault poisons its context, and a lost device does not return."""
    return not outcome["ok"] and outcome["failure"]["code"] == GpuNotAvailable.code


def _look_at(starting: asyncio.Future[tuple[int, str | None]]) -> None:
    """Whoever waited for a start may be gone by the time that it fails: asyncio need not tell of that."""
    if not starting.cancelled():
        starting.exception()


@contextmanager
def _spare_from_ctrl_c() -> Iterator[None]:
    """Children inherit what is blocked. A terminal sends Ctrl-C to its whole foreground group, and a child belongs to
    that until it has a session of its own: it would die with a trace on the screen, before anybody could stop it.
    """
    resource_tracker.ensure_running()  # starting it unblocks the signal again
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _start_failed(cause: str) -> WorkerCrashed:
    return WorkerCrashed("no worker process could be started", details={"reason": "start_failed", "cause": cause})
