"""What a failure on the GPU says of a job, once the GPU was looked at again in a fresh child.

Owns when to look again, and the way from what a worker told, or from its death, to the contract's refusal. Which cause
it is, is judged in `history`; the words are the policy's. Refuses to run anything again, and to choose a device.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from sir_convert_a_lot.domain.acceleration_policy import ServerRules, refuse_failed, refuse_unproven
from sir_convert_a_lot.domain.errors import GpuNotAvailable, SirConvertError, WorkerCrashed
from sir_convert_a_lot.domain.gpu_causes import Cause
from sir_convert_a_lot.domain.gpu_facts import ProbeSnapshot
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.cache import CachedProbe
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.history import has_passed_whole, read_worker_fault
from sir_convert_a_lot.infrastructure.workers.entry import GPU_FAULT, describe_failure

logger = logging.getLogger(__name__)

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class GpuJobs:
    """Follows jobs that were promised the GPU. Belongs to one event loop."""

    probe: CachedProbe
    rules: ServerRules

    async def follow(self, engine: str, running: Awaitable[Json]) -> Json:
        """What the worker's run gives (`entry.run_job`), a failure on the GPU explained. The same state of the host
        gives the same failure as at admission.

        Raises what `running` raises; for a `WorkerCrashed`, `GpuNotAvailable` where the GPU does not pass any more.
        After a process that had the GPU died or was killed, and after a failure on the GPU, no later job is promised
        the GPU on a look from before. Any other failure is the document's, and says nothing of the GPU.
        """
        try:
            outcome = await running
        except WorkerCrashed as crash:
            self.probe.invalidate()
            raise await self._explain_crash(engine, crash) from crash
        except BaseException:  # a time or memory limit, or cancelled: its process was killed in the midst of its work
            self.probe.invalidate()
            raise
        if not outcome["ok"] and outcome["failure"]["code"] == GpuNotAvailable.code:
            self.probe.invalidate()
            refusal = await self._explain(engine, outcome)
            return {"ok": False, "failure": describe_failure(refusal)}
        return outcome

    async def _explain_crash(self, engine: str, crash: WorkerCrashed) -> SirConvertError:
        """The crash itself where a fresh child passes: then the GPU is no reason for it that anybody could name."""
        logger.warning("a worker that had the GPU ended (%s), looking at the GPU again", crash.details)
        fresh = await self.probe.current()
        return crash if has_passed_whole(fresh) else refuse_unproven(engine, fresh, self.rules)

    async def _explain(self, engine: str, outcome: Json) -> GpuNotAvailable:
        told = outcome["failure"]
        logger.warning("a job failed on the GPU (%s), looking at it again", told["message"])
        cause, evidence, fresh = await self._judge(outcome)
        if not has_passed_whole(fresh) and cause in {fresh.cause, Cause.PROBE_INCOMPLETE}:
            return refuse_unproven(engine, fresh, self.rules)
        return refuse_failed(engine, cause, evidence, fresh)

    async def _judge(self, outcome: Json) -> tuple[Cause, tuple[str, ...], ProbeSnapshot]:
        """(cause, what the worker saw, the fresh look)."""
        details = outcome["failure"]["details"]
        if GPU_FAULT in outcome:
            fault = read_worker_fault(outcome[GPU_FAULT])
            logger.warning("the worker met %s", fault.error.line)
            cause, fresh = await self.probe.explain(fault)
            return cause, (f"The worker met {fault.error.line}",), fresh
        fresh = await self.probe.current()
        told = Cause(details["cause"])
        cause = told if has_passed_whole(fresh) else fresh.cause or Cause.PROBE_INCOMPLETE
        return cause, tuple(details.get("evidence") or ()), fresh
