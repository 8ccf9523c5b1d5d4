"""What runs inside a worker process: one call a job, plain JSON in and out.

Owns the per-job boundary: every error becomes a failure that crosses the process border as a dict, so nothing has to be
unpickled on the other side. The conversion itself is named by its caller as `module:function`. Imports nothing heavy.
"""

from __future__ import annotations

import errno
import importlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from sir_convert_a_lot.domain.errors import (
    GpuNotAvailable,
    InternalError,
    ServiceUnavailable,
    SirConvertError,
    WorkerOutOfMemory,
)
from sir_convert_a_lot.infrastructure.workers.process_group import enter_own_group
from sir_convert_a_lot.infrastructure.workers.progress_file import write_progress

logger = logging.getLogger("sir_convert_a_lot.worker")

GPU_FAULT = "gpu_fault"  # beside a failure: how work on the GPU ended in this process


def begin_process(parent_pid: int, environ: dict[str, str]) -> None:
    """First thing in the process, before anything that reads `environ` is imported."""
    enter_own_group(parent_pid)
    os.environ.update(environ)


def start_up(work: str) -> tuple[int, str | None]:
    """Import what the work needs, so that the first job does not pay for it.

    Returns the process id, and what went wrong, if anything did. Never raises.
    """
    try:
        _find(work)
    except Exception as error:
        logger.exception("the worker cannot import %s", work)
        return os.getpid(), f"{type(error).__name__}: {error}"
    return os.getpid(), None


def run_job(work: str, order: dict[str, Any], staging: str) -> dict[str, Any]:
    """`{"ok": True, "result": …}` or `{"ok": False, "failure": {code, message, retryable, details}}`. Never raises.

    Where work on the GPU failed, `GPU_FAULT` stands beside the failure.
    """
    folder = Path(staging)
    log = _open_log(folder / "logs" / "run.log", str(order.get("correlation_id", "")))
    try:
        return _outcome_of(lambda: _find(work)(order, folder, lambda *now: write_progress(folder, *now)))
    finally:
        logging.getLogger().removeHandler(log)
        log.close()


def load_ahead(load: str, order: dict[str, Any]) -> dict[str, Any]:
    """Have this process load what jobs like `order` need. Answers as `run_job`; never raises."""
    return _outcome_of(lambda: _find(load)(order))


def _outcome_of(work: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"ok": True, "result": work()}
    except SirConvertError as error:
        logger.warning("failed: %s: %s", error.code, error.message)
        return {"ok": False, "failure": describe_failure(error), **_tell_fault(error)}
    except MemoryError as error:
        logger.warning("out of memory", exc_info=error)
        return {"ok": False, "failure": describe_failure(WorkerOutOfMemory("the worker ran out of memory"))}
    except Exception as error:
        logger.exception("unexpected error")
        return {"ok": False, "failure": describe_failure(_judge(error))}


def describe_failure(error: SirConvertError) -> dict[str, Any]:
    """The error as JSON, with the keys of `domain.job.Failure`."""
    return {
        "code": error.code,
        "message": error.message,
        "retryable": error.retryable,
        "details": error.details,
    }


def _tell_fault(error: SirConvertError) -> dict[str, Any]:
    fault = error.fault if isinstance(error, GpuNotAvailable) else None
    return {} if fault is None else {GPU_FAULT: dict(fault)}


def _judge(error: Exception) -> SirConvertError:
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return ServiceUnavailable("the storage is full", details={"reason": "storage"})
    return InternalError(f"the conversion failed unexpectedly: {type(error).__name__}")


def _find(work: str) -> Callable[..., Any]:
    module, _, name = work.partition(":")
    return cast("Callable[..., Any]", getattr(importlib.import_module(module), name))


def _open_log(path: Path, correlation_id: str) -> logging.Handler:
    """Everything logged in this process goes to the job's own log, times in UTC."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    formatter = logging.Formatter(f"%(asctime)s.%(msecs)03dZ %(levelname)s {correlation_id} %(name)s: %(message)s")
    formatter.default_time_format = "%Y-%m-%dT%H:%M:%S"
    formatter.datefmt = "%Y-%m-%dT%H:%M:%S"
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    return handler
