"""Read, follow, list and cancel jobs."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from sir_convert_a_lot.domain.job import TRANSITIONS, JobStatus

JOBS = "/v1/convert/jobs"
UNKNOWN = "job_01K2S8CXH3BWV7S6E5B7P4Y2ZR"
MANY_PAGES = 600


def check_error(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    details: dict[str, Any] = answer.json()["error"]["details"]
    return details


@pytest.fixture
def long_job(service: Any, make_pdf: Callable[[int], bytes]) -> Iterator[dict[str, Any]]:
    """A job that takes seconds, submitted a moment ago; canceled after the test."""
    job = service.submit(make_pdf(MANY_PAGES)).json()["job"]
    yield job
    service.client.post(job["links"]["cancel"])


def read_events(service: Any, path: str) -> list[tuple[str, dict[str, Any]]]:
    """The events of a stream until the service ends it."""
    events, name = [], ""
    with service.client.stream("GET", f"{path}/events") as stream:
        assert stream.status_code == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                events.append((name, json.loads(line.removeprefix("data: "))))
    return events


@pytest.mark.parametrize("path", ["", "/events", "/result", "/result/markdown"])
@pytest.mark.parametrize("job_id", [UNKNOWN, "nonsense", "job_", "..%2f..%2fetc", "job_%00", UNKNOWN.lower()])
def test_an_unknown_job_is_not_found(service: Any, path: str, job_id: str) -> None:
    answer = service.client.get(f"{JOBS}/{job_id}{path}")
    assert answer.status_code == 404
    if "%2f" not in job_id:  # a slash makes it another route
        check_error(answer, 404, "job_not_found")


@pytest.mark.parametrize("action", ["cancel", "pin", "unpin"])
def test_an_unknown_job_cannot_be_changed(service: Any, action: str) -> None:
    check_error(service.client.post(f"{JOBS}/{UNKNOWN}/{action}"), 404, "job_not_found")


def test_a_status_read_gives_the_record_that_create_gave(service: Any, succeeded: dict[str, Any]) -> None:
    answer = service.client.get(succeeded["links"]["self"])
    assert answer.status_code == 200
    assert answer.json() == {"api_version": "v1", "job": succeeded}


def test_a_long_poll_answers_at_a_change_and_sees_pages_move(service: Any, long_job: dict[str, Any]) -> None:
    seen = [long_job]
    for _ in range(6):
        started = time.monotonic()
        seen.append(service.client.get(long_job["links"]["self"], params={"wait_seconds": 20}).json()["job"])
        assert time.monotonic() - started < 15
    assert any(job["status"] == "running" for job in seen)
    assert len({job["progress"]["pages_processed"] for job in seen}) > 1


def test_a_long_poll_on_an_ended_job_answers_at_once(service: Any, succeeded: dict[str, Any]) -> None:
    started = time.monotonic()
    assert service.client.get(succeeded["links"]["self"], params={"wait_seconds": 20}).status_code == 200
    assert time.monotonic() - started < 2


def test_the_event_stream_carries_records_and_ends_with_the_terminal_one(service: Any, pdf: bytes) -> None:
    job = service.submit(pdf).json()["job"]
    events = read_events(service, job["links"]["self"])
    assert {name for name, _ in events} == {"job"}
    assert {body["job"]["job_id"] for _, body in events} == {job["job_id"]}
    statuses = [body["job"]["status"] for _, body in events]
    assert statuses[-1] == "succeeded"
    assert "succeeded" not in statuses[:-1]
    assert events[-1][1] == service.client.get(job["links"]["self"]).json()


def test_the_event_stream_of_an_ended_job_is_one_record(service: Any, succeeded: dict[str, Any]) -> None:
    events = read_events(service, succeeded["links"]["self"])
    assert [body["job"] for _, body in events] == [succeeded]


def test_a_quiet_event_stream_is_kept_open_by_heartbeats(
    start: Callable[..., Any], make_pdf: Callable[[int], bytes]
) -> None:
    service = start(shutdown_grace_s=0)
    service.submit(make_pdf(2_000))
    waiting = service.submit(make_pdf(1)).json()["job"]
    with service.client.stream("GET", waiting["links"]["events"]) as stream:
        told = (line for line in stream.iter_lines() if line.startswith((":", "data:")))
        first, second = next(told), next(told)
    assert first.startswith("data:")
    assert second.startswith(": ping")


def test_jobs_are_listed_newest_first_a_page_at_a_time(service: Any, make_pdf: Callable[[int], bytes]) -> None:
    made = [service.submit(make_pdf(1)).json()["job"]["job_id"] for _ in range(5)]
    listed: list[str] = []
    cursor = None
    while len(listed) < len(made):
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        body = service.client.get(JOBS, params=params).json()
        assert len(body["jobs"]) == 2
        listed += [job["job_id"] for job in body["jobs"]]
        cursor = body["next_cursor"]
    assert listed[: len(made)] == made[::-1]


def test_a_list_can_be_narrowed_to_a_state(service: Any, succeeded: dict[str, Any]) -> None:
    body = service.client.get(JOBS, params={"status": "succeeded", "limit": 200}).json()
    assert {job["status"] for job in body["jobs"]} == {"succeeded"}
    assert succeeded["job_id"] in {job["job_id"] for job in body["jobs"]}


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"status": "done"}, "status"),
        ({"limit": "0"}, "limit"),
        ({"limit": "201"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"cursor": "not-one-of-ours"}, "cursor"),
        ({"cursor": f"999999999999999-{UNKNOWN}"}, "cursor"),
    ],
)
def test_a_wrong_list_parameter_is_named(service: Any, params: dict[str, str], field: str) -> None:
    details = check_error(service.client.get(JOBS, params=params), 422, "validation_error")
    assert details["field"] == field


def test_a_cancel_is_202_then_200_and_the_job_is_canceled(service: Any, long_job: dict[str, Any]) -> None:
    first = service.client.post(long_job["links"]["cancel"])
    again = service.client.post(long_job["links"]["cancel"])
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json()["job"]["status"] == "canceled"
    result = service.client.get(long_job["links"]["result"])
    details = check_error(result, 409, "job_not_succeeded")
    assert details["status"] == "canceled"
    assert {"failure_code", "failure_message", "retryable"} <= set(details)


def test_a_job_that_has_succeeded_cannot_be_canceled(service: Any, succeeded: dict[str, Any]) -> None:
    details = check_error(service.client.post(succeeded["links"]["cancel"]), 409, "job_not_cancelable")
    assert details["status"] == "succeeded"


def test_jobs_move_only_as_the_state_diagram_says(service: Any, make_pdf: Callable[[int], bytes]) -> None:
    """One job succeeds, one is canceled while it runs, one while it waits; each is followed from its first record."""
    long, small, waiting = (service.submit(make_pdf(pages)).json()["job"] for pages in (MANY_PAGES, 1, 1))

    def follow(job: dict[str, Any]) -> list[JobStatus]:
        return [JobStatus(body["job"]["status"]) for _, body in read_events(service, job["links"]["self"])]

    with ThreadPoolExecutor(3) as pool:
        seen = [pool.submit(follow, job) for job in (long, small, waiting)]
        while service.client.get(long["links"]["self"]).json()["job"]["status"] == "queued":
            time.sleep(0.01)
        for job in (waiting, long):
            service.client.post(job["links"]["cancel"])
        histories = [history.result(60) for history in seen]
    assert [history[-1] for history in histories] == [JobStatus.CANCELED, JobStatus.SUCCEEDED, JobStatus.CANCELED]
    moves = {move for history in histories for move in itertools.pairwise(history) if move[0] != move[1]}
    assert {(JobStatus.RUNNING, JobStatus.CANCELED), (JobStatus.QUEUED, JobStatus.CANCELED)} <= moves
    assert [move for move in moves if move[1] not in TRANSITIONS[move[0]]] == []


def test_the_page_of_the_contract_draws_the_same_state_diagram(repository: Path) -> None:
    page = (repository / "docs/converters/pdf_to_md_service_api_v1.md").read_text()
    drawn = {
        (JobStatus(start), JobStatus(end)) for start, end in re.findall(r"^ {4}(\w+) --> (\w+)", page, re.MULTILINE)
    }
    assert drawn == {(start, end) for start, ends in TRANSITIONS.items() for end in ends}
