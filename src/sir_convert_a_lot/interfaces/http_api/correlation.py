"""One id per request: taken from `X-Correlation-ID` when it is sane, else made; on the answer and in every log line.

Owns the id, the access log line and the request's figures in the metrics. An id that could break a log line or a header
is not taken over.
"""

from __future__ import annotations

import re
import time
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from ulid import ULID

from sir_convert_a_lot.interfaces.http_api.head_as_get import asked_method
from sir_convert_a_lot.interfaces.http_api.metrics import Metrics

HEADER = "X-Correlation-ID"
SANE = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
QUIET_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})

log = structlog.get_logger(__name__)


def current_correlation_id() -> str:
    """The id of the request that is being answered."""
    return str(structlog.contextvars.get_contextvars().get("correlation_id", "corr_none"))


def choose_correlation_id(given: str | None) -> str:
    """`given` when it is short and printable without surprises, else a new one."""
    return given if given is not None and SANE.fullmatch(given) else f"corr_{ULID()}"


class CorrelationMiddleware:
    """Wraps everything else, so that refusals and faults carry the id as well."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        correlation_id = choose_correlation_id(Headers(scope=scope).get(HEADER))
        seen = {"status": 0}

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
                MutableHeaders(scope=message)[HEADER] = correlation_id
            await send(message)

        started = time.perf_counter()
        with structlog.contextvars.bound_contextvars(correlation_id=correlation_id):
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                self._tell(scope, seen["status"], time.perf_counter() - started)

    def _tell(self, scope: Scope, status: int, duration_s: float) -> None:
        route: Any = scope.get("route")
        template = getattr(route, "path", "unmatched")
        method = asked_method(scope)
        self._metrics.count_request(method, template, status, duration_s)
        write = log.debug if scope["path"] in QUIET_PATHS else log.info
        write(
            "request",
            method=method,
            path=scope["path"],
            status=status,  # 0: the client went away before an answer
            duration_ms=round(duration_s * 1000, 1),
        )
