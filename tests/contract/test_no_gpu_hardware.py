"""A machine without a GPU, end to end through HTTP and the command line: refused with `no_gpu_hardware`, and really
nothing of it is kept: no row in any database, no file, no key.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from sir_convert_a_lot.domain.errors import ExitCode
from sir_convert_a_lot.domain.gpu_causes import CAUSES, Cause
from sir_convert_a_lot.domain.gpu_facts import Rung, RungState
from sir_convert_a_lot.infrastructure.gpu_runtime_probe import probe
from sir_convert_a_lot.interfaces.cli.manifest import MANIFEST_NAME

Spec = Callable[..., dict[str, Any]]

REMEDIES = [remedy.sentence for remedy in CAUSES[Cause.NO_GPU_HARDWARE].remedies]
KEY_NAME = "SIR_CONVERT_A_LOT_API_KEY"

pytestmark = pytest.mark.skipif(
    probe(last_rung=Rung.HARDWARE).rungs[0].state is RungState.PASSED, reason="this machine has a GPU"
)


def read_rows(root: Path) -> dict[str, list[Any]]:
    """Every row of every table of every database under the root."""
    rows = {}
    for database in sorted(root.rglob("*.sqlite")):
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            for (table,) in tables:
                rows[f"{database.name}:{table}"] = connection.execute(f'SELECT * FROM "{table}"').fetchall()  # noqa: S608
    return rows


def read_files(root: Path) -> dict[str, bytes]:
    """Every file under the root but the databases, and every folder."""
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else b""
        for path in root.rglob("*")
        if ".sqlite" not in path.name
    }


def run_cli(service: Any, scratch: Path, *arguments: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
    scratch.mkdir(exist_ok=True)
    environ = os.environ | {
        KEY_NAME: service.client.headers["X-API-Key"],
        "SIR_CONVERT_A_LOT_SERVICE_URL": service.url,
        "TMPDIR": str(scratch),
        **more,
    }
    command = [sys.executable, "-m", "sir_convert_a_lot", *map(str, arguments)]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=120)


def check_details(details: dict[str, Any]) -> None:
    assert details["cause"] == "no_gpu_hardware"
    assert details["rung"] == "hardware"
    assert details["runtime_kind"] in {"none", "rocm", "cuda"}  # of the torch that is installed, which is another thing
    assert details["evidence"][0].startswith("hardware: no AMD or NVIDIA GPU on the PCI bus")
    assert details["remediation"] == REMEDIES


def test_a_refusal_over_http_leaves_no_row_no_file_and_no_key(service: Any, pdf: bytes, spec: Spec) -> None:
    service.convert(pdf)  # so that there is something which must stay as it is
    service.wait_until_idle()
    rows, files = read_rows(service.root), read_files(service.root)
    assert rows["ledger.sqlite:idempotency_keys"]
    assert rows["jobs.sqlite:workflow_status"]
    key = str(uuid4())
    for _ in range(3):
        answer = service.submit(pdf, spec(execution={"acceleration_policy": "gpu_required"}), key=key)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "gpu_not_available")
        check_details(answer.json()["error"]["details"])
    assert read_rows(service.root) == rows
    assert read_files(service.root) == files
    again = service.submit(pdf, key=key)  # the key was not spent on the refusal
    assert again.status_code in {200, 202}
    assert "X-Idempotent-Replay" not in again.headers


@pytest.mark.parametrize("command", ["convert", "submit"])
def test_a_refusal_through_the_command_line_exits_75_and_leaves_nothing(
    service: Any, pdf: bytes, tmp_path: Path, command: str
) -> None:
    service.wait_until_idle()
    rows, files = read_rows(service.root), read_files(service.root)
    source, out = tmp_path / "paper.pdf", tmp_path / "out"
    source.write_bytes(pdf)
    where = ["--output-dir", out] if command == "convert" else []
    done = run_cli(service, tmp_path / "scratch", command, source, *where, "--json")
    assert done.returncode == ExitCode.GPU_NOT_AVAILABLE == 75
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "gpu_not_available"
    check_details(error["details"])
    assert read_rows(service.root) == rows
    assert read_files(service.root) == files
    assert [path.name for path in out.rglob("*")] == ([MANIFEST_NAME] if command == "convert" else [])
    assert list((tmp_path / "scratch").iterdir()) == []


def test_without_a_service_the_refusal_is_the_same_and_leaves_nothing(service: Any, pdf: bytes, tmp_path: Path) -> None:
    source, out = tmp_path / "paper.pdf", tmp_path / "out"
    source.write_bytes(pdf)
    local = run_cli(service, tmp_path / "scratch", "convert", source, "--local", "--output-dir", out)
    served = run_cli(service, tmp_path / "scratch", "convert", source, "--output-dir", out)
    assert local.returncode == served.returncode == 75
    assert not local.stdout
    for line in ("no_gpu_hardware (rung hardware)", *REMEDIES):
        assert line in local.stderr
    told = [line for line in served.stderr.splitlines() if "corr_" not in line]
    assert told == local.stderr.splitlines()
    assert [path.name for path in out.rglob("*")] == [MANIFEST_NAME]
    assert list((tmp_path / "scratch").iterdir()) == []


def test_the_probe_exits_1_and_names_the_cause_that_a_refusal_names(service: Any, tmp_path: Path) -> None:
    done = run_cli(service, tmp_path / "scratch", "gpu", "probe", "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    check_details(found)
    assert (found["is_available"], found["device_count"], found["device_name"]) == (False, 0, None)
    assert found["runbook"] == Cause.NO_GPU_HARDWARE.runbook


def test_a_service_without_a_gpu_is_ready_and_converts_on_the_cpu(service: Any, pdf: bytes) -> None:
    ready = httpx.get(f"{service.url}/readyz")
    assert ready.status_code == 200
    assert ready.json()["gpu"] == {"state": "not_proven", "cause": "no_gpu_hardware"}
    job = service.convert(pdf, execution={"acceleration_policy": "cpu_only"})
    result = service.client.get(job["links"]["result"]).json()["result"]
    assert result["conversion_metadata"]["acceleration_used"] == "cpu"
    assert result["execution"]["grade"] is None
    assert {stage["device_used"] for stage in result["execution"]["stages"]} == {"cpu"}
