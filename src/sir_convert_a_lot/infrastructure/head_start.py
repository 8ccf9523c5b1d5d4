"""What a service does ahead of its first request, beside listening: a look at the GPU, and a worker that is ready.

Owns the order of that and its log lines. Nobody waits for it, and nothing that happens here decides anything: every
request and every job is decided anew.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sir_convert_a_lot.application.ports import ModelFiles
from sir_convert_a_lot.domain.acceleration_policy import RunOnGpu, ServerRules, decide, judge_readiness
from sir_convert_a_lot.domain.errors import SirConvertError, WorkerCrashed
from sir_convert_a_lot.domain.job_spec import AccelerationPolicy, BackendStrategy, Conversion
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.cache import CachedProbe
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.worker_failures import GpuJobs
from sir_convert_a_lot.infrastructure.workers.pool import WorkerPool

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HeadStart:
    """`load` names what loads the models in a worker, as `module:function`, from `docling_arguments`.

    Cancelled, its methods end at once.
    """

    probe: CachedProbe
    rules: ServerRules
    installed: frozenset[str]
    models: ModelFiles
    load: str
    docling_arguments: Mapping[str, Any]

    async def look(self) -> None:
        """Have a fresh look at the GPU when the first request comes, and tell what it saw."""
        began = time.monotonic()
        snapshot = await self.probe.current()
        took_s = time.monotonic() - began
        if snapshot.is_available:
            logger.info("GPU proven: %s at %s, in %.1f s", snapshot.device_name, snapshot.pci_id, took_s)
            return
        cause = judge_readiness(snapshot, self.rules).cause
        level = logging.WARNING if self.rules.promised_device == "gpu" else logging.INFO
        logger.log(level, "no GPU is proven: %s at the rung %s, in %.1f s", cause, snapshot.rung.value, took_s)

    async def warm_up(self, pool: WorkerPool) -> None:
        """A plain worker at once, which imports no torch; where the GPU is proven, one with its models loaded. Where a
        GPU is promised, the plain one is started only when there is nothing to load.
        """
        waits = self.rules.promised_device == "gpu"
        if not waits:
            await self._start_plain(pool)
        snapshot = await self.probe.current()
        policy, backend = AccelerationPolicy.GPU_REQUIRED, BackendStrategy.DOCLING
        decision = decide(policy, backend, snapshot, self.rules, self.installed)
        if isinstance(decision, RunOnGpu):
            await self.load_on(decision, pool)
        elif waits:
            await self._start_plain(pool)

    async def load_on(self, placed: RunOnGpu, pool: WorkerPool) -> None:
        """A failure is told. The first job on the GPU then loads its models itself, or fails for the same cause.

        Where there is but one worker and no GPU is promised, nothing is loaded: it would take the place of the plain
        worker, for minutes on a cold disk, whatever the first job needs.
        """
        if pool.size == 1 and self.rules.promised_device != "gpu":
            return
        began = time.monotonic()
        order = {
            "device": placed.device,
            "pci_id": placed.pci_id,
            "masks": placed.masks,
            "engine_arguments": dict(self.docling_arguments),
        }
        try:
            await self.models.require(placed.engine, placed.device, Conversion())
            loading = pool.load_ahead(self.load, order)
            outcome = await GpuJobs(self.probe, self.rules).follow(placed.engine, loading)
        except SirConvertError as error:
            outcome = {"ok": False, "failure": {"message": error.message, "details": error.details}}
        if outcome["ok"]:
            logger.info("%s is loaded on %s, after %.1f s", placed.engine, placed.pci_id, time.monotonic() - began)
        else:
            logger.warning("%s could not be loaded ahead on %s: %s", placed.engine, placed.pci_id, outcome["failure"])

    async def _start_plain(self, pool: WorkerPool) -> None:
        try:
            await pool.warm_up()
        except WorkerCrashed as error:
            logger.warning("no worker could be started ahead of the first job: %s %s", error.message, error.details)
