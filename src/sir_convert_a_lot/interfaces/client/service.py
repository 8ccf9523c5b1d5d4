"""The v1 API as typed calls: submit, look, wait, cancel, list, read the result, download the Markdown.

Owns HTTP towards the service: key, streaming, time limits, trying again. Raises only domain errors. Refuses to print,
and to decide what a caller does about a failed job. Thread-safe.
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from sir_convert_a_lot.domain.errors import (
    JobFailure,
    JobNotSucceeded,
    ServiceUnavailable,
    SirConvertError,
    ValidationError,
)
from sir_convert_a_lot.domain.job import JobStatus
from sir_convert_a_lot.domain.job_spec import JobSpec
from sir_convert_a_lot.interfaces.client.answers import (
    JobPage,
    JobView,
    ResultView,
    Submission,
    read_job,
    read_page,
    read_result,
)
from sir_convert_a_lot.interfaces.client.refusals import (
    SHA256_MISMATCH,
    UnrecognisedAnswer,
    error_from_code,
    error_from_response,
)
from sir_convert_a_lot.interfaces.client.retry import UNREACHABLE, Retrier
from sir_convert_a_lot.interfaces.client.whole_files import written_whole

JOBS = "/v1/convert/jobs"
LONGEST_POLL_S = 20  # the contract's bound of `wait_seconds`
# A long-poll may be answered at every page. Between two, this share of the time waited so far: a fast document of many
# pages does not flood the service, and its end is seen at most so much later.
PAUSE_SHARE = 0.05
LONGEST_PAUSE_S = 0.25
READ_LIMIT_S = 60.0  # on top of a long-poll; storing 100 MiB on a slow disk takes a while
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class ServiceClient:
    """One service. Close it, or use it as a context manager.

    `stop`, once set, ends every pause between tries: the last error is then raised at once.
    """

    def __init__(
        self,
        service_url: str,
        api_key: str | None = None,
        *,
        retry_budget_s: float = 120.0,
        first_contact_s: float = 5.0,
        stop: threading.Event | None = None,
    ) -> None:
        """Raises `ValidationError` when `service_url` is no http(s) URL. Connects only when first asked something."""
        self.service_url = service_url.rstrip("/")
        self._retrier = Retrier(retry_budget_s, first_contact_s, stop or threading.Event())
        self._http = httpx.Client(
            base_url=self.service_url,
            headers={"X-API-Key": api_key} if api_key else {},
            timeout=httpx.Timeout(READ_LIMIT_S, connect=5.0, pool=None),
            limits=httpx.Limits(max_connections=None),
            # A proxy named in the environment must not see what goes to this very machine.
            trust_env=_host_of(self.service_url) not in LOOPBACK,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def look(self, path: str) -> tuple[int, dict[str, Any]]:
        """What the service says at `path`, whatever its status; an empty object where it says no JSON object. Not tried
        again: whoever watches a service wants to know how it is now.
        """
        try:
            response = self._http.get(path)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        try:
            body = response.json()
        except ValueError:
            body = None
        return response.status_code, body if isinstance(body, dict) else {}

    def submit(self, pdf: Path, spec: JobSpec, idempotency_key: str) -> Submission:
        """Upload `pdf`, streamed. Sending it again under the same key is safe, so a lost answer is tried again."""

        def send() -> Submission:
            with pdf.open("rb") as file:
                response = self._send(
                    "POST",
                    JOBS,
                    headers={"Idempotency-Key": idempotency_key},
                    files={
                        "file": (spec.source.filename, file, "application/pdf"),
                        "job_spec": (None, spec.model_dump_json(), "application/json"),
                    },
                )
            return Submission(read_job(_body(response)), response.headers.get("X-Idempotent-Replay") == "true")

        return self._retrier.call(send)

    def job(self, job_id: str, wait_s: float = 0) -> JobView:
        """The job now, or as soon as its state changes, at most `wait_s` (0..20) seconds later."""
        wait_seconds = min(LONGEST_POLL_S, math.ceil(wait_s))
        params = {"wait_seconds": wait_seconds} if wait_seconds > 0 else {}
        return self._retrier.call(lambda: read_job(_body(self._send("GET", _path(job_id), params=params))))

    def wait(
        self,
        job_id: str,
        timeout_s: float,
        *,
        poll_s: float = LONGEST_POLL_S,
        on_seen: Callable[[JobView], None] | None = None,
        give_up: Callable[[], bool] = lambda: False,
    ) -> JobView:
        """Follow the job until it is terminal, `timeout_s` passed or `give_up` says so; the last record seen.

        `on_seen` is called with every record, at least every `poll_s` seconds.
        """
        began, wait_s = time.monotonic(), 0.0
        while True:
            job = self.job(job_id, wait_s)
            if on_seen is not None:
                on_seen(job)
            elapsed_s = time.monotonic() - began
            remaining_s = timeout_s - elapsed_s
            if job.status.is_terminal or remaining_s <= 0 or give_up():
                return job
            time.sleep(min(PAUSE_SHARE * elapsed_s, LONGEST_PAUSE_S))
            wait_s = min(poll_s, remaining_s)

    def cancel(self, job_id: str) -> JobView:
        """Ask the service to cancel. Asking again is harmless; `JobNotCancelable` when it ended otherwise."""
        return self._retrier.call(lambda: read_job(_body(self._send("POST", f"{_path(job_id)}/cancel"))))

    def jobs(self, status: str | None = None, limit: int | None = None, cursor: str | None = None) -> JobPage:
        """One page of jobs, newest first."""
        asked = {"status": status, "limit": limit, "cursor": cursor}
        params = {name: value for name, value in asked.items() if value is not None}
        return self._retrier.call(lambda: read_page(_body(self._send("GET", JOBS, params=params))))

    def result(self, job_id: str) -> ResultView | JobView:
        """The result, or the job record while it is not terminal. `JobNotSucceeded` when it failed or was canceled."""

        def send() -> ResultView | JobView:
            response = self._send("GET", f"{_path(job_id)}/result")
            return read_job(_body(response)) if response.status_code == httpx.codes.ACCEPTED else _result(response)

        return self._retrier.call(send)

    def failure(self, job_id: str) -> SirConvertError:
        """Why a failed job failed, as the error of its failure code."""
        try:
            self.result(job_id)
        except JobNotSucceeded as error:
            return failure_of(error)
        return UnrecognisedAnswer(f"{job_id} failed, yet the service serves a result for it")

    def download_markdown(self, result: ResultView, target: Path) -> None:
        """Write the Markdown to `target`: complete and with the promised SHA-256, or not at all.

        Creates parent folders. Raises `UnrecognisedAnswer` when the bytes are not the promised ones, and `OSError` when
        they cannot be written.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(target) as part:
            digest = self._retrier.call(lambda: self._stream_to(f"{_path(result.job_id)}/result/markdown", part))
            if digest != result.sha256:
                raise UnrecognisedAnswer(
                    f"the Markdown of {result.job_id} has SHA-256 {digest}, the result promised {result.sha256}",
                    details={"job_id": result.job_id, "reason": SHA256_MISMATCH},
                )

    def _stream_to(self, path: str, part: Path) -> str:
        """Hex SHA-256 of what was written to `part`, from its beginning."""
        digest = hashlib.sha256()
        try:
            with self._http.stream("GET", path) as response:
                if not response.is_success:
                    response.read()
                    raise error_from_response(response)
                with part.open("wb") as file:
                    for chunk in response.iter_bytes():
                        digest.update(chunk)
                        file.write(chunk)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        return digest.hexdigest()

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **request)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        if not response.is_success:
            raise error_from_response(response)
        return response

    def _unreachable(self, error: httpx.TransportError) -> ServiceUnavailable:
        return ServiceUnavailable(
            f"no service answers at {self.service_url}: {type(error).__name__}: {error}",
            details={"reason": UNREACHABLE, "service_url": self.service_url},
        )


