"""Faults made on purpose: a worker killed in the middle of a job, and memory of the GPU taken by somebody else.

Owns making each fault and undoing it. Kills only processes of services that the run started, by their id.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpu_acceptance_evidence import Outcome, Verdict
from gpu_acceptance_host import list_descendants
from gpu_acceptance_judges import judge_kill, judge_recovery
from gpu_acceptance_service import JOB_LIMIT_S, Broken, Service, own_environment, until
from gpu_acceptance_steps import BUSY_PAGES, LONG_PAGES, PROMISED, Run, convert_one, has_text, join_pages, refuse

from sir_convert_a_lot.domain.job import JobStatus

HERE = Path(__file__).resolve().parent
# Less than the probe needs (`NEED_BYTES`, 2 GiB), and enough that its child can start and compute: so that the ladder
# ends at the rung that counts the free memory.
LEAVE_BYTES = 1536 * 1024**2
# A snapshot of this age is looked at anew, so a GPU that was freed is back within this and one probe.
TTL_S = 10.0
RECOVERY_LIMIT_S = TTL_S + 60.0
MIDDLE_LIMIT_S = 90.0


def check_killed_worker(run: Run, service: Service) -> None:
    """Kill the worker under a long job; then convert again."""
    texts = [pdf for pdf in run.pdfs if has_text(pdf)] or run.pdfs
    long = join_pages(texts, LONG_PAGES, run.scratch / f"joined_{LONG_PAGES}_pages.pdf")
    busy = join_pages(texts, BUSY_PAGES, run.scratch / f"joined_{BUSY_PAGES}_pages.pdf")
    before = run.receipts[-1] if run.receipts else None

    def kill() -> Verdict:
        if before is None:
            return Verdict(Outcome.UNKNOWN, "no conversion told which process is the worker")
        job = service.submit(long)
        return kill_midway(service, job.job_id, int(before["worker_pid"]))

    def convert_again() -> Verdict:
        if before is None:
            return Verdict(Outcome.UNKNOWN, "no worker was killed")
        conversion = convert_one(run, service, busy)
        return judge_recovery(before, run.receipts[-1], conversion)

    killed = run.check("worker_killed", kill)
    if killed.outcome is Outcome.OK:
        run.check("after_worker_killed", convert_again)


def kill_midway(service: Service, job_id: str, worker_pid: int) -> Verdict:
    """Kill that process once pages of the job are done; it must be one of the service's."""

    def is_midway() -> bool:
        job = service.client.job(job_id)
        return job.status.is_terminal or job.progress.pages_processed > 0

    if not until(is_midway, MIDDLE_LIMIT_S):
        return Verdict(Outcome.UNKNOWN, f"no page was done within {MIDDLE_LIMIT_S:g} s")
    if worker_pid not in list_descendants(service.pid):
        return Verdict(Outcome.UNKNOWN, "the worker of the last receipt is no process of the service any more")
    os.kill(worker_pid, signal.SIGKILL)
    ended = service.client.wait(job_id, JOB_LIMIT_S)
    error = service.client.failure(job_id) if ended.status is JobStatus.FAILED else None
    return judge_kill(ended.raw, error)


def check_exhausted_memory(run: Run) -> None:
    """Another process takes the memory: refused with the right cause. It is freed: proven again by itself."""
    settings = PROMISED | {"SIR_CONVERT_A_LOT_PROBE_TTL_S": f"{TTL_S:g}"}
    with run.service("vram", settings) as service:
        with filled_memory(run) as told:
            refused = run.check("vram_exhausted", lambda: _refuse_filled(run, service, told))
        if refused.outcome is Outcome.OK:
            run.check("vram_recovered", lambda: wait_for_recovery(service))


def _refuse_filled(run: Run, service: Service, told: dict[str, Any]) -> Verdict:
    verdict = refuse(run, service, "vram_exhausted")
    verdict.details["memory"] = told
    return verdict


@contextmanager
def filled_memory(run: Run) -> Iterator[dict[str, Any]]:
    """The memory is held by another process while the context is open, and free afterwards."""
    command = [sys.executable, str(HERE / "gpu_acceptance_filler.py"), str(LEAVE_BYTES)]
    run.evidence.tell(commands=f"python scripts/devops/gpu_acceptance_filler.py {LEAVE_BYTES}")
    log = run.scratch / "filler.log"
    with log.open("w", encoding="utf-8") as sink:
        filler = subprocess.Popen(
            command, env=own_environment(None), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sink, text=True
        )
    try:
        yield _read_line(filler, log)
    finally:
        filler.kill()
        filler.communicate()


def _read_line(filler: subprocess.Popen[str], log: Path) -> dict[str, Any]:
    """What it says once it holds the memory. It says so or dies: torch has no way to wait for memory."""
    line = filler.stdout.readline() if filler.stdout else ""
    if not line:
        words = " | ".join(log.read_text(encoding="utf-8").splitlines()[-3:])
        raise Broken(f"the process that should fill the memory ended: {words}")
    told: dict[str, Any] = json.loads(line)
    return told


def wait_for_recovery(service: Service) -> Verdict:
    began = time.monotonic()
    answers: list[int] = []

    def is_ready() -> bool:
        status, body = service.readyz()
        answers.append(status)
        return status == 200 and bool(body["gpu"]["state"] == "proven")

    is_back = until(is_ready, RECOVERY_LIMIT_S, pause_s=0.25)
    took_s = round(time.monotonic() - began, 1)
    details = {"probe_ttl_s": TTL_S, "took_s": took_s, "refusals_before": len(answers) - is_back}
    if not is_back:
        return Verdict(Outcome.FAILED, f"still refused {took_s} s after the memory was freed", details)
    return Verdict(
        Outcome.OK, f"proven again {took_s} s after the memory was freed (snapshots live {TTL_S:g} s)", details
    )
