"""Backpressure: a full queue and too many requests are 429 with a time to come back, and never anything else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

JOBS = "/v1/convert/jobs"


def check_limited(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 429, answer.text
    error = answer.json()["error"]
    assert (error["code"], error["retryable"]) == ("rate_limited", True)
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    details: dict[str, Any] = error["details"]
    return details


def test_reads_and_submits_are_counted_apart(start: Callable[..., Any], pdf: bytes) -> None:
    service = start(requests_per_minute=3, status_reads_per_minute=5)
    assert [service.client.get(JOBS).status_code for _ in range(5)] == [200] * 5
    assert check_limited(service.client.get(JOBS))["counted"] == "reads"
    assert [service.submit(pdf).status_code for _ in range(3)] == [202] * 3
    stored = service.list_stored()
    assert check_limited(service.submit(pdf))["counted"] == "submits"
    assert not {name for name in service.list_stored() - stored if name.startswith("uploads")}
    assert httpx.get(f"{service.url}/healthz").status_code == 200


def test_a_wrong_key_is_not_told_about_limits(start: Callable[..., Any]) -> None:
    service = start(status_reads_per_minute=1)
    for _ in range(3):
        assert httpx.get(service.url + JOBS, headers={"X-API-Key": "wrong"}).status_code == 401


def test_on_loopback_there_is_no_limit_unless_one_is_set(service: Any) -> None:
    assert {service.client.get(JOBS, params={"limit": 1}).status_code for _ in range(50)} == {200}


def test_a_full_queue_is_429_and_nothing_is_stored(start: Callable[..., Any], pdf: bytes) -> None:
    service = start(max_queued_jobs=0)
    details = check_limited(service.submit(pdf))
    assert (details["reason"], details["limit"]) == ("queue_full", 0)
    assert service.list_stored() == set()


def test_forty_at_once_do_not_get_past_the_queue_limit(
    start: Callable[..., Any], make_pdf: Callable[[int], bytes]
) -> None:
    service = start(max_queued_jobs=2, shutdown_grace_s=0)
    service.submit(make_pdf(2_000))  # keeps the one worker busy
    running = service.client.get(JOBS, params={"status": "running"}).json()["jobs"]
    while not running:
        running = service.client.get(JOBS, params={"status": "running"}).json()["jobs"]
    small = make_pdf(1)
    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: service.submit(small), range(40)))
    assert Counter(answer.status_code for answer in answers) == {202: 2, 429: 38}
    assert len(service.client.get(JOBS, params={"status": "queued"}).json()["jobs"]) == 2
    assert not [name for name in service.list_stored() if name.startswith("uploads")]
