"""Wake whoever waits for a job to change, at once and in process.

Owns the waiting. Carries no state: whoever is woken reads the record again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress
from typing import Self


class Changes:
    """Belongs to one event loop."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def listen(self, job_id: str) -> Listener:
        return Listener(self._waiting, job_id)

    def announce(self, job_id: str) -> None:
        for event in self._waiting.get(job_id, ()):
            event.set()


class Listener:
    """Changes announced after it was made are not missed, even while nobody awaits it. Use it in a `with`."""

    def __init__(self, waiting: defaultdict[str, set[asyncio.Event]], job_id: str) -> None:
        self._waiting = waiting
        self._job_id = job_id
        self._event = asyncio.Event()

    def __enter__(self) -> Self:
        self._waiting[self._job_id].add(self._event)
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting[self._job_id].discard(self._event)
        if not self._waiting[self._job_id]:
            del self._waiting[self._job_id]

    async def next(self, timeout_s: float) -> None:
        """Return at the next change, or after `timeout_s`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        self._event.clear()
