"""A broken engine, a broken storage and a bug of ours: 503, 503 and 500, told apart, in the shape of every error.

These cannot be brought about from outside, so the application is built around parts that fail. The parts are written
against the ports; nothing of ours is patched.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from sir_convert_a_lot.application.admit import Admission, AdmissionLimits
from sir_convert_a_lot.application.jobs import Jobs
from sir_convert_a_lot.application.ports import Inspection, JobPage, JobRequest
from sir_convert_a_lot.domain.acceleration_policy import ServerRules
from sir_convert_a_lot.domain.errors import ServiceUnavailable
from sir_convert_a_lot.domain.gpu_causes import Cause
from sir_convert_a_lot.domain.gpu_facts import ProbeSnapshot
from sir_convert_a_lot.domain.job import JobRecord, JobStatus
from sir_convert_a_lot.domain.job_spec import Conversion
from sir_convert_a_lot.interfaces.http_api.app import create_app
from sir_convert_a_lot.interfaces.http_api.auth import Access
from sir_convert_a_lot.interfaces.http_api.context import ApiContext
from sir_convert_a_lot.interfaces.http_api.rate_limits import RequestRates
from sir_convert_a_lot.interfaces.http_api.upload import UploadLimits

ID = "job_01K2S8CXH3BWV7S6E5B7P4Y2ZR"


@pytest.fixture(autouse=True, scope="module")
def _plain_logs() -> Iterator[None]:
    """As the service logs; structlog's own default draws traces with every variable, which takes seconds."""
    structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()])
    yield
    structlog.reset_defaults()


class FailingEngine:
    """A job engine whose every method raises `error`; with `None`, one that has forgotten every job."""

    def __init__(self, error: Exception | None) -> None:
        self._error = error or AssertionError("not expected to be called")
        self._has_forgotten = error is None

    async def submit(self, request: JobRequest) -> None:
        raise self._error

    async def read(self, job_id: str) -> JobRecord | None:
        if self._has_forgotten:
            return None
        raise self._error

    async def list_jobs(self, status: JobStatus | None, limit: int, cursor: str | None) -> JobPage:
        raise self._error

    async def cancel(self, job_id: str) -> None:
        raise self._error

    async def wait_for_change(self, seen: JobRecord, timeout_s: float) -> JobRecord | None:
        raise self._error

    async def count_queued(self) -> int:
        return 0

    def on_end(self, tell: Callable[[JobRecord], None]) -> None:
        return None

    async def list_ended_before(self, moment: datetime, limit: int, offset: int = 0) -> list[JobRecord]:
        raise self._error

    async def forget(self, job_ids: Any) -> None:
        raise self._error

    async def find_unknown(self, job_ids: Any) -> set[str]:
        raise self._error


class FlatFiles:
    """Uploads under one folder; keeping one raises `error` when there is one."""

    def __init__(self, folder: Path, error: OSError | None) -> None:
        self._folder = folder
        self._error = error

    def new_upload_path(self) -> Path:
        return self._folder / "upload.pdf"

    def keep_upload(self, job_id: str, upload: Path) -> None:
        if self._error is not None:
            raise self._error
        upload.rename(self._folder / job_id)

    def drop_job(self, job_id: str) -> None:
        (self._folder / job_id).unlink(missing_ok=True)

    def __getattr__(self, name: str) -> Any:
        raise NotImplementedError(name)


class EmptyLedger:
    """Knows no key; grants every claim; every job it is asked about has expired."""

    def find_key(self, scope: Any) -> None:
        return None

    def claim_key(self, scope: Any, entry: Any, ttl_s: int) -> Any:
        return entry

    def release_key(self, scope: Any, job_id: str) -> None:
        return None

    def is_buried(self, job_id: str) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        raise NotImplementedError(name)


