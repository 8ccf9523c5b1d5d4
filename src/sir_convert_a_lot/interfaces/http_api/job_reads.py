"""Read jobs: one, as a stream of events, or as a list, newest first.

Owns long-polling and the event stream. Both end when the service is told to stop.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import Response

from sir_convert_a_lot.domain.errors import SirConvertError
from sir_convert_a_lot.domain.job import JobRecord, JobStatus
from sir_convert_a_lot.interfaces.http_api.answers import JobId, WaitSeconds, answer, document
from sir_convert_a_lot.interfaces.http_api.context import ApiContext, Context
from sir_convert_a_lot.interfaces.http_api.errors import write_error
from sir_convert_a_lot.interfaces.http_api.wire import (
    JOBS_PATH,
    JobBody,
    JobListBody,
    write_job,
    write_job_body,
)

HEARTBEAT_S = 5  # a comment line, so that proxies keep a quiet stream open
EVENT_WAIT_S = 20.0
MAX_LISTED = 200
# For readers of the document. The engine that wrote a cursor also checks it: not every text of this form is one.
CURSOR: dict[str, Any] = {"pattern": "^[0-9]{1,15}-[0-9A-Za-z_]{1,64}$", "maxLength": 80}

router = APIRouter()


@router.get(
    f"{JOBS_PATH}/{{job_id}}",
    operation_id="readJob",
    summary="Read a job",
    response_model=JobBody,
    responses=document(404, 422),
)
async def read_job(context: Context, job_id: JobId, wait_seconds: WaitSeconds = 0) -> Response:
    """With `wait_seconds`, the answer comes as soon as status, stage or pages change."""
    record = await context.jobs.read(job_id)
    if wait_seconds > 0 and not record.status.is_terminal:
        record = await context.wait_unless_stopping(context.jobs.wait_for_change(record, wait_seconds)) or record
    return answer(write_job_body(record))


@router.get(
    f"{JOBS_PATH}/{{job_id}}/events",
    operation_id="streamJob",
    summary="Follow a job",
    response_class=Response,  # documented below: a schema would have to describe the stream as one string
    response_description="Server-sent events named `job`, each with the job record; ends after a terminal one",
    responses={
        200: {"content": {"text/event-stream": {}}},
        **document(404),
    },
)
async def stream_job(context: Context, job_id: JobId) -> Response:
    first = await context.jobs.read(job_id)
    return EventSourceResponse(_follow(context, first), ping=HEARTBEAT_S, headers={"X-Accel-Buffering": "no"})


async def _follow(context: ApiContext, record: JobRecord) -> AsyncIterator[ServerSentEvent]:
    yield _write_event(record)
    while not record.status.is_terminal and not context.stopping.is_set():
        try:
            newer = await context.wait_unless_stopping(context.jobs.wait_for_change(record, EVENT_WAIT_S))
        except SirConvertError as error:  # the answer has begun, so the error travels as an event
            yield ServerSentEvent(event="error", data=_to_json(write_error(error)))
            return
        if newer is not None and newer != record:
            record = newer
            yield _write_event(record)


def _write_event(record: JobRecord) -> ServerSentEvent:
    return ServerSentEvent(event="job", data=write_job_body(record).model_dump_json(by_alias=True, exclude_unset=True))


def _to_json(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))


@router.get(
    JOBS_PATH,
    operation_id="listJobs",
    summary="List jobs, newest first",
    response_model=JobListBody,
    responses=document(422),
)
async def list_jobs(
    context: Context,
    status: Annotated[JobStatus | None, Query(description="Only jobs in this state")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LISTED)] = 50,
    cursor: Annotated[
        str | None, Query(description="`next_cursor` of the page before", json_schema_extra=CURSOR)
    ] = None,
) -> Response:
    page = await context.jobs.list_jobs(status, limit, cursor)
    body = JobListBody(
        api_version="v1", jobs=[write_job(record) for record in page.records], next_cursor=page.next_cursor
    )
    return answer(body)
