"""A job that fails on the GPU in a real worker process: why, in the contract's words, told by looking again.

The worker and the probe's child import the same made torch, `shims/made_torch.py`, of a made host.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from made_gpus import NVIDIA, SITE

from sir_convert_a_lot.application.ports import JobRequest
from sir_convert_a_lot.domain.acceleration_policy import Refuse, ServerRules, decide
from sir_convert_a_lot.domain.errors import DocumentTimeout, GpuNotAvailable, WorkerOutOfMemory
from sir_convert_a_lot.domain.gpu_facts import ProbeSnapshot
from sir_convert_a_lot.domain.job_spec import AccelerationPolicy, BackendStrategy, JobSpec, OcrMode
from sir_convert_a_lot.infrastructure.gpu_runtime_probe import probe
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.cache import CachedProbe
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.device_nodes import read_nodes
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.worker_failures import GpuJobs
from sir_convert_a_lot.infrastructure.job_engine.attempt import Attempts, PageLimits
from sir_convert_a_lot.infrastructure.job_files import StoredFiles
from sir_convert_a_lot.infrastructure.local_conversion import convert_alone
from sir_convert_a_lot.infrastructure.workers.pool import WorkerPool
from sir_convert_a_lot.settings import MIB

CONTRACT_KEYS = {
    *("reason", "backend", "runtime_kind", "hip_version", "cuda_version"),
    *("cause", "rung", "evidence", "remediation", "probe_id"),
}
ILLEGAL = {"at": "synchronise", "error": "an illegal memory access", "type": "AcceleratorError", "code": 700}
NO_MEMORY = {
    "at": "allocate",
    "error": "CUDA out of memory. Process 4711 has 3 GiB in use",
    "type": "OutOfMemoryError",
}


class MadeService:
    """The part of the service that runs jobs, on a made host that had passed every rung when they were admitted."""

    def __init__(self, host: Any, root: Path) -> None:
        self.host = host
        self.files = StoredFiles(root)
        self.files.prepare()
        self.probe = CachedProbe(lambda: probe(host.root), read_watched=lambda: read_nodes(host.root))

    def set_torch(self, **changes: Any) -> None:
        path = self.host.root / SITE / "torch/shim.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    def run(self, *names: str, before: Callable[[], None] = lambda: None, limit_s: int = 30) -> list[dict[str, Any]]:
        """The outcome of a job for each name, one after the other on one worker slot."""
        return asyncio.run(self._run(names, before, limit_s))

    async def _run(self, names: tuple[str, ...], before: Callable[[], None], limit_s: int) -> list[dict[str, Any]]:
        admitted = await self.probe.current()
        assert admitted.cause is None, admitted.evidence
        before()
        pool = WorkerPool("made_gpu_work:convert", workers=1, max_jobs=10, memory_limit_bytes=2048 * MIB)
        try:
            return [await self._attempt(pool, make_request(name, admitted, limit_s)) for name in names]
        finally:
            await pool.close()

    async def _attempt(self, pool: WorkerPool, request: JobRequest) -> dict[str, Any]:
        upload = self.files.new_upload_path()
        upload.write_bytes(b"%PDF-1.4")
        self.files.keep_upload(request.job_id, upload)
        async with pool.slot(str(request.pci_id)) as slot:
            return await self.attempts().make(slot, request, lambda _: None)

    def attempts(self) -> Attempts:
        async def keep(request: JobRequest) -> JobRequest:
            return request

        return Attempts(
            files=self.files,
            check_again=keep,
            follow_on_gpu=GpuJobs(self.probe, ServerRules()).follow,
            limits=PageLimits(100, 40_000_000),
            engine_arguments={},
        )


def make_request(name: str, admitted: ProbeSnapshot, limit_s: int) -> JobRequest:
    spec = JobSpec.model_validate({"api_version": "v1", "source": {"kind": "upload", "filename": f"{name}.pdf"}})
    execution = spec.execution.model_copy(update={"document_timeout_seconds": limit_s})
    spec = spec.model_copy(
        update={"execution": execution, "conversion": spec.conversion.model_copy(update={"ocr_mode": OcrMode.OFF})}
    )
    return JobRequest(
        job_id=f"job_{name}_{datetime.now(UTC).timestamp()}",
        spec=spec,
        pdf_sha256="0",
        size_bytes=8,
        pages_total=1,
        engine="docling",
        device="cuda:0",
        probe_id=admitted.probe_id,
        created_at=datetime.now(UTC),
        correlation_id="corr",
        owner="",
        pci_id=admitted.pci_id,
        masks=admitted.masks,
    )


@pytest.fixture
def service(host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadeService:
    host.add_working_nvidia()
    monkeypatch.syspath_prepend(str(host.root / SITE))  # workers are spawned with the same path
    return MadeService(host, tmp_path / "root")


def fail(outcome: dict[str, Any]) -> dict[str, Any]:
    """The details of a failure that keeps the contract."""
    assert not outcome["ok"], outcome
    failure: dict[str, Any] = outcome["failure"]
    assert (failure["code"], failure["retryable"]) == ("gpu_not_available", True), failure
    details: dict[str, Any] = failure["details"]
    assert set(details) == CONTRACT_KEYS
    assert (details["reason"], details["backend"]) == ("backend_gpu_runtime_unavailable", "docling")
    assert details["evidence"]
    assert details["remediation"]
    return details


def test_a_job_on_a_healthy_gpu_keeps_what_was_known_of_it(service: MadeService) -> None:
    (outcome,) = service.run("fine")
    assert outcome["ok"], outcome
    assert outcome["result"]["acceleration_used"] == "cuda"
    assert service.probe.peek() is not None


def test_a_fault_that_only_the_worker_has_is_sticky_and_its_process_is_not_used_again(service: MadeService) -> None:
    service.set_torch(faults=[])

    def poison() -> None:
        service.set_torch(faults=[ILLEGAL | {"only_in": "spawn_main"}])

    first, second = map(fail, service.run("fine", "fine", before=poison))
    assert (first["cause"], first["runtime_kind"], first["cuda_version"]) == ("gpu_fault_sticky", "cuda", "13.0")
    assert first["evidence"] == [
        "The worker met AcceleratorError (code 700): an illegal memory access",
        f"A fresh process passed every rung of the probe on NVIDIA H100 ({NVIDIA}).",
    ]
    assert first | {"probe_id": None} == second | {"probe_id": None}


def test_memory_that_ran_out_in_the_worker_is_told_as_that_without_process_ids(service: MadeService) -> None:
    details = fail(
        *service.run("fine", before=lambda: service.set_torch(faults=[NO_MEMORY | {"only_in": "spawn_main"}]))
    )
    assert details["cause"] == "vram_exhausted"
    assert "4711" not in str(details)


@pytest.mark.parametrize(
    ("at", "text", "cause"),
    [
        ("gemm", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", "vram_exhausted"),
        ("gemm", "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED", "vram_exhausted"),
        ("gemm", "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", "gpu_fault_sticky"),
        ("event", "CUDA error: an illegal memory access was encountered", "gpu_fault_sticky"),
    ],
)
def test_what_the_devices_libraries_tell_in_a_plain_error_is_a_failure_of_the_device(
    at: str, text: str, cause: str, service: MadeService
) -> None:
    fault = {"at": at, "error": text, "only_in": "spawn_main"}
    details = fail(*service.run("stage", before=lambda: service.set_torch(faults=[fault])))
    assert details["cause"] == cause
    assert details["evidence"][0] == f"The worker met RuntimeError: {text}"


def test_a_gpu_that_is_gone_for_a_fresh_process_too_gives_the_body_of_admission(service: MadeService) -> None:
    def break_it() -> None:
        service.set_torch(faults=[ILLEGAL])

    (outcome,) = service.run("fine", before=break_it)
    details = fail(outcome)
    snapshot = service.probe.current_blocking()
    decision = decide(
        AccelerationPolicy.GPU_REQUIRED, BackendStrategy.AUTO, snapshot, ServerRules(), frozenset({"docling"})
    )
    assert isinstance(decision, Refuse)
    assert details["cause"] == "first_kernel_crash"
    assert (outcome["failure"]["message"], details) == (decision.error.message, decision.error.details)


def test_a_worker_that_sees_no_gpu_where_a_fresh_process_does(service: MadeService) -> None:
    details = fail(*service.run("fine", before=lambda: service.set_torch(hidden_in="spawn_main")))
    assert details["cause"] == "env_changed_after_init"
    assert details["evidence"][0] == "The worker met RuntimeError: No CUDA GPUs are available"


def test_a_worker_that_sees_another_gpu_than_the_proven_one_is_refused(service: MadeService) -> None:
    def swap() -> None:
        other = {"name": "another", "pci_id": "0000:b3:00.0", "major": 9, "total_bytes": 2**36}
        service.host.add_function("0000:b3:00.0", vendor="0x10de", kind="0x030200", driver="nvidia")
        service.set_torch(devices=[other])

    details = fail(*service.run("fine", before=swap))
    assert details["cause"] == "wrong_device_selected"
    assert details["evidence"][0] == f"the GPU meant is at {NVIDIA}, and this process sees 0000:b3:00.0"


def test_a_crash_by_a_signal_stays_a_crash_while_the_gpu_passes(service: MadeService) -> None:
    crashed, fine = service.run("segfault", "fine")
    assert (crashed["failure"]["code"], crashed["failure"]["details"]["signal"]) == ("worker_crashed", "SIGSEGV")
    assert fine["ok"]


def test_a_crash_by_a_signal_is_the_gpus_where_it_does_not_pass_any_more(service: MadeService) -> None:
    crash = {"at": "synchronise", "signal": 11}
    details = fail(*service.run("segfault", before=lambda: service.set_torch(faults=[crash])))
    assert (details["cause"], details["rung"]) == ("first_kernel_crash", "first_kernel")


def test_a_receipt_that_does_not_prove_the_gpu_has_the_contracts_details(service: MadeService) -> None:
    details = fail(*service.run("fell_back"))
    assert details["cause"] == "stage_fell_back"
    assert details["evidence"][0] == "layout_analysis: asked cuda:0, ran on cpu"
    assert any("allow_cpu_stages" in remedy for remedy in details["remediation"])


def test_a_stage_that_fell_back_because_the_gpu_is_gone_has_the_gpus_cause(service: MadeService) -> None:
    details = fail(*service.run("fell_back", before=lambda: service.set_torch(faults=[ILLEGAL | {"not_in": "spawn"}])))
    assert details["cause"] == "first_kernel_crash"


def test_without_a_service_a_failure_on_the_gpu_is_explained_alike(service: MadeService, tmp_path: Path) -> None:
    def poison() -> None:
        service.set_torch(faults=[ILLEGAL | {"only_in": "spawn_main"}])

    async def convert() -> GpuNotAvailable:
        admitted = await service.probe.current()
        poison()
        request = make_request("fine", admitted, 30)
        order = service.attempts()._order(request)
        pool = WorkerPool("made_gpu_work:convert", workers=1, max_jobs=10, memory_limit_bytes=2048 * MIB)
        gpu_jobs = GpuJobs(service.probe, ServerRules())
        try:
            with pytest.raises(GpuNotAvailable) as refused:
                await convert_alone(pool, order, 30, lambda _: None, tmp_path, gpu_jobs=gpu_jobs)
            return refused.value
        finally:
            await pool.close()

    local = asyncio.run(convert())
    service.set_torch(faults=[])
    (outcome,) = service.run("fine", before=poison)
    details = fail(outcome)
    assert local.message == outcome["failure"]["message"]
    assert local.details | {"probe_id": None} == details | {"probe_id": None}


def test_after_a_timeout_no_job_is_promised_the_gpu_on_an_old_look(service: MadeService) -> None:
    (outcome,) = service.run("hang", limit_s=2)
    assert outcome["failure"]["code"] == "document_timeout"
    assert service.probe.peek() is None


@pytest.mark.parametrize("code", ["partial_conversion", "pdf_unreadable", "internal_error"])
def test_a_failure_of_the_document_says_nothing_of_the_gpu(code: str, service: MadeService) -> None:
    async def fail_otherwise() -> dict[str, Any]:
        return {"ok": False, "failure": {"code": code, "message": "", "retryable": False, "details": {}}}

    async def follow() -> bool:
        admitted = await service.probe.current()
        await GpuJobs(service.probe, ServerRules()).follow("docling", fail_otherwise())
        return service.probe.peek() is admitted

    assert asyncio.run(follow())


@pytest.mark.parametrize("kind", [DocumentTimeout, WorkerOutOfMemory, asyncio.CancelledError])
def test_a_worker_that_was_killed_has_the_gpu_looked_at_before_the_next_job(kind: Any, service: MadeService) -> None:
    async def be_killed() -> dict[str, Any]:
        raise kind("")

    async def follow() -> None:
        await service.probe.current()
        with pytest.raises(kind):
            await GpuJobs(service.probe, ServerRules()).follow("docling", be_killed())

    asyncio.run(follow())
    assert service.probe.peek() is None


def test_what_a_fault_says_crosses_the_border_of_a_process_whole() -> None:
    from sir_convert_a_lot.infrastructure.gpu_runtime_probe.error_facts import ErrorFacts
    from sir_convert_a_lot.infrastructure.gpu_runtime_probe.history import WorkerFault, read_worker_fault

    fault = WorkerFault(ErrorFacts("AcceleratorError", "text", 700), had_started=True, is_in_bad_fork=False)
    for told in (fault, replace(fault, had_started=False), replace(fault, is_in_bad_fork=True)):
        assert read_worker_fault(json.loads(json.dumps(told.to_json()))) == told
