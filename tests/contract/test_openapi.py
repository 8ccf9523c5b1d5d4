"""The served OpenAPI document: it covers the contract, and nothing answers what it does not say."""

from __future__ import annotations

import re
import subprocess
import sys
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
FUZZ_LIMIT_S = 15


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


def test_fuzzing_finds_no_500_and_no_undocumented_answer(service: Any, tmp_path: Path) -> None:
    """Schemathesis, with valid and invalid data. What no schema can say is left out: that a file is a PDF and that the
    fields of a spec go together (`positive_data_acceptance`), and that 503 is the right answer without a GPU.
    """
    config = tmp_path / "schemathesis.toml"
    config.write_text('[checks.not_a_server_error]\nexpected-statuses = ["2xx", "3xx", "4xx", "503"]\n')
    fuzz = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
        *("run", f"{service.url}/openapi.json", "-H", "X-API-Key: contract-tests-key"),
        *("--checks", "all", "--exclude-checks", "positive_data_acceptance", "--continue-on-failure"),
        *("--max-examples", "10", "--max-time", str(FUZZ_LIMIT_S), "--seed", "1", "--no-color"),
        *("--warnings", "off", "--generation-database", "none"),
    ]
    ended = subprocess.run(fuzz, cwd=tmp_path, capture_output=True, timeout=150, check=False)
    assert ended.returncode == 0, ended.stdout.decode()[-6000:] + ended.stderr.decode()[-2000:]
    assert b"Tested: 12" in ended.stdout
    assert service.client.get("/healthz").status_code == 200
    assert '"fault"' not in service.log.read_text()
