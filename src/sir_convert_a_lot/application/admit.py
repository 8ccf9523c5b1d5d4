"""Admit a submission: every check in the contract's order, then exactly one durable job.

    conflict of policy and backend (422) → replay of the idempotency key → GPU gate (503) → engine installed (422)
    → its models are here (503) → the PDF opens (422) → queue limit (429) → kept, claimed, submitted

The checks before these (key, form, spec, media type, size) belong to the HTTP rim. Nothing is stored unless every check
passed: the upload is deleted on every refusal. Owns the order; the rules themselves are in `domain/`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import ParamSpec, TypeVar

from sir_convert_a_lot.application.place import place
from sir_convert_a_lot.application.ports import (
    GpuProbe,
    IdempotencyEntry,
    IdempotencyScope,
    JobEngine,
    JobFiles,
    JobLedger,
    JobRequest,
    ModelFiles,
    PdfInspector,
)
from sir_convert_a_lot.domain.acceleration_policy import ServerRules, check_conflict
from sir_convert_a_lot.domain.errors import IdempotencyKeyReused, RateLimited, ServiceUnavailable
from sir_convert_a_lot.domain.job import JobRecord
from sir_convert_a_lot.domain.job_spec import JobSpec, request_fingerprint
from sir_convert_a_lot.domain.pdf_problems import PdfProblem, refuse_pdf

P = ParamSpec("P")
T = TypeVar("T")

QUEUE_FULL_RETRY_AFTER_S = 5


@dataclass(frozen=True, slots=True)
class Submission:
    """An upload that passed the rim: on disk, a PDF by its bytes, its spec valid."""

    upload: Path
    pdf_sha256: str
    size_bytes: int
    spec: JobSpec
    scope: IdempotencyScope
    correlation_id: str


@dataclass(frozen=True, slots=True)
class Admitted:
    """The job's record; `is_replay` when an earlier request with the same key made it."""

    record: JobRecord
    is_replay: bool


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    max_queued_jobs: int
    idempotency_ttl_s: int


