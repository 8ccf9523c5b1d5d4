"""A real service without HTTP: real database, real worker processes, an engine that goes wrong as told."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

FAULTS = Path(__file__).parent / "faults"
sys.path.insert(0, str(FAULTS))  # spawned workers get the same path

from submissions import WORK, make_submission  # noqa: E402

from sir_convert_a_lot.application.admit import Admitted  # noqa: E402
from sir_convert_a_lot.bootstrap import Service, build_service  # noqa: E402
from sir_convert_a_lot.domain.job import JobRecord  # noqa: E402
from sir_convert_a_lot.infrastructure.workers.process_group import find_family  # noqa: E402
from sir_convert_a_lot.settings import Settings  # noqa: E402


class Client:
    """A service and short words for what tests do with it."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.jobs = service.jobs

    async def admit(self, name: str, **more: Any) -> Admitted:
        return await self.service.admission.admit(make_submission(self.service, name, **more))

    async def submit(self, name: str, **more: Any) -> JobRecord:
        return (await self.admit(name, **more)).record

    async def end_of(self, record: JobRecord, limit_s: float = 30) -> JobRecord:
        ended = await self.jobs.wait_until_terminal(record, limit_s)
        assert ended.status.is_terminal, ended
        return ended

    async def when(self, record: JobRecord, holds: Callable[[JobRecord], bool]) -> JobRecord:
        for _ in range(100):
            if holds(record):
                return record
            record = await self.jobs.wait_for_change(record, 1)
        raise AssertionError(record)


Start = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Start a service on this test's root, with settings of one's own."""

    @asynccontextmanager
    async def running(work: str = WORK, **more: Any) -> AsyncIterator[Client]:
        settings = Settings(**{"storage_root": tmp_path / "root", "workers": 1, "shutdown_grace_s": 0.0} | more)
        async with build_service(settings, work=work) as service:
            yield Client(service)

    return running


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, None]], None]:
    return asyncio.run


def descendants() -> set[int]:
    """Living processes that this one started, at any depth, whatever session they moved to before they were seen."""
    return find_family(os.getpid()) - {os.getpid()}


@pytest.fixture
def processes() -> Callable[[], set[int]]:
    return descendants
