"""Submissions as the HTTP rim would hand them to admission. For tests alone."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from pathlib import Path

from sir_convert_a_lot.application.admit import Submission
from sir_convert_a_lot.application.ports import IdempotencyScope
from sir_convert_a_lot.bootstrap import Service
from sir_convert_a_lot.domain.job_spec import JobSpec

WORK = "fault_work:convert"
PDF = Path(__file__).resolve().parents[4] / "examples" / "digital.pdf"


def make_submission(
    service: Service, name: str, *, key: str | None = None, priority: str = "normal", pin: bool = False, pdf: Path = PDF
) -> Submission:
    """`name` is the file's stem: it tells the fault engine what to do."""
    upload = service.files.new_upload_path()
    shutil.copyfile(pdf, upload)
    spec = {
        "api_version": "v1",
        "source": {"kind": "upload", "filename": f"{name}.pdf"},
        "execution": {"acceleration_policy": "cpu_only", "priority": priority},
        "retention": {"pin": pin},
    }
    return Submission(
        upload=upload,
        pdf_sha256=hashlib.sha256(upload.read_bytes()).hexdigest(),
        size_bytes=upload.stat().st_size,
        spec=JobSpec.model_validate(spec),
        scope=IdempotencyScope("", "POST", "/v1/convert/jobs", key or uuid.uuid4().hex),
        correlation_id="corr_test",
    )
