"""What every route needs, built once and handed in.

Owns the shape of that bundle. Refuses to build its parts: `bootstrap` does, and the server passes them on. Routes reach
it through one dependency, never through a module global.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request

from sir_convert_a_lot.application.admit import Admission
from sir_convert_a_lot.application.jobs import Jobs
from sir_convert_a_lot.application.ports import GpuProbe
from sir_convert_a_lot.domain.acceleration_policy import ServerRules
from sir_convert_a_lot.interfaces.http_api.auth import Access
from sir_convert_a_lot.interfaces.http_api.metrics import Metrics
from sir_convert_a_lot.interfaces.http_api.rate_limits import RequestRates
from sir_convert_a_lot.interfaces.http_api.upload import UploadLimits

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ApiContext:
    """The use cases, the rules and the limits behind the routes. `stopping` is set when the service is told to stop."""

    admission: Admission
    jobs: Jobs
    new_upload_path: Callable[[], Path]  # blocking
    probe: GpuProbe
    rules: ServerRules
    uploads: UploadLimits
    max_inline_bytes: int  # of Markdown inside a JSON answer
    access: Access
    rates: RequestRates
    is_healthy: Callable[[], Awaitable[bool]]
    revision: str | None = None  # the commit that the service was started from
    metrics: Metrics = field(default_factory=Metrics)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait_unless_stopping(self, waiting: Coroutine[Any, Any, T]) -> T | None:
        """What `waiting` gives, or None once the service is told to stop: a waiting client must not hold it up."""
        work = asyncio.ensure_future(waiting)
        stop = asyncio.ensure_future(self.stopping.wait())
        try:
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            return work.result() if work.done() else None
        finally:
            work.cancel()
            stop.cancel()


async def read_context(request: Request) -> ApiContext:
    """The bundle that `create_app` was given."""
    context: ApiContext = request.app.state.context
    return context


Context = Annotated[ApiContext, Depends(read_context)]
