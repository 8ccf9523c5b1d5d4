"""A PDF that cannot be opened is refused alike by the service, by every engine, and without a service."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pikepdf
import pytest

from sir_convert_a_lot.application.admit import Submission
from sir_convert_a_lot.application.ports import IdempotencyScope
from sir_convert_a_lot.bootstrap import build_local, build_service
from sir_convert_a_lot.domain.engine import EngineOptions
from sir_convert_a_lot.domain.errors import PdfUnreadable, SirConvertError
from sir_convert_a_lot.domain.job_spec import JobSpec
from sir_convert_a_lot.infrastructure.engines.installed import installed_engines, load_engine
from sir_convert_a_lot.interfaces.cli.talk import explain
from sir_convert_a_lot.settings import Settings

SPEC: dict[str, Any] = {
    "api_version": "v1",
    "source": {"kind": "upload", "filename": "a.pdf"},
    "execution": {"acceleration_policy": "cpu_only"},
}


@pytest.fixture
def pdfs(examples: Path, tmp_path: Path) -> dict[str, Path]:
    empty = tmp_path / "no_pages.pdf"
    with pikepdf.new() as document:
        document.save(empty)
    return {"encrypted": examples / "encrypted.pdf", "damaged": examples / "damaged.pdf", "no_pages": empty}


async def refuse_by_service(root: Path, pdf: Path) -> SirConvertError:
    async with build_service(Settings(storage_root=root, workers=1, shutdown_grace_s=0)) as service:
        upload = service.files.new_upload_path()
        shutil.copyfile(pdf, upload)
        submission = Submission(
            upload=upload,
            pdf_sha256="0",
            size_bytes=upload.stat().st_size,
            spec=JobSpec.model_validate(SPEC),
            scope=IdempotencyScope("", "POST", "/v1/convert/jobs", pdf.name),
            correlation_id="corr",
        )
        with pytest.raises(PdfUnreadable) as refused:
            await service.admission.admit(submission)
        return refused.value


async def refuse_locally(pdf: Path) -> SirConvertError:
    async with build_local(Settings()) as convert:
        with pytest.raises(PdfUnreadable) as refused:
            await convert(pdf, JobSpec.model_validate(SPEC), lambda *_: None)
        return refused.value


@pytest.mark.parametrize("reason", ["encrypted", "damaged", "no_pages"])
def test_without_a_service_a_pdf_is_refused_with_the_services_code_message_and_remedy(
    reason: str, pdfs: dict[str, Path], tmp_path: Path
) -> None:
    remote = asyncio.run(refuse_by_service(tmp_path / "root", pdfs[reason]))
    local = asyncio.run(refuse_locally(pdfs[reason]))
    assert (local.code, local.message, local.details) == (remote.code, remote.message, remote.details)
    assert explain(local) == explain(remote)
    assert remote.details == {"reason": reason}


@pytest.mark.parametrize("reason", ["encrypted", "damaged", "no_pages"])
@pytest.mark.parametrize("name", ["builtin", "docling", "pymupdf"])
def test_every_engine_refuses_in_the_same_words(name: str, reason: str, pdfs: dict[str, Path]) -> None:
    if name not in installed_engines():
        pytest.skip(f"the engine {name} is not installed")
    engine = load_engine(name)
    builtin = load_engine("builtin")
    told = []
    for each in (engine, builtin):
        with pytest.raises(PdfUnreadable) as refused:
            each.convert(pdfs[reason], EngineOptions(), lambda *_: None)
        told.append((refused.value.code, refused.value.message, refused.value.details))
    assert told[0] == told[1]
