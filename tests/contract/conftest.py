"""Live services on port 0 of loopback, each on a storage root of its own, and what tests send to them.

Nothing is replaced: the service is the installed command in a process of its own, with its real engine and database.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import httpx
import pytest

KEY = "contract-tests-key"
START_LIMIT_S = 60.0
JOB_LIMIT_S = 120.0  # Docling, where it is installed, takes a worker 8 s of processor time to import
JOBS = "/v1/convert/jobs"


@dataclass
class LiveService:
    """A running service. `client` sends the API key; `ready_after_s` is the time from start to the first answer."""

    url: str
    root: Path
    process: subprocess.Popen[bytes]
    log: Path
    ready_after_s: float
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.url, headers={"X-API-Key": KEY}, timeout=30)

    def submit(
        self,
        pdf: bytes,
        spec: dict[str, Any] | None = None,
        *,
        key: str | None = None,
        declared: str = "application/pdf",
        **params: Any,
    ) -> httpx.Response:
        """Send a well-formed submission; what is not given is ordinary, and each has a key of its own."""
        return self.client.post(
            JOBS,
            params=params,
            headers={"Idempotency-Key": key or str(uuid4())},
            files={
                "file": ("paper.pdf", pdf, declared),
                "job_spec": (None, json.dumps(spec or write_spec()), "application/json"),
            },
        )

    def convert(self, pdf: bytes, **spec: Any) -> dict[str, Any]:
        """The record of a job that has succeeded."""
        answer = self.submit(pdf, write_spec(**spec), wait_seconds=20)
        assert answer.status_code in {200, 202}, answer.text
        job: dict[str, Any] = answer.json()["job"]
        deadline = time.monotonic() + JOB_LIMIT_S
        while job["status"] in {"queued", "running"} and time.monotonic() < deadline:
            job = self.client.get(job["links"]["self"], params={"wait_seconds": 20}).json()["job"]
        assert job["status"] == "succeeded", self.client.get(job["links"]["result"]).text
        return job

    def list_stored(self) -> set[str]:
        """Every file of jobs and uploads under the storage root, names relative to it."""
        kept = [self.root / name for name in ("jobs", "uploads", "staging")]
        return {str(path.relative_to(self.root)) for folder in kept for path in folder.rglob("*") if path.is_file()}

    def wait_until_idle(self) -> None:
        """Return once no job is queued or running."""
        for status in ("queued", "running"):
            while live := self.client.get(JOBS, params={"status": status}).json()["jobs"]:
                self.client.get(live[-1]["links"]["self"], params={"wait_seconds": 20})

    def stop(self) -> int:
        """Ask it to stop and wait; the exit status."""
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def write_spec(
    filename: str = "paper.pdf",
    conversion: dict[str, Any] | None = None,
    execution: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A spec for the CPU, with what the test changes."""
    return {
        "api_version": "v1",
        "source": {"kind": "upload", "filename": filename},
        "conversion": conversion or {},
        "execution": {"acceleration_policy": "cpu_only"} | (execution or {}),
        **more,
    }


@cache
def name_models() -> dict[str, str]:
    """Where Docling is installed, `gpu_prefer` without a GPU means Docling on the CPU: with tiny models, made once."""
    if find_spec("docling") is None:
        return {}
    from tiny_docling_models import make_models

    folder = Path(tempfile.mkdtemp(prefix="sir-convert-a-lot-test-models-"))
    atexit.register(shutil.rmtree, folder)
    return {"DOCLING_ARTIFACTS_PATH": str(make_models(folder))}


def start_service(root: Path, **settings: Any) -> LiveService:
    """Start it and wait for its first answer."""
    root.mkdir(parents=True, exist_ok=True)
    log = root.parent / f"{root.name}.log"
    given = {f"SIR_CONVERT_A_LOT_{name.upper()}": str(value) for name, value in settings.items()}
    environment = os.environ | {
        "CONVERTER_STORAGE_ROOT": str(root),
        "SIR_CONVERT_A_LOT_PORT": "0",
        "SIR_CONVERT_A_LOT_API_KEY": KEY,
        "SIR_CONVERT_A_LOT_WORKERS": "1",
        **name_models(),
        **given,
    }
    started = time.monotonic()
    with log.open("wb") as stderr:
        process = subprocess.Popen([sys.executable, "-m", "sir_convert_a_lot", "serve"], env=environment, stderr=stderr)
    while (found := re.search(r'"url": "(http://[^"]+)", "event": "listening"', log.read_text())) is None:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() - started < START_LIMIT_S, log.read_text()
        time.sleep(0.01)
    url = found[1].replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - it is what the service printed
    assert httpx.get(f"{url}/healthz").status_code == 200
    return LiveService(url, root, process, log, time.monotonic() - started)


StartService = Callable[..., LiveService]


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    """The service with the contract's defaults, shared by all tests that need no other settings."""
    live = start_service(tmp_path_factory.mktemp("service") / "root")
    yield live
    live.stop()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartService]:
    """Starts services with other settings; they are stopped after the test."""
    running: list[LiveService] = []

    def start_one(root: Path | None = None, **settings: Any) -> LiveService:
        running.append(start_service(root or tmp_path / f"root{len(running)}", **settings))
        return running[-1]

    yield start_one
    for live in running:
        live.stop()


@pytest.fixture(scope="session")
def pdf(examples: Path) -> bytes:
    """A small born-digital PDF."""
    return (examples / "digital.pdf").read_bytes()


@pytest.fixture(scope="session")
def spec() -> Callable[..., dict[str, Any]]:
    """`write_spec`, for modules that cannot import this one."""
    return write_spec


@pytest.fixture(scope="session")
def succeeded(service: LiveService, pdf: bytes) -> dict[str, Any]:
    """The record of one job that has succeeded."""
    return service.convert(pdf)


# Each page has text of its own: what all pages share is taken for a running header, and then nothing is left to keep.
WORDS = ("swifts", "return", "in", "May", "and", "nest", "under", "old", "roofs", "where", "nobody", "counts", "them")


def write_pages(pages: int) -> bytes:
    """A PDF of so many pages, each with text enough to need no OCR; of 0 pages it is a well-formed PDF without any."""
    kids = " ".join(f"{4 + 2 * index} 0 R" for index in range(pages))
    bodies = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {pages} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for index in range(pages):
        lines = [" ".join(Random(f"{index} {line}").choices(WORDS, k=12)) for line in range(8)]
        text = "BT /F1 12 Tf 72 620 Td " + " 0 -14 Td ".join(f"({line}) Tj" for line in lines) + " ET"
        bodies += [
            (
                "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> "
                f"/Contents {5 + 2 * index} 0 R >>"
            ),
            f"<< /Length {len(text)} >>\nstream\n{text}\nendstream",
        ]
    out, offsets = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(bodies, start=1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    out += (
        f"xref\n0 {len(bodies) + 1}\n0000000000 65535 f \n{table}"
        f"trailer\n<< /Size {len(bodies) + 1} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF\n"
    ).encode()
    return bytes(out)


@pytest.fixture(scope="session")
def make_pdf() -> Callable[[int], bytes]:
    """`write_pages`, for modules that cannot import this one."""
    return write_pages
