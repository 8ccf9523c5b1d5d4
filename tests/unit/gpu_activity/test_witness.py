"""The watch of a job: against one baseline, in its own thread, and never in the job's way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_activity import AMD, MIB, NVIDIA, MadeAmdGpu, MadeNvml, in_turns, made_torch

from sir_convert_a_lot import worker
from sir_convert_a_lot.domain.gpu_activity import FIGURES, BusyCounter, GpuActivity, Reading, ReceiptDevice
from sir_convert_a_lot.domain.gpu_facts import Present, Unknown
from sir_convert_a_lot.infrastructure.gpu_activity.sampling import MOST_HELD, Looks
from sir_convert_a_lot.infrastructure.gpu_activity.witness import BASELINE_SAMPLES, GpuWitness

TICK_S = 0.002


def witness_of_amd(gpu: MadeAmdGpu) -> GpuWitness:
    return GpuWitness(gpu.root, torch=made_torch(AMD, hip="7.2.26015"), interval_s=TICK_S, settle_s=0)


def witness_of_nvidia(nvml: MadeNvml) -> GpuWitness:
    return GpuWitness(torch=made_torch(NVIDIA, cuda="13.0"), nvml=nvml, interval_s=TICK_S, settle_s=0)


def watch(witness: GpuWitness, work: Callable[[], Any]) -> GpuActivity:
    witness.rest("cuda:0")
    with witness.watch("cuda:0") as watched:
        work()
    return watched.activity()


def wait_for(is_so: Callable[[], bool]) -> None:
    ends = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < ends
        time.sleep(TICK_S)


def test_a_job_is_seen_against_the_gpu_at_rest(tmp_path: Path) -> None:
    gpu = MadeAmdGpu(tmp_path)

    def work() -> None:
        gpu.set_busy(80)
        gpu.set_process(1500 * MIB)
        gpu.write(gpu.device("hwmon/hwmon4/power1_average"), 103_000_000)

    seen = watch(witness_of_amd(gpu), work)
    assert (seen.source, seen.pci_id) == ("amdgpu", AMD)
    assert len(seen.baseline) == BASELINE_SAMPLES
    assert (seen.busy_percent_idle, seen.busy_percent_peak) == (3, 80)
    assert (seen.process_bytes_idle, seen.process_bytes_peak) == (700 * MIB, 1500 * MIB)
    assert (seen.power_w_idle, seen.power_w_peak) == (21.0, 103.0)
    assert seen.busy_counter is BusyCounter.USABLE
    assert seen.read_from["busy_percent"].endswith(f"{AMD}/gpu_busy_percent")
    assert list(seen.unavailable) == ["process_busy_percent"]


def test_the_shortest_job_is_looked_at_and_a_last_look_is_taken_when_it_ends() -> None:
    nvml = MadeNvml()
    assert watch(witness_of_nvidia(nvml), lambda: None).samples_taken >= 1
    slow = GpuWitness(torch=made_torch(NVIDIA, cuda="13.0"), nvml=nvml, interval_s=30, settle_s=0)
    with slow.watch("cuda:0") as watched:
        wait_for(lambda: watched.sampler is not None and watched.sampler.looks.taken == 1)
        nvml.now["busy"] = 77
    assert [sample.busy_percent for sample in watched.activity().samples] == [0, 77]


def test_the_baseline_is_taken_once_and_its_age_is_told() -> None:
    nvml = MadeNvml()
    witness = witness_of_nvidia(nvml)
    first = watch(witness, lambda: None)
    time.sleep(0.05)
    asked = nvml.calls.count("nvmlDeviceGetUtilizationRates")
    witness.rest("cuda:0")
    assert nvml.calls.count("nvmlDeviceGetUtilizationRates") == asked
    second = watch(witness, lambda: None)
    assert first.baseline == second.baseline
    assert first.baseline_age_ms is not None
    assert second.baseline_age_ms is not None
    assert second.baseline_age_ms >= first.baseline_age_ms + 50


def test_without_a_baseline_the_busy_counter_tells_nothing() -> None:
    witness = witness_of_nvidia(MadeNvml(busy=90))
    with witness.watch("cuda:0") as watched:
        pass
    seen = watched.activity()
    assert seen.baseline_age_ms is None
    assert seen.busy_counter is BusyCounter.UNAVAILABLE
    assert seen.busy_percent_peak == 90


def test_a_reader_that_fails_midway_leaves_its_peaks_and_a_reason_and_the_job_alone() -> None:
    nvml = MadeNvml(busy=in_turns(*[0] * BASELINE_SAMPLES, 60, RuntimeError("the library went away")))

    def work() -> None:
        wait_for(lambda: nvml.calls.count("nvmlDeviceGetUtilizationRates") > BASELINE_SAMPLES + 3)

    seen = watch(witness_of_nvidia(nvml), work)
    assert seen.busy_percent_peak == 60
    assert seen.process_bytes_peak == 612_368_384
    assert "RuntimeError: the library went away (in " in seen.unavailable["busy_percent"]
    assert "RuntimeError: the library went away (in " in seen.unavailable["process_bytes"]
    assert seen.samples[-1].process_bytes is None


def test_files_that_go_away_midway_do_the_same(tmp_path: Path) -> None:
    gpu = MadeAmdGpu(tmp_path)
    seen = watch(witness_of_amd(gpu), lambda: gpu.remove("sys"))
    assert seen.process_bytes_idle == 700 * MIB
    assert seen.samples[-1].busy_percent is None
    assert set(seen.unavailable) == set(FIGURES)


def test_a_failing_job_raises_its_own_error_and_the_sampling_ends() -> None:
    witness = witness_of_nvidia(MadeNvml())
    with pytest.raises(ZeroDivisionError), witness.watch("cuda:0"):
        raise ZeroDivisionError
    assert "gpu-activity" not in {thread.name for thread in threading.enumerate()}


def test_a_look_that_does_not_come_back_holds_no_job_up_and_is_not_tried_again() -> None:
    hung = threading.Event()
    nvml = MadeNvml()
    witness = witness_of_nvidia(nvml)
    witness.rest("cuda:0")
    nvml.now["used"] = hung.wait
    started = time.monotonic()
    with witness.watch("cuda:0") as watched:
        pass
    first = watched.activity()
    assert time.monotonic() - started < 5
    assert "had not come back" in first.unavailable["samples"]
    assert first.device_was_busy is None
    asked = len(nvml.calls)
    second = watch(witness, lambda: None)
    assert (second.samples_taken, len(nvml.calls)) == (0, asked)
    assert "had not come back" in second.unavailable["process_bytes"]
    hung.set()


@pytest.mark.parametrize(
    ("torch", "nvml", "word"),
    [
        (made_torch(NVIDIA, cuda="13.0"), MadeNvml(init=lambda: MadeNvml().fail(12, "not found")), "(NVML 12)"),
        (made_torch("0000:99:00.0", cuda="13.0"), MadeNvml(), "0000:99:00.0"),
    ],
)
def test_where_there_is_no_reader_nothing_is_sampled_and_everything_is_unavailable(
    torch: Any, nvml: Any, word: str
) -> None:
    seen = watch(GpuWitness(torch=torch, nvml=nvml, interval_s=TICK_S, settle_s=0), lambda: None)
    assert (seen.source, seen.samples, seen.baseline) == ("none", (), ())
    assert set(seen.unavailable) == set(FIGURES)
    assert all(word in reason for reason in seen.unavailable.values())
    assert seen.busy_counter is BusyCounter.UNAVAILABLE
    assert seen.resident_bytes is None


def test_a_device_that_torch_does_not_know_is_no_error_of_the_witness() -> None:
    witness = witness_of_nvidia(MadeNvml())
    assert witness.describe("cuda:3") == ReceiptDevice("cuda:3")
    with witness.watch("cuda:3") as watched:
        pass
    assert "does not know cuda:3" in watched.activity().unavailable["busy_percent"]


def test_the_device_is_named_by_torch_and_the_driver(tmp_path: Path) -> None:
    gpu = MadeAmdGpu(tmp_path)
    told = witness_of_amd(gpu).describe("cuda:0")
    assert told == ReceiptDevice(
        device="cuda:0",
        pci_id=AMD,
        name="a GPU",
        arch="gfx1100",
        vram_bytes=24 << 30,
        driver="amdgpu of Linux 6.12.0",
        torch="2.15.0",
        hip="7.2.26015",
    )
    gpu.write("sys/module/amdgpu/version", "6.12.12")
    assert witness_of_amd(gpu).describe("cuda:0").driver == "6.12.12"


@pytest.mark.parametrize("root", ["made", "//", "/proc/self/root"])
def test_no_root_but_the_real_one_gives_evidence(tmp_path: Path, root: str) -> None:
    gpu = MadeAmdGpu(tmp_path)
    place = tmp_path if root == "made" else Path(root)
    torch = made_torch(AMD, hip="7.2")
    assert GpuWitness(place, interval_s=TICK_S)._simulated
    assert GpuWitness(torch=torch)._simulated
    assert GpuWitness(nvml=MadeNvml())._simulated
    seen = watch(witness_of_amd(gpu), lambda: gpu.set_busy(90))
    assert seen.simulated
    assert (seen.resident_bytes, seen.device_was_busy) == (None, None)


def test_a_worker_watches_this_machine() -> None:
    """Made without a root and before any order or setting is read."""
    assert not worker.witness._simulated
    assert worker.witness._host.path == Path("/")


class CountingReader:
    """Reads its own number of looks as the power, and a peak once."""

    source = "nvml"

    def __init__(self) -> None:
        self.read_from: dict[str, str] = {}
        self.looks = 0

    def read(self) -> Reading:
        self.looks += 1
        missing = Unknown("not read")
        return Reading(
            missing, missing, Present(10**9 if self.looks == 777 else 5), missing, Present(float(self.looks))
        )


def test_what_is_held_of_an_endless_job_is_bounded_and_keeps_its_peaks() -> None:
    looks = Looks(CountingReader())
    thinned = sum(looks.look() for _ in range(5000))
    assert looks.taken == 5000
    assert len(looks.samples) < MOST_HELD
    assert thinned >= 7
    assert max(sample.process_bytes or 0 for sample in looks.samples) == 10**9
    assert looks.samples[-1].power_w == 5000
