"""A small stand-in for the service: it speaks the v1 contract over real HTTP and can be told to misbehave, which a
healthy service cannot.

Owns the jobs it pretends to have. Converts nothing. `tests/e2e/conftest.py` runs it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sir_convert_a_lot.interfaces.cli.manifest import MANIFEST_NAME


class StandIn:
    """A service whose jobs end as the file name says: `endless`, `failing`, `succeeding` (anything else)."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.keys: dict[str, str] = {}
        self.refusals: list[Response] = []  # answers to the next submits, before any job is made
        self.most_jobs = 1000
        self.submits = 0
        self.cancels: list[str] = []
        self.ignores_cancel = False
        self.damages_markdown = False
        self.api_key: str | None = None
        path = "/v1/convert/jobs"
        self.app = Starlette(
            routes=[
                Route(path, self.submit, methods=["POST"]),
                Route(path + "/{job_id}", self.status),
                Route(path + "/{job_id}/cancel", self.cancel, methods=["POST"]),
                Route(path + "/{job_id}/result", self.result),
                Route(path + "/{job_id}/result/markdown", self.markdown),
            ]
        )

    def record(self, job_id: str) -> dict[str, Any]:
        job = self.jobs[job_id]
        progress = {"stage": "ocr", "pages_total": 3, "pages_processed": 1, "mood": "calm"}
        return {
            "api_version": "v1",
            "a_field_of_next_year": [1, 2],
            "job": {
                "job_id": job_id,
                "status": job["status"],
                "created_at": "2026-01-01T00:00:00Z",
                "updated_at": "2026-01-01T00:00:00Z",
                "source_filename": job["name"],
                "progress": progress,
                "links": {},
            },
        }

    async def submit(self, request: Request) -> Response:
        self.submits += 1
        if self.api_key is not None and request.headers.get("X-API-Key") != self.api_key:
            return refusal(401, "auth_invalid_api_key")
        if self.refusals:
            return self.refusals.pop(0)
        async with request.form() as form:
            content = await form["file"].read()  # type: ignore[union-attr]
            name = json.loads(str(form["job_spec"]))["source"]["filename"]
        key = request.headers["Idempotency-Key"]
        if key in self.keys:
            return JSONResponse(self.record(self.keys[key]), 202, {"X-Idempotent-Replay": "true"})
        if len(self.jobs) >= self.most_jobs:
            return refusal(413, "payload_too_large")
        job_id = f"job_{len(self.jobs) + 1:026d}"
        status = "running" if "endless" in name else "failed" if "failing" in name else "succeeded"
        self.jobs[job_id] = {
            "name": name,
            "status": status,
            "markdown": b"# " + hashlib.sha256(content).hexdigest().encode(),
        }
        self.keys[key] = job_id
        return JSONResponse(self.record(job_id), 202)

    async def status(self, request: Request) -> Response:
        job_id = request.path_params["job_id"]
        return JSONResponse(self.record(job_id)) if job_id in self.jobs else refusal(404, "job_not_found")

    async def cancel(self, request: Request) -> Response:
        job_id = request.path_params["job_id"]
        self.cancels.append(job_id)
        if not self.ignores_cancel:
            self.jobs[job_id]["status"] = "canceled"
        return JSONResponse(self.record(job_id), 202)

    async def result(self, request: Request) -> Response:
        job_id = request.path_params["job_id"]
        job = self.jobs[job_id]
        if job.get("is_expired"):
            return refusal(404, "job_expired")
        if job["status"] == "running":
            return JSONResponse(self.record(job_id), 202)
        if job["status"] != "succeeded":
            failure = {"failure_code": "pdf_unreadable", "failure_message": "page tree is damaged", "retryable": False}
            return refusal(409, "job_not_succeeded", {"status": job["status"], **failure})
        artifact = {
            "markdown_filename": Path(job["name"]).stem + ".md",
            "size_bytes": len(job["markdown"]),
            "sha256": hashlib.sha256(job["markdown"]).hexdigest(),
        }
        metadata = {"backend_used": "builtin", "acceleration_used": "cpu", "options_fingerprint": "sha256:0"}
        result = {"artifact": artifact, "conversion_metadata": metadata, "warnings": ["a page is empty"], "new": {}}
        return JSONResponse({"api_version": "v1", "job_id": job_id, "status": "succeeded", "result": result})

    async def markdown(self, request: Request) -> Response:
        content = self.jobs[request.path_params["job_id"]]["markdown"]
        return Response(content[:-1] if self.damages_markdown else content, media_type="text/markdown")


def refusal(
    status: int, code: str, details: dict[str, Any] | None = None, retry_after_s: int | None = None
) -> Response:
    error = {"code": code, "message": f"told {code}", "retryable": status in {429, 503}, "details": details or {}}
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    return JSONResponse({"api_version": "v1", "error": {**error, "correlation_id": "corr_7"}}, status, headers)


def write_pdf(folder: Path, name: str, content: str = "") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"%PDF-1.4 {content or name}")
    return path


def manifest_of(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / MANIFEST_NAME).read_bytes())["entries"]  # type: ignore[no-any-return]
