"""The cached probe: one snapshot for many requests, and never an old one for a new question.

Owns the age of a snapshot, that one probe runs at a time, and what the last one that passed was. Refuses to look
itself: it is given the probe.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, replace

from sir_convert_a_lot.domain.gpu_causes import CAUSES, Cause
from sir_convert_a_lot.domain.gpu_facts import ProbeSnapshot
from sir_convert_a_lot.infrastructure.gpu_runtime_probe import probe
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.device_nodes import read_nodes
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.history import (
    WorkerFault,
    compare_with_past,
    has_passed_whole,
    judge_worker_fault,
)

TTL_S = 60.0

# A look that takes longer than a request may wait for (50 ms, the limit of admission) is begun anew in the background
# when half of a snapshot's life is over, so that no request meets the end of it.
SLOW_LOOK_S = 0.05
AHEAD = 0.5

MAX_LOOKS = 3  # in a row, while device nodes keep changing under the probe
UNSETTLED = "the device nodes changed while the probe ran, again and again"


@dataclass(frozen=True, slots=True)
class _Kept:
    """A snapshot, with what it holds for: until its age is over, while the nodes are the same, and for questions that
    were asked before anything happened that it did not see.
    """

    snapshot: ProbeSnapshot
    began_at_s: float
    took_s: float
    nodes: Hashable
    generation: int  # how often something had happened to the GPU when the look began


class CachedProbe:
    """`current` gives a snapshot younger than `ttl_s`; safe in any thread and any event loop.

    Callers that come while a probe runs wait for that one. Who asks after `invalidate` gets no snapshot whose probe
    began before it; who asked before keeps the answer to the question that he asked, so faults that follow each other
    quickly put off nobody. A look during which a device node changed answers no one and is run again, and where that
    never ends the answer is a refusal. When the probe raises, so does `current`, and nothing is kept. `read_watched`
    gives what must stay the same while a snapshot holds; it is asked with every call. Where looking is slow, it is done
    ahead of time.
    """

    def __init__(
        self,
        take: Callable[[], ProbeSnapshot] = probe,
        *,
        ttl_s: float = TTL_S,
        clock: Callable[[], float] = time.monotonic,
        read_watched: Callable[[], Hashable] = read_nodes,
    ) -> None:
        self._take = take
        self._ttl_s = ttl_s
        self._clock = clock
        self._read_watched = read_watched
        self._one_at_a_time = threading.Lock()
        self._state = threading.Lock()  # guards the five below; held for moments only
        self._kept: _Kept | None = None
        self._last_passed: ProbeSnapshot | None = None
        self._generation = 0
        self._is_ahead = False  # a look in the background is under way
        self._asking: Future[ProbeSnapshot] | None = None  # what those who wait in an event loop wait for

    def peek(self) -> ProbeSnapshot | None:
        """The kept snapshot while it holds, else None. Never waits."""
        with self._state:
            asked_in = self._generation
        return self._peek(asked_in)

    def _peek(self, asked_in: int) -> ProbeSnapshot | None:
        """What answers a question that was asked when so much had happened."""
        with self._state:
            kept = self._kept
        if kept is None or kept.generation < asked_in:
            return None
        if self._clock() - kept.began_at_s >= self._ttl_s or self._read_watched() != kept.nodes:
            return None
        return kept.snapshot

    def current_blocking(self) -> ProbeSnapshot:
        """A fresh snapshot; runs the probe in this thread, or waits for the one that runs."""
        with self._state:
            asked_in = self._generation
        return self._find_answer(asked_in)

    def _find_answer(self, asked_in: int) -> ProbeSnapshot:
        if (kept := self._peek(asked_in)) is not None:
            self._look_ahead()
            return kept
        with self._one_at_a_time:
            if (kept := self._peek(asked_in)) is not None:
                return kept
            looks = 0
            while (snapshot := self._look()) is None:
                looks += 1
                if looks == MAX_LOOKS:
                    return refuse_unsettled(self._take())
            return snapshot

    async def current(self) -> ProbeSnapshot:
        """As `current_blocking`, without blocking the event loop.

        Cancelled, it ends at once, and the look goes on in a thread that holds up neither a loop nor the end of the
        process: a look may take minutes where a GPU hangs.
        """
        if (kept := self.peek()) is not None:
            self._look_ahead()
            return kept
        return await asyncio.wrap_future(self._ask())

    def _ask(self) -> Future[ProbeSnapshot]:
        """What one thread finds out for all who wait. Cancelling what is running changes nothing."""
        with self._state:
            if self._asking is not None:
                return self._asking
            asking: Future[ProbeSnapshot] = Future()
            self._asking = asking
            asked_in = self._generation
            asking.set_running_or_notify_cancel()
        threading.Thread(target=self._answer, args=(asking, asked_in), name="gpu-probe", daemon=True).start()
        return asking

    def _answer(self, asking: Future[ProbeSnapshot], asked_in: int) -> None:
        try:
            snapshot = self._find_answer(asked_in)
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            self._close(asking)
            asking.set_exception(error)
        else:
            self._close(asking)
            asking.set_result(snapshot)

    def _close(self, asking: Future[ProbeSnapshot]) -> None:
        """Nobody joins an answer that is known: it may be old by the time that they ask."""
        with self._state:
            if self._asking is asking:
                self._asking = None

    def invalidate(self) -> None:
        """The snapshot answers no later question: a worker died, or the GPU faulted. Never waits."""
        with self._state:
            self._asking = None
            self._generation += 1

    async def explain(self, fault: WorkerFault) -> tuple[Cause, ProbeSnapshot]:
        """Why a worker failed on the GPU, told by a look in a fresh child that began after `invalidate`, which is the
        caller's to call when the fault is reported; and what that look saw. Several faults may share one look.
        """
        fresh = await self.current()
        return judge_worker_fault(fault, fresh), fresh

    def _look_ahead(self) -> None:
        """Begin a look in a thread of its own, if the kept snapshot is old enough and was slow to take. Never waits."""
        with self._state:
            kept = self._kept
            if kept is None or self._is_ahead or kept.took_s <= SLOW_LOOK_S:
                return
            if self._clock() - kept.began_at_s < AHEAD * self._ttl_s:
                return
            self._is_ahead = True
        threading.Thread(target=self._renew, name="gpu-probe", daemon=True).start()

    def _renew(self) -> None:
        try:
            with self._one_at_a_time:
                self._look()
        finally:
            with self._state:
                self._is_ahead = False

    def _look(self) -> ProbeSnapshot | None:
        """Probe once and keep it. None: a device node changed meanwhile, so nobody knows what was looked at."""
        with self._state:
            generation = self._generation
        began_at_s, nodes = self._clock(), self._read_watched()
        snapshot = self._take()
        took_s = self._clock() - began_at_s
        with self._state:
            if self._read_watched() != nodes:
                return None
            snapshot = compare_with_past(snapshot, self._last_passed)
            self._kept = _Kept(snapshot, began_at_s, took_s, nodes, generation)
            if has_passed_whole(snapshot):
                self._last_passed = snapshot
        return snapshot


def refuse_unsettled(snapshot: ProbeSnapshot) -> ProbeSnapshot:
    """A look at a host that does not hold still proves nothing; what refused already goes on doing so."""
    if not has_passed_whole(snapshot):
        return snapshot
    cause = Cause.PROBE_INCOMPLETE
    return replace(snapshot, cause=cause, evidence=(UNSETTLED, *snapshot.evidence), remediation=CAUSES[cause].remedies)
