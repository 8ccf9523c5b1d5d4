"""The measuring itself, held against models whose device is known: torch's `meta` device stands for "elsewhere"."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from sir_convert_a_lot.domain.engine import EngineOptions, OcrPass
from sir_convert_a_lot.domain.errors import GpuNotAvailable
from sir_convert_a_lot.domain.job import JobStage
from sir_convert_a_lot.domain.receipt import Grade, StageReceipt, grade_of
from sir_convert_a_lot.infrastructure.engines.docling.model_devices import find_models
from sir_convert_a_lot.infrastructure.engines.docling.operation_record import (
    ENOUGH_OPERATIONS,
    ModuleHooks,
    OperationRecord,
)
from sir_convert_a_lot.infrastructure.engines.docling.stage_audit import (
    CurrentAudit,
    JobAudit,
    StageLog,
    WatchedStage,
    write_receipt,
)

if TYPE_CHECKING:
    from sir_convert_a_lot.infrastructure.engines.docling.engine import DoclingEngine


class Stage:
    """A stage as Docling has them: called with a result and pages, computing with a network it holds."""

    def __init__(self, network: Any, *, runs: bool = True, device: str = "cpu", calls: int = 1) -> None:
        self.parts = {"network": [network]}
        self._runs, self._device, self._calls = runs, device, calls

    def __call__(self, _result: Any, pages: list[Any]) -> Iterator[Any]:
        import torch

        with torch.inference_mode():
            for _ in range(self._calls if self._runs else 0):
                self.parts["network"][0](torch.zeros(1, 8, device=self._device))
        yield from pages


def network(device: str = "cpu") -> Any:
    from torch import nn

    views = (nn.Unflatten(1, (2, 4)), nn.Flatten())  # make views, which compute nothing and are not counted
    return nn.Sequential(nn.Linear(8, 8, device=device), *views, nn.ReLU(), nn.Linear(8, 4, device=device)).eval()


@contextmanager
def running(audit: JobAudit) -> Iterator[None]:
    audit.start()
    try:
        yield
    finally:
        audit.finish()


def receipt_of(model: Any, *, asked: str = "cpu", stage: JobStage = JobStage.LAYOUT_ANALYSIS) -> StageReceipt:
    audit = JobAudit("cpu")
    watched = WatchedStage(model, stage, asked, CurrentAudit(audit))
    with running(audit), suppress(GpuNotAvailable):  # what is refused in flight stands in the receipt as well
        watched(SimpleNamespace(), [SimpleNamespace(predictions=SimpleNamespace(tablestructure=None))])
    (receipt,) = audit.receipts()
    return receipt


def test_operations_are_counted_on_the_device_that_did_them() -> None:
    receipt = receipt_of(Stage(network()))
    # two linear layers (each one addmm), one relu
    assert (receipt.device_used, receipt.operations, receipt.operations_elsewhere) == ("cpu", 3, 0)


def test_a_stage_asked_for_the_gpu_that_ran_on_the_cpu_says_cpu() -> None:
    receipt = receipt_of(Stage(network()), asked="cuda:0")
    assert (receipt.device_asked, receipt.device_used) == ("cuda:0", "cpu")
    assert (receipt.operations, receipt.operations_elsewhere) == (0, 3)
    assert grade_of([receipt], resident_bytes=10**9, device_was_busy=True) is Grade.UNAVAILABLE


def test_work_on_another_device_is_seen_there() -> None:
    receipt = receipt_of(Stage(network("meta"), device="meta"))
    assert (receipt.device_used, receipt.model_devices) == ("meta", ("meta",))
    assert (receipt.operations, receipt.operations_elsewhere) == (0, 3)


def test_parameters_on_one_device_and_work_on_another_are_not_believed() -> None:
    import torch
    from torch import nn

    class Elsewhere(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, _given: Any) -> Any:
            return torch.zeros(2, device="meta") + 1

    receipt = receipt_of(Stage(Elsewhere()))
    assert receipt.device_used == "unknown"
    assert receipt.measured_by == "parameter_devices: cpu; torch_operations: meta 2"


def test_models_that_lie_on_two_devices_are_not_taken_for_one() -> None:
    stage = Stage(network("meta"), device="meta")
    stage.parts["resident"] = [network("cpu")]
    receipt = receipt_of(stage)
    assert receipt.device_used == "unknown"
    assert receipt.measured_by == "parameter_devices: cpu, meta; torch_operations: meta 3"


@dataclass(frozen=True)
class ModelsOf:
    """Stands for the models of a stage on a healthy GPU host, which no test machine has to be."""

    torch_devices: tuple[str, ...] = ()
    onnx_devices: tuple[str, ...] = ()
    has_any: bool = True

    @property
    def modules(self) -> tuple[str, ...]:
        return self.torch_devices

    @property
    def sessions(self) -> tuple[str, ...]:
        return self.onnx_devices

    def module_devices(self) -> tuple[str, ...]:
        return self.torch_devices

    def session_devices(self) -> tuple[tuple[str, ...], str]:
        return self.onnx_devices, "onnx_session_providers: as given" if self.onnx_devices else ""


def log_of(models: ModelsOf, stage: JobStage = JobStage.LAYOUT_ANALYSIS, **operations: int) -> StageLog:
    log = StageLog(stage, "cuda:0", kernels=300, find_models=lambda: models)  # type: ignore[arg-type,return-value]
    log.record.by_device.update({device.replace("_", ":"): count for device, count in operations.items()})
    log.record.module_calls = len(operations)
    log.device_ms, log.peak_vram_bytes = 12.5, 10**8
    return log


def test_a_stage_on_a_gpu_is_proven_by_what_was_seen_of_it() -> None:
    receipt = write_receipt(log_of(ModelsOf(torch_devices=("cuda:0",)), cuda_0=200, cpu=3), 0.0)
    assert (receipt.device_used, receipt.operations, receipt.operations_elsewhere) == ("cuda:0", 200, 3)
    assert receipt.measured_by == (
        "parameter_devices: cuda:0; torch_operations: cpu 3, cuda:0 200; "
        "device_events: 0 spans on the default stream; profiler_kernels: 300 at warm-up"
    )
    assert grade_of([receipt]) is Grade.PROVEN


def test_ocr_by_onnx_on_the_cpu_under_a_gpu_job_is_a_violation() -> None:
    layout = write_receipt(log_of(ModelsOf(torch_devices=("cuda:0",)), cuda_0=200), 0.0)
    ocr = write_receipt(log_of(ModelsOf(onnx_devices=("cpu",)), JobStage.OCR), 0.0)
    assert ocr.device_used == "cpu"
    assert grade_of([layout, ocr], resident_bytes=10**9, device_was_busy=True) is Grade.UNAVAILABLE


def test_tables_on_the_pages_and_no_module_seen_to_run_is_not_called_idle() -> None:
    log = log_of(ModelsOf(torch_devices=("cuda:0",)), JobStage.TABLE_STRUCTURE)
    assert write_receipt(log, 0.0).device_used == "none"
    log.tables = 1
    assert write_receipt(log, 0.0).device_used == "unknown"


def test_models_that_lie_on_the_device_and_never_run_prove_nothing() -> None:
    """The negative control: the weights are resident, nothing is computed."""
    receipt = receipt_of(Stage(network(), runs=False))
    assert (receipt.device_used, receipt.operations) == ("unknown", None)
    assert receipt.measured_by.endswith("no module was seen to run")


def test_a_stage_in_which_no_model_is_found_is_unknown_and_not_taken_for_the_cpu() -> None:
    receipt = receipt_of(lambda _result, pages: pages)
    assert receipt.device_used == "unknown"


def test_a_plain_stage_that_dispatches_operations_after_all_is_told() -> None:
    def compute(_result: Any, pages: list[Any]) -> list[Any]:
        import torch

        torch.ones(2, device="meta") + 1
        return pages

    receipt = receipt_of(compute, stage=JobStage.PAGE_PARSING)
    assert receipt.device_used == "meta"
    assert receipt.measured_by == "torch_operations: meta 2"


def test_counting_ends_when_there_are_enough_operations() -> None:
    receipt = receipt_of(Stage(network(), calls=1000))
    assert receipt.operations is not None
    assert ENOUGH_OPERATIONS <= receipt.operations < ENOUGH_OPERATIONS + 3


def test_after_a_job_nothing_of_the_measuring_is_left() -> None:
    from torch.nn.modules import module
    from torch.utils._python_dispatch import _get_current_dispatch_mode

    def fail(_module: Any, _arguments: Any) -> None:
        raise ValueError("the network is broken")

    broken = network()
    broken[-2].register_forward_pre_hook(fail)
    with pytest.raises(ValueError, match="the network is broken"):
        receipt_of(Stage(broken))
    assert _get_current_dispatch_mode() is None
    assert not module._global_forward_hooks
    assert not module._global_forward_pre_hooks


def test_measuring_leaves_what_is_computed_bit_for_bit_the_same() -> None:
    """Torch's transformer layers leave their fast path when hooks hang on them; the global hooks do not."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(d_model=32, nhead=2, dim_feedforward=64, batch_first=True).eval()
    given = torch.randn(1, 50, 32)
    hooks, record = ModuleHooks(), OperationRecord()
    with torch.inference_mode():
        plain = layer(given)
        with hooks.around_modules(record):
            measured = layer(given)
    assert torch.equal(plain, measured)
    assert record.total > 0


