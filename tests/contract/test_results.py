"""The result as JSON, and the Markdown as a file with ETag and ranges."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest

Job = dict[str, Any]


def fetch(service: Any, job: Job, **headers: str) -> httpx.Response:
    answer: httpx.Response = service.client.get(f"{job['links']['result']}/markdown", headers=headers)
    return answer


def test_a_result_has_exactly_the_fields_of_the_contract(service: Any, succeeded: Job) -> None:
    answer = service.client.get(succeeded["links"]["result"])
    body = answer.json()
    result = body["result"]
    assert answer.status_code == 200
    assert set(body) == {"api_version", "job_id", "status", "result"}
    assert (body["api_version"], body["job_id"], body["status"]) == ("v1", succeeded["job_id"], "succeeded")
    assert set(result) == {"artifact", "conversion_metadata", "warnings", "execution", "quality"}
    assert set(result["artifact"]) == {"markdown_filename", "size_bytes", "sha256"}
    assert result["artifact"]["markdown_filename"] == "paper.md"
    metadata = result["conversion_metadata"]
    assert set(metadata) == {"backend_used", "acceleration_used", "ocr_enabled", "table_mode", "options_fingerprint"}
    assert (metadata["backend_used"], metadata["acceleration_used"]) == ("builtin", "cpu")
    assert metadata["options_fingerprint"].startswith("sha256:")
    assert result["execution"]["acceleration_used"] == "cpu"
    assert result["execution"]["stages"]
    quality = result["quality"]
    assert (quality["words_lost"], quality["empty_pages"]) == (0, [])
    assert quality["words_read"] > 0


def test_an_inline_result_carries_the_markdown_of_the_file(service: Any, succeeded: Job) -> None:
    result = service.client.get(succeeded["links"]["result"], params={"inline": "true"}).json()["result"]
    content = fetch(service, succeeded).content
    assert result["markdown_content"].encode() == content
    assert result["artifact"]["size_bytes"] == len(content)
    assert result["artifact"]["sha256"] == hashlib.sha256(content).hexdigest()


def test_markdown_over_the_inline_limit_is_fetched_as_a_file(start: Callable[..., Any], pdf: bytes) -> None:
    service = start(max_inline_bytes=10)
    job = service.convert(pdf)
    answer = service.client.get(job["links"]["result"], params={"inline": "true"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "result_inline_too_large")
    assert service.client.get(answer.json()["error"]["details"]["markdown"]).status_code == 200
    assert service.client.get(job["links"]["result"]).status_code == 200


def test_a_result_that_is_not_there_yet_answers_202_with_the_job_record(
    service: Any, make_pdf: Callable[[int], bytes]
) -> None:
    job = service.submit(make_pdf(600)).json()["job"]
    answer = service.client.get(job["links"]["result"])
    assert answer.status_code == 202
    assert answer.json()["job"]["job_id"] == job["job_id"]
    early = fetch(service, job)
    assert (early.status_code, early.json()["error"]["code"]) == (409, "job_not_succeeded")
    assert early.json()["error"]["details"]["status"] in {"queued", "running"}
    service.client.post(job["links"]["cancel"])


def test_the_markdown_comes_as_a_named_file_with_its_hash_as_etag(service: Any, pdf: bytes) -> None:
    job = service.convert(pdf, filename='Über "x".pdf')
    answer = fetch(service, job)
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert answer.headers["etag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"_ber _x_.md\"; filename*=UTF-8''%C3%9Cber%20%22x%22.md"
    )


def test_a_copy_that_is_still_right_is_not_sent_again(service: Any, succeeded: Job) -> None:
    etag = fetch(service, succeeded).headers["etag"]
    for given in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = fetch(service, succeeded, **{"If-None-Match": given})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    assert fetch(service, succeeded, **{"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("bytes=0-9", 0, 10), ("bytes=5-", 5, None), ("bytes=-7", -7, None), ("bytes=0-999999999", 0, None)],
)
def test_a_range_gives_that_part_of_the_file(
    service: Any, succeeded: Job, asked: str, start: int, end: int | None
) -> None:
    whole = fetch(service, succeeded).content
    answer = fetch(service, succeeded, Range=asked)
    part = whole[start:end]
    first = start % len(whole)
    assert answer.status_code == 206
    assert answer.content == part
    assert answer.headers["content-range"] == f"bytes {first}-{first + len(part) - 1}/{len(whole)}"


@pytest.mark.parametrize("asked", ["bytes=999999999-", "bytes=-0"])
def test_a_range_outside_the_file_is_refused(service: Any, succeeded: Job, asked: str) -> None:
    whole = fetch(service, succeeded).content
    answer = fetch(service, succeeded, Range=asked)
    assert (answer.status_code, answer.json()["error"]["code"]) == (416, "validation_error")
    assert answer.headers["content-range"] == f"bytes */{len(whole)}"


@pytest.mark.parametrize("asked", ["bytes=5-2", "lines=1-2", "bytes=0-1,3-4", "bytes=", "bytes=-", "bytes=a-b"])
def test_a_range_that_cannot_be_understood_is_ignored(service: Any, succeeded: Job, asked: str) -> None:
    assert fetch(service, succeeded, Range=asked).status_code == 200


def test_a_range_is_given_only_of_the_version_that_was_asked_for(service: Any, succeeded: Job) -> None:
    etag = fetch(service, succeeded).headers["etag"]
    assert fetch(service, succeeded, Range="bytes=0-1", **{"If-Range": etag}).status_code == 206
    assert fetch(service, succeeded, Range="bytes=0-1", **{"If-Range": '"other"'}).status_code == 200


def test_head_tells_size_and_etag_without_the_file(service: Any, succeeded: Job) -> None:
    whole = fetch(service, succeeded)
    head = service.client.head(f"{succeeded['links']['result']}/markdown")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == whole.headers["etag"]
    assert head.headers["content-length"] == str(len(whole.content))


def test_the_same_pdf_and_spec_give_the_same_bytes_and_fingerprint(service: Any, pdf: bytes, succeeded: Job) -> None:
    again = service.convert(pdf)
    assert again["job_id"] != succeeded["job_id"]
    assert fetch(service, again).content == fetch(service, succeeded).content
    prints = {
        service.client.get(job["links"]["result"]).json()["result"]["conversion_metadata"]["options_fingerprint"]
        for job in (again, succeeded)
    }
    assert len(prints) == 1
