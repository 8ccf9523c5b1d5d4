"""The queue limit, when many requests come at once: parts against the ports that take their time, as disks do."""

from __future__ import annotations

import asyncio
import itertools
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sir_convert_a_lot.application.admit import Admission, AdmissionLimits, Admitted, Submission
from sir_convert_a_lot.application.ports import IdempotencyEntry, IdempotencyScope, Inspection, JobRequest
from sir_convert_a_lot.domain.acceleration_policy import ServerRules
from sir_convert_a_lot.domain.errors import RateLimited, ServiceUnavailable
from sir_convert_a_lot.domain.job import JobRecord, JobStage, JobStatus, Progress
from sir_convert_a_lot.domain.job_spec import Conversion, JobSpec

LIMIT = 2
SPEC = JobSpec.model_validate(
    {
        "api_version": "v1",
        "source": {"kind": "upload", "filename": "a.pdf"},
        "execution": {"acceleration_policy": "cpu_only"},
    }
)


class Part:
    """A port of which only what admission calls is there."""

    def __getattr__(self, name: str) -> Any:
        raise NotImplementedError(name)


class Queue(Part):
    """A job engine without workers. Making a job durable takes a while, and it is counted from the call on.

    `ended` are jobs that succeeded, by the moment they expire.
    """

    def __init__(self) -> None:
        self.waiting: dict[str, JobRequest] = {}
        self.ended: dict[str, datetime] = {}

    async def submit(self, request: JobRequest) -> None:
        self.waiting[request.job_id] = request
        await asyncio.sleep(0.01)

    async def read(self, job_id: str) -> JobRecord | None:
        now = datetime.now(UTC)
        if (expires_at := self.ended.get(job_id)) is not None:
            return JobRecord(job_id, JobStatus.SUCCEEDED, SPEC, now, now, expires_at, 1, Progress(JobStage.DONE))
        if (request := self.waiting.get(job_id)) is None:
            return None
        return JobRecord(job_id, JobStatus.QUEUED, request.spec, now, now, None, 0, Progress(JobStage.QUEUED))

    async def count_queued(self) -> int:
        return len(self.waiting)


class SlowFiles(Part):
    """Keeping an upload takes a while; it fails as long as `is_full`."""

    def __init__(self) -> None:
        self.is_full = False

    def keep_upload(self, job_id: str, upload: Path) -> None:
        time.sleep(0.02)
        if self.is_full:
            raise OSError(28, "No space left on device")

    def drop_job(self, job_id: str) -> None:
        return None


class Ledger(Part):
    def __init__(self) -> None:
        self._entries: dict[IdempotencyScope, IdempotencyEntry] = {}

    def find_key(self, scope: IdempotencyScope) -> IdempotencyEntry | None:
        return self._entries.get(scope)

    def claim_key(self, scope: IdempotencyScope, entry: IdempotencyEntry, ttl_s: int) -> IdempotencyEntry:
        return self._entries.setdefault(scope, entry)

    def release_key(self, scope: IdempotencyScope, job_id: str) -> None:
        self._entries.pop(scope, None)


class Inspector:
    async def inspect(self, pdf: Path) -> Inspection:
        return Inspection(pages_total=1, problem=None)


class NoModels:
    async def require(self, engine: str, device: str, conversion: Conversion) -> None:
        return None


class Service:
    """An admission with these parts, and how to send it a request with a key of its own."""

    def __init__(self, folder: Path) -> None:
        self.queue, self.files, self._folder, self._sent = Queue(), SlowFiles(), folder, 0
        numbers = itertools.count()
        self._admission = Admission(
            jobs=self.queue,
            files=self.files,
            ledger=Ledger(),
            inspector=Inspector(),
            models=NoModels(),
            probe=Part(),
            rules=ServerRules(),
            installed=frozenset({"builtin"}),
            limits=AdmissionLimits(max_queued_jobs=LIMIT, idempotency_ttl_s=60),
            new_job_id=lambda: f"job_{next(numbers)}",
            now=lambda: datetime.now(UTC),
        )

    async def send(self, key: str | None = None) -> Admitted:
        self._sent += 1
        key = key or str(self._sent)
        return await self._admission.admit(
            Submission(self._folder / key, "0", 1, SPEC, IdempotencyScope("", "POST", "/", key), "corr")
        )


async def send_at_once(service: Service, count: int) -> list[type]:
    ended = await asyncio.gather(*(service.send() for _ in range(count)), return_exceptions=True)
    return [type(end) for end in ended]


def test_requests_that_come_at_once_do_not_share_the_last_place(tmp_path: Path) -> None:
    service = Service(tmp_path)
    ended = asyncio.run(send_at_once(service, 40))
    assert (ended.count(Admitted), ended.count(RateLimited)) == (LIMIT, 40 - LIMIT)
    assert len(service.queue.waiting) == LIMIT


def test_a_place_is_free_again_when_its_request_failed_or_its_job_has_started(tmp_path: Path) -> None:
    async def scenario() -> None:
        service = Service(tmp_path)
        service.files.is_full = True
        assert await send_at_once(service, LIMIT) == [ServiceUnavailable] * LIMIT
        service.files.is_full = False
        for _ in range(3):
            assert await send_at_once(service, LIMIT) == [Admitted] * LIMIT
            service.queue.waiting.clear()

    asyncio.run(scenario())


def test_a_key_whose_job_has_expired_makes_a_new_job(tmp_path: Path) -> None:
    async def scenario() -> None:
        service = Service(tmp_path)
        first = (await service.send("key")).record.job_id
        service.queue.ended[first] = datetime.now(UTC) + timedelta(minutes=1)
        assert (await service.send("key")).is_replay
        service.queue.ended[first] = datetime.now(UTC) - timedelta(minutes=1)
        again = await service.send("key")
        assert not again.is_replay
        assert again.record.job_id != first

    asyncio.run(scenario())
