"""The product in processes of its own, as an operator starts it, and asked as any client asks.

Owns starting and stopping services on free ports of loopback, each with a storage root and a key of its own, and the
conversions sent to them. Ends only what it started, by its id.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import httpx

from sir_convert_a_lot.domain.job import JobStatus
from sir_convert_a_lot.domain.job_spec import JobSpec
from sir_convert_a_lot.interfaces.client.answers import JobView, ResultView
from sir_convert_a_lot.interfaces.client.service import ServiceClient

FOREIGN_PREFIXES = ("SIR_", "CONVERTER_", "DOCLING_", "DBOS_")
START_LIMIT_S = 60.0
READY_LIMIT_S = 120.0  # a first `/readyz` climbs the whole ladder, with limits of its own
JOB_LIMIT_S = 300.0
STOP_LIMIT_S = 20.0
LISTENING = re.compile(r'"url": "(http://[^"]+)", "event": "listening"')


class Broken(Exception):
    """The product did not do what every check presupposes; the text says what, with the end of its log."""


class Service:
    """One running service. Use it as a context manager; it is dead on leaving."""

    def __init__(self, name: str, folder: Path, models: Path | None, settings: Mapping[str, str]) -> None:
        """`settings` are environment variables, in full."""
        self.name = name
        self.root = folder / name
        self.log = folder / f"{name}.log"
        self._key = secrets.token_hex(16)
        self._environ = own_environment(models) | {
            "CONVERTER_STORAGE_ROOT": str(self.root),
            "SIR_CONVERT_A_LOT_API_KEY": self._key,
            "SIR_CONVERT_A_LOT_PORT": "0",
            "SIR_CONVERT_A_LOT_WORKERS": "1",
            "SIR_CONVERT_A_LOT_SHUTDOWN_GRACE_S": "0",
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise Broken(f"{self.name} is not running")
        return self._process.pid

    def __enter__(self) -> Self:
        self.root.mkdir(parents=True)
        with self.log.open("wb") as sink:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "sir_convert_a_lot", "serve"],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
            )
        try:
            self.url = self._wait_for_url()
        except BaseException:
            self._stop()
            raise
        self.client = ServiceClient(self.url, self._key, retry_budget_s=0.0, first_contact_s=5.0)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self._stop()

    def _wait_for_url(self) -> str:
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline and self._process is not None and self._process.poll() is None:
            if told := LISTENING.search(self.log.read_text(encoding="utf-8", errors="replace")):
                return told[1]
            time.sleep(0.05)
        raise Broken(f"the service {self.name} did not start: {self.last_words()}")

    def _stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return " | ".join(lines[-3:])

    def readyz(self) -> tuple[int, dict[str, Any]]:
        """Status and body of `/readyz`. The first look takes as long as the probe."""
        answer = httpx.get(f"{self.url}/readyz", timeout=READY_LIMIT_S, trust_env=False)
        body: dict[str, Any] = answer.json()
        return answer.status_code, body

    def submit(self, pdf: Path, **choices: str) -> JobView:
        """Raises what the service refuses with. Each submission is a job of its own."""
        return self.client.submit(pdf, write_spec(pdf, **choices), uuid.uuid4().hex).job

    def convert(self, pdf: Path, **choices: str) -> dict[str, Any]:
        """`result` of the job. Raises what it was refused or failed with, and `Broken` when it does not end."""
        return self.collect(self.submit(pdf, **choices).job_id)

    def collect(self, job_id: str) -> dict[str, Any]:
        job = self.client.wait(job_id, JOB_LIMIT_S)
        if job.status is not JobStatus.SUCCEEDED:
            if not job.status.is_terminal:
                raise Broken(f"{job_id} is {job.status.value} after {JOB_LIMIT_S:g} s")
            raise self.client.failure(job_id)
        result = self.client.result(job_id)
        if not isinstance(result, ResultView):
            raise Broken(f"{job_id} succeeded and has no result")
        found: dict[str, Any] = result.raw["result"]
        return found

    def list_stored(self) -> list[str]:
        """Every file of jobs and uploads, and every job that the service knows."""
        kept = [self.root / name for name in ("jobs", "uploads", "staging")]
        files = [
            path.relative_to(self.root).as_posix() for folder in kept for path in folder.rglob("*") if path.is_file()
        ]
        return files + [job.job_id for job in self.client.jobs().jobs]


def own_environment(models: Path | None) -> dict[str, str]:
    """This process's environment without settings of a service; masks stay, since they choose the operator's GPU."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_PREFIXES)}
    kept["HF_HUB_OFFLINE"] = "1"
    if models is not None:
        kept["DOCLING_ARTIFACTS_PATH"] = str(models)
    return kept


def write_spec(pdf: Path, policy: str = "gpu_required", ocr_mode: str = "off", backend: str = "docling") -> JobSpec:
    return JobSpec.model_validate(
        {
            "api_version": "v1",
            "source": {"kind": "upload", "filename": pdf.name},
            "conversion": {"backend_strategy": backend, "ocr_mode": ocr_mode},
            "execution": {"acceleration_policy": policy, "document_timeout_seconds": int(JOB_LIMIT_S)},
        }
    )


def run_json(command: list[str], environ: Mapping[str, str], limit_s: float) -> tuple[int, Any]:
    """Exit code and the JSON on stdout. Raises `Broken` where it prints none or does not end."""
    try:
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise Broken(f"{tell_command(command)} did not end within {limit_s:g} s") from error
    try:
        return done.returncode, json.loads(done.stdout)
    except ValueError as error:
        words = " | ".join(done.stderr.splitlines()[-3:])
        raise Broken(f"{tell_command(command)} exited {done.returncode} without JSON: {words}") from error


def tell_command(command: list[str]) -> str:
    """As a person would type it, whatever the interpreter is called here."""
    return " ".join("python" if word == sys.executable else word for word in command)


def until(holds: Callable[[], bool], limit_s: float, pause_s: float = 0.05) -> bool:
    """Whether it came to hold within the limit."""
    deadline = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause_s)
    return True
