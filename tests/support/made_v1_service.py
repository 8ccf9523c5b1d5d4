"""A stand-in for the service on a healthy GPU host: it speaks the v1 API over real HTTP, and no GPU is behind it.

Everything it answers is made by hand after docs/converters/pdf_to_md_service_api_v1.md and `domain/receipt.py`, for
tests alone: the product has no mode that could say any of this.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

JOB_ID = "job_01MADE00000000000000000000"
JOBS = "/v1/convert/jobs"
MARKDOWN = b"# Made\n"
AMD = "0000:03:00.0"
GIB = 1024**3
WORKER_PID = 5_000_000  # no process has it: the kernel gives none above 4,194,304
MOMENT = "2026-01-01T00:00:00Z"


def made_stage(stage: str, device: str = "cuda:0", **changes: Any) -> dict[str, Any]:
    asked = "cpu" if stage in {"page_parsing", "assembly"} else "cuda:0"
    device = "cpu" if asked == "cpu" else device
    return {"stage": stage, "device_asked": asked, "device_used": device, "measured_by": "made by hand"} | changes


def made_receipt(grade: str = "PROVEN", **changes: Any) -> dict[str, Any]:
    """What a service tells of a conversion on one AMD GPU."""
    return {
        "engine": "docling",
        "acceleration_policy": "gpu_required",
        "acceleration_used": "cuda",
        "grade": grade,
        "worker_pid": WORKER_PID,
        "device": {"device": "cuda:0", "pci_id": AMD, "name": "a made GPU"},
        "activity": {"simulated": False, "process_bytes_peak": 3 * GIB},
        "stages": [made_stage(stage) for stage in ("page_parsing", "layout_analysis", "table_structure", "assembly")],
    } | changes


@dataclass
class MadeService:
    """What it answers; a test changes it before it asks. `on_work` hears True as a job begins, and False as it ends."""

    revision: str | None
    health_status: int = 200
    health: dict[str, Any] = field(default_factory=dict)  # over the healthy answer
    is_ready: bool = True
    cause: str | None = None  # of a GPU that is not proven
    acceleration_used: str = "cuda"
    warnings: list[str] = field(default_factory=list)
    receipt: dict[str, Any] | None = field(default_factory=made_receipt)
    refusal: tuple[int, dict[str, Any]] | None = None  # of a job: status and error object
    work_s: float = 0.5
    on_work: Callable[[bool], None] = bool
    port: int = 0
    submitted: list[bytes] = field(default_factory=list)

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        if path == "/healthz":
            healthy = {"api_version": "v1", "status": "ok", "version": "0.1.0", "revision": self.revision}
            return self.health_status, healthy | self.health
        if path == "/readyz":
            return self._readiness()
        if (method, path) == ("POST", JOBS):
            return self._take(body)
        if path == f"{JOBS}/{JOB_ID}":
            return 200, made_job("succeeded")
        if path == f"{JOBS}/{JOB_ID}/result":
            return 200, self._result()
        return 404, {"error": {"code": "job_not_found", "message": path, "retryable": False, "details": {}}}

    def _readiness(self) -> tuple[int, dict[str, Any]]:
        gpu = {"state": "proven" if self.cause is None else "not_proven", "cause": self.cause}
        if self.is_ready:
            return 200, {"api_version": "v1", "status": "ready", "gpu": gpu}
        error = {"code": "gpu_not_available", "message": "made", "retryable": True, "details": {"cause": self.cause}}
        return 503, {"api_version": "v1", "status": "unready", "gpu": gpu, "error": error}

    def _take(self, body: bytes) -> tuple[int, dict[str, Any]]:
        self.submitted.append(body)
        if self.refusal is not None:
            status, error = self.refusal
            return status, {"api_version": "v1", "error": error}
        self.on_work(True)
        time.sleep(self.work_s)
        self.on_work(False)
        return 202, made_job("running")

    def _result(self) -> dict[str, Any]:
        digest = hashlib.sha256(MARKDOWN).hexdigest()
        result = {
            "artifact": {"markdown_filename": "made.md", "size_bytes": len(MARKDOWN), "sha256": digest},
            "conversion_metadata": {
                "backend_used": "docling",
                "acceleration_used": self.acceleration_used,
                "ocr_enabled": False,
                "table_mode": "fast",
                "options_fingerprint": "sha256:made",
            },
            "warnings": self.warnings,
            "execution": self.receipt,
        }
        return {"api_version": "v1", "job_id": JOB_ID, "status": "succeeded", "result": result}


def made_job(status: str) -> dict[str, Any]:
    return {
        "api_version": "v1",
        "job": {
            "job_id": JOB_ID,
            "status": status,
            "created_at": MOMENT,
            "updated_at": MOMENT,
            "source_filename": "made.pdf",
            "progress": {"stage": "assembly", "pages_total": 1, "pages_processed": 1},
        },
    }


@contextmanager
def serving(service: MadeService) -> Iterator[MadeService]:
    """It listens on loopback, at `service.port`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._respond(b"")

        def do_POST(self) -> None:
            self._respond(self.rfile.read(int(self.headers["Content-Length"])))

        def _respond(self, body: bytes) -> None:
            status, answer = service.answer(self.command, self.path.partition("?")[0], body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
