"""Fetch what a job produced: the result as JSON, the Markdown as a file.

Owns the inline limit, ETag and ranges. A range that cannot be understood is ignored, as RFC 9110 asks; one that lies
outside the file is refused.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from starlette.datastructures import Headers
from starlette.responses import Response, StreamingResponse

from sir_convert_a_lot.application.jobs import not_succeeded
from sir_convert_a_lot.domain.errors import InternalError, ResultInlineTooLarge, ValidationError
from sir_convert_a_lot.domain.job import JobRecord, JobStatus, ResultMetadata
from sir_convert_a_lot.interfaces.http_api.answers import JobId, answer, document
from sir_convert_a_lot.interfaces.http_api.context import ApiContext, Context
from sir_convert_a_lot.interfaces.http_api.errors import answer_error
from sir_convert_a_lot.interfaces.http_api.wire import JOBS_PATH, JobBody, ResultBody, write_job_body, write_result

READ_BYTES = 256 * 1024
RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")  # one range; several are answered with the whole file
MARKDOWN = {"text/markdown": {"schema": {"type": "string"}}}

router = APIRouter()


@router.get(
    f"{JOBS_PATH}/{{job_id}}/result",
    operation_id="readResult",
    summary="Read the result",
    response_model=ResultBody,
    responses={
        202: {"model": JobBody, "description": "Not ended yet: the job record"},
        **document(
            404,
            422,
            s409="`job_not_succeeded`: why, in `details`",
            s413="`result_inline_too_large`: fetch `/result/markdown`",
        ),
    },
)
async def read_result(
    context: Context,
    job_id: JobId,
    inline: Annotated[bool, Query(description="Put the Markdown into the answer")] = False,
) -> Response:
    record = await context.jobs.read(job_id)
    if not record.status.is_terminal:
        return answer(write_job_body(record), 202)
    if record.status is not JobStatus.SUCCEEDED:
        raise not_succeeded(record)
    markdown = await _read_inline(context, record) if inline else None
    return answer(write_result(job_id, _made(record), markdown))


async def _read_inline(context: ApiContext, record: JobRecord) -> str:
    size_bytes, limit_bytes = _made(record).size_bytes, context.max_inline_bytes
    if size_bytes > limit_bytes:
        raise ResultInlineTooLarge(
            f"the Markdown has {size_bytes} bytes and at most {limit_bytes} go inline: fetch it as a file",
            details={
                "size_bytes": size_bytes,
                "limit_bytes": limit_bytes,
                "markdown": f"{JOBS_PATH}/{record.job_id}/result/markdown",
            },
        )
    _, path = await context.jobs.find_markdown(record.job_id)
    return (await asyncio.to_thread(path.read_bytes)).decode()


@router.get(
    f"{JOBS_PATH}/{{job_id}}/result/markdown",
    operation_id="readMarkdown",
    summary="Fetch the Markdown",
    response_class=StreamingResponse,
    response_description="The whole file",
    responses={
        200: {"content": MARKDOWN, "headers": {"ETag": {"schema": {"type": "string"}}}},
        206: {"content": MARKDOWN, "description": "The range that was asked for"},
        304: {"description": "The client's copy (`If-None-Match`) is the same"},
        **document(
            404,
            s409="`job_not_succeeded`: it failed, was canceled, or has not ended yet",
            s416="`validation_error`: the range lies outside the file",
        ),
    },
)
async def read_markdown(request: Request, context: Context, job_id: JobId) -> Response:
    record, path = await context.jobs.find_markdown(job_id)
    made = _made(record)
    etag = f'"{made.sha256}"'
    headers = {"ETag": etag, "Accept-Ranges": "bytes", "Cache-Control": "private, no-cache"}
    if _is_same(request.headers, etag):
        return Response(status_code=304, headers=headers)
    size_bytes = made.size_bytes
    wanted = _read_range(request.headers, etag, size_bytes)
    if wanted is None:
        start, end, status = 0, size_bytes, 200
    elif (start := wanted[0]) >= (end := wanted[1]):
        return _refuse_range(size_bytes)
    else:
        status = 206
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size_bytes}"
    headers |= {
        "Content-Length": str(end - start),
        "Content-Disposition": _name_download(made.markdown_filename),
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingResponse(_read_slice(path, start, end), status, headers, "text/markdown; charset=utf-8")


def _made(record: JobRecord) -> ResultMetadata:
    if record.result is None:
        raise InternalError("a succeeded job has no result", details={"job_id": record.job_id})
    return record.result


def _is_same(headers: Headers, etag: str) -> bool:
    given = headers.get("if-none-match", "")
    return any(tag.strip().removeprefix("W/") in {etag, "*"} for tag in given.split(","))


def _read_range(headers: Headers, etag: str, size_bytes: int) -> tuple[int, int] | None:
    """The half-open slice that was asked for; None: the whole file. An empty slice cannot be satisfied."""
    matched = RANGE.fullmatch(headers.get("range", "").strip())
    if matched is None or headers.get("if-range", etag) != etag:
        return None
    first, last = matched.groups()
    if first:
        if last and int(last) < int(first):
            return None
        return int(first), min(int(last) + 1 if last else size_bytes, size_bytes)
    return (max(0, size_bytes - int(last)), size_bytes) if last else None


def _refuse_range(size_bytes: int) -> Response:
    refusal = ValidationError(
        f"the range lies outside the file of {size_bytes} bytes",
        details={"field": "Range", "reason": "out_of_range", "size_bytes": size_bytes},
        http_status=416,
    )
    return answer_error(refusal, {"Content-Range": f"bytes */{size_bytes}"})


def _name_download(filename: str) -> str:
    plain = re.sub(r"[^ !#-\[\]-~]", "_", filename)  # printable ASCII without quote and backslash
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"


async def _read_slice(path: Path, start: int, end: int) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(path.open, "rb")
    try:
        await asyncio.to_thread(file.seek, start)
        while start < end:
            chunk = await asyncio.to_thread(file.read, min(READ_BYTES, end - start))
            if not chunk:
                raise InternalError("the Markdown is shorter than its job says")
            start += len(chunk)
            yield chunk
    finally:
        file.close()
