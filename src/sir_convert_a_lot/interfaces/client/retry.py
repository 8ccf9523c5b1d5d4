"""Trying again: what is tried again, how long, and how often.

Owns the budget. Only errors that say "the same request may succeed later" are tried again: an unreachable service, 429
and 503 `service_unavailable`. A 503 `gpu_not_available` is an answer, not a fault, and is never tried again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from sir_convert_a_lot.domain.errors import RetryLaterError

T = TypeVar("T")

# Doubling from a fifth of a second to 5 s: a service on loopback is up within about 2 s, one across a network is not
# asked more often than it can say `Retry-After`.
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0

UNREACHABLE = "unreachable"  # `details.reason` of an error for which nothing answered at all


class Retrier:
    """Calls until it succeeds, the budget is spent or `stop` is set. Thread-safe: one may serve many threads.

    Before the first answer ever the budget is `first_contact_s`: a service that is not there should be told at once.
    """

    def __init__(self, budget_s: float, first_contact_s: float, stop: threading.Event) -> None:
        self._budget_s = budget_s
        self._first_contact_s = first_contact_s
        self._stop = stop
        self._has_answered = False

    def call(self, send: Callable[[], T]) -> T:
        """The result of `send`, or the last `RetryLaterError` when trying again no longer helps."""
        started, pause_s = time.monotonic(), FIRST_PAUSE_S
        while True:
            try:
                result = send()
            except RetryLaterError as error:
                if error.details.get("reason") != UNREACHABLE:
                    self._has_answered = True
                wait_s = pause_s if error.retry_after_s is None else float(error.retry_after_s)
                if time.monotonic() + wait_s > started + self._limit_s() or self._stop.wait(wait_s):
                    raise
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                self._has_answered = True
                return result

    def _limit_s(self) -> float:
        return self._budget_s if self._has_answered else self._first_contact_s
