"""Who may call: the key on every /v1 route, none for what watches, and no service that cannot tell callers apart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pytest

ID = "job_01K2S8CXH3BWV7S6E5B7P4Y2ZR"
KEYED = [
    ("POST", "/v1/convert/jobs"),
    ("GET", "/v1/convert/jobs"),
    ("GET", f"/v1/convert/jobs/{ID}"),
    ("GET", f"/v1/convert/jobs/{ID}/events"),
    ("POST", f"/v1/convert/jobs/{ID}/cancel"),
    ("POST", f"/v1/convert/jobs/{ID}/pin"),
    ("POST", f"/v1/convert/jobs/{ID}/unpin"),
    ("GET", f"/v1/convert/jobs/{ID}/result"),
    ("GET", f"/v1/convert/jobs/{ID}/result/markdown"),
]


@pytest.mark.parametrize(("method", "path"), KEYED)
@pytest.mark.parametrize("key", [None, "", "wrong", "contract-tests-ke", "contract-tests-keyy", "ключ"])
def test_every_v1_route_refuses_a_missing_or_wrong_key(service: Any, method: str, path: str, key: str | None) -> None:
    headers = [] if key is None else [(b"X-API-Key", key.encode())]
    answer = httpx.request(method, service.url + path, headers=headers)
    assert answer.status_code == 401
    error = answer.json()["error"]
    assert (error["code"], error["retryable"]) == ("auth_invalid_api_key", False)


def test_the_key_is_asked_for_before_anything_else_is_looked_at(service: Any) -> None:
    answer = httpx.post(service.url + "/v1/convert/jobs?wait_seconds=nonsense", content=b"no form at all")
    assert answer.status_code == 401


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_what_watches_needs_no_key(service: Any, path: str) -> None:
    assert httpx.get(service.url + path).status_code == 200


def test_health_tells_the_version_and_the_revision_that_was_started(service: Any, repository: Path) -> None:
    told = httpx.get(service.url + "/healthz").json()
    assert (told["api_version"], told["status"], told["version"]) == ("v1", "ok", version("sir-convert-a-lot"))
    assert (told["revision"] is not None) is (repository / ".git").exists()
    if told["revision"] is not None:
        asked = ["git", "-c", "safe.directory=*", "-C", str(repository), "cat-file", "-t", told["revision"]]
        assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout == "commit\n"


def test_without_a_key_the_service_answers_only_when_that_was_asked_for(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SIR_")}
    environment |= {"CONVERTER_STORAGE_ROOT": str(tmp_path / "none"), "SIR_CONVERT_A_LOT_PORT": "0"}
    serve = [sys.executable, "-m", "sir_convert_a_lot", "serve"]
    for arguments, empty_key in [
        ([], False),
        ([], True),
        (["--insecure-local"], True),
        (["--insecure-local", "--host", "0.0.0.0"], False),  # noqa: S104 - refused, that is the point
    ]:
        given = environment | ({"SIR_CONVERT_A_LOT_API_KEY": "  "} if empty_key else {})
        ended = subprocess.run([*serve, *arguments], env=given, capture_output=True, timeout=30, check=False)
        assert ended.returncode == 64, ended.stderr
        assert b"api" in ended.stderr.lower()
        assert b"listening" not in ended.stderr


def test_insecure_local_answers_without_a_key(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SIR_")}
    environment |= {"CONVERTER_STORAGE_ROOT": str(tmp_path / "open"), "SIR_CONVERT_A_LOT_PORT": "0"}
    command = [sys.executable, "-m", "sir_convert_a_lot", "serve", "--insecure-local"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        url = next(told["url"] for line in process.stderr if (told := json.loads(line))["event"] == "listening")
        assert httpx.get(f"{url}/v1/convert/jobs").json()["jobs"] == []
        process.terminate()
        process.stderr.read()
    assert process.returncode == 0
