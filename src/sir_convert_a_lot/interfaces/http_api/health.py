"""`/healthz`, `/readyz` and `/metrics`: for machines that watch, so none needs a key.

Owns when the service is ready: the job engine works, and the GPU is proven where one is promised or the CPU is locked.
"""

from __future__ import annotations

from importlib.metadata import version as version_of

from fastapi import APIRouter
from starlette.responses import Response

from sir_convert_a_lot.domain.acceleration_policy import Readiness, judge_readiness, refuse_readiness
from sir_convert_a_lot.domain.errors import ServiceUnavailable, SirConvertError
from sir_convert_a_lot.domain.job import JobStatus
from sir_convert_a_lot.interfaces.http_api.answers import RETRY_AFTER, answer, document_unkeyed
from sir_convert_a_lot.interfaces.http_api.context import ApiContext, Context
from sir_convert_a_lot.interfaces.http_api.errors import DEFAULT_RETRY_AFTER_S, write_error
from sir_convert_a_lot.interfaces.http_api.metrics import CONTENT_TYPE
from sir_convert_a_lot.interfaces.http_api.wire import Error, GpuState, HealthBody, ReadyBody, UnreadyBody

DISTRIBUTION = "sir-convert-a-lot"
MOST_WORKERS = 64  # `workers` takes no more, and no more jobs can run

router = APIRouter()


@router.get("/healthz", operation_id="checkHealth", summary="The process lives", response_model=HealthBody)
async def check_health(context: Context) -> Response:
    return answer(
        HealthBody(api_version="v1", status="ok", version=version_of(DISTRIBUTION), revision=context.revision)
    )


@router.get(
    "/readyz",
    operation_id="checkReadiness",
    summary="The service keeps what it promises",
    response_model=ReadyBody,
    responses={
        503: {"model": UnreadyBody, "description": "It does not, and why", "headers": RETRY_AFTER},
        **document_unkeyed(),
    },
)
async def check_readiness(context: Context) -> Response:
    snapshot = await context.probe.current()
    readiness = judge_readiness(snapshot, context.rules)
    healthy = await context.is_healthy()
    _note(context, readiness, healthy=healthy)
    gpu = GpuState(state=readiness.state, cause=readiness.cause)
    if healthy and readiness.is_ready:
        return answer(ReadyBody(api_version="v1", status="ready", gpu=gpu))
    refusal: SirConvertError
    if not healthy:
        refusal = ServiceUnavailable(
            "the job engine is broken", details={"cause": "engine_broken"}, retry_after_s=DEFAULT_RETRY_AFTER_S
        )
    else:
        refusal = refuse_readiness(snapshot, context.rules)
    error = Error(**write_error(refusal)["error"])
    body = UnreadyBody(api_version="v1", status="unready", gpu=gpu, error=error)
    return answer(body, 503, {"Retry-After": str(refusal.retry_after_s)})


@router.get(
    "/metrics",
    operation_id="readMetrics",
    summary="Figures in the Prometheus text format",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **document_unkeyed(503)},
)
async def read_metrics(context: Context) -> Response:
    readiness = judge_readiness(await context.probe.current(), context.rules)
    healthy = await context.is_healthy()
    _note(context, readiness, healthy=healthy)
    if healthy:
        await _note_jobs(context)
    return Response(context.metrics.render(), media_type=CONTENT_TYPE)


def _note(context: ApiContext, readiness: Readiness, *, healthy: bool) -> None:
    context.metrics.note_gpu(readiness)
    context.metrics.note_health(healthy=healthy)


async def _note_jobs(context: ApiContext) -> None:
    """Only live jobs: there are few, while counting all that ended would read the whole database at each scrape."""
    queued = await context.jobs.count_queued()
    running = await context.jobs.list_jobs(JobStatus.RUNNING, MOST_WORKERS, None)
    context.metrics.note_jobs(queued=queued, running=len(running.records))
