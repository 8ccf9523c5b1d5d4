"""A client that was written against the contract before this project, and knows nothing that is new."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

DEADLINE_S = 120


def convert(service: Any, pdf: Path, spec: dict[str, Any]) -> dict[str, Any]:
    """Submit, poll by the record's own links, fetch the result inline."""
    with httpx.Client(base_url=service.url, headers={"X-API-Key": "contract-tests-key"}, timeout=30) as client:
        key = hashlib.sha256(pdf.read_bytes() + json.dumps(spec).encode()).hexdigest()
        with pdf.open("rb") as file:
            submitted = client.post(
                "/v1/convert/jobs?wait_seconds=1",
                headers={"Idempotency-Key": key},
                files={"file": (pdf.name, file, "application/pdf"), "job_spec": (None, json.dumps(spec))},
            )
        assert submitted.status_code in {200, 202}, submitted.text
        job = submitted.json()["job"]
        deadline = time.monotonic() + DEADLINE_S
        while job["status"] in {"queued", "running"}:
            assert time.monotonic() < deadline
            time.sleep(0.1)
            job = client.get(job["links"]["self"]).json()["job"]
        answer = client.get(job["links"]["result"], params={"inline": "true"})
        assert answer.status_code == 200, answer.text
        result: dict[str, Any] = answer.json()["result"]
        return result


@pytest.mark.parametrize("name", ["digital.pdf", "two_column.pdf", "tagged.pdf"])
@pytest.mark.parametrize("policy", ["cpu_only", "gpu_prefer"])
def test_a_client_of_the_contract_gets_its_markdown(
    service: Any, examples: Path, spec: Callable[..., dict[str, Any]], name: str, policy: str
) -> None:
    asked = spec(filename=name, execution={"acceleration_policy": policy, "document_timeout_seconds": 60})
    result = convert(service, examples / name, asked)
    content = result["markdown_content"].encode()
    assert content.strip()
    assert result["artifact"] == {
        "markdown_filename": name.replace(".pdf", ".md"),
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    assert result["conversion_metadata"]["table_mode"] == "fast"
    assert result["conversion_metadata"]["ocr_enabled"] is False
