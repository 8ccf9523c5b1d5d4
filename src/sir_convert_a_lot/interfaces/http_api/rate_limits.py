"""Requests a minute and key, in a moving window: status reads counted apart from submits and other changes.

Owns which requests count where. The window itself is the library `limits`, kept in memory: the API is one process.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from fastapi import Request

from sir_convert_a_lot.domain.errors import RateLimited
from sir_convert_a_lot.interfaces.http_api.auth import Owner

if TYPE_CHECKING:
    from limits.strategies import MovingWindowRateLimiter

READ_METHODS = frozenset({"GET", "HEAD"})


class RequestRates:
    """`submits` and `reads` a minute and key; 0 means no limit, and then nothing is counted."""

    def __init__(self, submits: int = 0, reads: int = 0) -> None:
        self._amounts = {"submits": submits, "reads": reads}
        self._windows: MovingWindowRateLimiter | None = None

    def count(self, owner: str, method: str) -> None:
        """Count one request. Raises `RateLimited` when it is one too many; a refused request is not counted."""
        kind = "reads" if method in READ_METHODS else "submits"
        amount = self._amounts[kind]
        if amount == 0:
            return
        from limits import RateLimitItemPerMinute

        item = RateLimitItemPerMinute(amount)
        windows = self._open_windows()
        if windows.hit(item, kind, owner):
            return
        free_at = windows.get_window_stats(item, kind, owner).reset_time
        raise RateLimited(
            f"more than {amount} {kind} in a minute with this key",
            details={"reason": "too_many_requests", "counted": kind, "limit_per_minute": amount},
            retry_after_s=max(1, math.ceil(free_at - time.time())),
        )

    def _open_windows(self) -> MovingWindowRateLimiter:
        """Made at the first counted request: a service without limits loads no limiter."""
        if self._windows is None:
            from limits.storage import MemoryStorage
            from limits.strategies import MovingWindowRateLimiter

            self._windows = MovingWindowRateLimiter(MemoryStorage())
        return self._windows


async def count_request(request: Request, owner: Owner) -> None:
    """Dependency of every `/v1` route, after the key."""
    rates: RequestRates = request.app.state.context.rates
    rates.count(owner, request.method)
