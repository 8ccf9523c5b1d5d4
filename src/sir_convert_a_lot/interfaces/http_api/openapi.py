"""The OpenAPI document: FastAPI's own, with what it cannot derive from a streamed form.

Owns the schema of `job_spec` in the components, the correlation header, and taking out answers that no route gives.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from sir_convert_a_lot.domain.job_spec import JobSpec
from sir_convert_a_lot.interfaces.http_api.correlation import HEADER, SANE

CORRELATION_PARAMETER = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": (
        f"Comes back on the answer and stands in every log line when all of it matches `{SANE.pattern}`; anything else "
        "is replaced by a new `corr_` and a ULID, without a refusal"
    ),
    "schema": {"type": "string"},
}
FRAMEWORK_SCHEMAS = ("HTTPValidationError", "ValidationError")


def document_app(app: FastAPI) -> None:
    """Let `app.openapi()`, and so `/openapi.json`, give the completed document; made once, at the first call."""

    def write_document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(
                get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
            )
        return app.openapi_schema

    app.openapi = write_document  # type: ignore[method-assign] # FastAPI's documented way to extend it


def _complete(document: dict[str, Any]) -> dict[str, Any]:
    schemas = document["components"]["schemas"]
    for name in FRAMEWORK_SCHEMAS:
        schemas.pop(name, None)
    spec = JobSpec.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= spec.pop("$defs")
    schemas["JobSpec"] = spec
    for path in document["paths"].values():
        for operation in path.values():
            _drop_framework_answer(operation["responses"])
            operation.setdefault("parameters", []).append(CORRELATION_PARAMETER)
    return document


def _drop_framework_answer(responses: dict[str, Any]) -> None:
    """FastAPI documents its own 422 for every route with a parameter, also where no value can be refused."""
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]
