"""Start and stop DBOS on one storage root.

Owns its configuration: SQLite in WAL mode, one fixed executor, a pinned application version, JSON instead of pickle,
its log passed on to ours. Refuses to know jobs.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, PortableWorkflowError

from sir_convert_a_lot.domain.errors import ServiceCannotStart
from sir_convert_a_lot.infrastructure.job_engine.execution import Execution

APP = "sir-convert-a-lot"
# One service a root (`root_lock`), so one executor; its unfinished jobs are recovered by whoever starts next.
EXECUTOR = "embedded"
# Pinned by hand: DBOS's default is a hash of the workflow's source, and any upgrade would orphan unfinished jobs.
# Change it only together with a migration of the jobs that are stored.
VERSION = "v1"


def configure(root: Path) -> None:
    """Make the one DBOS instance of this process; launch it with `DBOS.launch()`. Raises `ServiceCannotStart`."""
    database = root / "jobs.sqlite"
    try:
        with sqlite3.connect(database) as connection:
            connection.execute("PRAGMA journal_mode=WAL")  # kept in the file
        connection.close()
    except sqlite3.Error as error:
        raise _cannot_start(f"cannot open the job database {database}: {error}") from error
    config: DBOSConfig = {
        "name": APP,
        "system_database_url": f"sqlite:///{database}",
        "executor_id": EXECUTOR,
        "application_version": VERSION,
        "serializer": DBOSPortableJSONSerializer(),
        "log_level": "ERROR",
        "enable_otlp": False,
    }
    _pass_log_on()
    DBOS(config=config)


def _pass_log_on() -> None:
    """DBOS prints to the console unless its logger has a handler; with one that does nothing, ours gets the records.

    Only errors: its warnings tell of every cancelled task, with the job's whole input.
    """
    log = logging.getLogger("dbos")
    if not any(isinstance(handler, logging.NullHandler) for handler in log.handlers):
        log.handlers[:] = [logging.NullHandler()]
        log.addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """A job that failed is not an error of the engine: its failure is recorded, and logged by who knows the job."""
    return not (record.exc_info and isinstance(record.exc_info[1], PortableWorkflowError))


@asynccontextmanager
async def running(root: Path, execution: Execution) -> AsyncIterator[None]:
    """DBOS launched on `root` with the workflow of `execution`, jobs being dispatched."""
    configure(root)
    DBOS.listen_queues([])  # `claims` takes jobs off the queue, DBOS's poller would only add its interval
    execution.register()
    try:
        # From the event loop's own thread, though it blocks for some 0.1 s: DBOS adopts the loop it is launched in, so
        # workflows run where the pool, the waiters and the API are.
        DBOS.launch()
    except Exception as error:
        DBOS.destroy(destroy_registry=True)
        raise _cannot_start(f"the job engine cannot start on {root}: {error}") from error
    try:
        await execution.dispatcher.start()
        yield
    finally:
        # DBOS made its threads the loop's default ones, and they end here: whoever stops after it needs others.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())
        await asyncio.to_thread(_destroy)


def _cannot_start(message: str) -> ServiceCannotStart:
    return ServiceCannotStart(
        message,
        details={
            "reason": "database",
            "remediation": [
                "Bring jobs.sqlite back from a backup, or move it, -wal and -shm away and lose the jobs in it.",
                "Or name another root with CONVERTER_STORAGE_ROOT.",
            ],
        },
    )


def _destroy() -> None:
    DBOS.destroy(workflow_completion_timeout_sec=0, destroy_registry=True)