class Admission:
    """Built once; `admit` may be called concurrently. Within a process, requests with one key go one after another."""

    def __init__(
        self,
        *,
        jobs: JobEngine,
        files: JobFiles,
        ledger: JobLedger,
        inspector: PdfInspector,
        models: ModelFiles,
        probe: GpuProbe,
        rules: ServerRules,
        installed: frozenset[str],
        limits: AdmissionLimits,
        new_job_id: Callable[[], str],
        now: Callable[[], datetime],
    ) -> None:
        self._jobs = jobs
        self._files = files
        self._ledger = ledger
        self._inspector = inspector
        self._models = models
        self._probe = probe
        self._rules = rules
        self._installed = installed
        self._limits = limits
        self._new_job_id = new_job_id
        self._now = now
        self._turns: dict[IdempotencyScope, _Turn] = {}
        self._entering: set[str] = set()  # ids that passed the queue limit and that the engine does not count yet

    async def admit(self, submission: Submission) -> Admitted:
        """Raises the contract's refusals. On return the upload was moved into the job, or deleted."""
        try:
            async with self._turn(submission.scope):
                return await self._admit(submission)
        finally:
            await _on_storage(submission.upload.unlink, missing_ok=True)

    async def _admit(self, submission: Submission) -> Admitted:
        spec = submission.spec
        check_conflict(spec)
        fingerprint = request_fingerprint(spec, submission.pdf_sha256)
        if (earlier := await self._replay(submission.scope, fingerprint)) is not None:
            return Admitted(earlier, is_replay=True)
        request = await self._decide(submission)
        request = await self._inspect(request, submission.upload)
        await self._enter_queue(request.job_id)
        try:
            return await self._start(request, submission, fingerprint)
        finally:
            self._entering.discard(request.job_id)

    async def _replay(self, scope: IdempotencyScope, fingerprint: str) -> JobRecord | None:
        entry = await asyncio.to_thread(self._ledger.find_key, scope)
        if entry is None:
            return None
        if entry.fingerprint != fingerprint:
            raise IdempotencyKeyReused(
                "this Idempotency-Key was used within its lifetime with another PDF or another spec",
                details={"job_id": entry.job_id},
            )
        record = await self._jobs.read(entry.job_id)
        if record is None or record.has_expired(self._now()):
            # The service died between claiming the key and making the job durable, or the job's time is over.
            await asyncio.to_thread(self._ledger.release_key, scope, entry.job_id)
            return None
        return record

    async def _decide(self, submission: Submission) -> JobRequest:
        placement = await place(submission.spec, self._probe, self._rules, self._installed)
        await self._models.require(placement.engine, placement.device, submission.spec.conversion)
        return JobRequest(
            job_id=self._new_job_id(),
            spec=submission.spec,
            pdf_sha256=submission.pdf_sha256,
            size_bytes=submission.size_bytes,
            pages_total=None,
            engine=placement.engine,
            device=placement.device,
            probe_id=placement.probe_id,
            created_at=self._now(),
            correlation_id=submission.correlation_id,
            owner=submission.scope.owner,
            warnings=placement.warnings,
            pci_id=placement.pci_id,
            masks=placement.masks,
        )

    async def _inspect(self, request: JobRequest, upload: Path) -> JobRequest:
        inspection = await self._inspector.inspect(upload)
        if inspection.problem is not None:
            raise refuse_pdf(PdfProblem(inspection.problem))
        return replace(request, pages_total=inspection.pages_total)

    async def _enter_queue(self, job_id: str) -> None:
        """Take a place in the queue: what passed here and is not submitted yet counts as queued, or forty at once would
        all see the same last place.
        """
        queued = await self._jobs.count_queued() + len(self._entering)
        if queued >= self._limits.max_queued_jobs:
            raise RateLimited(
                f"{queued} jobs are queued and the limit is {self._limits.max_queued_jobs}: send it again later",
                details={"reason": "queue_full", "queued": queued, "limit": self._limits.max_queued_jobs},
                retry_after_s=QUEUE_FULL_RETRY_AFTER_S,
            )
        self._entering.add(job_id)

    async def _start(self, request: JobRequest, submission: Submission, fingerprint: str) -> Admitted:
        """Files first, then the key, then the job: a crash in between leaves only what a sweep removes."""
        mine = IdempotencyEntry(fingerprint, request.job_id)
        await _on_storage(self._files.keep_upload, request.job_id, submission.upload)
        try:
            if request.spec.retention.pin:
                await _on_storage(self._files.set_pinned, request.job_id, True)
            held = await asyncio.to_thread(
                self._ledger.claim_key, submission.scope, mine, self._limits.idempotency_ttl_s
            )
            if held.job_id == request.job_id:
                self._entering.discard(request.job_id)  # from here on the engine counts it
                await self._jobs.submit(request)
        except BaseException:
            await self._undo(request, submission.scope)
            raise
        if held.job_id != request.job_id:  # another process took this key a moment ago
            await _on_storage(self._files.drop_job, request.job_id)
            return await self._join(held, fingerprint)
        record = await self._jobs.read(request.job_id)
        if record is None:
            raise ServiceUnavailable("the job engine accepted the job and does not know it", retry_after_s=5)
        return Admitted(record, is_replay=False)

    async def _undo(self, request: JobRequest, scope: IdempotencyScope) -> None:
        """The job did not become durable, so nothing of it may stay."""
        await asyncio.to_thread(self._ledger.release_key, scope, request.job_id)
        await _on_storage(self._files.drop_job, request.job_id)

    async def _join(self, held: IdempotencyEntry, fingerprint: str) -> Admitted:
        if held.fingerprint != fingerprint:
            raise IdempotencyKeyReused(
                "this Idempotency-Key was used with another PDF or another spec", details={"job_id": held.job_id}
            )
        record = await self._jobs.read(held.job_id)
        if record is None:
            raise ServiceUnavailable("a request with the same key is being admitted: send it again", retry_after_s=1)
        return Admitted(record, is_replay=True)

    @asynccontextmanager
    async def _turn(self, scope: IdempotencyScope) -> AsyncIterator[None]:
        """One request at a time for one key: forty equal requests make one job and thirty-nine replays."""
        turn = self._turns.setdefault(scope, _Turn(asyncio.Lock()))
        turn.waiting += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.waiting -= 1
            if turn.waiting == 0:
                del self._turns[scope]


@dataclass(slots=True)
class _Turn:
    lock: asyncio.Lock
    waiting: int = 0


async def _on_storage(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`work` on files, in a thread. Only here is an `OSError` the storage's fault: a `TimeoutError` is one as well."""
    try:
        return await asyncio.to_thread(work, *args, **kwargs)
    except OSError as error:
        raise ServiceUnavailable(
            "the storage does not take the job", details={"reason": "storage_broken"}, retry_after_s=30
        ) from error
