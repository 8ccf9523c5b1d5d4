"""The one place where parts meet: the service, a conversion without a service, and the probe.

Owns who is built from which settings, in which order things start and stop. Imports a part when it is built, so that
`version` and `gpu probe` do not pay for a job engine.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sir_convert_a_lot.domain.acceleration_policy import ServerRules
from sir_convert_a_lot.domain.gpu_facts import LADDER, ProbeSnapshot, Rung
from sir_convert_a_lot.settings import Settings

if TYPE_CHECKING:
    from sir_convert_a_lot.application.admit import Admission
    from sir_convert_a_lot.application.jobs import Jobs
    from sir_convert_a_lot.application.ports import GpuProbe, ModelFiles, PdfInspector
    from sir_convert_a_lot.domain.engine import ReportProgress
    from sir_convert_a_lot.domain.job import ResultMetadata
    from sir_convert_a_lot.domain.job_spec import JobSpec
    from sir_convert_a_lot.infrastructure.gpu_runtime_probe.beside_workers import LookBesideWorkers
    from sir_convert_a_lot.infrastructure.gpu_runtime_probe.cache import CachedProbe
    from sir_convert_a_lot.infrastructure.head_start import HeadStart
    from sir_convert_a_lot.infrastructure.job_engine.engine import DbosJobEngine
    from sir_convert_a_lot.infrastructure.job_files import StoredFiles
    from sir_convert_a_lot.infrastructure.job_ledger import SqlLedger
    from sir_convert_a_lot.infrastructure.workers.pool import WorkerPool
    from sir_convert_a_lot.infrastructure.workers.progress_file import PagesDone

logger = logging.getLogger(__name__)

# What a worker process runs for each job, named because a function cannot cross the border as an object.
WORK = "sir_convert_a_lot.worker:convert_in_worker"
LOAD_AHEAD = "sir_convert_a_lot.worker:load_ahead"  # what it runs before there is a job


@dataclass(frozen=True, slots=True)
class Service:
    """A running service, as its interfaces see it."""

    admission: Admission
    jobs: Jobs
    files: StoredFiles
    probe: GpuProbe
    rules: ServerRules
    settings: Settings
    is_healthy: Callable[[], Awaitable[bool]]
    revision: str | None  # the commit that it was started from


@dataclass(frozen=True, slots=True)
class LocalResult:
    """A conversion that needed no service."""

    markdown: str
    metadata: ResultMetadata


# Takes the PDF, its spec and who wants to know of progress.
ConvertLocal = Callable[["Path", "JobSpec", "ReportProgress"], Awaitable[LocalResult]]


@asynccontextmanager
async def build_service(settings: Settings, *, work: str = WORK) -> AsyncIterator[Service]:
    """Start the service on its storage root; stop it on leaving, within `shutdown_grace_s` and what a kill takes.

    Raises `ServiceCannotStart` when the root cannot be used, or another service uses it. Jobs that an earlier run left
    unfinished are run again. At most one at a time in a process, whose new files are private to its account meanwhile.
    """
    from sir_convert_a_lot.infrastructure.engines.installed import installed_engines
    from sir_convert_a_lot.infrastructure.job_engine.root_lock import RootLock
    from sir_convert_a_lot.infrastructure.job_files import StoredFiles
    from sir_convert_a_lot.infrastructure.job_ledger import SqlLedger
    from sir_convert_a_lot.infrastructure.pdf_inspection import ChildInspector

    async with AsyncExitStack() as stack:
        stack.callback(
            os.umask, os.umask(0o077)
        )  # also for databases, uploads, and what workers write: they inherit it
        files = StoredFiles(settings.storage_root)
        files.prepare()
        lock = RootLock(settings.storage_root)
        lock.take()
        stack.callback(lock.release)
        files.clear_staging()
        inspector = ChildInspector(settings.inspection_limit_s, settings.max_pages)
        stack.push_async_callback(inspector.close)
        inspector.start()  # its interpreter starts while this one imports and launches the job engine
        ledger = SqlLedger(f"sqlite:///{settings.storage_root / 'ledger.sqlite'}")
        stack.callback(ledger.close)
        ledger.prepare()
        parts = _Parts(
            settings,
            files,
            ledger,
            inspector,
            *_build_look(settings),
            _read_rules(settings),
            frozenset(installed_engines()),
            _find_models(settings),
        )
        for ahead in (_tell_missing_models(parts), _head_start(parts).look()):
            stack.push_async_callback(_end, asyncio.create_task(ahead))
        engine = await stack.enter_async_context(_run_engine(parts, work))
        sweeper = asyncio.create_task(_sweep_for_ever(parts, engine), name="sweeper")
        stack.push_async_callback(_end, sweeper)
        yield _assemble(parts, engine, sweeper)


def probe_gpu(
    last_rung: Rung = LADDER[-1], settings: Settings | None = None, *, takes_memory: bool = True
) -> ProbeSnapshot:
    """Look at this machine's GPU now, up to one rung, as a service with these settings would. Blocking: milliseconds,
    and with a GPU until it is proven. `takes_memory` as in `gpu_runtime_probe.probe`.
    """
    from sir_convert_a_lot.infrastructure.gpu_runtime_probe import probe
    from sir_convert_a_lot.infrastructure.gpu_runtime_probe.child_supervisor import LIMITS_S

    chosen = settings or Settings()
    return probe(
        last_rung=last_rung,
        need_bytes=chosen.gpu_need_bytes,
        limits_s={rung: min(limit_s, chosen.gpu_probe_limit_s) for rung, limit_s in LIMITS_S.items()},
        wanted_pci_id=chosen.gpu_pci_id,
        takes_memory=takes_memory,
    )


def build_probe(settings: Settings) -> CachedProbe:
    """The probe of this machine, as settings narrow it: which GPU, how much free memory, how long a rung may take."""
    return _build_look(settings)[0]


def _build_look(settings: Settings) -> tuple[CachedProbe, LookBesideWorkers]:
    """The probe, and what is told of the workers when there are any."""
    from sir_convert_a_lot.infrastructure.gpu_runtime_probe.beside_workers import LookBesideWorkers
    from sir_convert_a_lot.infrastructure.gpu_runtime_probe.cache import CachedProbe

    look = LookBesideWorkers(lambda takes_memory: probe_gpu(settings=settings, takes_memory=takes_memory))
    return CachedProbe(look, ttl_s=settings.probe_ttl_s), look


def download_models(output_dir: Path | None) -> Path:
    """Fetch the Docling engine's models from their hubs; return the folder. Blocking, minutes.

    Raises `ValidationError` where the engine is not installed, `ServiceUnavailable` where no hub can be reached.
    """
    from sir_convert_a_lot.infrastructure.engines.docling import downloading
    from sir_convert_a_lot.infrastructure.engines.installed import require_engine

    require_engine("docling")
    return downloading.download_models(output_dir)


def draw_page(pdf: Path, page_number: int, settings: Settings) -> bytes:
    """A PNG of how the built-in engine reads one page (1-based), under the limits of a conversion. Blocking.

    Raises `PdfUnreadable`, and `ValidationError` for a page that the PDF does not have.
    """
    from io import BytesIO

    from sir_convert_a_lot.domain.engine import EngineOptions
    from sir_convert_a_lot.infrastructure.engines.builtin import page_picture

    options = EngineOptions(max_pages=settings.max_pages, max_page_pixels=settings.max_page_pixels)
    png = BytesIO()
    page_picture.draw_page(pdf, page_number, options).save(png, "PNG")
    return png.getvalue()


@asynccontextmanager
async def build_local(settings: Settings, *, work: str = WORK) -> AsyncIterator[ConvertLocal]:
    """What converts PDFs without a service: in one worker process, kept between documents, under the policy, the checks
    and the limits of the service. Give it one document at a time; the worker is dead on leaving.

    It raises what admission raises (`ValidationError`, `GpuNotAvailable`) and what a job fails with. Cancelled, it
    leaves nothing behind.
    """
    from sir_convert_a_lot.infrastructure.engines.installed import installed_engines
    from sir_convert_a_lot.infrastructure.local_conversion import temporary_folder

    probe, look = _build_look(settings)
    pool = _build_pool(settings, work, workers=1)
    look.attach(pool)
    with temporary_folder() as scratch:
        try:
            installed = frozenset(installed_engines())
            yield _Local(settings, probe, installed, _find_models(settings), pool, scratch).convert
        finally:
            look.detach()
            await pool.close()


@dataclass(frozen=True, slots=True)
class _Local:
    """What converts without a service."""

    settings: Settings
    probe: CachedProbe
    installed: frozenset[str]
    models: ModelFiles
    pool: WorkerPool
    scratch: Path

    async def convert(self, pdf: Path, spec: JobSpec, report: ReportProgress) -> LocalResult:
        from sir_convert_a_lot.application.place import place
        from sir_convert_a_lot.domain.acceleration_policy import check_conflict
        from sir_convert_a_lot.domain.job import JobStage
        from sir_convert_a_lot.infrastructure.gpu_runtime_probe.worker_failures import GpuJobs
        from sir_convert_a_lot.infrastructure.local_conversion import convert_alone

        def tell(now: PagesDone) -> None:
            report(JobStage(now.stage), now.pages_processed, now.pages_total)

        check_conflict(spec)
        rules = _read_rules(self.settings)
        placement = await place(spec, self.probe, rules, self.installed)
        await self.models.require(placement.engine, placement.device, spec.conversion)
        order = {
            "pdf": str(pdf),
            "spec": spec.model_dump(mode="json"),
            **asdict(placement),
            "engine_arguments": _read_engine_arguments(self.settings).get(placement.engine, {}),
            "max_pages": self.settings.max_pages,
            "max_page_pixels": self.settings.max_page_pixels,
        }
        timeout_s = spec.execution.document_timeout_seconds
        converted = await convert_alone(
            self.pool, order, timeout_s, tell, self.scratch, gpu_jobs=GpuJobs(self.probe, rules)
        )
        return LocalResult(*converted)


def _build_pool(settings: Settings, work: str, *, workers: int) -> WorkerPool:
    from sir_convert_a_lot.infrastructure.workers.pool import WorkerPool

    return WorkerPool(
        work,
        workers=workers,
        gpu_workers=settings.gpu_workers,
        max_jobs=settings.worker_max_jobs,
        memory_limit_bytes=settings.worker_memory_limit_bytes,
    )


def _read_rules(settings: Settings) -> ServerRules:
    return ServerRules(
        gpu_is_forbidden=settings.gpu_forbidden,
        cpu_is_locked=settings.cpu_execution_locked,
        promised_device=settings.promised_device,
        probe_ttl_s=settings.probe_ttl_s,
    )


def _read_engine_arguments(settings: Settings) -> dict[str, dict[str, Any]]:
    """What each engine is made with in a worker, by its name: JSON, since it crosses the border of a process."""
    artifacts = settings.docling_artifacts_path
    return {
        "docling": {
            "artifacts_path": str(artifacts) if artifacts else None,
            "allow_cpu_stages": _read_cpu_stages(settings),
        }
    }


def _read_cpu_stages(settings: Settings) -> list[str]:
    return [] if settings.allow_cpu_stages == "none" else [settings.allow_cpu_stages]


def _find_models(settings: Settings) -> ModelFiles:
    from sir_convert_a_lot.infrastructure.engines.docling.model_files import DoclingModelFiles

    return DoclingModelFiles(settings.docling_artifacts_path, _read_cpu_stages(settings))


@dataclass(frozen=True, slots=True)
class _Parts:
    """What exists before the job engine does."""

    settings: Settings
    files: StoredFiles
    ledger: SqlLedger
    inspector: PdfInspector
    probe: CachedProbe
    look: LookBesideWorkers
    rules: ServerRules
    installed: frozenset[str]
    models: ModelFiles


def _head_start(parts: _Parts) -> HeadStart:
    from sir_convert_a_lot.infrastructure.head_start import HeadStart

    arguments = _read_engine_arguments(parts.settings)["docling"]
    return HeadStart(parts.probe, parts.rules, parts.installed, parts.models, LOAD_AHEAD, arguments)


@asynccontextmanager
async def _run_engine(parts: _Parts, work: str) -> AsyncIterator[DbosJobEngine]:
    from sir_convert_a_lot.application.recheck import recheck
    from sir_convert_a_lot.infrastructure.gpu_runtime_probe.worker_failures import GpuJobs
    from sir_convert_a_lot.infrastructure.job_engine import runtime
    from sir_convert_a_lot.infrastructure.job_engine.attempt import Attempts, PageLimits
    from sir_convert_a_lot.infrastructure.job_engine.changes import Changes
    from sir_convert_a_lot.infrastructure.job_engine.engine import DbosJobEngine
    from sir_convert_a_lot.infrastructure.job_engine.execution import Execution

    settings = parts.settings
    pool = _build_pool(settings, work, workers=settings.workers)
    parts.look.attach(pool)
    attempts = Attempts(
        files=parts.files,
        check_again=lambda request: recheck(request, parts.probe, parts.rules, parts.installed),
        follow_on_gpu=GpuJobs(parts.probe, parts.rules).follow,
        limits=PageLimits(settings.max_pages, settings.max_page_pixels),
        engine_arguments=_read_engine_arguments(settings),
    )
    changes = Changes()
    execution = Execution(
        pool=pool, attempts=attempts, changes=changes, max_recovery_attempts=settings.max_recovery_attempts
    )
    keeps = timedelta(seconds=settings.artifact_retention_s)
    engine = DbosJobEngine(files=parts.files, execution=execution, changes=changes, keeps=keeps)
    warming = asyncio.create_task(_head_start(parts).warm_up(pool))
    try:
        async with runtime.running(settings.storage_root, execution):
            try:
                yield engine
            finally:
                await execution.close(settings.shutdown_grace_s)
    finally:
        parts.look.detach()
        await _end(warming)
        await pool.close()


def _assemble(parts: _Parts, engine: DbosJobEngine, sweeper: asyncio.Task[None]) -> Service:
    from ulid import ULID

    from sir_convert_a_lot.application.admit import Admission, AdmissionLimits
    from sir_convert_a_lot.application.jobs import Jobs
    from sir_convert_a_lot.infrastructure.revision import read_revision

    settings = parts.settings
    admission = Admission(
        jobs=engine,
        files=parts.files,
        ledger=parts.ledger,
        inspector=parts.inspector,
        models=parts.models,
        probe=parts.probe,
        rules=parts.rules,
        installed=parts.installed,
        limits=AdmissionLimits(settings.max_queued_jobs, settings.idempotency_ttl_s),
        new_job_id=lambda: f"job_{ULID()}",
        now=_now,
    )

    async def is_healthy() -> bool:
        return not sweeper.done() and await engine.is_healthy()

    return Service(
        admission=admission,
        jobs=Jobs(engine, parts.files, parts.ledger),
        files=parts.files,
        probe=parts.probe,
        rules=parts.rules,
        settings=settings,
        is_healthy=is_healthy,
        revision=settings.revision or read_revision(),
    )


async def _sweep_for_ever(parts: _Parts, engine: DbosJobEngine) -> None:
    from sir_convert_a_lot.application.retain import RetentionPeriods, sweep

    settings = parts.settings
    periods = RetentionPeriods(
        raw=timedelta(seconds=settings.raw_retention_s), artifacts=timedelta(seconds=settings.artifact_retention_s)
    )
    # The boundary of one sweep: whatever stops it (a folder moved away, a full disk, a bug), files must go on expiring
    # once that is mended, so it is told with its trace and the next turn tries again.
    try:
        await engine.settle_left()
    except Exception:
        logger.exception("what an earlier run left could not be finished, the next start tries again")
    while True:
        await asyncio.sleep(settings.sweep_interval_s)
        try:
            swept = await sweep(engine, parts.files, parts.ledger, periods, _now)
        except Exception:
            logger.exception("the sweep stopped, the next one tries again")
        else:
            logger.info("swept %d jobs, %d raw uploads, %d leftovers", swept.jobs, swept.raw_uploads, swept.leftovers)


async def _tell_missing_models(parts: _Parts) -> None:
    """An engine that is installed and lacks its models is told at the start, not by its first job."""
    from sir_convert_a_lot.domain.errors import ModelWeightsMissing
    from sir_convert_a_lot.domain.job_spec import Conversion

    if "docling" not in parts.installed:
        return
    try:
        device = "cuda:0" if parts.settings.promised_device == "gpu" else "cpu"
        await parts.models.require("docling", device, Conversion())
    except ModelWeightsMissing as error:
        logger.warning("requests for docling are refused: %s", error.message)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("the task %s had ended with an error", task.get_name(), exc_info=error)


def _now() -> datetime:
    return datetime.now(UTC)
