"""Watches the stages of a loaded Docling pipeline and writes their receipts.

Owns what is measured around each call of a stage: wall time, device events, operations, errors of the device. Stands in
the pipeline where the stage's model stood and calls it, until the job is over: the device failed, or a stage was seen
elsewhere than it was asked to be. Refuses to change what a stage computes, and to grade (`domain.receipt`).
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from sir_convert_a_lot.domain.errors import GpuNotAvailable
from sir_convert_a_lot.domain.job import JobStage
from sir_convert_a_lot.domain.receipt import NO_DEVICE, StageReceipt
from sir_convert_a_lot.infrastructure.engines.builtin.process_devices import measure_device
from sir_convert_a_lot.infrastructure.engines.docling.device_failures import (
    failed_device,
    is_device_error,
    is_stage_error_of_device,
)
from sir_convert_a_lot.infrastructure.engines.docling.fall_back import find_elsewhere, refuse_stage
from sir_convert_a_lot.infrastructure.engines.docling.model_devices import StageModels, find_models
from sir_convert_a_lot.infrastructure.engines.docling.operation_record import ModuleHooks, OperationRecord, everywhere

# Stages that run on the CPU by nature: parsing a PDF, and putting a document together.
CPU_STAGES = frozenset({JobStage.PAGE_PARSING, JobStage.ASSEMBLY})


@dataclass(slots=True)
class StageLog:
    """What one job saw of one stage. A stage may be several calls, from threads of its own."""

    stage: JobStage
    device_asked: str
    kernels: int | None
    find_models: Callable[[], StageModels]
    seconds: float = 0.0
    pages: int = 0
    tables: int = 0  # that the table stage worked on; zero means there was nothing to compute
    record: OperationRecord = field(default_factory=OperationRecord)
    events: list[tuple[Any, Any]] = field(default_factory=list)
    device_ms: float | None = None
    peak_vram_bytes: int | None = None
    is_placed: bool = False  # its first batch showed where it works
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_idle(self) -> bool:
        """Both must say so: Docling's pages hold no table, and no module was seen to run."""
        return self.stage is JobStage.TABLE_STRUCTURE and not self.tables and not self.record.module_calls

    def note_work(self, pages: list[Any]) -> None:
        """Whether there was anything to compute, as the pages themselves say. Only tables may be absent."""
        if self.stage is JobStage.TABLE_STRUCTURE:
            found = [page.predictions.tablestructure for page in pages]
            self.tables += sum(len(tables.table_map) for tables in found if tables is not None)


class JobAudit:
    """One job's look at all stages. Between `start` and `finish`, every watched call is measured."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.logs: dict[JobStage, StageLog] = {}
        self.device_errors: list[Exception] = []
        self.refusal: GpuNotAvailable | None = None
        self._hooks = ModuleHooks()
        self._other_seconds: defaultdict[JobStage, float] = defaultdict(float)

    @property
    def is_on_gpu(self) -> bool:
        return self.device.startswith("cuda")

    @property
    def is_over(self) -> bool:
        """Nothing more of this job can become a result."""
        return self.refusal is not None or bool(self.device_errors)

    def raise_if_over(self) -> None:
        if self.refusal is not None:
            raise self.refusal
        if self.device_errors:
            raise failed_device(self.device, self.device_errors[0])

    def start(self) -> None:
        if self.is_on_gpu:
            import torch

            torch.cuda.reset_peak_memory_stats(self.device)

    def finish(self) -> None:
        """Wait for the device and read what it counted. Safe to call after a failure."""
        if not self.is_on_gpu or self.device_errors:
            return
        import torch

        try:
            torch.cuda.synchronize(self.device)
        except torch.AcceleratorError as error:  # a kernel that ran beside the last stage failed; told by the engine
            self.device_errors.append(error)
            return
        peak = torch.cuda.max_memory_allocated(self.device)
        for log in self.logs.values():
            if log.events:
                log.device_ms = sum(begin.elapsed_time(end) for begin, end in log.events)
                log.peak_vram_bytes = peak

    def log_of(self, watched: WatchedStage) -> StageLog:
        fresh = StageLog(watched.stage, watched.device_asked, watched.kernels, watched.find_models)
        return self.logs.setdefault(watched.stage, fresh)

    @contextmanager
    def add_time(self, stage: JobStage) -> Iterator[None]:
        """Work of a stage that is not a call of its model: parsing, which goes on beside, and writing Markdown."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._other_seconds[stage] += time.perf_counter() - started

    @contextmanager
    def measure(self, log: StageLog, pages: int) -> Iterator[None]:
        """Around one call of a stage, in the thread that makes it."""
        started = time.perf_counter()
        try:
            with ExitStack() as stack:
                if not log.record.is_enough:
                    is_plain = log.stage in CPU_STAGES
                    stack.enter_context(everywhere(log.record) if is_plain else self._hooks.around_modules(log.record))
                stack.enter_context(self._timed_on_device(log))
                yield
        except Exception as error:
            is_on_device = self.is_on_gpu and log.device_asked != "cpu"
            if is_stage_error_of_device(error) if is_on_device else is_device_error(error):
                self.device_errors.append(error)
            raise
        with log.lock:
            log.seconds += time.perf_counter() - started
            log.pages += pages

    @contextmanager
    def _timed_on_device(self, log: StageLog) -> Iterator[None]:
        if not self.is_on_gpu or log.device_asked == "cpu":
            yield
            return
        import torch

        with torch.cuda.device(self.device):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            yield
            end.record()
        log.events.append((begin, end))

    def check_place(self, log: StageLog) -> None:
        """After a call of the stage: end the job where its first batch ran elsewhere."""
        if log.is_placed or log.device_asked == "cpu":
            return
        models = log.find_models()
        log.is_placed = bool(models.sessions or log.record.module_calls)
        if (seen := find_elsewhere(log.device_asked, models, log.record)) is not None:
            self.refusal = refuse_stage(log.stage, log.device_asked, seen)
            raise self.refusal

    def receipts(self) -> tuple[StageReceipt, ...]:
        order = list(JobStage)
        return tuple(
            write_receipt(self.logs[stage], self._other_seconds[stage]) for stage in sorted(self.logs, key=order.index)
        )


