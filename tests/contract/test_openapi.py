"""The served OpenAPI document: it covers the contract, and nothing answers what it does not say."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

JOBS = "/v1/convert/jobs"
ALWAYS = {401, 429, 500, 503}
# Every route of the contract with every status it can answer.
ROUTES: dict[tuple[str, str], set[int]] = {
    ("post", JOBS): ALWAYS | {200, 202, 400, 409, 413, 415, 422},
    ("get", JOBS): ALWAYS | {200, 422},
    ("get", f"{JOBS}/{{job_id}}"): ALWAYS | {200, 404, 422},
    ("get", f"{JOBS}/{{job_id}}/events"): ALWAYS | {200, 404},
    ("post", f"{JOBS}/{{job_id}}/cancel"): ALWAYS | {200, 202, 404, 409},
    ("post", f"{JOBS}/{{job_id}}/pin"): ALWAYS | {200, 404},
    ("post", f"{JOBS}/{{job_id}}/unpin"): ALWAYS | {200, 404},
    ("get", f"{JOBS}/{{job_id}}/result"): ALWAYS | {200, 202, 404, 409, 413, 422},
    ("get", f"{JOBS}/{{job_id}}/result/markdown"): ALWAYS | {200, 206, 304, 404, 409, 416},
    ("get", "/healthz"): {200},
    ("get", "/readyz"): {200, 500, 503},
    ("get", "/metrics"): {200, 500, 503},
}
FUZZ_LIMIT_S = 10


@pytest.fixture(scope="module")
def document(service: Any) -> dict[str, Any]:
    served: dict[str, Any] = service.client.get("/openapi.json").json()
    return served


def test_the_document_has_every_route_and_status_of_the_contract_and_no_other(document: dict[str, Any]) -> None:
    documented = {
        (method, path): {int(status) for status in operation["responses"]}
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    assert documented == ROUTES


def test_every_refusal_is_documented_with_the_error_body(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    schema = answer["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
                    assert schema == ("UnreadyBody" if (path, status) == ("/readyz", "503") else "ErrorBody"), method


def test_only_what_watches_is_documented_without_a_key(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert ("security" in operation) == path.startswith("/v1/")


def test_the_spec_is_documented_field_by_field_with_its_defaults(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    fields = {
        f"{part}.{name}": field
        for part in ("Conversion", "Execution", "Retention")
        for name, field in schemas[part]["properties"].items()
    }
    assert {name: field["default"] for name, field in fields.items()} == {
        "Conversion.output_format": "md",
        "Conversion.backend_strategy": "auto",
        "Conversion.ocr_mode": "auto",
        "Conversion.table_mode": "fast",
        "Conversion.normalize": "standard",
        "Execution.acceleration_policy": "gpu_required",
        "Execution.priority": "normal",
        "Execution.document_timeout_seconds": 1800,
        "Retention.pin": False,
    }
    timeout = fields["Execution.document_timeout_seconds"]
    assert (timeout["minimum"], timeout["maximum"]) == (30, 7200)
    assert schemas["BackendStrategy"]["enum"] == ["auto", "docling", "pymupdf", "builtin"]
    assert all(schemas[name]["additionalProperties"] is False for name in ("JobSpec", "Source", "Conversion"))


def test_a_replay_is_documented_where_it_can_be_answered(document: dict[str, Any]) -> None:
    answers = document["paths"][JOBS]["post"]["responses"]
    assert {status for status, answer in answers.items() if "X-Idempotent-Replay" in answer.get("headers", {})} == {
        "200",
        "202",
    }


def test_the_cursor_is_documented_in_the_form_that_a_listing_gives(
    service: Any, document: dict[str, Any], pdf: bytes
) -> None:
    parameters = {parameter["name"]: parameter for parameter in document["paths"][JOBS]["get"]["parameters"]}
    for _ in range(2):
        service.submit(pdf)
    given = service.client.get(JOBS, params={"limit": 1}).json()["next_cursor"]
    assert re.fullmatch(str(parameters["cursor"]["schema"]["pattern"]), given)


# Bytes made from a schema are no PDF, and a machine without a GPU refuses the default policy: left as they are, no case
# would come further than that.
HOOKS = """
from pathlib import Path

