"""What the routes share: the JSON answer, the checked job id, the bounded wait, and the documented refusals.

Owns how a wire model becomes bytes and which error statuses a route declares in OpenAPI.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Path, Query
from pydantic import BaseModel
from starlette.responses import Response

from sir_convert_a_lot.domain.errors import JobNotFound
from sir_convert_a_lot.interfaces.http_api.wire import EXAMPLE_ID, ErrorBody

# `job_` and a ULID (Crockford's base 32). Checked before the id reaches a database or a path.
JOB_ID = re.compile(r"job_[0-9A-HJKMNP-TV-Z]{26}")
MAX_WAIT_S = 20

REFUSALS = {
    401: "The API key is missing or wrong: `auth_invalid_api_key`",
    404: "`job_not_found`, or `job_expired` when its retention is over",
    413: "`payload_too_large`",
    422: "A parameter has a value that is not allowed: `validation_error`",
    429: "`rate_limited`; `Retry-After` says when to come back",
    500: "`internal_error`: a bug of ours; the log has the trace under `correlation_id`",
    503: "`service_unavailable`: the job engine or the storage is broken; `Retry-After` says when to come back",
}
ALWAYS = (401, 429, 500, 503)
RETRY_AFTER = {"Retry-After": {"description": "Seconds", "schema": {"type": "integer", "minimum": 1}}}


def answer(body: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The model as JSON, without fields that were never set."""
    content = body.model_dump_json(by_alias=True, exclude_unset=True)
    return Response(content, status, dict(headers or {}), "application/json")


def document(*statuses: int, **words: str) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route: the refusals every `/v1` route can give, and these. `words`: s409="…" for own texts."""
    texts = REFUSALS | {int(name[1:]): text for name, text in words.items()}
    listed = sorted({*ALWAYS, *statuses, *(int(name[1:]) for name in words)})
    return {status: _document_refusal(status, texts[status]) for status in listed}


def document_unkeyed(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The same for routes that need no key."""
    return {status: _document_refusal(status, REFUSALS[status]) for status in (*statuses, 500)}


def _document_refusal(status: int, text: str) -> dict[str, Any]:
    documented: dict[str, Any] = {"model": ErrorBody, "description": text}
    if status in {429, 503}:
        documented["headers"] = RETRY_AFTER
    return documented


async def _check_job_id(job_id: Annotated[str, Path(examples=[EXAMPLE_ID])]) -> str:
    if not JOB_ID.fullmatch(job_id):
        raise JobNotFound("no job has this id", details={"job_id": job_id[:100]})
    return job_id


JobId = Annotated[str, Depends(_check_job_id)]
WaitSeconds = Annotated[
    float, Query(ge=0, le=MAX_WAIT_S, allow_inf_nan=False, description="Hold the answer back for at most so long")
]
