"""The acceptance run's own steps against the real service, on what a machine without a GPU can show of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gpu_acceptance_evidence import Outcome
from gpu_acceptance_faults import kill_midway
from gpu_acceptance_service import Broken, Service
from gpu_acceptance_steps import join_pages, refuse

from sir_convert_a_lot.domain.errors import WorkerCrashed
from sir_convert_a_lot.domain.gpu_facts import Rung, RungState
from sir_convert_a_lot.infrastructure.gpu_runtime_probe import probe

HAS_GPU = probe(last_rung=Rung.HARDWARE).rungs[0].state is RungState.PASSED
ON_CPU = {"policy": "cpu_only", "backend": "builtin"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("acceptance")
    with Service("gpu", folder, None, {"SIR_CONVERT_A_LOT_PROMISED_DEVICE": "gpu"}) as running:
        yield running


@pytest.mark.skipif(HAS_GPU, reason="this machine has a GPU, so nothing is refused")
def test_a_refusal_is_judged_by_its_cause_and_by_what_was_stored(service: Service, examples: Path) -> None:
    run: Any = SimpleNamespace(pdfs=[examples / "digital.pdf"])
    verdict = refuse(run, service, "no_gpu_hardware")
    assert (verdict.outcome, verdict.seen) == (
        Outcome.OK,
        "503 gpu_not_available, no_gpu_hardware at hardware; nothing stored",
    )
    assert refuse(run, service, "masked_by_env").outcome is Outcome.FAILED


def test_a_worker_is_killed_in_the_middle_and_its_job_told_as_crashed(
    service: Service, examples: Path, tmp_path: Path
) -> None:
    first = service.convert(examples / "digital.pdf", **ON_CPU)["execution"]
    long = join_pages([examples / "two_column.pdf"], 400, tmp_path / "long.pdf")
    verdict = kill_midway(service, service.submit(long, **ON_CPU).job_id, first["worker_pid"])
    assert (verdict.outcome, verdict.details["signal"]) == (Outcome.OK, "SIGKILL")
    after = service.convert(examples / "digital.pdf", **ON_CPU)["execution"]
    assert after["worker_pid"] != first["worker_pid"]


def test_only_a_process_of_the_service_is_ever_killed(service: Service, examples: Path, tmp_path: Path) -> None:
    pdf = join_pages([examples / "digital.pdf"], 12, tmp_path / "joined.pdf")
    job = service.submit(pdf, **ON_CPU)
    verdict = kill_midway(service, job.job_id, 1)
    assert (verdict.outcome, verdict.seen) == (
        Outcome.UNKNOWN,
        "the worker of the last receipt is no process of the service any more",
    )
    assert service.collect(job.job_id)["conversion_metadata"]["acceleration_used"] == "cpu"


def test_a_service_that_cannot_start_is_told_with_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(Broken, match="unknown variable SIR_CONVERT_A_LOT_NO_SUCH_SETTING"):
        Service("broken", tmp_path, None, {"SIR_CONVERT_A_LOT_NO_SUCH_SETTING": "1"}).__enter__()


def test_a_failed_job_raises_its_own_failure(service: Service, examples: Path, tmp_path: Path) -> None:
    long = join_pages([examples / "two_column.pdf"], 400, tmp_path / "long.pdf")
    worker = service.convert(examples / "digital.pdf", **ON_CPU)["execution"]["worker_pid"]
    job = service.submit(long, **ON_CPU)
    kill_midway(service, job.job_id, worker)
    with pytest.raises(WorkerCrashed):
        service.collect(job.job_id)
