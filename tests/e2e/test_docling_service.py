"""Real Docling through the whole service on the CPU, with tiny models: text, receipt, warnings, and what stays out of
the API process.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from sir_convert_a_lot.infrastructure.engines.docling.model_files import LOOK_TTL_S

pytestmark = pytest.mark.skipif(find_spec("docling") is None, reason="needs Docling: pdm install -G docling")

COMMAND = str(Path(sys.executable).with_name("convert-a-lot"))
KEY = "a key for tests only"
START_LIMIT_S = 60
JOB_LIMIT_S = 150  # a worker imports Docling and torch first: 8 s of processor time, more on a busy machine


@dataclass(frozen=True)
class Service:
    """A live service and the folder its models are looked for in."""

    process: subprocess.Popen[bytes]
    client: httpx.Client
    log: Path

    def convert(self, pdf: Path, **conversion: str) -> dict[str, Any]:
        """The job's result, or what it failed with."""
        spec = {
            "api_version": "v1",
            "source": {"kind": "upload", "filename": pdf.name},
            "conversion": {"backend_strategy": "docling", **conversion},
            "execution": {"acceleration_policy": "cpu_only"},
        }
        answer = self.client.post(
            "/v1/convert/jobs",
            headers={"Idempotency-Key": str(uuid4())},
            files={
                "file": (pdf.name, pdf.read_bytes(), "application/pdf"),
                "job_spec": (None, json.dumps(spec), "application/json"),
            },
        )
        if answer.status_code not in {200, 202}:
            return {"status_code": answer.status_code, **answer.json()}
        job = answer.json()["job"]
        deadline = time.monotonic() + JOB_LIMIT_S
        while job["status"] in {"queued", "running"} and time.monotonic() < deadline:
            job = self.client.get(job["links"]["self"], params={"wait_seconds": 20}).json()["job"]
        result: dict[str, Any] = self.client.get(job["links"]["result"], params={"inline": "true"}).json()
        return result


def start(root: Path, artifacts: Path) -> Service:
    log = root / "service.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [COMMAND, "serve", "--port", "0"],
            env=os.environ
            | {
                "SIR_CONVERT_A_LOT_API_KEY": KEY,
                "CONVERTER_STORAGE_ROOT": str(root / "storage"),
                "DOCLING_ARTIFACTS_PATH": str(artifacts),
            },
            stdout=sink,
            stderr=sink,
        )
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        if told := re.search(r'"url": "(http://[^"]+)", "event": "listening"', log.read_text()):
            return Service(process, httpx.Client(base_url=told[1], headers={"X-API-Key": KEY}, timeout=60), log)
        time.sleep(0.05)
    process.kill()
    pytest.fail(f"the service did not start:\n{log.read_text()}")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    from tiny_docling_models import make_models

    models = make_models(tmp_path_factory.mktemp("models"))
    running = start(tmp_path_factory.mktemp("service"), models)
    yield running
    running.process.terminate()
    running.process.wait(60)


def test_docling_on_the_cpu_says_cpu_for_every_stage_and_how_that_was_seen(service: Service, examples: Path) -> None:
    result = service.convert(examples / "digital.pdf", ocr_mode="off")["result"]
    assert "A microphone has no such preferences." in result["markdown_content"]
    assert result["conversion_metadata"]["backend_used"] == "docling"
    assert result["conversion_metadata"]["acceleration_used"] == "cpu"
    execution = result["execution"]
    assert (execution["engine"], execution["grade"]) == ("docling", None)
    stages = {stage["stage"]: stage for stage in execution["stages"]}
    assert list(stages) == ["page_parsing", "layout_analysis", "table_structure", "assembly"]
    assert {stage["device_used"] for stage in stages.values()} == {"cpu"}
    assert stages["layout_analysis"]["measured_by"].startswith("parameter_devices: cpu; torch_operations: cpu ")


def test_a_scanned_pdf_is_converted_again_with_ocr_and_the_result_says_so(service: Service, examples: Path) -> None:
    result = service.convert(examples / "scanned.pdf", ocr_mode="auto")["result"]
    assert "Fourteen members were present." in result["markdown_content"]
    assert result["conversion_metadata"]["ocr_enabled"] is True
    assert any("second time with full-page OCR" in warning for warning in result["warnings"])
    assert {stage["device_used"] for stage in result["execution"]["stages"]} == {"cpu"}


def test_neither_torch_nor_docling_is_in_the_api_process(service: Service) -> None:
    loaded = Path(f"/proc/{service.process.pid}/maps").read_text(encoding="utf-8")
    assert not re.search(r"libtorch|docling_parse|pdfium", loaded)


def test_missing_models_are_told_at_the_start_and_refused_before_anything_is_stored(
    tmp_path: Path, examples: Path
) -> None:
    from tiny_docling_models import make_models

    models = tmp_path / "models"
    models.mkdir()
    service = start(tmp_path, models)
    try:
        wait_for(lambda: "requests for docling are refused" in service.log.read_text())
        refused = service.convert(examples / "digital.pdf")
        kept = [path for path in (tmp_path / "storage").rglob("*") if path.is_file() and path.suffix in {".pdf", ".md"}]
        make_models(models)
        time.sleep(LOOK_TTL_S)
        accepted = service.convert(examples / "digital.pdf", ocr_mode="off")
    finally:
        service.process.terminate()
        service.process.wait(60)
    assert (refused["status_code"], refused["error"]["code"]) == (503, "service_unavailable")
    details = refused["error"]["details"]
    assert (details["reason"], details["backend"]) == ("model_weights_missing", "docling")
    assert "docling-project--docling-layout-heron/model.safetensors" in details["missing"]
    assert "convert-a-lot models download" in details["remediation"][0]
    assert kept == []
    assert accepted["result"]["conversion_metadata"]["backend_used"] == "docling"


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