class WatchedStage:
    """A stage's model and the measuring around it. Called by Docling as the model itself is."""

    def __init__(
        self, model: Any, stage: JobStage, device_asked: str, current: CurrentAudit, *, counts_pages: bool = True
    ) -> None:
        self.model = model
        self.counts_pages = counts_pages
        self.stage = stage
        self.device_asked = "cpu" if stage in CPU_STAGES else device_asked
        self.kernels: int | None = None
        self._current = current
        self._models = StageModels()

    def find_models(self) -> StageModels:
        """Searched once, except for OCR: RapidOCR loads each of its models when a page first needs it."""
        if not self._models.has_any or self.stage is JobStage.OCR:
            self._models = find_models(self.model)
        return self._models

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        audit = self._current.audit
        audit.raise_if_over()
        log = audit.log_of(self)
        # A page stage is called with (result, pages) and gives pages back; the document's stages give a document.
        pages = list(arguments[1]) if len(arguments) > 1 else None
        if pages is None:
            with audit.measure(log, 0):
                return self.model(*arguments, **named)
        with audit.measure(log, len(pages) if self.counts_pages else 0):
            pages = list(_run(self.model, arguments[0], pages))
        audit.check_place(log)
        log.note_work(pages)
        return pages


@dataclass(slots=True)
class CurrentAudit:
    """The audit of the job that a pipeline runs now; an engine runs one job at a time."""

    audit: JobAudit


def _run(model: Any, result: Any, pages: list[Any]) -> Iterable[Any]:
    pages_out: Iterable[Any] = model(result, pages)
    return pages_out


def write_receipt(log: StageLog, other_s: float) -> StageReceipt:
    """The receipt of one stage, from what was seen alone. `other_s`: time that was not spent in its model."""
    models = StageModels() if log.stage in CPU_STAGES else log.find_models()
    device_used, seen = _judge_plain(log.record) if log.stage in CPU_STAGES else judge_device(models, log.record)
    if log.is_idle:
        device_used, seen = NO_DEVICE, [*seen, "no page has a table: there was nothing to compute"]
    if log.device_ms is not None:  # the stages share the device's default stream, so one may wait for another
        seen.append(f"device_events: {len(log.events)} spans on the default stream")
    if log.kernels is not None:
        seen.append(f"profiler_kernels: {log.kernels} at warm-up")
    operations = log.record.by_device[log.device_asked]
    counted = bool(log.record.module_calls or log.record.total)
    return StageReceipt(
        stage=log.stage.value,
        device_asked=log.device_asked,
        device_used=device_used,
        measured_by="; ".join(seen),
        wall_ms=round((log.seconds + other_s) * 1000, 3),
        pages=log.pages or None,
        device_ms=None if log.device_ms is None else round(log.device_ms, 3),
        operations=operations if counted else None,
        operations_elsewhere=log.record.total - operations if counted else None,
        kernels=log.kernels,
        model_devices=models.module_devices(),
        peak_vram_bytes=log.peak_vram_bytes,
    )


def judge_device(models: StageModels, record: OperationRecord) -> tuple[str, list[str]]:
    """(device_used, how that was seen) of a stage that computes with models.

    Looks that contradict each other give "unknown", and so does a stage in which no model was found.
    """
    if not models.has_any:
        return "unknown", ["no torch module and no ONNX session was found in this stage", record.told()]
    modules = models.module_devices()
    sessions, session_seen = models.session_devices()
    seen = [session_seen] if session_seen else []
    if models.modules:
        seen += [f"parameter_devices: {', '.join(modules)}", record.told()]
    if not models.sessions and not record.module_calls:
        return "unknown", [*seen, "no module was seen to run"]
    devices = {*modules, *sessions}
    if record.total:
        devices.add(record.by_device.most_common(1)[0][0])
    return (devices.pop() if len(devices) == 1 else "unknown"), seen


def _judge_plain(record: OperationRecord) -> tuple[str, list[str]]:
    """A stage of plain code: the CPU, unless torch dispatched operations in it after all."""
    if record.total:
        devices = set(record.by_device)
        return (devices.pop() if len(devices) == 1 else "unknown"), [record.told()]
    device, process = measure_device()
    # On a GPU job the process has the device open; then the empty record of operations is what tells.
    return "cpu", [record.told(), process] if device == "cpu" else [record.told()]