def test_threads_of_one_job_do_not_count_each_others_operations() -> None:
    import torch

    hooks, record, other = ModuleHooks(), OperationRecord(), network()
    with torch.inference_mode(), hooks.around_modules(record):
        thread = threading.Thread(target=lambda: other(torch.zeros(1, 8)))
        thread.start()
        thread.join()
    assert record.total == 0


def test_torch_calls_modules_without_hooks_once_every_stage_has_counted_enough() -> None:
    import torch
    from torch.nn.modules import module

    hooks, seen = ModuleHooks(), []
    full, waiting, before, layer = OperationRecord(), OperationRecord(), OperationRecord(), network()
    waiter, done = threading.Event(), threading.Event()

    def wait() -> None:
        with hooks.around_modules(waiting):
            waiter.set()
            done.wait(10)

    thread = threading.Thread(target=wait)
    thread.start()
    waiter.wait(10)
    with torch.inference_mode(), hooks.around_modules(before):
        pass
    with torch.inference_mode():
        layer(torch.zeros(1, 8))  # while the other thread keeps the hooks, this one counts no more
    assert before.total == 0
    with torch.inference_mode(), hooks.around_modules(full):
        while not full.is_enough:
            layer(torch.zeros(1, 8))
        seen.append(len(module._global_forward_hooks))
        done.set()
        thread.join()
        seen.append(len(module._global_forward_hooks))
    assert seen == [1, 0]


