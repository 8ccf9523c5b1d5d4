"""One attempt at one job, in a worker of its own.

Owns the per-job boundary: whatever goes wrong becomes this job's failure, and the service lives on. Each attempt writes
to a staging folder of its own; what it made is the job's once it is published.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from sir_convert_a_lot.application.ports import JobRequest
from sir_convert_a_lot.domain.errors import InternalError, SirConvertError
from sir_convert_a_lot.infrastructure.job_engine.wire import Json
from sir_convert_a_lot.infrastructure.job_files import StoredFiles
from sir_convert_a_lot.infrastructure.workers.entry import describe_failure
from sir_convert_a_lot.infrastructure.workers.pool import Slot
from sir_convert_a_lot.infrastructure.workers.progress_file import PagesDone

logger = logging.getLogger(__name__)

# Asks the policy again: returns the request as it may run now, or raises why it may not.
CheckAgain = Callable[[JobRequest], Awaitable[JobRequest]]
# Takes the engine and its run on the GPU; gives the outcome, a failure on the GPU explained.
FollowOnGpu = Callable[[str, Awaitable[Json]], Awaitable[Json]]


@dataclass(frozen=True, slots=True)
class PageLimits:
    max_pages: int
    max_page_pixels: int


@dataclass(frozen=True, slots=True)
class Attempts:
    """How attempts are made."""

    files: StoredFiles
    check_again: CheckAgain
    follow_on_gpu: FollowOnGpu
    limits: PageLimits
    engine_arguments: Mapping[str, Json]  # what each engine is made with, by its name

    async def make(self, slot: Slot, request: JobRequest, report: Callable[[PagesDone], None]) -> Json:
        """`{"ok": True, "result": …}`, published; or `{"ok": False, "failure": …}`, its log published.

        Cancelled, it publishes nothing, and the worker is dead when it ends.
        """
        try:
            self.files.require_input(request.job_id)
            request = await self.check_again(request)
            return await self._convert(slot, request, report)
        except SirConvertError as error:
            logger.warning("job %s failed: %s: %s", request.job_id, error.code, error.message)
            return {"ok": False, "failure": describe_failure(error)}
        except Exception as error:
            logger.exception("job %s failed unexpectedly", request.job_id)
            told = InternalError(f"the job failed unexpectedly: {type(error).__name__}")
            return {"ok": False, "failure": describe_failure(told)}

    async def _convert(self, slot: Slot, request: JobRequest, report: Callable[[PagesDone], None]) -> Json:
        staging = self.files.name_staging(request.job_id)
        outcome: Json = {"ok": False}
        try:
            await asyncio.to_thread(self.files.make_staging, staging)
            limit_s = request.spec.execution.document_timeout_seconds
            running = slot.run(self._order(request), staging, limit_s, report)
            outcome = await (running if request.device == "cpu" else self.follow_on_gpu(request.engine, running))
            if outcome["ok"]:
                await asyncio.to_thread(self.files.publish_artifacts, request.job_id, staging)
            return outcome
        finally:
            await asyncio.to_thread(self.files.publish_log, request.job_id, staging)
            await asyncio.to_thread(self.files.drop_staging, staging)

    def _order(self, request: JobRequest) -> Json:
        """What the worker is told (`worker.convert_in_worker`)."""
        return {
            "pdf": str(self.files.input_path(request.job_id)),
            "spec": request.spec.model_dump(mode="json"),
            "engine": request.engine,
            "engine_arguments": self.engine_arguments.get(request.engine, {}),
            "device": request.device,
            "pci_id": request.pci_id,
            "masks": request.masks,
            "probe_id": request.probe_id,
            "warnings": list(request.warnings),
            "correlation_id": request.correlation_id,
            "max_pages": self.limits.max_pages,
            "max_page_pixels": self.limits.max_page_pixels,
        }
