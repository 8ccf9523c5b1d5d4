"""What is seen of a real GPU from beside the engine: this process's memory, work above rest, and the control.

The control is a process that holds memory and a context and computes nothing: it must not be proven.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from sir_convert_a_lot.domain.gpu_activity import BusyCounter, GpuActivity
from sir_convert_a_lot.domain.gpu_facts import ProbeSnapshot
from sir_convert_a_lot.domain.job import JobStage
from sir_convert_a_lot.domain.receipt import Grade, StageReceipt, grade_of
from sir_convert_a_lot.infrastructure.engines.docling.kernel_proof import count_kernels
from sir_convert_a_lot.infrastructure.engines.docling.stage_audit import CurrentAudit, JobAudit, WatchedStage
from sir_convert_a_lot.infrastructure.gpu_activity.witness import GpuWitness

pytestmark = pytest.mark.gpu

DEVICE = "cuda:0"
HELD_BYTES = 256 * 1024**2
WORK_S = 3.0  # NVML's counter follows within a second
SIZE = 4096


class Stage:
    """A stage whose network lies on the GPU, and which computes there for so long, or not at all."""

    def __init__(self, network: Any, work_s: float) -> None:
        self.network = network
        self._work_s = work_s

    def __call__(self, _result: Any, pages: list[Any]) -> Iterator[Any]:
        until = time.monotonic() + self._work_s
        while time.monotonic() < until:
            compute(self.network)
        yield from pages


def compute(network: Any) -> None:
    """Some tens of milliseconds of matrix products, waited for."""
    import torch

    with torch.inference_mode():
        for _ in range(10):
            network(torch.ones(SIZE, SIZE, device=DEVICE))
    torch.cuda.synchronize()


@pytest.fixture(scope="module")
def network(snapshot: ProbeSnapshot) -> Any:
    """A quarter of a GiB of parameters, as the resident models of a worker."""
    import torch

    layers = [torch.nn.Linear(SIZE, SIZE, bias=False, device=DEVICE) for _ in range(HELD_BYTES // (4 * SIZE**2))]
    return torch.nn.Sequential(*layers).eval()


def run(network: Any, work_s: float, *, rest_s: float = 0.0) -> tuple[StageReceipt, GpuActivity]:
    """One watched stage, as the engine runs it and as a worker's witness watches it."""
    audit = JobAudit(DEVICE)
    watched = WatchedStage(Stage(network, work_s), JobStage.LAYOUT_ANALYSIS, DEVICE, CurrentAudit(audit))
    watched.kernels = count_kernels(watched, lambda stage: compute(stage.network) if work_s else None)
    witness = GpuWitness()
    time.sleep(2.0)  # what ran before is out of the driver's averages
    witness.rest(DEVICE)
    with witness.watch(DEVICE) as watch:
        audit.start()
        watched(SimpleNamespace(), [SimpleNamespace(predictions=SimpleNamespace(tablestructure=None))])
        audit.finish()
        time.sleep(rest_s)
    (receipt,) = audit.receipts()
    return receipt, watch.activity()


def grade(receipt: StageReceipt, activity: GpuActivity) -> Grade | None:
    busy = activity.device_was_busy
    return grade_of([receipt], resident_bytes=activity.resident_bytes, device_was_busy=busy)


def test_a_process_that_only_holds_a_context_and_memory_is_not_proven(network: Any) -> None:
    receipt, activity = run(network, 0.0, rest_s=WORK_S)
    assert (activity.resident_bytes or 0) >= HELD_BYTES, activity.unavailable  # so it is there, and seen to be
    assert activity.device_was_busy is not True, activity.busy_counter_reason
    assert not receipt.operations
    assert grade(receipt, activity) not in {Grade.PROVEN, Grade.CORROBORATED}


@pytest.fixture(scope="module")
def worked(network: Any) -> tuple[StageReceipt, GpuActivity]:
    return run(network, WORK_S)


def test_a_process_that_computes_is_proven_and_seen_to_be_busy(
    worked: tuple[StageReceipt, GpuActivity], snapshot: ProbeSnapshot
) -> None:
    receipt, activity = worked
    assert (receipt.device_used, receipt.model_devices) == (DEVICE, (DEVICE,))
    assert grade(receipt, activity) is Grade.PROVEN
    assert HELD_BYTES <= (activity.resident_bytes or 0) <= (snapshot.vram_bytes or 0)
    if activity.busy_counter is BusyCounter.UNRELIABLE:
        pytest.skip(f"work is proven; the busy counter of this GPU tells nothing: {activity.busy_counter_reason}")
    assert activity.device_was_busy is True, activity.busy_counter_reason


def test_power_rises_with_work_where_it_can_be_read(worked: tuple[StageReceipt, GpuActivity]) -> None:
    _, activity = worked
    if activity.power_w_idle is None or activity.power_w_peak is None:
        pytest.skip(f"power cannot be read: {activity.unavailable.get('power_w')}")
    assert activity.power_w_peak > activity.power_w_idle
