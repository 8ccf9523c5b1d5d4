"""A conversion without a service, under the service's rules."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sir_convert_a_lot.bootstrap import LocalResult, build_local
from sir_convert_a_lot.domain.engine import ReportProgress
from sir_convert_a_lot.domain.errors import GpuNotAvailable, PdfUnreadable, ValidationError
from sir_convert_a_lot.domain.job_spec import JobSpec
from sir_convert_a_lot.settings import Settings


def make_spec(policy: str, backend: str = "auto") -> JobSpec:
    return JobSpec.model_validate(
        {
            "api_version": "v1",
            "source": {"kind": "upload", "filename": "a.pdf"},
            "conversion": {"backend_strategy": backend},
            "execution": {"acceleration_policy": policy},
        }
    )


def convert(
    pdf: Path,
    spec: JobSpec,
    *,
    times: int = 1,
    settings: Settings | None = None,
    report: ReportProgress = lambda *_: None,
) -> list[LocalResult]:
    async def convert_all() -> list[LocalResult]:
        async with build_local(settings or Settings()) as convert_one:
            return [await convert_one(pdf, spec, report) for _ in range(times)]

    return asyncio.run(convert_all())


def test_a_document_is_converted_and_its_pages_are_told(examples: Path) -> None:
    told: list[tuple[str, int, int]] = []
    (local,) = convert(
        examples / "digital.pdf", make_spec("cpu_only"), report=lambda stage, *pages: told.append((stage, *pages))
    )
    assert local.markdown.strip()
    assert (local.metadata.backend_used, local.metadata.acceleration_used) == ("builtin", "cpu")
    assert told[-1][2] == 3


def test_the_same_document_gives_the_same_bytes(examples: Path) -> None:
    once, again = convert(examples / "digital.pdf", make_spec("cpu_only"), times=2)
    assert once.markdown == again.markdown
    assert once.metadata.options_fingerprint == again.metadata.options_fingerprint


def test_without_a_gpu_the_default_policy_is_refused(examples: Path) -> None:
    with pytest.raises(GpuNotAvailable) as refused:
        convert(examples / "digital.pdf", make_spec("gpu_required"), settings=Settings(gpu_forbidden=True))
    assert refused.value.details["cause"] == "gpu_forbidden_by_setting"


def test_what_cannot_go_together_is_refused(examples: Path) -> None:
    with pytest.raises(ValidationError):
        convert(examples / "digital.pdf", make_spec("gpu_required", "builtin"))


def test_a_damaged_pdf_is_told(examples: Path) -> None:
    with pytest.raises(PdfUnreadable):
        convert(examples / "damaged.pdf", make_spec("cpu_only"))