class Inspector:
    """Every PDF has one page, or opening it raises `error`."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    async def inspect(self, pdf: Path) -> Inspection:
        if self._error is not None:
            raise self._error
        return Inspection(pages_total=1, problem=None)


class NoModels:
    """Nothing is missing, since nothing is needed."""

    async def require(self, engine: str, device: str, conversion: Conversion) -> None:
        return None


class EmptyProbe:
    """A machine without a GPU."""

    async def current(self) -> ProbeSnapshot:
        return ProbeSnapshot("probe", datetime.now(UTC), (), Cause.NO_GPU_HARDWARE, (), ())


Ask = Callable[..., httpx.Response]


def build_ask(
    folder: Path,
    engine_error: Exception | None,
    storage_error: OSError | None = None,
    inspector_error: Exception | None = None,
) -> Ask:
    """A function that sends one request to an application whose parts fail."""
    engine, files, ledger, probe = (
        FailingEngine(engine_error),
        FlatFiles(folder, storage_error),
        EmptyLedger(),
        EmptyProbe(),
    )
    rules = ServerRules()
    admission = Admission(
        jobs=engine,
        files=files,
        ledger=ledger,
        inspector=Inspector(inspector_error),
        models=NoModels(),
        probe=probe,
        rules=rules,
        installed=frozenset({"builtin"}),
        limits=AdmissionLimits(max_queued_jobs=10, idempotency_ttl_s=60),
        new_job_id=lambda: ID,
        now=lambda: datetime.now(UTC),
    )

    async def is_healthy() -> bool:
        return False

    context = ApiContext(
        admission=admission,
        jobs=Jobs(engine, files, ledger),
        new_upload_path=files.new_upload_path,
        probe=probe,
        rules=rules,
        uploads=UploadLimits(file_bytes=1000, idle_s=0.05),
        max_inline_bytes=1000,
        access=Access(None),
        rates=RequestRates(),
        is_healthy=is_healthy,
    )

    async def send(method: str, path: str, **given: Any) -> httpx.Response:
        transport = httpx.ASGITransport(create_app(context))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **given)

    return lambda *arguments, **given: asyncio.run(send(*arguments, **given))


def submit(ask: Ask, spec: dict[str, Any]) -> httpx.Response:
    files = {"file": ("a.pdf", b"%PDF-1.4"), "job_spec": (None, json.dumps(spec))}
    return ask("POST", "/v1/convert/jobs", headers={"Idempotency-Key": "k"}, files=files)


def check_error(answer: httpx.Response, status: int, code: str, *, retryable: bool) -> None:
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["retryable"]) == (status, code, retryable)
    assert error["correlation_id"] == answer.headers["X-Correlation-ID"]
    assert ("Retry-After" in answer.headers) == retryable


ACCESSES = [
    ("GET", f"/v1/convert/jobs/{ID}"),
    ("GET", "/v1/convert/jobs"),
    ("GET", f"/v1/convert/jobs/{ID}/events"),
    ("GET", f"/v1/convert/jobs/{ID}/result"),
    ("GET", f"/v1/convert/jobs/{ID}/result/markdown"),
    ("POST", f"/v1/convert/jobs/{ID}/cancel"),
    ("POST", f"/v1/convert/jobs/{ID}/pin"),
]


@pytest.mark.parametrize(("method", "path"), ACCESSES)
def test_a_broken_engine_is_503_and_never_429(tmp_path: Path, method: str, path: str) -> None:
    ask = build_ask(tmp_path, ServiceUnavailable("the database does not answer", retry_after_s=5))
    check_error(ask(method, path), 503, "service_unavailable", retryable=True)


def test_a_submission_to_a_broken_engine_leaves_nothing(tmp_path: Path, spec: Any) -> None:
    ask = build_ask(tmp_path, ServiceUnavailable("the database does not answer", retry_after_s=5))
    check_error(submit(ask, spec()), 503, "service_unavailable", retryable=True)
    assert list(tmp_path.iterdir()) == []


def test_a_storage_that_takes_no_upload_is_503(tmp_path: Path, spec: Any) -> None:
    ask = build_ask(tmp_path / "missing", RuntimeError("not reached"))
    check_error(submit(ask, spec()), 503, "service_unavailable", retryable=True)


def test_a_storage_that_takes_no_job_is_503_and_leaves_nothing(tmp_path: Path, spec: Any) -> None:
    ask = build_ask(tmp_path, RuntimeError("not reached"), OSError(28, "No space left on device"))
    check_error(submit(ask, spec()), 503, "service_unavailable", retryable=True)
    assert list(tmp_path.iterdir()) == []


def test_a_timeout_elsewhere_is_not_called_a_broken_storage(tmp_path: Path, spec: Any) -> None:
    """`TimeoutError` is an `OSError`."""
    ask = build_ask(tmp_path, RuntimeError("not reached"), inspector_error=TimeoutError())
    check_error(submit(ask, spec()), 500, "internal_error", retryable=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("method", "path"), ACCESSES)
def test_a_bug_is_a_500_that_tells_nothing_of_the_inside(tmp_path: Path, method: str, path: str) -> None:
    answer = build_ask(tmp_path, RuntimeError("secret of the inside"))(method, path)
    check_error(answer, 500, "internal_error", retryable=False)
    assert "secret" not in answer.text


def test_a_broken_engine_makes_the_service_unready_and_the_metrics_say_so(tmp_path: Path) -> None:
    ask = build_ask(tmp_path, ServiceUnavailable("the database does not answer"))
    ready = ask("GET", "/readyz")
    assert ready.json()["status"] == "unready"
    check_error(ready, 503, "service_unavailable", retryable=True)
    assert "sir_convert_a_lot_engine_healthy 0.0" in ask("GET", "/metrics").text
    assert ask("GET", "/healthz").status_code == 200


@pytest.mark.parametrize(("method", "path"), [access for access in ACCESSES if ID in access[1]])
def test_a_job_whose_retention_is_over_has_expired_rather_than_never_been(
    tmp_path: Path, method: str, path: str
) -> None:
    check_error(build_ask(tmp_path, None)(method, path), 404, "job_expired", retryable=False)


def test_a_client_that_stays_silent_in_the_middle_of_its_form_is_let_go(tmp_path: Path) -> None:
    async def send_half() -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n%PDF-'
        await asyncio.sleep(5)

    headers = {"Idempotency-Key": "k", "Content-Type": "multipart/form-data; boundary=x"}
    answer = build_ask(tmp_path, None)("POST", "/v1/convert/jobs", headers=headers, content=send_half())
    check_error(answer, 400, "validation_error", retryable=False)
    assert answer.json()["error"]["details"]["reason"] == "upload_stalled"
    assert answer.headers["Connection"] == "close"
    assert list(tmp_path.iterdir()) == []


def test_what_follows_the_last_boundary_counts_towards_the_limit(tmp_path: Path) -> None:
    async def send_for_ever() -> AsyncIterator[bytes]:
        yield b"--x--\r\n"
        while True:
            yield b" " * 1000

    headers = {"Idempotency-Key": "k", "Content-Type": "multipart/form-data; boundary=x"}
    answer = build_ask(tmp_path, None)("POST", "/v1/convert/jobs", headers=headers, content=send_for_ever())
    check_error(answer, 413, "payload_too_large", retryable=False)
