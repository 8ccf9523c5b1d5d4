"""The ASGI application: routes, middleware and error answers put together around the parts it is given.

Owns the order of the layers: HEAD as GET, correlation and metrics, the 500 boundary, error answers, routes.
"""

from __future__ import annotations

from importlib.metadata import version

from fastapi import APIRouter, Depends, FastAPI

from sir_convert_a_lot.interfaces.http_api import create_job, health, job_changes, job_reads, results
from sir_convert_a_lot.interfaces.http_api.auth import require_key
from sir_convert_a_lot.interfaces.http_api.context import ApiContext
from sir_convert_a_lot.interfaces.http_api.correlation import CorrelationMiddleware
from sir_convert_a_lot.interfaces.http_api.errors import FaultBoundary, install_error_answers
from sir_convert_a_lot.interfaces.http_api.head_as_get import HeadAsGet
from sir_convert_a_lot.interfaces.http_api.openapi import document_app
from sir_convert_a_lot.interfaces.http_api.rate_limits import count_request


def create_app(context: ApiContext) -> FastAPI:
    """The whole API around `context`. The caller opens and closes the parts in it."""
    app = FastAPI(
        title="Sir Convert-a-Lot",
        summary="PDF to Markdown: on the GPU provably, or refused with the reason and the remedy.",
        version=version("sir-convert-a-lot"),
        redirect_slashes=False,
        docs_url=None,  # its page loads scripts from elsewhere; /openapi.json is served
        redoc_url=None,
    )
    app.state.context = context
    keyed = APIRouter(dependencies=[Depends(require_key), Depends(count_request)])
    for resource in (create_job, job_reads, job_changes, results):
        keyed.include_router(resource.router)
    app.include_router(keyed)
    app.include_router(health.router)
    install_error_answers(app)
    document_app(app)
    # The last one added is the outermost.
    app.add_middleware(FaultBoundary)
    app.add_middleware(CorrelationMiddleware, metrics=context.metrics)
    app.add_middleware(HeadAsGet)
    return app
