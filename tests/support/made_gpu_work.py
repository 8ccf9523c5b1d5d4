"""Work for worker processes that has the GPU of a made host and ends as told. For tests alone.

The stem of the file name in the job spec says how. Torch is `tests/unit/gpu_probe/shims/made_torch.py`, found first on
the worker's path; everything but the engine's computing is the product's own.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from sir_convert_a_lot import worker
from sir_convert_a_lot.domain.engine import EngineOptions, EngineOutcome, ReportProgress
from sir_convert_a_lot.domain.job import JobStage
from sir_convert_a_lot.domain.receipt import StageReceipt
from sir_convert_a_lot.infrastructure.engines.docling.device_failures import check_device, telling_failures_of
from sir_convert_a_lot.infrastructure.engines.docling.device_memory import give_back_spare
from sir_convert_a_lot.infrastructure.engines.docling.engine import DoclingEngine
from sir_convert_a_lot.infrastructure.engines.docling.model_devices import StageModels
from sir_convert_a_lot.infrastructure.engines.docling.operation_record import ENOUGH_OPERATIONS, OperationRecord
from sir_convert_a_lot.infrastructure.engines.docling.stage_audit import JobAudit, StageLog
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.environment import MASKS

TEXT = "# Converted\n\n" + "word " * 60 + "\n"


class MadeEngine:
    """Computes a little on the device it was given, and leaves the rest to the fault."""

    name = "docling"
    version = "made"

    def __init__(self, fault: str) -> None:
        self._fault = fault

    def convert(self, pdf: Path, options: EngineOptions, report: ReportProgress) -> EngineOutcome:
        check_device(options.device)
        with telling_failures_of(options.device):
            self._compute(options.device)
        used = "cpu" if self._fault == "fell_back" else options.device
        proof: dict[str, Any] = {"operations": 9, "operations_elsewhere": 0, "device_ms": 1.0, "kernels": 9}
        stage = StageReceipt("layout_analysis", options.device, used, "made", 1.0, 1, **proof)
        return EngineOutcome(TEXT, 1, (stage,))

    def _compute(self, device: str) -> None:
        import torch

        torch.ones(1, device=torch.device(device))
        if self._fault == "stage":
            self._run_stage(device)
        if self._fault == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        torch.cuda.synchronize(None)

    def _run_stage(self, device: str) -> None:
        """One call of a watched stage, whose failure Docling would keep to itself."""
        import torch

        audit = JobAudit(device)
        record = OperationRecord()
        record.by_device[device] = ENOUGH_OPERATIONS  # nothing more is counted
        log = StageLog(JobStage.LAYOUT_ANALYSIS, device, None, StageModels, record=record)
        with suppress(RuntimeError), audit.measure(log, 1):
            square = torch.Tensor(np.ones((2, 2)), torch.float32, torch.device(device))
            torch.matmul(square, square)
        audit.raise_if_over()


def tell(order: dict[str, Any], staging: Path, report: Callable[[str, int, int], None]) -> dict[str, Any]:
    """What this process is, and what of the made host's GPUs it sees."""
    import torch

    from sir_convert_a_lot.infrastructure.gpu_probe_child.device_facts import describe_device

    seen = [describe_device(torch, index)["pci_id"] for index in range(torch.cuda.device_count())]
    masks = {name: os.environ.get(name) for name in MASKS}
    return {"pid": os.getpid(), "sees": seen, "masks": masks, "has_loaded": has_loaded}


has_loaded: list[str] = []


def load(order: dict[str, Any]) -> None:
    """What a worker does ahead of a job; `fails` among the engine's arguments: a kernel faults."""
    import torch

    has_loaded.append(order["device"])
    with telling_failures_of(order["device"]):
        torch.ones(1, device=torch.device(order["device"]))
        if order["engine_arguments"].get("fails"):
            raise torch.AcceleratorError("an illegal memory access")


def linger(order: dict[str, Any], staging: Path, report: Callable[[str, int, int], None]) -> dict[str, Any]:
    """Have the device for `order["seconds"]`."""
    import torch

    torch.ones(1, device=torch.device(order["device"]))
    time.sleep(order["seconds"])
    give_back_spare(order["device"])
    return {"pid": os.getpid(), "emptied": len(getattr(torch, "emptied", ()))}


def tell_loaded(order: dict[str, Any], staging: Path, report: Callable[[str, int, int], None]) -> dict[str, Any]:
    """What this process is, and which pipelines it has loaded."""
    engine = worker._loaded.get("docling")
    choices = engine._pipelines if isinstance(engine, DoclingEngine) else {}
    return {"pid": os.getpid(), "loaded": [[choice.device, choice.table_mode, choice.ocr] for choice in choices]}


def convert(order: dict[str, Any], staging: Path, report: Callable[[str, int, int], None]) -> dict[str, Any]:
    fault = Path(order["spec"]["source"]["filename"]).stem
    if fault == "hang":  # before the spec is read, which takes no limit as short as a test wants
        time.sleep(600)
    worker._loaded["docling"] = MadeEngine(fault)
    return worker.convert_in_worker(order, staging, report)
