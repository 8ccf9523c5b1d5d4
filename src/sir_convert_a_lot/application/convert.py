"""Convert one document: the passes that `ocr_mode` asks for, normalisation, and the receipt.

Runs inside a worker process, also under `--local`. Owns the order of the passes and what a result says about itself.
Chooses no engine and no device: both were decided by the policy and are handed in.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from sir_convert_a_lot.application.ocr_retry import count_readable, plan_retry
from sir_convert_a_lot.domain.engine import (
    Engine,
    EngineOptions,
    EngineOutcome,
    LoadsModels,
    OcrPass,
    ReportProgress,
)
from sir_convert_a_lot.domain.errors import GpuNotAvailable, InternalError, PartialConversion
from sir_convert_a_lot.domain.gpu_activity import DeviceWitness, GpuActivity, ReceiptDevice
from sir_convert_a_lot.domain.gpu_causes import Cause
from sir_convert_a_lot.domain.job import ResultMetadata
from sir_convert_a_lot.domain.job_spec import JobSpec, Normalize, OcrMode
from sir_convert_a_lot.domain.quality import QualityReport
from sir_convert_a_lot.domain.receipt import (
    NO_DEVICE,
    ExecutionReceipt,
    StageReceipt,
    acceleration_used_by,
    grade_of,
)

MAX_NAME_BYTES = 255  # NAME_MAX of Linux

NormaliseMarkdown = Callable[[str, Normalize], str]

# The outcome to keep, the stages of every pass that ran, and the warnings.
_Passes = tuple[EngineOutcome, tuple[StageReceipt, ...], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class ConversionOrder:
    """What was decided about one document before any work started."""

    spec: JobSpec
    device: str  # "cpu" | "cuda:N"
    probe_id: str | None
    warnings: tuple[str, ...]
    max_pages: int
    max_page_pixels: int
    allow_cpu_stages: tuple[str, ...] = ()  # what a job on a GPU may do on the CPU


@dataclass(frozen=True, slots=True)
class Conversion:
    """The Markdown, and all that the result says about it."""

    markdown: str
    metadata: ResultMetadata


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a witness saw of the device, from beside the engine. Both None where there was none to ask."""

    device: ReceiptDevice | None = None
    activity: GpuActivity | None = None


def convert_document(
    pdf: Path,
    order: ConversionOrder,
    engine: Engine,
    normalise: NormaliseMarkdown,
    report: ReportProgress,
    *,
    witness: DeviceWitness | None = None,
) -> Conversion:
    """Raises `PdfUnreadable`, `PartialConversion` when a page failed, `GpuNotAvailable` when the receipt does not prove
    the GPU that was promised. Then nothing of the output is returned. A job on the CPU is not witnessed.
    """
    started = time.perf_counter()
    (chosen, stages, warnings), seen = _run_watched(pdf, order, engine, report, witness)
    if chosen.failed_pages:
        pages = ", ".join(str(number) for number in chosen.failed_pages)
        raise PartialConversion(
            f"{len(chosen.failed_pages)} of {chosen.pages_total} pages could not be converted: {pages}",
            details={"failed_pages": list(chosen.failed_pages), "warnings": list(chosen.warnings)},
        )
    markdown = normalise(chosen.markdown, order.spec.conversion.normalize)
    receipt = _write_receipt(order, engine, stages, seen, (time.perf_counter() - started) * 1000)
    _check_promise(order, receipt)
    ocr_was_used = any(stage.stage == "ocr" for stage in chosen.stages)
    metadata = _describe(markdown, order, engine, receipt, ocr_was_used=ocr_was_used, warnings=warnings)
    return Conversion(markdown, replace(metadata, quality=_tell_quality(chosen)))


def _run_watched(
    pdf: Path, order: ConversionOrder, engine: Engine, report: ReportProgress, witness: DeviceWitness | None
) -> tuple[_Passes, _Seen]:
    """The passes, watched where they run on a device. Models are loaded before the witness looks at the device at rest:
    an engine that cannot have it says so itself.
    """
    if witness is None or order.device == "cpu":
        return _run_passes(pdf, order, engine, report), _Seen()
    if isinstance(engine, LoadsModels):
        engine.load(_first_options(order))
    witness.rest(order.device)
    with witness.watch(order.device) as watch:
        passes = _run_passes(pdf, order, engine, report)
    return passes, _Seen(witness.describe(order.device), watch.activity())


def _run_passes(pdf: Path, order: ConversionOrder, engine: Engine, report: ReportProgress) -> _Passes:
    mode = order.spec.conversion.ocr_mode
    first = engine.convert(pdf, _first_options(order), report)
    warnings = order.warnings + first.warnings
    retry = plan_retry(first) if mode is OcrMode.AUTO else None
    if retry is None:
        return first, first.stages, warnings
    second = engine.convert(pdf, replace(_options(order, retry.ocr), ocr_pages=retry.pages), report)
    stages = first.stages + second.stages
    if count_readable(second) >= count_readable(first):
        told = f"ocr_mode=auto converted {retry.subject} a second time with full-page OCR, because {retry.reason}."
        return second, stages, (*order.warnings, told, *second.warnings)
    told = (
        f"ocr_mode=auto tried full-page OCR of {retry.subject}, because {retry.reason}; it read less text than the PDF "
        "carries, so the PDF's own text was kept."
    )
    return first, stages, (*warnings, told)


