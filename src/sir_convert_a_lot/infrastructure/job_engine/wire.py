"""Jobs as JSON, as the engine keeps them: requests, results and failures, there and back.

Owns the stored form. Readers of an older form must stay able to read it: add keys, never rename them.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sir_convert_a_lot.application.ports import JobRequest
from sir_convert_a_lot.domain.job import Failure, ResultMetadata
from sir_convert_a_lot.domain.job_spec import JobSpec

Json = dict[str, Any]


def write_request(request: JobRequest) -> Json:
    return {
        "job_id": request.job_id,
        "spec": request.spec.model_dump(mode="json"),
        "pdf_sha256": request.pdf_sha256,
        "size_bytes": request.size_bytes,
        "pages_total": request.pages_total,
        "engine": request.engine,
        "device": request.device,
        "probe_id": request.probe_id,
        "created_at": request.created_at.isoformat(),
        "correlation_id": request.correlation_id,
        "owner": request.owner,
        "warnings": list(request.warnings),
        "pci_id": request.pci_id,
        "masks": request.masks,
    }


def read_request(stored: Json) -> JobRequest:
    return JobRequest(
        **stored
        | {
            "spec": JobSpec.model_validate(stored["spec"]),
            "created_at": datetime.fromisoformat(stored["created_at"]),
            "warnings": tuple(stored["warnings"]),
        }
    )


def read_result(stored: Json) -> ResultMetadata:
    return ResultMetadata(**stored | {"warnings": tuple(stored["warnings"])})


def write_failure(failure: Failure) -> Json:
    return asdict(failure)


def read_failure(stored: Json) -> Failure:
    return Failure(
        code=str(stored["code"]),
        message=str(stored["message"]),
        retryable=bool(stored["retryable"]),
        details=dict(stored["details"]),
    )
