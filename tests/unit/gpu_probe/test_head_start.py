"""What a service does ahead of its first request on a made GPU host: which worker starts, what is loaded and told."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from made_gpus import NVIDIA, SITE

from sir_convert_a_lot.domain.acceleration_policy import ONLY_GPU, RunOnGpu, ServerRules
from sir_convert_a_lot.domain.errors import ModelWeightsMissing
from sir_convert_a_lot.domain.gpu_facts import ProbeSnapshot
from sir_convert_a_lot.domain.job_spec import Conversion
from sir_convert_a_lot.infrastructure.gpu_runtime_probe import probe
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.cache import CachedProbe
from sir_convert_a_lot.infrastructure.head_start import HeadStart
from sir_convert_a_lot.infrastructure.workers.pool import WorkerPool
from sir_convert_a_lot.settings import MIB


class Models:
    """The files are here, or one of them is not."""

    def __init__(self, *, are_here: bool = True) -> None:
        self._are_here = are_here

    async def require(self, engine: str, device: str, conversion: Conversion) -> None:
        if not self._are_here:
            raise ModelWeightsMissing("a file is missing", details={"missing": ["a file"]})


def make_start(host: Any, *, promised: Literal["none", "gpu"] = "none", are_here: bool = True) -> HeadStart:
    cached, rules = CachedProbe(lambda: probe(host.root)), ServerRules(promised_device=promised)
    return HeadStart(cached, rules, frozenset({"docling"}), Models(are_here=are_here), "made_gpu_work:load", {})


def make_pool(workers: int = 1) -> WorkerPool:
    return WorkerPool("made_gpu_work:tell", workers=workers, max_jobs=9, memory_limit_bytes=1024 * MIB)


def placed_on(snapshot: ProbeSnapshot) -> RunOnGpu:
    return RunOnGpu("docling", ONLY_GPU, snapshot.probe_id, str(snapshot.pci_id), snapshot.masks)


def load(start: HeadStart, tmp_path: Path) -> dict[str, Any]:
    """Load ahead on the GPU; what a job on it then meets, in the only worker."""

    async def run() -> dict[str, Any]:
        placed = placed_on(await start.probe.current())
        pool = make_pool()
        try:
            await start.load_on(placed, pool)
            order = {"device": placed.device, "pci_id": placed.pci_id, "masks": placed.masks}
            async with pool.slot(placed.pci_id) as slot:
                return await slot.run(order, tmp_path, 60, lambda _: None)
        finally:
            await pool.close()

    return asyncio.run(run())


@pytest.fixture
def gpu(host: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Any:
    host.add_working_nvidia()
    monkeypatch.syspath_prepend(str(host.root / SITE))
    caplog.set_level(logging.INFO)
    return host


def test_the_worker_that_loaded_ahead_is_the_one_that_gets_the_job(
    gpu: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = load(make_start(gpu, promised="gpu"), tmp_path)
    assert outcome["result"]["sees"] == [NVIDIA]
    assert outcome["result"]["has_loaded"] == [ONLY_GPU]
    assert any(record.message.startswith(f"docling is loaded on {NVIDIA}") for record in caplog.records)


def test_a_failure_while_loading_is_told_with_its_cause_and_the_gpu_is_looked_at_again(
    gpu: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    start = make_start(gpu, promised="gpu")
    start = replace(start, docling_arguments={"fails": True})
    outcome = load(start, tmp_path)
    (told,) = [record.message for record in caplog.records if "could not be loaded ahead" in record.message]
    assert "gpu_fault_sticky" in told
    assert outcome["result"]["has_loaded"] == []  # a fresh process: the one that failed is not used again


def test_models_that_are_missing_start_no_worker(gpu: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> bool:
        start, pool = make_start(gpu, promised="gpu", are_here=False), make_pool()
        await start.load_on(placed_on(await start.probe.current()), pool)
        return pool._lanes[0].is_warm

    assert asyncio.run(run()) is False
    assert any("a file is missing" in record.message for record in caplog.records)


@pytest.mark.parametrize(("promised", "workers", "is_warm"), [("none", 1, False), ("gpu", 1, True), ("none", 2, True)])
def test_the_only_worker_is_not_given_to_models_unless_a_gpu_is_promised(
    gpu: Any, promised: Any, workers: int, is_warm: bool
) -> None:
    async def run() -> bool:
        start, pool = make_start(gpu, promised=promised), make_pool(workers)
        try:
            await start.load_on(placed_on(await start.probe.current()), pool)
            return any(lane.is_warm for lane in pool._lanes)
        finally:
            await pool.close()

    assert asyncio.run(run()) is is_warm


@pytest.mark.parametrize("promised", ["none", "gpu"])
def test_where_no_gpu_is_proven_a_plain_worker_is_started_whatever_is_promised(host: Any, promised: Any) -> None:
    async def run() -> str | None:
        pool = make_pool()
        try:
            await make_start(host, promised=promised).warm_up(pool)
            return pool._lanes[0].device
        finally:
            await pool.close()

    assert asyncio.run(run()) == "cpu"


@pytest.mark.parametrize(("promised", "level"), [("none", logging.INFO), ("gpu", logging.WARNING)])
def test_the_first_look_is_told_and_kept(
    host: Any, promised: Any, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    start = make_start(host, promised=promised)
    asyncio.run(start.look())
    (record,) = [record for record in caplog.records if record.message.startswith("no GPU is proven")]
    assert "no_gpu_hardware at the rung hardware" in record.message
    assert record.levelno == level
    assert start.probe.peek() is not None
