"""Jobs survive the way through JSON unchanged."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from sir_convert_a_lot.application.ports import JobRequest
from sir_convert_a_lot.domain.job import Failure, ResultMetadata
from sir_convert_a_lot.domain.job_spec import JobSpec
from sir_convert_a_lot.infrastructure.job_engine.wire import (
    read_failure,
    read_request,
    read_result,
    write_failure,
    write_request,
)

TEXT = st.text(min_size=1, max_size=40)
SPECS = st.builds(
    lambda filename, pin, seconds: JobSpec.model_validate(
        {
            "api_version": "v1",
            "source": {"kind": "upload", "filename": filename},
            "execution": {"acceleration_policy": "cpu_only", "document_timeout_seconds": seconds},
            "retention": {"pin": pin},
        }
    ),
    TEXT,
    st.booleans(),
    st.integers(30, 7200),
)
REQUESTS = st.builds(
    JobRequest,
    job_id=TEXT,
    spec=SPECS,
    pdf_sha256=TEXT,
    size_bytes=st.integers(0, 10**12),
    pages_total=st.none() | st.integers(0, 10_000),
    engine=TEXT,
    device=TEXT,
    probe_id=st.none() | TEXT,
    created_at=st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    correlation_id=TEXT,
    owner=st.text(),
    warnings=st.lists(TEXT, max_size=3).map(tuple),
)


@given(REQUESTS)
def test_a_request_comes_back_as_it_was(request: JobRequest) -> None:
    assert read_request(json.loads(json.dumps(write_request(request)))) == request


@given(st.builds(Failure, TEXT, TEXT, st.booleans(), st.dictionaries(TEXT, st.integers() | TEXT)))
def test_a_failure_comes_back_as_it_was(failure: Failure) -> None:
    assert read_failure(json.loads(json.dumps(write_failure(failure)))) == failure


def test_a_result_comes_back_as_it_was() -> None:
    result = ResultMetadata(
        "a.md", 1, "0", "builtin", "cpu", ocr_enabled=False, table_mode="fast", options_fingerprint="sha256:0",
        warnings=("one",), execution={"stages": []},
    )  # fmt: skip
    assert read_result(json.loads(json.dumps(asdict(result)))) == result
    older = {key: value for key, value in asdict(result).items() if key != "execution_sha256"}
    assert read_result(json.loads(json.dumps(older))) == result  # stored before the receipt's digest was kept
