"""Change a job that exists: cancel it, pin it, unpin it."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from sir_convert_a_lot.interfaces.http_api.answers import JobId, answer, document
from sir_convert_a_lot.interfaces.http_api.context import Context
from sir_convert_a_lot.interfaces.http_api.wire import JOBS_PATH, JobBody, write_job_body

router = APIRouter()


@router.post(
    f"{JOBS_PATH}/{{job_id}}/cancel",
    operation_id="cancelJob",
    summary="Cancel a job",
    response_model=JobBody,
    status_code=202,
    response_description="Asked; the worker process is dead within 5 s",
    responses={
        200: {"model": JobBody, "description": "It was canceled already"},
        **document(404, s409="`job_not_cancelable`: it has succeeded or failed"),
    },
)
async def cancel_job(context: Context, job_id: JobId) -> Response:
    canceled = await context.jobs.cancel(job_id)
    return answer(write_job_body(canceled.record), 200 if canceled.was_canceled_before else 202)


def _add_pin_route(action: str, summary: str, *, is_pinned: bool) -> None:
    @router.post(
        f"{JOBS_PATH}/{{job_id}}/{action}",
        operation_id=f"{action}Job",
        summary=summary,
        response_model=JobBody,
        responses=document(404),
    )
    async def set_pinned(context: Context, job_id: JobId) -> Response:
        return answer(write_job_body(await context.jobs.set_pinned(job_id, is_pinned)))


_add_pin_route("pin", "Keep a job's files until it is unpinned", is_pinned=True)
_add_pin_route("unpin", "Let a job's files expire, their time counted from now", is_pinned=False)