def _first_options(order: ConversionOrder) -> EngineOptions:
    is_forced = order.spec.conversion.ocr_mode is OcrMode.FORCE
    return _options(order, OcrPass.FULL_PAGE if is_forced else OcrPass.OFF)


def _options(order: ConversionOrder, ocr: OcrPass) -> EngineOptions:
    return EngineOptions(
        ocr=ocr,
        table_mode=order.spec.conversion.table_mode,
        device=order.device,
        max_pages=order.max_pages,
        max_page_pixels=order.max_page_pixels,
    )


def _write_receipt(
    order: ConversionOrder, engine: Engine, stages: tuple[StageReceipt, ...], seen: _Seen, wall_ms: float
) -> ExecutionReceipt:
    activity = seen.activity
    grade = grade_of(
        stages,
        resident_bytes=None if activity is None else activity.resident_bytes,
        device_was_busy=None if activity is None else activity.device_was_busy,
    )
    return ExecutionReceipt(
        engine=engine.name,
        engine_version=engine.version,
        acceleration_policy=order.spec.execution.acceleration_policy.value,
        acceleration_used=acceleration_used_by(grade),
        grade=grade,
        stages=stages,
        wall_ms=round(wall_ms, 3),
        worker_pid=os.getpid(),
        probe_id=order.probe_id,
        device=seen.device,
        activity=activity,
    )


def _check_promise(order: ConversionOrder, receipt: ExecutionReceipt) -> None:
    if order.device == "cpu":
        strayed = [stage.stage for stage in receipt.stages if stage.device_used not in {"cpu", NO_DEVICE, "unknown"}]
        if strayed:
            raise InternalError(f"stages meant for the CPU ran elsewhere: {', '.join(strayed)}")
        return
    if receipt.acceleration_used != "cuda":
        ran = [f"{s.stage}: asked {s.device_asked}, ran on {s.device_used}" for s in receipt.stages]
        raise GpuNotAvailable(
            "the job was promised the GPU and its receipt does not prove it; the output is withheld",
            details={
                "reason": "backend_gpu_runtime_unavailable",
                "cause": Cause.STAGE_FELL_BACK.value,
                "evidence": [*ran, f"grade of the receipt: {receipt.grade}", *_tell_activity(receipt.activity)],
            },
        )


def _tell_activity(activity: GpuActivity | None) -> list[str]:
    if activity is None:
        return []
    held = activity.process_bytes_peak
    missing = activity.unavailable.get("process_bytes", "not read")
    return [
        f"memory of this process on the device: {missing if held is None else f'{held} bytes'}",
        f"busy counter of the device: {activity.busy_counter.value}; {activity.busy_counter_reason}",
    ]


def _describe(
    markdown: str,
    order: ConversionOrder,
    engine: Engine,
    receipt: ExecutionReceipt,
    *,
    ocr_was_used: bool,
    warnings: tuple[str, ...],
) -> ResultMetadata:
    content = markdown.encode()
    unseen = tuple(
        f"stage {stage.stage}: the device that did it could not be read ({stage.measured_by})"
        for stage in receipt.stages
        if stage.device_used == "unknown"
    )
    return ResultMetadata(
        markdown_filename=name_markdown(order.spec.source.filename),
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        backend_used=engine.name,
        acceleration_used=receipt.acceleration_used,
        ocr_enabled=ocr_was_used,
        table_mode=order.spec.conversion.table_mode.value,
        options_fingerprint=options_fingerprint(order, engine),
        warnings=warnings + unseen,
        execution=receipt.to_json(),
    )


def _tell_quality(outcome: EngineOutcome) -> dict[str, Any]:
    """What the engine tells of its text; of one that tells nothing, its confidence."""
    if outcome.quality is not None:
        return outcome.quality.to_json()
    confidence = None if outcome.confidence is None else outcome.confidence.value
    return QualityReport(outcome.pages_total, confidence).to_json()


def name_markdown(pdf_filename: str) -> str:
    """The PDF's name with `.md`, cut to what a file system takes: `filename` counts characters, a disk counts bytes."""
    stem = PurePath(pdf_filename).stem.encode()[: MAX_NAME_BYTES - len(".md")]
    return stem.decode("utf-8", "ignore") + ".md"


def options_fingerprint(order: ConversionOrder, engine: Engine) -> str:
    """What was chosen about this conversion: its options, the engine with its version, the kind of device, and where
    OCR may run the limit that decides how large a page is rendered for it, and on a GPU what may stay on the CPU.

    The versions of the libraries beneath the engine (parser, OCR, models) are not in it: equal fingerprints promise
    equal Markdown only within one installation.
    """
    may_use_ocr = order.spec.conversion.ocr_mode is not OcrMode.OFF
    may_split = may_use_ocr and order.device != "cpu"  # OCR on the CPU reads with other models than on a GPU
    chosen = {
        "conversion": order.spec.conversion.model_dump(mode="json"),
        "engine": engine.name,
        "engine_version": engine.version,
        "device": order.device.partition(":")[0],
        "max_page_pixels": order.max_page_pixels if may_use_ocr else None,
        "allow_cpu_stages": sorted(order.allow_cpu_stages) if may_split else None,
    }
    text = json.dumps(chosen, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
