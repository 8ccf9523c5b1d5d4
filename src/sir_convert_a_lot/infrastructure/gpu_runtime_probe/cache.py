"""The cached probe: one snapshot for many requests, and never an old one for a new question.

Owns the age of a snapshot and that one probe runs at a time. Refuses to look itself: it is given the probe.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

from sir_convert_a_lot.domain.gpu_facts import ProbeSnapshot
from sir_convert_a_lot.infrastructure.gpu_runtime_probe import probe

TTL_S = 60.0


class CachedProbe:
    """`current` gives a snapshot younger than `ttl_s`; safe in any thread and any event loop.

    Callers that come while a probe runs wait for that one. After `invalidate` no caller gets a snapshot whose probe
    began before it: one under way is run again. When the probe raises, so does `current`, and nothing is kept.
    """

    def __init__(
        self,
        take: Callable[[], ProbeSnapshot] = probe,
        *,
        ttl_s: float = TTL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._take = take
        self._ttl_s = ttl_s
        self._clock = clock
        self._one_at_a_time = threading.Lock()
        self._state = threading.Lock()  # guards the three below; held for moments only
        self._snapshot: ProbeSnapshot | None = None
        self._began_at_s = 0.0
        self._generation = 0

    def peek(self) -> ProbeSnapshot | None:
        """The kept snapshot while it is fresh, else None. Never waits."""
        with self._state:
            is_fresh = self._clock() - self._began_at_s < self._ttl_s
            return self._snapshot if is_fresh else None

    def current_blocking(self) -> ProbeSnapshot:
        """A fresh snapshot; runs the probe in this thread, or waits for the one that runs."""
        while True:
            if (kept := self.peek()) is not None:
                return kept
            with self._one_at_a_time:
                if (kept := self.peek()) is not None:
                    return kept
                with self._state:
                    generation, began_at_s = self._generation, self._clock()
                snapshot = self._take()
                with self._state:
                    if generation == self._generation:
                        self._snapshot, self._began_at_s = snapshot, began_at_s
                        return snapshot

    async def current(self) -> ProbeSnapshot:
        """As `current_blocking`, without blocking the event loop: the probe runs in a thread."""
        kept = self.peek()
        return kept if kept is not None else await asyncio.to_thread(self.current_blocking)

    def invalidate(self) -> None:
        """Forget the snapshot: a worker died, the GPU faulted, a device node changed. Never waits."""
        with self._state:
            self._snapshot = None
            self._generation += 1
