"""Create: what a submission answers, and what an idempotency key promises."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
Spec = Callable[..., dict[str, Any]]


def test_a_submission_answers_202_with_the_job_record(service: Any, pdf: bytes) -> None:
    answer = service.submit(pdf)
    assert answer.status_code == 202
    body = answer.json()
    job = body["job"]
    path = f"/v1/convert/jobs/{job['job_id']}"
    assert body["api_version"] == "v1"
    assert re.fullmatch(r"job_[0-9A-HJKMNP-TV-Z]{26}", job["job_id"])
    assert job["status"] in {"queued", "running"}
    assert job["source_filename"] == "paper.pdf"
    assert job["links"] == {
        "self": path,
        "result": f"{path}/result",
        "cancel": f"{path}/cancel",
        "events": f"{path}/events",
    }
    assert all(MOMENT.fullmatch(job[name]) for name in ("created_at", "updated_at", "expires_at"))
    assert job["progress"]["pages_total"] >= 1
    assert job["progress"]["pages_processed"] == 0
    assert ("queued_ahead" in job["progress"]) == (job["status"] == "queued")


def test_a_job_that_ends_within_wait_seconds_answers_200(service: Any, pdf: bytes) -> None:
    answer = service.submit(pdf, wait_seconds=20)
    assert answer.status_code == 200
    job = answer.json()["job"]
    assert (job["status"], job["attempt"], job["progress"]["stage"]) == ("succeeded", 1, "done")


def test_the_spec_may_come_as_a_form_field_or_as_a_file(service: Any, pdf: bytes, spec: Spec) -> None:
    text = json.dumps(spec())
    for part in [(None, text), ("job_spec.json", text, "application/json"), (None, "\ufeff" + text)]:
        answer = service.client.post(
            "/v1/convert/jobs",
            headers={"Idempotency-Key": str(uuid4())},
            files={"job_spec": part, "file": ("a.pdf", pdf)},
        )
        assert answer.status_code == 202, answer.text


@pytest.mark.parametrize("declared", ["application/pdf", "application/x-pdf", "application/octet-stream"])
def test_a_pdf_is_taken_whatever_says_nothing_against_it(service: Any, pdf: bytes, declared: str) -> None:
    assert service.submit(pdf, declared=declared).status_code == 202


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/paper.pdf", "paper.pdf"),
        ("C:\\papers\\paper.pdf", "paper.pdf"),
        ("pa\u0000per\n.pdf", "paper.pdf"),
        ("\u202egnp.pdf", "gnp.pdf"),
        ("日本語 Über.pdf", "日本語 Über.pdf"),
        ("Cafe\u0301.pdf", "Caf\u00e9.pdf"),
    ],
)
def test_a_file_name_is_repeated_only_when_it_is_one(
    service: Any, pdf: bytes, spec: Spec, given: str, kept: str
) -> None:
    answer = service.submit(pdf, spec(filename=given))
    assert answer.json()["job"]["source_filename"] == kept


def test_the_same_key_and_payload_give_the_same_job_and_say_so(service: Any, pdf: bytes, spec: Spec) -> None:
    key = str(uuid4())
    first = service.submit(pdf, key=key)
    written_out = spec(conversion={"table_mode": "fast", "ocr_mode": "auto"})  # the defaults, so the same spec
    again = service.submit(pdf, written_out, key=key, wait_seconds=20)
    assert "X-Idempotent-Replay" not in first.headers
    assert again.headers["X-Idempotent-Replay"] == "true"
    assert again.json()["job"]["job_id"] == first.json()["job"]["job_id"]
    assert (again.status_code, again.json()["job"]["status"]) == (200, "succeeded")


def test_the_same_key_with_another_payload_is_refused(service: Any, pdf: bytes, spec: Spec) -> None:
    key = str(uuid4())
    service.submit(pdf, key=key)
    stored = service.list_stored()
    for answer in [
        service.submit(pdf, spec(conversion={"normalize": "none"}), key=key),
        service.submit(pdf + b"\n", key=key),
    ]:
        assert answer.status_code == 409
        assert answer.json()["error"]["code"] == "idempotency_key_reused_with_different_payload"
    assert {name for name in service.list_stored() - stored if name.endswith(".pdf")} == set()


def test_forty_posts_with_one_key_at_once_make_one_job(service: Any, pdf: bytes, spec: Spec) -> None:
    key = str(uuid4())
    files: dict[str, Any] = {"file": ("paper.pdf", pdf), "job_spec": (None, json.dumps(spec()))}
    limits = httpx.Limits(max_connections=40)
    with httpx.Client(base_url=service.url, headers=service.client.headers, limits=limits, timeout=60) as client:

        def post(_: int) -> httpx.Response:
            return client.post("/v1/convert/jobs", headers={"Idempotency-Key": key}, files=files)

        with ThreadPoolExecutor(40) as pool:
            answers = list(pool.map(post, range(40)))
    assert {answer.status_code for answer in answers} <= {200, 202}
    assert len({answer.json()["job"]["job_id"] for answer in answers}) == 1
    replays = Counter(answer.headers.get("X-Idempotent-Replay") for answer in answers)
    assert replays == {None: 1, "true": 39}


def test_a_pinned_job_has_no_end_of_life(service: Any, pdf: bytes, spec: Spec) -> None:
    job = service.submit(pdf, spec(retention={"pin": True})).json()["job"]
    assert job["expires_at"] is None
    unpinned = service.client.post(f"{job['links']['self']}/unpin").json()["job"]
    assert MOMENT.fullmatch(unpinned["expires_at"])
    pinned = service.client.post(f"{job['links']['self']}/pin")
    assert (pinned.status_code, pinned.json()["job"]["expires_at"]) == (200, None)
