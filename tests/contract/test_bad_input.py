"""Bad input: each kind gets its own typed error, nothing of it is stored, and the service goes on.

The check for "nothing stored" looks at the files under the storage root and at the list of jobs.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest

JOBS = "/v1/convert/jobs"
MIB = 1024 * 1024
Spec = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def stored_nothing(service: Any) -> Iterator[None]:
    """Around every test of this module."""
    service.wait_until_idle()  # jobs of other modules write files until they end
    before = service.list_stored(), find_newest_job(service)
    yield
    assert (service.list_stored(), find_newest_job(service)) == before
    assert service.client.get("/healthz").status_code == 200


def find_newest_job(service: Any) -> list[str]:
    return [job["job_id"] for job in service.client.get(JOBS, params={"limit": 1}).json()["jobs"]]


def check_error(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The error's details, once its shape is the contract's."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    error = body["error"]
    assert body["api_version"] == "v1"
    assert set(error) == {"code", "message", "retryable", "details", "correlation_id"}
    assert error["code"] == code, answer.text
    assert error["correlation_id"] == answer.headers["X-Correlation-ID"]
    assert error["retryable"] is False
    details: dict[str, Any] = error["details"]
    return details


def post_form(service: Any, parts: list[tuple[str, Any]], **headers: str) -> httpx.Response:
    answer: httpx.Response = service.client.post(JOBS, headers={"Idempotency-Key": str(uuid4())} | headers, files=parts)
    return answer


@pytest.mark.parametrize(
    ("content", "declared", "reason"),
    [
        (b"", "application/pdf", "empty_file"),
        (b"Just text, renamed to .pdf\n", "application/pdf", "not_a_pdf"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 2000, "application/pdf", "not_a_pdf"),
        (b"x" * 1020 + b"%PDF-1.4", "application/pdf", "not_a_pdf"),
        (b"%PDF-1.4 is declared as something else", "text/plain", "declared_type"),
        (b"%PDF-1.4 is declared as something else", "image/png", "declared_type"),
    ],
)
def test_what_is_no_pdf_is_an_unsupported_media_type(service: Any, content: bytes, declared: str, reason: str) -> None:
    details = check_error(service.submit(content, declared=declared), 415, "unsupported_media_type")
    assert details["reason"] == reason


def test_a_pdf_that_cannot_be_opened_says_why(
    service: Any, pdf: bytes, examples: Path, make_pdf: Callable[[int], bytes]
) -> None:
    for content, reason in [
        (pdf[:200], "damaged"),
        (b"%PDF-1.4\nnothing but a header", "damaged"),
        (make_pdf(0), "no_pages"),
        ((examples / "encrypted.pdf").read_bytes(), "encrypted"),
    ]:
        assert check_error(service.submit(content), 422, "pdf_unreadable")["reason"] == reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not_json"),
        ("{", "not_json"),
        ("{'api_version': 'v1'}", "not_json"),
        ('{"api_version": NaN}', "not_json"),
        ('{"api_version": -Infinity}', "not_json"),
        ('{"api_version": "v1", "api_version": "v1"}', "duplicate_key"),
        ('{"conversion": {"ocr_mode": "off", "ocr_mode": "auto"}}', "duplicate_key"),
        ("[" * 30_000, "nested_too_deeply"),
        ("1" * 5_000, "not_json"),
        (b"\xff\xfe{}", "not_utf8"),
    ],
)
def test_a_job_spec_that_is_no_json_is_a_malformed_form(
    service: Any, pdf: bytes, text: str | bytes, reason: str
) -> None:
    answer = post_form(service, [("file", ("a.pdf", pdf)), ("job_spec", (None, text))])
    details = check_error(answer, 400, "validation_error")
    assert (details["field"], details["reason"]) == ("job_spec", reason)


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"surprise": 1}, "surprise", "unknown_field"),
        ({"conversion": {"table_mod": "fast"}}, "conversion.table_mod", "unknown_field"),
        ({"execution": {"document_timeout_second": 60}}, "execution.document_timeout_second", "unknown_field"),
        ({"conversion": {"table_mode": "best"}}, "conversion.table_mode", "value_not_allowed"),
        ({"conversion": {"output_format": "html"}}, "conversion.output_format", "value_not_allowed"),
        ({"conversion": {"ocr_mode": None}}, "conversion.ocr_mode", "value_not_allowed"),
        ({"conversion": {"normalize": 1}}, "conversion.normalize", "value_not_allowed"),
        ({"conversion": []}, "conversion", "wrong_type"),
        ({"conversion": "fast"}, "conversion", "wrong_type"),
        ({"execution": {"acceleration_policy": "gpu"}}, "execution.acceleration_policy", "value_not_allowed"),
        ({"execution": {"priority": "urgent"}}, "execution.priority", "value_not_allowed"),
        ({"execution": {"document_timeout_seconds": 29}}, "execution.document_timeout_seconds", "out_of_range"),
        ({"execution": {"document_timeout_seconds": 7201}}, "execution.document_timeout_seconds", "out_of_range"),
        ({"execution": {"document_timeout_seconds": 10**30}}, "execution.document_timeout_seconds", "out_of_range"),
        ({"execution": {"document_timeout_seconds": "60"}}, "execution.document_timeout_seconds", "wrong_type"),
        ({"execution": {"document_timeout_seconds": 60.5}}, "execution.document_timeout_seconds", "wrong_type"),
        ({"execution": {"document_timeout_seconds": True}}, "execution.document_timeout_seconds", "wrong_type"),
        ({"retention": {"pin": "yes"}}, "retention.pin", "wrong_type"),
        ({"retention": {"pin": 1}}, "retention.pin", "wrong_type"),
        ({"api_version": "v2"}, "api_version", "value_not_allowed"),
        ({"source": {"kind": "url", "filename": "a.pdf"}}, "source.kind", "value_not_allowed"),
        ({"source": {"kind": "upload"}}, "source.filename", "missing_field"),
        ({"source": {"kind": "upload", "filename": ""}}, "source.filename", "too_short"),
        ({"source": {"kind": "upload", "filename": "../"}}, "source.filename", "no_file_name"),
        ({"source": {"kind": "upload", "filename": "x" * 256}}, "source.filename", "too_long"),
        ({"source": {"kind": "upload", "filename": 7}}, "source.filename", "wrong_type"),
    ],
)
def test_a_wrong_spec_names_the_field_and_the_reason(
    *, service: Any, pdf: bytes, spec: Spec, change: dict[str, Any], field: str, reason: str
) -> None:
    details = check_error(service.submit(pdf, spec() | change), 422, "validation_error")
    assert (details["field"], details["reason"]) == (field, reason)


@pytest.mark.parametrize("value", ["[]", "null", '"v1"', "3"])
def test_a_spec_that_is_no_object_is_refused(service: Any, pdf: bytes, value: str) -> None:
    answer = post_form(service, [("file", ("a.pdf", pdf)), ("job_spec", (None, value))])
    details = check_error(answer, 422, "validation_error")
    assert (details["field"], details["reason"]) == ("job_spec", "wrong_type")


@pytest.mark.parametrize("name", ["api_version", "source"])
def test_a_missing_field_is_named(service: Any, pdf: bytes, spec: Spec, name: str) -> None:
    given = spec()
    del given[name]
    details = check_error(service.submit(pdf, given), 422, "validation_error")
    assert (details["field"], details["reason"]) == (name, "missing_field")


def test_half_a_surrogate_pair_in_a_field_name_is_an_error_like_any_other(service: Any, pdf: bytes) -> None:
    answer = post_form(service, [("file", ("a.pdf", pdf)), ("job_spec", (None, '{"\\ud800": 1}'))])
    check_error(answer, 422, "validation_error")


@pytest.mark.parametrize(
    ("conversion", "execution", "details"),
    [
        (
            {"backend_strategy": backend},
            {"acceleration_policy": policy},
            {"field": "conversion.backend_strategy", "reason": "backend_incompatible_with_gpu_policy"},
        )
        for backend in ("builtin", "pymupdf")
        for policy in ("gpu_required", "gpu_prefer")
    ]
    + [
        (
            {"backend_strategy": "pymupdf", "ocr_mode": "force"},
            {},
            {
                "field": "conversion.ocr_mode",
                "reason": "backend_option_incompatible",
                "backend": "pymupdf",
                "supported": ["off"],
            },
        )
    ],
)
def test_fields_that_cannot_go_together_are_refused_exactly(
    *,
    service: Any,
    pdf: bytes,
    spec: Spec,
    conversion: dict[str, Any],
    execution: dict[str, Any],
    details: dict[str, Any],
) -> None:
    answer = service.submit(pdf, spec(conversion=conversion, execution=execution))
    assert check_error(answer, 422, "validation_error") == details


def test_the_form_must_have_both_parts_once_and_no_other(service: Any, pdf: bytes, spec: Spec) -> None:
    file, text = ("file", ("a.pdf", pdf)), ("job_spec", (None, json.dumps(spec())))
    forms: list[tuple[list[tuple[str, Any]], str]] = [
        ([file], "missing_part"),
        ([text], "missing_part"),
        ([file, file, text], "duplicate_part"),
        ([file, text, text], "duplicate_part"),
        ([file, text, ("fil", (None, "x"))], "unknown_part"),
    ]
    for parts, reason in forms:
        assert check_error(post_form(service, parts), 400, "validation_error")["reason"] == reason


@pytest.mark.parametrize(
    ("declared", "body", "reason"),
    [
        ("application/json", b"{}", "not_multipart"),
        ("multipart/form-data", b"--x--\r\n", "not_multipart"),
        ("multipart/form-data; boundary=x", b"", "malformed_form"),
        ("multipart/form-data; boundary=x", b"--y\r\n\r\n", "malformed_form"),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n%PDF-', None),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\nno headers\r\n--x--\r\n", "unknown_part"),
        ("multipart/form-data; boundary=" + "x" * 1000, b"--x--\r\n", "malformed_form"),
    ],
)
def test_a_body_that_is_no_whole_form_is_malformed(
    service: Any, declared: str, body: bytes, reason: str | None
) -> None:
    headers = {"Idempotency-Key": "k", "Content-Type": declared}
    details = check_error(service.client.post(JOBS, content=body, headers=headers), 400, "validation_error")
    assert details["reason"] == (reason or "malformed_form")


@pytest.mark.parametrize("key", [None, ""])
def test_a_submission_without_an_idempotency_key_is_refused(
    service: Any, pdf: bytes, spec: Spec, key: str | None
) -> None:
    headers = {} if key is None else {"Idempotency-Key": key}
    files = {"file": ("a.pdf", pdf), "job_spec": (None, json.dumps(spec()))}
    check_error(service.client.post(JOBS, headers=headers, files=files), 400, "idempotency_key_missing")


def test_an_idempotency_key_of_any_length_is_not_taken(service: Any, pdf: bytes, spec: Spec) -> None:
    details = check_error(service.submit(pdf, spec(), key="k" * 256), 400, "validation_error")
    assert details["field"] == "Idempotency-Key"


@pytest.mark.parametrize("wait_seconds", ["-1", "21", "nan", "inf", "soon", ""])
def test_a_wait_outside_0_to_20_seconds_is_refused(service: Any, pdf: bytes, wait_seconds: str) -> None:
    details = check_error(service.submit(pdf, wait_seconds=wait_seconds), 422, "validation_error")
    assert details["field"] == "wait_seconds"


def write_form(size_bytes: int, total: dict[str, int]) -> Iterator[bytes]:
    """A form whose file has `size_bytes`, in pieces; `total` tells how much was asked for."""
    yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n%PDF-1.4\n'
    for _ in range(size_bytes // MIB):
        total["sent"] = total.get("sent", 0) + MIB
        yield b"x" * MIB
    yield b"\r\n--x--\r\n"


def test_a_declared_length_over_the_limit_is_refused_before_the_body_is_read(service: Any) -> None:
    address = urlsplit(service.url)
    head = (
        f"POST {JOBS} HTTP/1.1\r\nHost: x\r\nX-API-Key: contract-tests-key\r\nIdempotency-Key: k\r\n"
        f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {200 * MIB}\r\n\r\n"
    )
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(head.encode())  # and not one byte of the body
        answer = b""
        while b"}}" not in answer:
            answer += connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"payload_too_large"' in answer


def test_an_upload_of_200_mb_gets_its_answer_with_and_without_a_declared_length(service: Any) -> None:
    headers = {"Idempotency-Key": "k", "Content-Type": "multipart/form-data; boundary=x"}
    for declared in ({}, {"Content-Length": str(sum(map(len, write_form(200 * MIB, {}))))}):
        answer = service.client.post(JOBS, content=write_form(200 * MIB, {}), headers=headers | declared)
        details = check_error(answer, 413, "payload_too_large")
        assert details["limit_bytes"] == 100 * MIB


def test_a_spec_of_megabytes_is_refused(service: Any, pdf: bytes) -> None:
    answer = post_form(service, [("file", ("a.pdf", pdf)), ("job_spec", (None, " " * MIB))])
    assert check_error(answer, 413, "payload_too_large")["field"] == "job_spec"


def test_a_client_that_goes_away_in_the_middle_leaves_no_file(service: Any) -> None:
    address = urlsplit(service.url)
    head = (
        f"POST {JOBS} HTTP/1.1\r\nHost: x\r\nX-API-Key: contract-tests-key\r\nIdempotency-Key: k\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    before = service.list_stored()
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(head.encode())
        for piece in write_form(3 * MIB, {}):
            if piece.endswith(b"--x--\r\n"):
                break
            connection.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        deadline = time.monotonic() + 10
        while not service.list_stored() - before:  # it has begun to write
            assert time.monotonic() < deadline
    while service.list_stored() - before:
        assert time.monotonic() < deadline + 10
        time.sleep(0.01)


def test_uploads_in_progress_do_not_hold_up_others(service: Any) -> None:
    headers = {"Idempotency-Key": "k", "Content-Type": "multipart/form-data; boundary=x"}
    slowest = 0.0

    def send() -> Iterator[bytes]:
        nonlocal slowest
        for piece in write_form(64 * MIB, {}):
            yield piece
            started = time.monotonic()
            assert httpx.get(f"{service.url}/healthz").status_code == 200
            slowest = max(slowest, time.monotonic() - started)

    answer = service.client.post(JOBS, content=send(), headers=headers)
    assert check_error(answer, 400, "validation_error")["reason"] == "missing_part"
    assert slowest < 2.0
