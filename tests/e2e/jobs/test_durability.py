"""kill -9 of the whole service: what was accepted is done, once, and what kills the service is given up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent / "faults" / "serve_jobs.py"


class Killable:
    """`serve_jobs.py` on one root, each attempt's start noted in a file."""

    def __init__(self, folder: Path) -> None:
        self._root = folder / "root"
        self._starts = folder / "starts"

    def submit(self, *names: str) -> subprocess.Popen[str]:
        return self._run("submit", *names)

    def wait_for_all(self) -> list[dict[str, Any]]:
        done = self._run("wait")
        out, _ = done.communicate(timeout=90)
        return [json.loads(line) for line in out.splitlines()] if done.returncode == 0 else []

    def list_starts(self) -> list[str]:
        """Job ids, one for each attempt that reached a worker."""
        return (
            [line.partition(".")[0] for line in self._starts.read_text().splitlines()] if self._starts.exists() else []
        )

    def published(self) -> list[Path]:
        return sorted((self._root / "jobs").glob("*/artifacts/output.md"))

    @property
    def root(self) -> Path:
        return self._root

    def _run(self, *arguments: str) -> subprocess.Popen[str]:
        environment = os.environ | {"FAULT_WORK_STARTS": str(self._starts)}
        command = [sys.executable, str(SCRIPT), str(self._root), *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


@pytest.fixture
def service(tmp_path: Path) -> Killable:
    return Killable(tmp_path)


def read_until(process: subprocess.Popen[str], line: str) -> list[str]:
    assert process.stdout is not None
    lines = []
    for told in process.stdout:
        if told.strip() == line:
            return lines
        lines.append(told)
    raise AssertionError(f"the service ended early: {lines}")


def test_twenty_jobs_survive_a_kill_in_their_middle(service: Killable) -> None:
    process = service.submit(*["sleep-0.2"] * 20)
    admitted = [json.loads(line)["job_id"] for line in read_until(process, "submitted")]
    while len(service.published()) < 5:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done_before = len(service.published())
    assert 5 <= done_before < 20

    records = service.wait_for_all()

    assert {record["job_id"] for record in records} == set(admitted)
    assert {record["status"] for record in records} == {"succeeded"}
    assert len(service.published()) == 20
    assert list((service.root / "staging").iterdir()) == []
    # Once each, but for the two that were under way.
    starts = service.list_starts()
    assert set(starts) == set(admitted)
    assert len(starts) <= 22
    assert max(starts.count(job_id) for job_id in admitted) <= 2


def test_workers_die_with_the_service(service: Killable) -> None:
    process = service.submit("sleep-300")
    read_until(process, "submitted")
    while not service.list_starts():
        time.sleep(0.01)
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    workers = [pid for pid in pids if is_child(pid, process.pid)]
    assert len(workers) >= 2
    process.kill()
    process.wait()
    deadline = time.monotonic() + 5
    while alive := [pid for pid in workers if is_worker(pid)]:
        assert time.monotonic() < deadline, alive
        time.sleep(0.05)


def is_child(pid: int, parent: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return int(stat.rpartition(")")[2].split()[1]) == parent and is_worker(pid)


def is_worker(pid: int) -> bool:
    """Spawned by multiprocessing, and no zombie."""
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_a_job_that_kills_the_service_is_given_up_and_others_go_on(service: Killable) -> None:
    process = service.submit("sleep-0.1", "poison")
    process.wait(timeout=60)
    for _ in range(6):
        if records := service.wait_for_all():
            break
    assert sorted((record["status"], record["code"]) for record in records) == [
        ("failed", "recovery_attempts_exhausted"),
        ("succeeded", None),
    ]
    poisoned = next(record for record in records if record["code"])
    # max_recovery_attempts=2: one start and two recoveries.
    assert service.list_starts().count(poisoned["job_id"]) == 3
    manifest = json.loads((service.root / "jobs" / poisoned["job_id"] / "manifest.json").read_text())
    assert manifest["error"]["code"] == "recovery_attempts_exhausted"