def failure_of(error: JobNotSucceeded) -> SirConvertError:
    """The failure behind a 409 `job_not_succeeded`; the error itself when the job was canceled or told no code."""
    code, details = error.details.get("failure_code"), error.details
    if details.get("status") != JobStatus.FAILED.value or not isinstance(code, str):
        return error
    told = details.get("failure_details")
    if isinstance(told, dict):
        details = {**details, **told}
    failure = error_from_code(code, str(details.get("failure_message") or error.message), details)
    if isinstance(failure, UnrecognisedAnswer):  # a failure code of a newer service is still a failed job
        return JobFailure(failure.message, details=failure.details)
    return failure


def _result(response: httpx.Response) -> ResultView:
    return read_result(_body(response))


def _body(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError as error:
        raise UnrecognisedAnswer(
            f"{response.request.url} answered {response.status_code} without JSON",
            details={"body": response.text[:200]},
        ) from error


def _path(job_id: str) -> str:
    """The id is quoted: whatever a caller typed stays one path segment."""
    return f"{JOBS}/{quote(job_id, safe='')}"


def _host_of(service_url: str) -> str:
    try:
        url = httpx.URL(service_url)
    except httpx.InvalidURL as error:
        raise ValidationError(f"{service_url!r} is no URL: {error}", details={"field": "service_url"}) from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValidationError(
            f"{service_url!r} is no http:// or https:// URL", details={"field": "service_url", "reason": "scheme"}
        )
    return url.host
