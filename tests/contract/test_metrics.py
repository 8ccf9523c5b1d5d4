"""What the metrics tell of jobs that ended, of refusals under the GPU lock, and of HEAD."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx

from sir_convert_a_lot.domain.acceleration_policy import Refuse, ServerRules, decide
from sir_convert_a_lot.domain.job import Failure, JobRecord, JobStage, JobStatus, Progress
from sir_convert_a_lot.domain.job_spec import AccelerationPolicy, BackendStrategy, JobSpec
from sir_convert_a_lot.interfaces.http_api.metrics import Metrics

JOBS = "/v1/convert/jobs"


def read_sample(service: Any, name: str, *labels: str) -> float:
    """The value of the one sample of that name with these labels; 0 while there is none."""
    for line in httpx.get(f"{service.url}/metrics").text.splitlines():
        if line.startswith(f"sir_convert_a_lot_{name}{{") and all(label in line for label in labels):
            return float(line.rsplit(" ", 1)[1])
    return 0.0


def wait_until_it_is(value: float, read: Callable[[], float]) -> None:
    """What is counted after the answer has gone out is seen a moment later."""
    deadline = time.monotonic() + 10
    while (seen := read()) != value:
        assert time.monotonic() < deadline, (seen, value)
        time.sleep(0.05)


def test_a_job_that_ended_is_counted_once_by_status_and_its_stages_by_device(service: Any, pdf: bytes) -> None:
    def count_ended() -> float:
        return read_sample(service, "jobs_ended_total", 'status="succeeded"', 'code=""')

    def sum_parsing() -> float:
        return read_sample(service, "stage_seconds_total", 'stage="page_parsing"', 'device="cpu"')

    service.wait_until_idle()
    time.sleep(0.5)  # the end of the last job of another test may still be on its way into the metrics
    ended, parsing_s = count_ended(), sum_parsing()
    job = service.convert(pdf)
    wait_until_it_is(ended + 1, count_ended)
    receipt = service.client.get(job["links"]["result"]).json()["result"]["execution"]
    ran_ms = sum(stage["wall_ms"] for stage in receipt["stages"] if stage["stage"] == "page_parsing")
    assert abs(sum_parsing() - parsing_s - ran_ms / 1000) < 1e-6
    assert ran_ms > 0


def test_a_running_job_that_was_canceled_is_counted_once(service: Any, make_pdf: Callable[[int], bytes]) -> None:
    def count_canceled() -> float:
        return read_sample(service, "jobs_ended_total", 'status="canceled"', 'code=""')

    service.wait_until_idle()
    canceled = count_canceled()
    job = service.submit(make_pdf(600)).json()["job"]
    while job["status"] != "running":
        job = service.client.get(job["links"]["self"], params={"wait_seconds": 20}).json()["job"]
    service.client.post(job["links"]["cancel"])
    service.wait_until_idle()
    time.sleep(0.5)  # a second count would come now
    assert count_canceled() == canceled + 1


def test_a_failed_job_is_counted_with_its_code() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    spec = JobSpec.model_validate({"api_version": "v1", "source": {"kind": "upload", "filename": "a.pdf"}})
    failure = Failure("document_timeout", "too slow", retryable=True)
    metrics = Metrics()
    metrics.count_end(JobRecord("job_1", JobStatus.FAILED, spec, now, now, now, 1, Progress(JobStage.DONE), failure))
    assert b'jobs_ended_total{code="document_timeout",status="failed"} 1.0' in metrics.render()


def test_refusals_under_the_gpu_lock_are_told_from_those_for_want_of_a_gpu() -> None:
    metrics = Metrics()
    for policy in (AccelerationPolicy.CPU_ONLY, AccelerationPolicy.GPU_PREFER, AccelerationPolicy.GPU_REQUIRED):
        refused = decide(policy, BackendStrategy.AUTO, None, ServerRules(cpu_is_locked=True), frozenset({"builtin"}))
        assert isinstance(refused, Refuse)
        metrics.count_refusal(refused.error)
    counted = re.findall(r'refusals_total{cause="(\w*)",code="gpu_not_available"} (\S+)', metrics.render().decode())
    assert sorted(counted) == [("cpu_execution_locked", "2.0"), ("probe_incomplete", "1.0")]


def test_head_is_counted_and_logged_as_head(service: Any, succeeded: dict[str, Any]) -> None:
    def count(method: str) -> float:
        return read_sample(service, "http_requests_total", f'method="{method}"', f'route="{JOBS}/{{job_id}}"')

    heads, gets = count("HEAD"), count("GET")
    asked = service.client.head(succeeded["links"]["self"], headers={"X-Correlation-ID": "head-1"})
    assert (asked.status_code, asked.content) == (200, b"")
    wait_until_it_is(heads + 1, lambda: count("HEAD"))
    assert count("GET") == gets
    assert [line for line in service.log.read_text().splitlines() if "head-1" in line and '"method": "HEAD"' in line]
