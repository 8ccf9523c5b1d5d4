"""One document through a worker without a job engine: a folder that is gone afterwards, and the worker's own limits.

Owns the folder and the way back from the worker's JSON. Keeps nothing: there is no job, so nothing can be asked later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sir_convert_a_lot.domain.errors import InternalError, ServiceUnavailable, SirConvertError, find_kind
from sir_convert_a_lot.domain.job import ResultMetadata
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.worker_failures import GpuJobs
from sir_convert_a_lot.infrastructure.job_engine.wire import read_failure, read_result
from sir_convert_a_lot.infrastructure.workers.pool import WorkerPool
from sir_convert_a_lot.infrastructure.workers.progress_file import PagesDone

LOG_LINES = 40  # of a worker's log, kept for an error that is to be reported: a trace is about 20


async def convert_alone(
    pool: WorkerPool,
    order: dict[str, Any],
    timeout_s: float,
    report: Callable[[PagesDone], None],
    parent: Path,
    *,
    gpu_jobs: GpuJobs,
) -> tuple[str, ResultMetadata]:
    """The Markdown and what the result says of itself. `order` is what `worker.convert_in_worker` takes.

    Its folder is made in `parent`. Raises the worker's failure as the error of its code, on a GPU as `gpu_jobs`
    explains it, and what `Slot.run` raises. Cancelled, the worker is killed when it ends.
    """
    with temporary_folder(parent) as staging:
        async with pool.slot(order["pci_id"] or "cpu") as slot:
            running = slot.run(order, staging, timeout_s, report)
            outcome = await (running if order["device"] == "cpu" else gpu_jobs.follow(order["engine"], running))
        if not outcome["ok"]:
            raise _error_of(outcome["failure"], staging)
        markdown = await asyncio.to_thread((staging / "artifacts" / "output.md").read_bytes)
        return markdown.decode("utf-8"), read_result(outcome["result"])


@contextmanager
def temporary_folder(parent: Path | None = None) -> Iterator[Path]:
    """Raises `ServiceUnavailable` when there is no room for one. Whatever cannot be deleted is left without a word: a
    worker that was killed a moment ago may still be writing, and `parent` goes when it is reaped.
    """
    try:
        folder = TemporaryDirectory(prefix="sir-convert-a-lot-", dir=parent, ignore_cleanup_errors=True)
    except OSError as error:
        raise ServiceUnavailable(
            f"no temporary folder can be made: {error.strerror}", details={"reason": "storage"}
        ) from error
    with folder as path:
        yield Path(path)


def _error_of(stored: dict[str, Any], staging: Path) -> SirConvertError:
    """A bug takes the end of the worker's log along: it is the one thing to report, and its folder goes."""
    failure = read_failure(stored)
    kind = find_kind(failure.code, failure.details) or InternalError
    details = failure.details
    if issubclass(kind, InternalError):
        log = (staging / "logs" / "run.log").read_text("utf-8", "replace").splitlines()
        details = details | {"log": log[-LOG_LINES:]}
    return kind(failure.message, details=details)
