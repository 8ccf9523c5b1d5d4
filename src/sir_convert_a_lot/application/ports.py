"""What the use cases need from the outside world, as protocols that `infrastructure/` implements.

Owns the seams. Everything that touches a disk, a process or a database is behind one of these; each names who may call
it from where, and what a second call does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from sir_convert_a_lot.domain.gpu_facts import ProbeSnapshot
from sir_convert_a_lot.domain.job import JobRecord, JobStatus
from sir_convert_a_lot.domain.job_spec import Conversion, JobSpec


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A job as admission hands it to the engine. The engine keeps it as JSON."""

    job_id: str
    spec: JobSpec
    pdf_sha256: str
    size_bytes: int
    pages_total: int | None  # None: inspection took longer than its limit, the job finds out
    engine: str  # "builtin" | "docling" | "pymupdf"
    device: str  # "cpu" | "cuda:N"
    probe_id: str | None
    created_at: datetime  # aware, UTC
    correlation_id: str
    owner: str  # digest of the API key that sent it; "" without keys
    warnings: tuple[str, ...] = ()  # from the policy, they go into the result
    pci_id: str | None = None  # of the GPU, where there is one
    masks: dict[str, str] = field(default_factory=dict)  # variables that leave a process that GPU alone


@dataclass(frozen=True, slots=True)
class JobPage:
    """One page of a listing, newest first. `next_cursor` is None at the end."""

    records: tuple[JobRecord, ...]
    next_cursor: str | None


class JobEngine(Protocol):
    """The one owner of job state. Every method may be called concurrently from the API's event loop.

    Any method raises `ServiceUnavailable` when the database cannot be reached.
    """

    async def submit(self, request: JobRequest) -> None:
        """Make the job durable, then start or queue it. A second call with the same `job_id` changes nothing. From the
        call on, before it first waits, `count_queued` counts the job.
        """
        ...

    async def read(self, job_id: str) -> JobRecord | None: ...

    async def list_jobs(self, status: JobStatus | None, limit: int, cursor: str | None) -> JobPage: ...

    async def cancel(self, job_id: str) -> None:
        """Ask for cancellation. On return the state is `canceled` (unless it was terminal); the worker process dies
        within 5 s. A second call changes nothing.
        """
        ...

    async def wait_for_change(self, seen: JobRecord, timeout_s: float) -> JobRecord | None:
        """The record as soon as its status, stage or page count differs from `seen`, else after `timeout_s` as it is.
        None when the job no longer exists.
        """
        ...

    async def count_queued(self) -> int:
        """Jobs that wait for a worker."""
        ...

    async def refresh_manifest(self, job_id: str) -> None:
        """Write the copy of the record that lies beside the job's files again. A second call changes nothing."""
        ...

    def on_end(self, tell: Callable[[JobRecord], None]) -> None:
        """Call `tell`, from the event loop, with the record of each job whose end is recorded from now on, once."""
        ...

    async def list_ended_before(self, moment: datetime, limit: int, offset: int = 0) -> Sequence[JobRecord]:
        """Terminal jobs, oldest first."""
        ...

    async def find_unknown(self, job_ids: Sequence[str]) -> set[str]:
        """Those of the ids by which there is no job."""
        ...

    async def forget(self, job_ids: Sequence[str]) -> None:
        """Delete all that is known of these terminal jobs. Unknown ids are ignored."""
        ...


class JobFiles(Protocol):
    """The files of jobs under the storage root. Blocking: call it from a thread."""

    def new_upload_path(self) -> Path:
        """A fresh path for an incoming upload, on the same filesystem as the jobs. The caller deletes it or hands it
        to `keep_upload`.
        """
        ...

    def keep_upload(self, job_id: str, upload: Path) -> None:
        """Move the upload to the job's `raw/input.pdf`. Atomic: it is there whole, or not at all."""
        ...

    def markdown_path(self, job_id: str) -> Path: ...

    def is_pinned(self, job_id: str) -> bool: ...

    def unpinned_at(self, job_id: str) -> datetime | None:
        """When the job was last unpinned (aware, UTC); None: it never was pinned, or still is for the first time."""
        ...

    def set_pinned(self, job_id: str, pinned: bool) -> None:
        """Pin, or unpin and note the moment. A second call changes nothing."""
        ...

    def drop_raw(self, job_id: str) -> None: ...

    def drop_job(self, job_id: str) -> None:
        """Delete the job's folder. A second call changes nothing."""
        ...

    def list_raw_before(self, moment: datetime) -> Sequence[str]:
        """Ids of jobs whose raw upload arrived before `moment` and is still there."""
        ...

    def list_jobs_before(self, moment: datetime) -> Sequence[str]:
        """Ids of the job folders last touched before `moment`, whether or not a job by that id is known."""
        ...

    def drop_abandoned(self, moment: datetime) -> int:
        """Delete uploads and attempts that nobody owns and that were last touched before `moment`; how many."""
        ...


@dataclass(frozen=True, slots=True)
class IdempotencyScope:
    """(api key, method, path, key) of the contract; `owner` is a digest of the API key."""

    owner: str
    method: str
    path: str
    key: str


@dataclass(frozen=True, slots=True)
class IdempotencyEntry:
    fingerprint: str
    job_id: str


class JobLedger(Protocol):
    """The one small table: idempotency keys and tombstones of expired jobs. Blocking: call it from a thread.

    Any method raises `ServiceUnavailable` when the database cannot be reached.
    """

    def find_key(self, scope: IdempotencyScope) -> IdempotencyEntry | None:
        """The live entry of this scope; one past its lifetime is None."""
        ...

    def claim_key(self, scope: IdempotencyScope, entry: IdempotencyEntry, ttl_s: int) -> IdempotencyEntry:
        """Write the entry unless a live one exists; return the one that holds. Atomic across processes."""
        ...

    def release_key(self, scope: IdempotencyScope, job_id: str) -> None:
        """Delete the entry if it still names `job_id`: its job was never started."""
        ...

    def bury(self, job_ids: Sequence[str]) -> None:
        """Leave a tombstone for each, so that `job_expired` and `job_not_found` are told apart."""
        ...

    def is_buried(self, job_id: str) -> bool: ...

    def sweep(self, tombstones_older_than: datetime) -> None:
        """Delete expired keys and old tombstones."""
        ...


@dataclass(frozen=True, slots=True)
class Inspection:
    """What opening a PDF told. `problem`: None, or damaged | no_pages | encrypted | too_many_pages. Both None: it took
    longer than the limit.
    """

    pages_total: int | None
    problem: str | None
    detail: str = ""


class PdfInspector(Protocol):
    """Opens a PDF in a process of its own, which is killed when it exceeds its limit. Never raises for a bad PDF."""

    async def inspect(self, pdf: Path) -> Inspection: ...


class ModelFiles(Protocol):
    """Knows whether the model files that an engine needs are on this machine. Looks at files, loads nothing."""

    async def require(self, engine: str, device: str, conversion: Conversion) -> None:
        """Raise `ModelWeightsMissing` when `engine` cannot do this conversion on `device` for want of a file."""
        ...


class GpuProbe(Protocol):
    """The current truth about the GPU, cached with a lifetime; a stale pass is never served."""

    async def current(self) -> ProbeSnapshot: ...
