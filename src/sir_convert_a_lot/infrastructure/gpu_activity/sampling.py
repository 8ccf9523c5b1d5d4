"""One job's sampling: a thread that looks at the device until it is told to stop.

Owns the thread, its pace and what is held meanwhile. Whatever goes wrong in a reader becomes the reason why a figure is
missing; nothing is raised into the job. Refuses to know a vendor.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Protocol

from sir_convert_a_lot.domain.gpu_activity import FIGURES, ActivitySample, Reading, sample_of, thin
from sir_convert_a_lot.domain.gpu_facts import Present, Unknown

logger = logging.getLogger(__name__)

INTERVAL_S = 0.1
# Looking may take one part in this many of a core's time; where a look is dear, looks become rarer.
REST_PER_WORK = 50
MOST_HELD = 1024  # samples in memory; then half of them go, and the pace halves
GIVE_UP_AFTER_S = 1.0  # of waiting for a last look that does not come back


class Reader(Protocol):
    """One GPU as this process sees it. `read_from` says where each figure comes from."""

    source: str
    read_from: dict[str, str]

    def read(self) -> Reading: ...


class Looks:
    """Samples, and the last reason for each figure that a look did not have. For one thread at a time."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._began = time.monotonic()
        self.samples: list[ActivitySample] = []
        self.reasons: dict[str, str] = {}
        self.taken = 0

    def look(self) -> bool:
        """Take one; True when the samples held became half as many by it."""
        reading = self._read()
        for figure in FIGURES:
            fact = getattr(reading, figure)
            if not isinstance(fact, Present):
                self.reasons[figure] = fact.reason
        self.samples.append(sample_of(reading, (time.monotonic() - self._began) * 1000))
        self.taken += 1
        if len(self.samples) < MOST_HELD:
            return False
        self.samples = list(thin(self.samples, MOST_HELD // 2))
        return True

    def _read(self) -> Reading:
        try:
            return self._reader.read()
        except Exception as error:  # told in the receipt: evidence may be missing, a job must not fail for it
            reason = f"the reader failed: {type(error).__name__}: {error}"
            if self.reasons.get(FIGURES[0]) != reason:
                logger.warning("GPU activity: %s", reason, exc_info=True)
            return Reading(*(Unknown(reason) for _ in FIGURES))


class Sampler:
    """Looks in a daemon thread between `start` and `stop`, first and last at once. Used once."""

    def __init__(self, reader: Reader, interval_s: float = INTERVAL_S) -> None:
        self.reader = reader
        self.looks = Looks(reader)
        self.stopped: str | None = None
        self._interval_s = interval_s
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gpu-activity", daemon=True)

    def start(self) -> None:
        try:
            self._thread.start()
        except RuntimeError as error:  # no thread to be had
            self.stopped = f"no sample was taken: {error}"

    def stop(self) -> bool:
        """Ask for the last look and wait for it; False when it does not come back."""
        self._end.set()
        if self.stopped is None:
            self._thread.join(GIVE_UP_AFTER_S)
            if self._thread.is_alive():
                self.stopped = f"a reading had not come back {GIVE_UP_AFTER_S:g} s after the end of the job"
        return self.stopped is None

    def _run(self) -> None:
        while True:
            is_last = self._end.is_set()
            spent_s = -time.thread_time()
            if self.looks.look():
                self._interval_s *= 2
            spent_s += time.thread_time()
            if is_last:
                return
            self._end.wait(max(self._interval_s, REST_PER_WORK * spent_s))
