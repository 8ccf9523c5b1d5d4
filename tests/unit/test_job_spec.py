"""The job spec: which values are one value, and which are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from sir_convert_a_lot.domain.job import TERMINAL, TRANSITIONS, JobStatus
from sir_convert_a_lot.domain.job_spec import JobSpec, request_fingerprint


def read_spec(timeout: str) -> JobSpec:
    text = (
        '{"api_version": "v1", "source": {"kind": "upload", "filename": "a.pdf"}, '
        f'"execution": {{"document_timeout_seconds": {timeout}}}}}'
    )
    return JobSpec.model_validate(json.loads(text))


@pytest.mark.parametrize("same", ["30.0", "3e1"])
def test_a_whole_number_is_an_integer_however_it_is_written(same: str) -> None:
    assert read_spec(same).execution.document_timeout_seconds == 30
    assert request_fingerprint(read_spec(same), "0") == request_fingerprint(read_spec("30"), "0")


@pytest.mark.parametrize("other", ["30.5", "1e400", '"30"', "true", "29.0", "7201.0"])
def test_what_is_no_integer_in_range_is_refused(other: str) -> None:
    with pytest.raises(ValidationError):
        read_spec(other)


def test_the_documented_type_is_still_an_integer_with_its_limits() -> None:
    schema: dict[str, Any] = JobSpec.model_json_schema()["$defs"]["Execution"]["properties"]["document_timeout_seconds"]
    assert (schema["type"], schema["minimum"], schema["maximum"]) == ("integer", 30, 7200)


def test_every_state_has_its_moves_and_the_ends_have_none() -> None:
    assert set(TRANSITIONS) == set(JobStatus)
    assert {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED} == TERMINAL
