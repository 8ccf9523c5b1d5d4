"""`POST /v1/convert/jobs`: receive the form, check what can be checked without the machine, hand over to admission.

Owns the order of the first refusals (key, idempotency key, form, size, media type, spec); admission owns the rest.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from sir_convert_a_lot.application.admit import Admitted, Submission
from sir_convert_a_lot.application.ports import IdempotencyScope
from sir_convert_a_lot.domain.errors import IdempotencyKeyMissing, ValidationError
from sir_convert_a_lot.interfaces.http_api.answers import WaitSeconds, answer, document
from sir_convert_a_lot.interfaces.http_api.auth import Owner
from sir_convert_a_lot.interfaces.http_api.context import ApiContext, Context
from sir_convert_a_lot.interfaces.http_api.correlation import current_correlation_id
from sir_convert_a_lot.interfaces.http_api.spec import parse_spec
from sir_convert_a_lot.interfaces.http_api.upload import receive_form
from sir_convert_a_lot.interfaces.http_api.wire import JOBS_PATH, JobBody, write_job_body

IDEMPOTENCY_KEY = "Idempotency-Key"
MAX_KEY_CHARACTERS = 255

router = APIRouter()

# The form is read from the stream, so FastAPI cannot derive this part of the document.
FORM: dict[str, Any] = {
    "parameters": [
        {
            "name": IDEMPOTENCY_KEY,
            "in": "header",
            "required": True,
            "description": "The same key with the same PDF and spec gives the same job for 24 hours.",
            "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARACTERS, "pattern": "^[!-~]+$"},
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "job_spec"],
                    "additionalProperties": False,
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "The PDF"},
                        "job_spec": {"$ref": "#/components/schemas/JobSpec"},
                    },
                },
                "encoding": {
                    "file": {"contentType": "application/pdf"},
                    "job_spec": {"contentType": "application/json"},
                },
            }
        },
    },
}

REPLAY_HEADER = {
    "X-Idempotent-Replay": {
        "description": "`true` when an earlier request with this key made the job",
        "schema": {"type": "string", "enum": ["true"]},
    }
}


@router.post(
    JOBS_PATH,
    operation_id="createJob",
    summary="Submit a PDF",
    response_model=JobBody,
    status_code=202,
    response_description="Queued or running",
    openapi_extra=FORM,
    responses={
        200: {
            "model": JobBody,
            "description": "Ended within `wait_seconds`, or before a replay",
            "headers": REPLAY_HEADER,
        },
        202: {"headers": REPLAY_HEADER},
        **document(
            s400="`validation_error`: the form or its JSON is malformed; `idempotency_key_missing`",
            s409="`idempotency_key_reused_with_different_payload`",
            s413="`payload_too_large`",
            s415="`unsupported_media_type`: the bytes are no PDF, or declared as something else",
            s422="`validation_error`: the spec, by `details.field` and `details.reason`; `pdf_unreadable`",
            s429="`rate_limited`: too many requests, or the queue is full",
            s503="`gpu_not_available`: the GPU is not proven, nothing was stored; `service_unavailable`, "
            "also for models that are not on the server (`details.reason` is `model_weights_missing`)",
        ),
    },
)
async def create_job(request: Request, context: Context, owner: Owner, wait_seconds: WaitSeconds = 0) -> Response:
    key = _read_key(request)
    scope = IdempotencyScope(owner, "POST", JOBS_PATH, key)
    admitted = await _admit(request, context, scope)
    if not admitted.is_replay:
        context.metrics.count_admission(admitted.record.spec.execution.acceleration_policy)
    record = admitted.record
    if wait_seconds > 0 and not record.status.is_terminal:
        waited = await context.wait_unless_stopping(context.jobs.wait_until_terminal(record, wait_seconds))
        record = waited or record
    headers = {"X-Idempotent-Replay": "true"} if admitted.is_replay else {}
    return answer(write_job_body(record), 200 if record.status.is_terminal else 202, headers)


async def _admit(request: Request, context: ApiContext, scope: IdempotencyScope) -> Admitted:
    async with receive_form(request, context.new_upload_path, context.uploads) as form:
        submission = Submission(
            upload=form.upload,
            pdf_sha256=form.pdf_sha256,
            size_bytes=form.size_bytes,
            spec=parse_spec(form.spec_text),
            scope=scope,
            correlation_id=current_correlation_id(),
        )
        return await context.admission.admit(submission)


def _read_key(request: Request) -> str:
    key = request.headers.get(IDEMPOTENCY_KEY, "").strip()
    if not key:
        raise IdempotencyKeyMissing(f"the header {IDEMPOTENCY_KEY} is required")
    if len(key) > MAX_KEY_CHARACTERS or not key.isascii() or not key.isprintable():
        raise ValidationError(
            f"{IDEMPOTENCY_KEY} takes 1 to {MAX_KEY_CHARACTERS} printable ASCII characters",
            details={"field": IDEMPOTENCY_KEY, "reason": "value_not_allowed"},
            http_status=400,
        )
    return key
