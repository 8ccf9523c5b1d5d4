"""Answers of a service become typed values, refusals become the domain error of their code."""

from __future__ import annotations

import threading
import time
from typing import Any

import httpx
import pytest

from sir_convert_a_lot.domain import errors
from sir_convert_a_lot.domain.errors import ERRORS_BY_CODE, ExitCode, JobNotSucceeded, RateLimited, ServiceUnavailable
from sir_convert_a_lot.domain.job_spec import JobSpec, Source
from sir_convert_a_lot.interfaces.client.answers import read_job
from sir_convert_a_lot.interfaces.client.idempotency import key_of
from sir_convert_a_lot.interfaces.client.refusals import UnrecognisedAnswer, error_from_response
from sir_convert_a_lot.interfaces.client.retry import Retrier
from sir_convert_a_lot.interfaces.client.service import failure_of

REQUEST = httpx.Request("GET", "http://127.0.0.1/v1/convert/jobs")


def response(status: int, body: Any, headers: dict[str, str] | None = None) -> httpx.Response:
    return httpx.Response(status, json=body, headers=headers, request=REQUEST)


@pytest.mark.parametrize("code", sorted(ERRORS_BY_CODE))
def test_every_code_comes_back_as_its_error(code: str) -> None:
    body = {"error": {"code": code, "message": "m", "details": {"field": "f"}, "correlation_id": "c", "new": 1}}
    error = error_from_response(response(ERRORS_BY_CODE[code].http_status, body, {"Retry-After": "7"}))
    assert (error.code, error.message, error.retry_after_s) == (code, "m", 7)
    assert error.details == {"field": "f", "correlation_id": "c"}


def test_the_codes_known_to_the_client_are_those_of_the_tree() -> None:
    assert ERRORS_BY_CODE["gpu_not_available"] is errors.GpuNotAvailable
    assert ERRORS_BY_CODE["worker_crashed"] is errors.WorkerCrashed


def test_missing_models_share_a_code_with_a_broken_service_and_are_not_tried_again() -> None:
    body = {"error": {"code": "service_unavailable", "message": "m", "details": {"reason": "model_weights_missing"}}}
    tried: list[int] = []

    def send() -> None:
        tried.append(1)
        raise error_from_response(response(503, body, {"Retry-After": "1"}))

    with pytest.raises(errors.ModelWeightsMissing) as raised:
        Retrier(60, 60, threading.Event()).call(send)
    assert len(tried) == 1
    assert raised.value.exit_code is ExitCode.UNAVAILABLE


def test_of_two_errors_with_one_code_the_code_alone_means_the_first_and_never_the_base() -> None:
    assert ERRORS_BY_CODE["service_unavailable"] is ServiceUnavailable
    assert ERRORS_BY_CODE["internal_error"] is errors.InternalError


def test_an_unknown_code_is_could_not_tell() -> None:
    error = error_from_response(response(418, {"error": {"code": "teapot", "message": "short and stout"}}))
    assert isinstance(error, UnrecognisedAnswer)
    assert error.exit_code is ExitCode.UNKNOWN
    assert "short and stout" in error.message


def test_a_proxy_that_finds_no_service_is_tried_again_and_other_pages_are_not() -> None:
    assert isinstance(error_from_response(httpx.Response(502, text="<html>", request=REQUEST)), ServiceUnavailable)
    assert isinstance(error_from_response(httpx.Response(404, text="<html>", request=REQUEST)), UnrecognisedAnswer)


@pytest.mark.parametrize("body", [{}, [], {"job": {}}, {"job": {"job_id": "j", "status": "dreaming"}}, None])
def test_an_answer_off_the_contract_is_not_guessed_at(body: Any) -> None:
    with pytest.raises(UnrecognisedAnswer):
        read_job(body)


def test_a_failed_job_is_the_error_of_its_failure_code() -> None:
    details = {
        "status": "failed",
        "failure_code": "gpu_not_available",
        "failure_message": "the GPU went away",
        "failure_details": {"cause": "gpu_lost_after_start"},
    }
    failure = failure_of(JobNotSucceeded("the job failed", details=details))
    assert isinstance(failure, errors.GpuNotAvailable)
    assert failure.message == "the GPU went away"
    assert failure.details["cause"] == "gpu_lost_after_start"


def test_a_failure_code_of_a_newer_service_is_still_a_failed_job() -> None:
    details = {"status": "failed", "failure_code": "moon_phase", "failure_message": "waning"}
    failure = failure_of(JobNotSucceeded("the job failed", details=details))
    assert isinstance(failure, errors.JobFailure)
    assert failure.exit_code is ExitCode.FAILED


def test_keys_depend_on_content_spec_name_and_attempt() -> None:
    spec = JobSpec(api_version="v1", source=Source(kind="upload", filename="a.pdf"))
    renamed = JobSpec(api_version="v1", source=Source(kind="upload", filename="b.pdf"))
    assert key_of(spec, "00") == key_of(spec.model_copy(), "00")
    assert len({key_of(spec, "00"), key_of(spec, "01"), key_of(renamed, "00"), key_of(spec, "00", 2)}) == 4


def test_the_budget_ends_the_trying() -> None:
    calls = 0

    def send() -> None:
        nonlocal calls
        calls += 1
        raise RateLimited("busy", retry_after_s=0 if calls < 3 else 3600)

    with pytest.raises(RateLimited):
        Retrier(60, 60, threading.Event()).call(send)
    assert calls == 3


def test_a_stop_ends_a_pause_at_once() -> None:
    stop = threading.Event()
    threading.Timer(0.05, stop.set).start()

    def send() -> None:
        raise ServiceUnavailable("gone", retry_after_s=30)

    began = time.monotonic()
    with pytest.raises(ServiceUnavailable):
        Retrier(60, 60, stop).call(send)
    assert time.monotonic() - began < 5
