"""A worker that has loaded Docling's models before there is a job, in a real worker process, here on the CPU."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from sir_convert_a_lot.bootstrap import LOAD_AHEAD
from sir_convert_a_lot.infrastructure.workers.pool import WorkerPool
from sir_convert_a_lot.settings import MIB


def make_order(artifacts: Path, **changes: Any) -> dict[str, Any]:
    arguments = {"artifacts_path": str(artifacts), "threads": 1, "allow_cpu_stages": []}
    return {"device": "cpu", "pci_id": None, "masks": {}, "engine_arguments": arguments} | changes


def test_the_first_job_finds_the_pipeline_of_the_default_options_loaded(artifacts: Path, tmp_path: Path) -> None:
    async def run() -> tuple[dict[str, Any], list[dict[str, Any]]]:
        pool = WorkerPool("made_gpu_work:tell_loaded", workers=1, max_jobs=9, memory_limit_bytes=4096 * MIB)
        try:
            await pool.warm_up()
            before = await ask(pool, "before")
            ahead = await pool.load_ahead(LOAD_AHEAD, make_order(artifacts))
            return ahead, [before, await ask(pool, "after")]
        finally:
            await pool.close()

    async def ask(pool: WorkerPool, name: str) -> dict[str, Any]:
        (tmp_path / name).mkdir()
        async with pool.slot() as slot:
            outcome = await slot.run(make_order(artifacts), tmp_path / name, 60, lambda _: None)
        told: dict[str, Any] = outcome["result"]
        return told

    ahead, (before, after) = asyncio.run(run())
    assert ahead["ok"], ahead
    assert (before["loaded"], after["loaded"]) == ([], [["cpu", "fast", "off"]])
    assert before["pid"] == after["pid"]


def test_what_cannot_be_loaded_is_told_and_leaves_a_worker_that_works(tmp_path: Path) -> None:
    async def run() -> list[dict[str, Any]]:
        pool = WorkerPool("made_gpu_work:tell_loaded", workers=1, max_jobs=9, memory_limit_bytes=4096 * MIB)
        try:
            told = [await pool.load_ahead(LOAD_AHEAD, make_order(tmp_path))]
            told.append(await pool.load_ahead("no_such_module:load", make_order(tmp_path)))
            async with pool.slot() as slot:
                told.append(await slot.run(make_order(tmp_path), tmp_path, 60, lambda _: None))
            return told
        finally:
            await pool.close()

    missing, broken, fine = asyncio.run(run())
    assert missing["failure"]["details"]["reason"] == "model_weights_missing"
    assert broken["failure"]["code"] == "internal_error"
    assert fine["ok"]
