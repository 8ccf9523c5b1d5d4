"""A look at the GPU that knows of this service's own workers on it.

Owns what their memory means for a look: while one of them computes, nothing is taken beside it; and where memory is
short while others only keep their models warm, those are ended and the GPU is looked at once more. Refuses to look
itself, to judge, and to end a worker that has a job.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import Protocol

from sir_convert_a_lot.domain.gpu_causes import Cause
from sir_convert_a_lot.domain.gpu_facts import ProbeSnapshot

logger = logging.getLogger(__name__)

END_LIMIT_S = 30.0  # for processes that were killed to be reaped, and for an event loop that is busy


class OwnWorkers(Protocol):
    """What of `workers.pool` is needed."""

    def has_work_on_gpu(self) -> bool:
        """A worker computes on the GPU, or is starting to. Asked from any thread; never waits."""
        ...

    async def end_idle_on_gpu(self) -> int:
        """End the workers that hold the GPU and have no job, wait until they are gone, and say how many there were."""
        ...


class LookBesideWorkers:
    """Takes the snapshots of a `CachedProbe`. `take` looks; its argument says whether to take memory for a moment.

    Called in a thread other than that of the workers' event loop. Raises what `take` raises.
    """

    def __init__(self, take: Callable[[bool], ProbeSnapshot]) -> None:
        self._take = take
        self._own: tuple[OwnWorkers, asyncio.AbstractEventLoop] | None = None

    def attach(self, workers: OwnWorkers) -> None:
        """From now on these workers count. Called in their event loop."""
        self._own = (workers, asyncio.get_running_loop())

    def detach(self) -> None:
        """The workers are about to end, and need no ending any more."""
        self._own = None

    def __call__(self) -> ProbeSnapshot:
        snapshot = self._look()
        if snapshot.cause is not Cause.VRAM_EXHAUSTED:
            return snapshot
        ended = self._end_idle()
        if not ended:
            return snapshot
        told = f"history: memory was short, so {ended} idle worker(s) of this service were ended and it was asked again"
        logger.warning("too little memory was free on the GPU: %d idle worker(s) that held some were ended", ended)
        fresh = self._look()
        return replace(fresh, evidence=(*fresh.evidence, told))

    def _look(self) -> ProbeSnapshot:
        return self._take(self._own is None or not self._own[0].has_work_on_gpu())

    def _end_idle(self) -> int:
        if self._own is None:
            return 0
        workers, loop = self._own
        if not loop.is_running():
            return 0
        ending = asyncio.run_coroutine_threadsafe(workers.end_idle_on_gpu(), loop)
        try:
            return ending.result(END_LIMIT_S)
        except (TimeoutError, CancelledError):
            ending.cancel()
            logger.warning("idle workers were to give back the GPU's memory, and did not end within %g s", END_LIMIT_S)
            return 0
