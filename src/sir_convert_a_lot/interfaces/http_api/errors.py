"""Every error as the contract writes it: one place turns a domain error into an answer.

Owns the error body, `Retry-After`, and the last catch that answers 500 and logs the trace. Refuses to decide anything:
codes and statuses come with the error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sir_convert_a_lot.domain.errors import InternalError, SirConvertError, ValidationError
from sir_convert_a_lot.interfaces.http_api.correlation import current_correlation_id
from sir_convert_a_lot.interfaces.http_api.head_as_get import HeadAsGet
from sir_convert_a_lot.interfaces.http_api.spec import name_field, name_reason

DEFAULT_RETRY_AFTER_S = 5

log = structlog.get_logger(__name__)


def write_error(error: SirConvertError) -> dict[str, Any]:
    """The body of an error answer."""
    return {
        "api_version": "v1",
        "error": {
            "code": error.code,
            "message": error.message,
            "retryable": error.retryable,
            "details": error.details,
            "correlation_id": current_correlation_id(),
        },
    }


def answer_error(error: SirConvertError, headers: Mapping[str, str] | None = None) -> Response:
    """The error as an HTTP answer; with `Retry-After` where waiting helps."""
    sent = dict(headers or {})
    if error.retryable and error.status in {429, 503}:
        sent["Retry-After"] = str(error.retry_after_s or DEFAULT_RETRY_AFTER_S)
    # Escaped to ASCII, so that half a surrogate pair in an echoed field name cannot break the answer.
    content = json.dumps(write_error(error), separators=(",", ":")).encode("ascii")
    return Response(content, error.status, sent, "application/json")


def install_error_answers(app: FastAPI) -> None:
    """Make domain errors, unknown routes, wrong methods and wrong parameters answer in the one shape."""
    app.add_exception_handler(SirConvertError, _answer_domain_error)
    app.add_exception_handler(RequestValidationError, _answer_bad_parameter)
    app.add_exception_handler(HTTPException, _answer_framework_error)


async def _answer_domain_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, SirConvertError)  # noqa: S101 - registered for this type alone
    request.app.state.context.metrics.count_refusal(error)
    if error.status >= 500:
        log.warning("refused", code=error.code, message=error.message, details=error.details)
    else:
        log.info("refused", code=error.code, message=error.message)
    return answer_error(error, {"Connection": "close"} if error.details.get("reason") == "upload_stalled" else None)


async def _answer_bad_parameter(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this type alone
    first = error.errors()[0]
    field = name_field(first["loc"][1:])
    return await _answer_domain_error(
        request,
        ValidationError(
            f"parameter {field}: {first['msg']}", details={"field": field, "reason": name_reason(first["type"])}
        ),
    )


async def _answer_framework_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this type alone
    headers: dict[str, str] = {}
    if error.status_code == 405:
        allowed = sorted(_methods_of(request))
        headers["Allow"] = ", ".join(allowed)
        refusal = ValidationError(
            f"{request.method} is not possible here",
            details={"reason": "method_not_allowed", "allowed": allowed},
            http_status=405,
        )
    else:
        refusal = ValidationError(
            "this service has no such route" if error.status_code == 404 else str(error.detail),
            details={"reason": "unknown_route" if error.status_code == 404 else "bad_request"},
            http_status=error.status_code,
        )
    request.app.state.context.metrics.count_refusal(refusal)
    return answer_error(refusal, headers)


def _methods_of(request: Request) -> set[str]:
    """All methods that some route takes at this path; the framework names only those of the first."""
    found = {
        method
        for method in ("GET", "POST")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    }
    return found | ({"HEAD"} if "GET" in found and HeadAsGet.applies_to(request.scope["path"]) else set())


class FaultBoundary:
    """The last catch of the HTTP interface: whatever is no domain error becomes a 500 with its trace in the log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_started = False

        async def send_and_note(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except ClientDisconnect:
            log.info("client_went_away", path=scope["path"])
        except Exception:  # one of the three broad catches: nobody above could answer
            log.exception("fault", path=scope["path"], answer_had_started=has_started)
            if has_started:
                raise  # the server closes the connection: half an answer must not look whole
            fault = InternalError("an internal error; the log has the details under this correlation id")
            await answer_error(fault)(scope, receive, send)