def test_models_are_found_however_deep_they_lie_and_only_once() -> None:
    inner = network()
    holder = SimpleNamespace(a=[{"b": SimpleNamespace(c=inner)}], d=inner, e=None, f="text")
    holder.cycle = holder
    assert find_models(holder).modules == (inner,)


def test_a_fault_of_the_device_is_kept_apart_from_a_fault_of_a_page() -> None:
    import torch

    def run_out(_result: Any, _pages: list[Any]) -> list[Any]:
        raise torch.OutOfMemoryError("the device is full")

    def stumble(_result: Any, _pages: list[Any]) -> list[Any]:
        raise ValueError("a strange page")

    for model, expected in ((run_out, 1), (stumble, 0)):
        audit = JobAudit("cpu")
        watched = WatchedStage(model, JobStage.LAYOUT_ANALYSIS, "cpu", CurrentAudit(audit))
        with running(audit), pytest.raises((torch.OutOfMemoryError, ValueError)):
            watched(SimpleNamespace(), [SimpleNamespace()])
        assert len(audit.device_errors) == expected


def test_the_models_of_every_docling_stage_are_found(engine: DoclingEngine, examples: Path) -> None:
    loaded = engine.load(EngineOptions(ocr=OcrPass.FULL_PAGE))
    engine.convert(examples / "scanned.pdf", EngineOptions(ocr=OcrPass.FULL_PAGE), lambda *_: None)
    found = {stage.stage: find_models(stage.model) for stage in loaded.stages if stage.stage is not JobStage.ASSEMBLY}
    assert {stage: (len(models.modules), len(models.sessions)) for stage, models in found.items()} == {
        JobStage.PAGE_PARSING: (0, 0),
        JobStage.LAYOUT_ANALYSIS: (1, 0),
        JobStage.TABLE_STRUCTURE: (1, 0),
        JobStage.OCR: (0, 3),
    }


