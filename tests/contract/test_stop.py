"""Start and stop: quick to answer, no PDF library inside, and no waiting client holds up the end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HEAVY = ("pdfium", "onnxruntime", "numpy", "torch", "cv2", "PIL")


def test_the_api_process_loads_no_pdf_library_even_after_conversions(service: Any, pdf: bytes) -> None:
    service.convert(pdf)
    mapped = Path(f"/proc/{service.process.pid}/maps").read_text()
    assert [name for name in HEAVY if f"/{name}" in mapped or f"lib{name}" in mapped] == []


def test_a_stop_ends_long_polls_and_streams_at_once(
    start: Callable[..., Any], make_pdf: Callable[[int], bytes]
) -> None:
    service = start(shutdown_grace_s=0)
    job = service.submit(make_pdf(2_000)).json()["job"]
    seen: dict[str, Any] = {}

    def poll() -> None:
        service.submit(make_pdf(1), wait_seconds=20)
        seen["poll_ended"] = time.monotonic()

    def follow() -> None:
        with service.client.stream("GET", job["links"]["events"]) as stream:
            seen["stream_began"] = True
            for _ in stream.iter_lines():
                pass
        seen["stream_ended"] = time.monotonic()

    waiting = [threading.Thread(target=poll), threading.Thread(target=follow)]
    for thread in waiting:
        thread.start()
    while "stream_began" not in seen:
        time.sleep(0.01)
    time.sleep(0.5)  # the poll is under way; there is nothing to ask for that would tell
    asked = time.monotonic()
    service.process.terminate()
    for thread in waiting:
        thread.join(15)
    assert seen["poll_ended"] - asked < 5
    assert seen["stream_ended"] - asked < 5
    assert service.process.wait(15) == 0


def test_jobs_of_a_stopped_service_are_run_at_its_next_start(start: Any, make_pdf: Callable[[int], bytes]) -> None:
    service = start(shutdown_grace_s=0)
    jobs = [service.submit(make_pdf(60)).json()["job"] for _ in range(2)]
    assert service.stop() == 0
    again = start(root=service.root)
    for job in jobs:
        record = job
        while record["status"] not in {"succeeded", "failed", "canceled"}:
            answer = again.client.get(job["links"]["self"], params={"wait_seconds": 20})
            record = answer.json()["job"]
        assert record["status"] == "succeeded"


def test_an_address_that_is_taken_is_told_before_anything_starts(service: Any, tmp_path: Path) -> None:
    environment = os.environ | {
        "CONVERTER_STORAGE_ROOT": str(tmp_path / "root"),
        "SIR_CONVERT_A_LOT_API_KEY": "k",
        "SIR_CONVERT_A_LOT_PORT": service.url.rsplit(":", 1)[1],
    }
    command = [sys.executable, "-m", "sir_convert_a_lot", "serve"]
    ended = subprocess.run(command, env=environment, capture_output=True, timeout=30, check=False)
    assert ended.returncode == 64
    assert b"cannot listen" in ended.stderr
    assert not (tmp_path / "root").exists()
