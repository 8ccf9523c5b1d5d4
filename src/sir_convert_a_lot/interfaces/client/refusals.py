"""An answer that is no success becomes the domain error of its code.

Owns the way back from the wire to `domain/errors.py`, by code and never by message text. Refuses to retry or to print.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sir_convert_a_lot.domain.errors import ExitCode, ServiceUnavailable, SirConvertError, find_kind

if TYPE_CHECKING:
    import httpx

SHA256_MISMATCH = "sha256_mismatch"  # `details.reason` when a download is not what its result promised


class UnrecognisedAnswer(SirConvertError):
    """What answered does not speak the v1 contract, so nothing can be told about the request."""

    exit_code = ExitCode.UNKNOWN


def error_from_response(response: httpx.Response) -> SirConvertError:
    """The domain error an answer stands for. `details` gain `correlation_id`, to be found again in the server's log."""
    body = _json_object(response)
    error = body.get("error")
    if not isinstance(error, dict) or not isinstance(error.get("code"), str):
        return _error_without_object(response)
    details = error["details"] if isinstance(error.get("details"), dict) else {}
    if isinstance(error.get("correlation_id"), str):
        details = {**details, "correlation_id": error["correlation_id"]}
    return error_from_code(
        error["code"],
        str(error.get("message", "")),
        details,
        http_status=response.status_code,
        retry_after_s=_retry_after_s(response),
    )


def error_from_code(
    code: str,
    message: str,
    details: dict[str, Any],
    *,
    http_status: int | None = None,
    retry_after_s: int | None = None,
) -> SirConvertError:
    """The domain error of `code`; `UnrecognisedAnswer` for a code that this version does not know."""
    kind = find_kind(code, details)
    if kind is None:
        return UnrecognisedAnswer(
            f"the service answered with the unknown code {code!r}: {message}", details={**details, "code": code}
        )
    return kind(message, details=details, http_status=http_status, retry_after_s=retry_after_s)


def _error_without_object(response: httpx.Response) -> SirConvertError:
    """No error object: a proxy in front answered, or something that is no such service."""
    told = f"HTTP {response.status_code} from {response.request.url} without the API's error object"
    details = {"http_status": response.status_code, "body": response.text[:200]}
    if response.status_code in {502, 503, 504}:
        return ServiceUnavailable(told, details=details, retry_after_s=_retry_after_s(response))
    return UnrecognisedAnswer(told, details=details)


def _json_object(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _retry_after_s(response: httpx.Response) -> int | None:
    """Whole seconds; the date form of `Retry-After` is not used by this API."""
    value = response.headers.get("Retry-After", "")
    return int(value) if value.isdecimal() else None