def test_the_profiler_sees_no_kernel_where_there_is_no_gpu(engine: DoclingEngine) -> None:
    """The exercises of the warm-up run on the real stages; on the CPU nothing of it may count as a kernel."""
    import torch

    from sir_convert_a_lot.infrastructure.engines.docling import kernel_proof

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    stages = {stage.stage: stage for stage in engine.load(EngineOptions(ocr=OcrPass.FULL_PAGE)).stages}
    for stage, exercise in (
        (JobStage.LAYOUT_ANALYSIS, kernel_proof.exercise_layout),
        (JobStage.TABLE_STRUCTURE, kernel_proof.exercise_tables),
        (JobStage.OCR, kernel_proof.exercise_ocr),
    ):
        assert kernel_proof.count_kernels(stages[stage], exercise) == 0


def test_a_scan_is_read_as_well_after_the_warm_up_as_before_it(engine: DoclingEngine, examples: Path) -> None:
    from sir_convert_a_lot.infrastructure.engines.docling import kernel_proof

    options = EngineOptions(ocr=OcrPass.FULL_PAGE)
    before = engine.convert(examples / "scanned.pdf", options, lambda *_: None)
    ocr = next(stage for stage in engine.load(options).stages if stage.stage is JobStage.OCR)
    kernel_proof.exercise_ocr(ocr.model)
    after = engine.convert(examples / "scanned.pdf", options, lambda *_: None)
    assert after.failed_pages == ()
    assert after.markdown == before.markdown


def test_one_counted_operation_costs_microseconds() -> None:
    """The bound on the whole: about 200 a stage are counted, so a job pays some milliseconds."""
    import torch

    tensor, record = torch.zeros(8), OperationRecord()

    def cost_s(measured: bool) -> float:
        from sir_convert_a_lot.infrastructure.engines.docling.operation_record import everywhere

        if not measured:
            started = time.perf_counter()
            for _ in range(2000):
                torch.relu(tensor)
            return time.perf_counter() - started
        with everywhere(record):
            return cost_s(measured=False)

    cost_s(measured=True)
    overhead_us = (min(cost_s(True) for _ in range(3)) - min(cost_s(False) for _ in range(3))) / 2000 * 1e6
    assert record.total == 4 * 2000
    assert overhead_us < 200


def test_rapidocrs_torch_engine_is_found_and_counted(tmp_path: Path) -> None:
    """What a GPU job's OCR runs on, here on the CPU: the same options, files and loader, with untrained models."""
    from docling.datamodel.accelerator_options import AcceleratorOptions
    from docling.models.stages.ocr.rapid_ocr_model import RapidOcrModel
    from tiny_docling_models import make_torch_ocr_models

    from sir_convert_a_lot.domain.job_spec import TableMode
    from sir_convert_a_lot.infrastructure.engines.docling import kernel_proof, loading

    models = make_torch_ocr_models(tmp_path)
    choice = loading.PipelineChoice("cuda:0", TableMode.FAST, OcrPass.FULL_PAGE, "cuda:0")
    options = loading.ocr_options(choice, models)
    assert options.backend == "torch"
    reader = RapidOcrModel(
        enabled=True, artifacts_path=models, options=options, accelerator_options=AcceleratorOptions(device="cpu")
    )

    def stage(_result: Any, pages: list[Any]) -> list[Any]:
        kernel_proof.exercise_ocr(reader)
        return pages

    stage.reader = reader  # type: ignore[attr-defined]
    receipt = receipt_of(stage, asked="cuda:0", stage=JobStage.OCR)
    assert len(find_models(reader).modules) == 3
    assert (receipt.device_used, receipt.model_devices) == ("cpu", ("cpu",))
    assert receipt.operations == 0
    assert receipt.operations_elsewhere is not None
    assert receipt.operations_elsewhere >= ENOUGH_OPERATIONS