import schemathesis
from schemathesis.transport.serialization import Binary


@schemathesis.hook
def before_call(context, case, kwargs):
    if isinstance(case.body, dict) and isinstance(case.body.get("job_spec"), dict):
        case.body["file"] = Binary(Path("real.pdf").read_bytes())
        case.body["job_spec"].setdefault("execution", {})["acceleration_policy"] = "cpu_only"
        case.body["job_spec"].setdefault("conversion", {})["ocr_mode"] = "off"  # OCR takes seconds a page
"""


def fuzz(service: Any, folder: Path, *arguments: str, **environment: str) -> str:
    """Run Schemathesis, and see that the service lives and met no fault. Returns what it printed.

    `FUZZ_SEED` repeats a run. Without it each run has a seed of its own, which pytest shows when the test fails.
    """
    seed = os.environ.get("FUZZ_SEED") or str(secrets.randbelow(2**32))
    sys.stdout.write(f"FUZZ_SEED={seed}\n")
    config = folder / "schemathesis.toml"
    config.write_text('[checks.not_a_server_error]\nexpected-statuses = ["2xx", "3xx", "4xx", "503"]\n')
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
        *("run", f"{service.url}/openapi.json", "-H", "X-API-Key: contract-tests-key"),
        *("--checks", "all", "--continue-on-failure", "--max-examples", "10", "--max-time", str(FUZZ_LIMIT_S)),
        *("--seed", seed, "--no-color", "--request-timeout", "40", "--max-response-time", "40", "--warnings", "off"),
        *("--generation-database", "none"),
    ]
    ended = subprocess.run(
        [*command, *arguments], cwd=folder, env=os.environ | environment, capture_output=True, timeout=150, check=False
    )
    assert ended.returncode == 0, ended.stdout.decode()[-6000:] + ended.stderr.decode()[-2000:]
    assert service.client.get("/healthz").status_code == 200
    assert '"fault"' not in service.log.read_text()
    return ended.stdout.decode()


def test_fuzzing_finds_no_500_and_no_undocumented_answer(service: Any, tmp_path: Path) -> None:
    """With valid and invalid data. What no schema can say is left out: that a file is a PDF and that the fields of a
    spec go together (`positive_data_acceptance`), and that 503 is the right answer without a GPU.
    """
    assert "Tested: 12" in fuzz(service, tmp_path, "--exclude-checks", "positive_data_acceptance")


def test_fuzzing_with_a_real_pdf_comes_to_jobs_and_finds_nothing_either(
    service: Any, tmp_path: Path, make_pdf: Callable[[int], bytes]
) -> None:
    """With valid specs and keys. Once hooks have replaced values, Schemathesis no longer knows what was valid, so both
    checks of that are left out.
    """
    (tmp_path / "real.pdf").write_bytes(make_pdf(1))
    (tmp_path / "fuzz_hooks.py").write_text(HOOKS)
    log_bytes = service.log.stat().st_size
    fuzz(
        service,
        tmp_path,
        *("--include-operation-id", "createJob", "--mode", "positive"),
        *("--exclude-checks", "positive_data_acceptance,negative_data_rejection"),
        SCHEMATHESIS_HOOKS="fuzz_hooks",
        PYTHONPATH=str(tmp_path),
    )
    told = [json.loads(line) for line in service.log.read_bytes()[log_bytes:].splitlines()]
    statuses = {line["status"] for line in told if line.get("method") == "POST" and line.get("path") == JOBS}
    assert {200, 202} & statuses, statuses
    service.wait_until_idle()
