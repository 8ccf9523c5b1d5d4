"""The GPU gate as the wire shows it, on a machine without a proven GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

Spec = Callable[..., dict[str, Any]]
FIXED = {"reason", "backend", "runtime_kind", "hip_version", "cuda_version"}
NEW = {"cause", "rung", "evidence", "remediation", "probe_id"}


@pytest.fixture(autouse=True)
def _needs_no_gpu(service: Any) -> None:
    if httpx.get(f"{service.url}/readyz").json()["gpu"]["state"] == "proven":
        pytest.skip("this machine has a proven GPU, so nothing is refused")


def refuse(service: Any, pdf: bytes, spec: dict[str, Any]) -> dict[str, Any]:
    answer = service.submit(pdf, spec)
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) >= 1
    error: dict[str, Any] = answer.json()["error"]
    assert (error["code"], error["retryable"]) == ("gpu_not_available", True)
    return error


def test_gpu_required_is_refused_with_reason_and_remedy_and_nothing_is_stored(
    service: Any, pdf: bytes, spec: Spec
) -> None:
    before = service.list_stored()
    details = refuse(service, pdf, spec(execution={"acceleration_policy": "gpu_required"}))["details"]
    assert set(details) == FIXED | NEW
    assert (details["reason"], details["backend"]) == ("backend_gpu_runtime_unavailable", "docling")
    assert details["runtime_kind"] in {"rocm", "cuda", "none"}
    assert details["cause"]
    assert details["evidence"]
    assert details["remediation"]
    assert service.list_stored() == before


def test_gpu_required_is_what_a_spec_without_a_policy_asks_for(service: Any, pdf: bytes, spec: Spec) -> None:
    asked = spec()
    del asked["execution"]
    refuse(service, pdf, asked)


def test_the_same_state_of_the_host_gives_the_same_body(service: Any, pdf: bytes, spec: Spec) -> None:
    asked = spec(execution={"acceleration_policy": "gpu_required"})
    bodies = [refuse(service, pdf, asked) for _ in range(2)]
    for body in bodies:
        body.pop("correlation_id")
        body["details"].pop("probe_id")
    assert bodies[0] == bodies[1]


def test_gpu_required_is_503_even_where_docling_is_missing_or_the_pdf_is_damaged(
    service: Any, pdf: bytes, spec: Spec
) -> None:
    asked = spec(conversion={"backend_strategy": "docling"}, execution={"acceleration_policy": "gpu_required"})
    refuse(service, pdf, asked)
    refuse(service, b"%PDF-1.4 and nothing else", asked)


def test_gpu_prefer_goes_to_the_cpu_and_says_so(service: Any, pdf: bytes) -> None:
    job = service.convert(pdf, execution={"acceleration_policy": "gpu_prefer"})
    result = service.client.get(job["links"]["result"]).json()["result"]
    assert result["conversion_metadata"]["acceleration_used"] == "cpu"
    assert any("gpu_prefer" in warning for warning in result["warnings"])


def test_under_the_gpu_lock_the_cpu_is_refused_and_the_service_is_not_ready(
    start: Callable[..., Any], pdf: bytes, spec: Spec
) -> None:
    locked = start(cpu_execution_locked="true")
    before = locked.list_stored()
    for policy in ("cpu_only", "gpu_prefer"):
        details = refuse(locked, pdf, spec(execution={"acceleration_policy": policy}))["details"]
        assert details["reason"] == "cpu_execution_locked"
    assert locked.list_stored() == before
    check_unready(locked)


def test_a_promised_gpu_that_is_not_proven_makes_the_service_unready_but_alive(
    start: Callable[..., Any], pdf: bytes
) -> None:
    promising = start(promised_device="gpu")
    check_unready(promising)
    assert httpx.get(f"{promising.url}/healthz").status_code == 200
    assert promising.convert(pdf)["status"] == "succeeded"  # on the CPU, as asked: the promise is for readiness alone


def check_unready(service: Any) -> None:
    answer = httpx.get(f"{service.url}/readyz")
    body = answer.json()
    assert answer.status_code == 503
    assert body["gpu"]["state"] == "not_proven"
    assert body["gpu"]["cause"] == body["error"]["details"]["cause"]
    assert body["error"]["code"] == "gpu_not_available"
    assert int(answer.headers["Retry-After"]) >= 1


def test_without_a_promise_the_service_is_ready_and_tells_the_state_of_the_gpu(service: Any) -> None:
    answer = httpx.get(f"{service.url}/readyz")
    assert answer.status_code == 200
    assert set(answer.json()["gpu"]) == {"state", "cause"}
    assert answer.json()["gpu"]["cause"]
