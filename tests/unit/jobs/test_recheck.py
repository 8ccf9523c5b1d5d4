"""The policy, asked once more when a worker takes a job."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sir_convert_a_lot.application.ports import JobRequest
from sir_convert_a_lot.application.recheck import recheck
from sir_convert_a_lot.domain.acceleration_policy import ServerRules
from sir_convert_a_lot.domain.errors import GpuNotAvailable, InternalError
from sir_convert_a_lot.domain.gpu_causes import Cause
from sir_convert_a_lot.domain.gpu_facts import LADDER, ProbeSnapshot, RungReport, RungState, RuntimeKind
from sir_convert_a_lot.domain.job_spec import JobSpec

INSTALLED = frozenset({"builtin", "docling"})
GONE = ProbeSnapshot("probe_2", datetime(2026, 1, 1, tzinfo=UTC), (), Cause.GPU_LOST_AFTER_START, ("lost",), ())

PROVEN = ProbeSnapshot(
    "probe_3",
    datetime(2026, 1, 1, tzinfo=UTC),
    tuple(RungReport(rung, RungState.PASSED, "seen") for rung in LADDER),
    None,
    (),
    (),
    runtime_kind=RuntimeKind.CUDA,
    device_count=1,
    pci_id="0000:65:00.0",
    masks={"CUDA_VISIBLE_DEVICES": "GPU-1"},
)


class Probe:
    """Counts how often it was asked."""

    def __init__(self, snapshot: ProbeSnapshot) -> None:
        self.asked = 0
        self._snapshot = snapshot

    async def current(self) -> ProbeSnapshot:
        self.asked += 1
        return self._snapshot


def request_for(policy: str, device: str, engine: str) -> JobRequest:
    spec = {
        "api_version": "v1",
        "source": {"kind": "upload", "filename": "a.pdf"},
        "execution": {"acceleration_policy": policy},
    }
    return JobRequest(
        job_id="job_1",
        spec=JobSpec.model_validate(spec),
        pdf_sha256="0",
        size_bytes=1,
        pages_total=1,
        engine=engine,
        device=device,
        probe_id="probe_1",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        correlation_id="corr",
        owner="",
    )


def test_a_cpu_job_runs_as_admitted_and_the_gpu_is_not_looked_at() -> None:
    probe = Probe(GONE)
    request = request_for("cpu_only", "cpu", "builtin")
    assert asyncio.run(recheck(request, probe, ServerRules(), INSTALLED)) == request
    assert probe.asked == 0


def test_a_cpu_job_is_refused_once_the_cpu_is_locked() -> None:
    request = request_for("cpu_only", "cpu", "builtin")
    with pytest.raises(GpuNotAvailable) as refused:
        asyncio.run(recheck(request, Probe(GONE), ServerRules(cpu_is_locked=True), INSTALLED))
    assert refused.value.details["reason"] == "cpu_execution_locked"


def test_a_gpu_job_is_refused_once_its_gpu_is_gone() -> None:
    request = request_for("gpu_required", "cuda:0", "docling")
    with pytest.raises(GpuNotAvailable) as refused:
        asyncio.run(recheck(request, Probe(GONE), ServerRules(), INSTALLED))
    assert refused.value.details["cause"] == "gpu_lost_after_start"


def test_a_job_that_preferred_the_gpu_goes_to_the_cpu_and_says_so() -> None:
    request = replace(request_for("gpu_prefer", "cuda:0", "docling"), warnings=("before",))
    now = asyncio.run(recheck(request, Probe(GONE), ServerRules(), INSTALLED))
    assert (now.device, now.engine) == ("cpu", "docling")
    assert now.warnings[0] == "before"
    assert "gpu_lost_after_start" in now.warnings[1]


def test_a_gpu_job_gets_the_device_that_is_proven_now_and_not_the_one_of_its_admission() -> None:
    admitted = replace(request_for("gpu_required", "cuda:0", "docling"), pci_id="0000:03:00.0", masks={"A": "1"})
    now = asyncio.run(recheck(admitted, Probe(PROVEN), ServerRules(), INSTALLED))
    assert (now.device, now.pci_id, now.masks, now.probe_id) == ("cuda:0", PROVEN.pci_id, PROVEN.masks, "probe_3")


def test_a_job_that_goes_to_the_cpu_keeps_no_word_of_a_gpu() -> None:
    admitted = replace(request_for("gpu_prefer", "cuda:0", "docling"), pci_id="0000:03:00.0", masks={"A": "1"})
    now = asyncio.run(recheck(admitted, Probe(GONE), ServerRules(), INSTALLED))
    assert (now.device, now.pci_id, now.masks) == ("cpu", None, {})


def test_a_job_admitted_for_the_cpu_stays_there() -> None:
    """`gpu_prefer` admitted for the CPU: its warning says so, and stays true."""
    request = replace(request_for("gpu_prefer", "cpu", "builtin"), warnings=("No GPU was used",))
    assert asyncio.run(recheck(request, Probe(GONE), ServerRules(), INSTALLED)) == request


def test_a_job_that_requires_the_gpu_is_never_run_on_the_cpu_whatever_was_stored() -> None:
    with pytest.raises(InternalError, match="requires the GPU"):
        asyncio.run(recheck(request_for("gpu_required", "cpu", "builtin"), Probe(GONE), ServerRules(), INSTALLED))
