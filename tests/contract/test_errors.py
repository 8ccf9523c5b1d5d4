"""Errors that no route decides: unknown routes, wrong methods; and the id that ties an answer to its log lines."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import httpx
import pytest

JOBS = "/v1/convert/jobs"


def check_shape(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert set(body) == {"api_version", "error"}
    assert set(body["error"]) == {"code", "message", "retryable", "details", "correlation_id"}
    error: dict[str, Any] = body["error"]
    return error


@pytest.mark.parametrize("path", ["/", "/v1", "/v2/convert/jobs", f"{JOBS}/", f"{JOBS}/a/b", "/healthz/", "/%00"])
def test_an_unknown_route_is_a_404_in_the_shape_of_every_error(service: Any, path: str) -> None:
    assert check_shape(service.client.get(path), 404)["details"] == {"reason": "unknown_route"}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", JOBS, "GET, HEAD, POST"),
        ("OPTIONS", JOBS, "GET, HEAD, POST"),
        ("DELETE", f"{JOBS}/job_01K2S8CXH3BWV7S6E5B7P4Y2ZR", "GET, HEAD"),
        ("GET", f"{JOBS}/job_01K2S8CXH3BWV7S6E5B7P4Y2ZR/cancel", "POST"),
        ("POST", "/healthz", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_a_405_that_names_the_right_ones(service: Any, method: str, path: str, allowed: str) -> None:
    answer = service.client.request(method, path)
    check_shape(answer, 405)
    assert answer.headers["Allow"] == allowed


def test_head_is_refused_only_where_a_stream_would_never_end(service: Any, succeeded: dict[str, Any]) -> None:
    assert service.client.head(succeeded["links"]["self"]).status_code == 200
    assert service.client.head("/readyz").status_code == 200
    assert service.client.head(succeeded["links"]["events"]).status_code == 405


def test_a_correlation_id_is_taken_over_when_it_is_sane_and_stands_in_the_log(service: Any) -> None:
    answer = service.client.get(f"{JOBS}/unknown", headers={"X-Correlation-ID": "trace-42:a/b"})
    assert answer.headers["X-Correlation-ID"] == "trace-42:a/b"
    assert answer.json()["error"]["correlation_id"] == "trace-42:a/b"
    seen: set[str] = set()
    deadline = time.monotonic() + 10
    while not {"request", "refused"} <= seen:  # the request's line is written once its answer has gone out
        assert time.monotonic() < deadline, seen
        lines = [json.loads(line) for line in service.log.read_text().splitlines() if "trace-42:a/b" in line]
        seen = {line["event"] for line in lines}


@pytest.mark.parametrize("given", [None, "", "with space", "x" * 129, "новый", 'quote"', "a;b"])
def test_a_correlation_id_that_could_do_harm_is_replaced(service: Any, given: str | None) -> None:
    headers = {} if given is None else {"X-Correlation-ID": given.encode()}
    answer = service.client.get("/healthz", headers=headers)
    assert re.fullmatch(r"corr_[0-9A-Z]{26}", answer.headers["X-Correlation-ID"])


def test_every_log_line_is_json_and_none_holds_the_key(service: Any, pdf: bytes) -> None:
    service.submit(pdf, wait_seconds=20)
    lines = service.log.read_text().splitlines()
    assert {"listening", "request"} <= {json.loads(line)["event"] for line in lines}
    assert "contract-tests-key" not in service.log.read_text()


def test_the_metrics_count_requests_refusals_and_jobs(service: Any, pdf: bytes, spec: Any) -> None:
    service.submit(pdf, wait_seconds=20)
    service.submit(pdf, spec(execution={"acceleration_policy": "gpu_required"}))
    text = httpx.get(f"{service.url}/metrics").text
    assert re.search(r'^sir_convert_a_lot_jobs_admitted_total\{policy="cpu_only"\} [1-9]', text, re.MULTILINE)
    assert re.search(r'^sir_convert_a_lot_jobs\{status="queued"\} \d', text, re.MULTILINE)
    assert re.search(r'^sir_convert_a_lot_refusals_total\{cause="\w+",code="gpu_not_available"\} ', text, re.MULTILINE)
    assert 'sir_convert_a_lot_http_requests_total{method="POST",route="/v1/convert/jobs",status="200"}' in text
    assert "sir_convert_a_lot_engine_healthy 1.0" in text
    assert "sir_convert_a_lot_gpu_probe_state{" in text
