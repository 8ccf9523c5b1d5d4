"""Ctrl-C and SIGTERM during a run: the run's own jobs are canceled and recorded, those of others are left alone."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from stand_in_service import StandIn, manifest_of, write_pdf

from sir_convert_a_lot.domain.errors import ExitCode
from sir_convert_a_lot.interfaces.cli.app import run
from sir_convert_a_lot.interfaces.cli.manifest import MANIFEST_NAME

COMMAND = [sys.executable, "-m", "sir_convert_a_lot"]


def interrupt_when_running(
    stand_in: StandIn, url: str, papers: Path, out: Path, *, jobs: int, number: signal.Signals = signal.SIGINT
) -> subprocess.Popen[str]:
    for which in range(jobs):
        write_pdf(papers, f"endless-{which}.pdf")
    process = subprocess.Popen(
        [*COMMAND, "convert", str(papers), "-o", str(out), "--service-url", url, "--concurrency", str(jobs - 1)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 20
    while len(stand_in.jobs) < jobs - 1 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_cancel_the_jobs_of_the_run_and_record_them(
    stand_in: StandIn, url: str, papers: Path, tmp_path: Path, number: signal.Signals
) -> None:
    process = interrupt_when_running(stand_in, url, papers, tmp_path / "out", jobs=3, number=number)
    process.communicate(timeout=20)
    assert process.returncode == ExitCode.INTERRUPTED
    assert sorted(set(stand_in.cancels)) == sorted(stand_in.jobs)
    entries = manifest_of(tmp_path / "out")
    assert [entry["status"] for entry in entries] == ["canceled"] * 3
    assert sum(entry["job_id"] is None for entry in entries) == 1  # the one that was never sent


def test_ctrl_c_leaves_a_job_alone_that_another_run_started(
    stand_in: StandIn, url: str, papers: Path, tmp_path: Path
) -> None:
    pdf = write_pdf(papers, "endless.pdf")
    assert run(["submit", str(pdf), "--service-url", url]) == ExitCode.OK
    process = subprocess.Popen(
        [*COMMAND, "convert", str(pdf), "-o", str(tmp_path / "out"), "--service-url", url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 20
    while stand_in.submits < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, talk = process.communicate(timeout=20)
    assert process.returncode == ExitCode.INTERRUPTED
    assert time.monotonic() - began < 5  # nobody waits for a cancel that was never asked for
    assert not stand_in.cancels
    entry = manifest_of(tmp_path / "out")[0]
    assert (entry["job_id"], entry["status"], entry["error_code"]) == (f"job_{1:026d}", "running", None)
    assert f"collect job_{1:026d}" in talk


def test_ctrl_c_cancels_one_job_that_two_documents_of_the_run_share(
    stand_in: StandIn, url: str, papers: Path, tmp_path: Path
) -> None:
    for name in ("one/endless.pdf", "other/endless.pdf"):
        write_pdf(papers, name, "the same words")
    process = subprocess.Popen(
        [*COMMAND, "convert", str(papers), "-r", "-o", str(tmp_path / "out"), "--service-url", url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 20
    while stand_in.submits < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert set(stand_in.cancels) == set(stand_in.jobs)
    assert [entry["status"] for entry in manifest_of(tmp_path / "out")] == ["canceled"] * 2


def test_a_second_ctrl_c_quits_at_once(stand_in: StandIn, url: str, papers: Path, tmp_path: Path) -> None:
    stand_in.ignores_cancel = True
    process = interrupt_when_running(stand_in, url, papers, tmp_path / "out", jobs=2)
    while not stand_in.cancels:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=2)
    assert process.returncode == ExitCode.INTERRUPTED
    assert not (tmp_path / "out" / MANIFEST_NAME).exists()
