"""AMD's figures come from the files of the one GPU and the one process, and a missing file is never a zero."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from made_activity import AMD, GPU_IDS, MIB, OTHER_AMD, MadeAmdGpu

from sir_convert_a_lot.domain.gpu_activity import FIGURES
from sir_convert_a_lot.domain.gpu_facts import Absent, Present, Unknown
from sir_convert_a_lot.infrastructure.gpu_activity.amd_reader import AmdReader
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.host_root import HostRoot


def reader_of(gpu: MadeAmdGpu, address: str = AMD) -> AmdReader:
    return AmdReader(HostRoot(gpu.root), address)


def test_every_figure_is_of_the_gpu_at_that_address(tmp_path: Path) -> None:
    gpu = MadeAmdGpu(tmp_path)
    gpu.set_occupancy(24)
    reader = reader_of(gpu)
    reading = reader.read()
    assert reading.busy_percent == Present(3)
    assert reading.process_busy_percent == Present(25.0)  # 24 of 192 / 2 compute units
    assert reading.process_bytes == Present(700 * MIB)
    assert reading.device_bytes == Present(900 * MIB)
    assert reading.power_w == Present(21.0)
    assert set(reader.read_from) == set(FIGURES)
    other = reader_of(gpu, OTHER_AMD).read()
    assert (other.device_bytes, other.process_bytes) == (Present(9000 * MIB), Present(5))


@pytest.mark.parametrize(
    ("figure", "name"),
    [
        ("busy_percent", MadeAmdGpu.device("gpu_busy_percent")),
        ("device_bytes", MadeAmdGpu.device("mem_info_vram_used")),
        ("power_w", MadeAmdGpu.device("hwmon")),
        ("process_busy_percent", f"sys/class/kfd/kfd/proc/{os.getpid()}/stats_{GPU_IDS[AMD]}"),
        ("process_bytes", f"sys/class/kfd/kfd/proc/{os.getpid()}/vram_{GPU_IDS[AMD]}"),
    ],
)
def test_a_file_that_is_not_there_is_a_reason_and_no_zero(tmp_path: Path, figure: str, name: str) -> None:
    gpu = MadeAmdGpu(tmp_path)
    gpu.set_occupancy(24)
    gpu.remove(name)
    reading = reader_of(gpu).read()
    fact = getattr(reading, figure)
    assert isinstance(fact, (Absent, Unknown))
    assert name in fact.reason
    others = [getattr(reading, other) for other in FIGURES if other != figure]
    assert all(isinstance(other, Present) for other in others)


@pytest.mark.parametrize("content", ["65535", "4294967295", "-1", "n/a", ""])
def test_a_busy_counter_that_reads_no_percentage_is_unknown(tmp_path: Path, content: str) -> None:
    """The all-ones register of some APUs, and anything else that is no number from 0 to 100."""
    gpu = MadeAmdGpu(tmp_path)
    gpu.write(gpu.device("gpu_busy_percent"), content)
    assert isinstance(reader_of(gpu).read().busy_percent, Unknown)


def test_a_real_zero_is_a_zero(tmp_path: Path) -> None:
    gpu = MadeAmdGpu(tmp_path)
    gpu.set_busy(0)
    gpu.set_process(0)
    reading = reader_of(gpu).read()
    assert (reading.busy_percent, reading.process_bytes) == (Present(0), Present(0))


def test_power_that_is_not_averaged_is_read_as_it_is(tmp_path: Path) -> None:
    gpu = MadeAmdGpu(tmp_path)
    gpu.remove(gpu.device("hwmon/hwmon4/power1_average"))
    gpu.write(gpu.device("hwmon/hwmon4/power1_input"), 33_500_000)
    assert reader_of(gpu).read().power_w == Present(33.5)


def test_more_compute_units_than_there_are_is_no_figure(tmp_path: Path) -> None:
    gpu = MadeAmdGpu(tmp_path)
    gpu.set_occupancy(2**32 - 1)
    assert isinstance(reader_of(gpu).read().process_busy_percent, Unknown)


def test_a_process_that_kfd_learns_of_later_is_found(tmp_path: Path) -> None:
    gpu = MadeAmdGpu(tmp_path)
    gpu.remove(gpu.process)
    reader = reader_of(gpu)
    assert isinstance(reader.read().process_bytes, Unknown)
    gpu.set_process(5 * MIB)
    assert reader.read().process_bytes == Present(5 * MIB)


def test_in_another_pid_namespace_kfd_is_not_believed(tmp_path: Path) -> None:
    """The file with our number is there, and is some process's of the host."""
    gpu = MadeAmdGpu(tmp_path, namespace="pid:[4026532999]")
    reading = reader_of(gpu).read()
    assert isinstance(reading.process_bytes, Unknown)
    assert "pid:[4026532999]" in reading.process_bytes.reason
    assert "fdinfo" in reading.process_bytes.reason
    assert isinstance(reading.process_busy_percent, Unknown)


def test_in_another_pid_namespace_fdinfo_tells_this_process(tmp_path: Path) -> None:
    gpu = MadeAmdGpu(tmp_path, namespace="pid:[4026532999]")
    gpu.add_client(7, client=1, size="1024 KiB")
    gpu.add_client(8, client=1, size="1024 KiB")  # the same client, opened twice
    gpu.add_client(9, client=2, size="3 MiB")
    gpu.add_client(10, client=3, size="900 MiB", address=OTHER_AMD)
    gpu.write("proc/self/fdinfo/11", "pos:\t0\nflags:\t0100002\n")
    reader = reader_of(gpu)
    assert reader.read().process_bytes == Present(4 * MIB)
    gpu.add_client(9, client=2, size="5 MiB")
    assert reader.read().process_bytes == Present(6 * MIB)
    assert "fdinfo" in reader.read_from["process_bytes"]


def test_memory_of_the_host_is_not_memory_of_the_device(tmp_path: Path) -> None:
    gpu = MadeAmdGpu(tmp_path, namespace="pid:[4026532999]")
    gpu.add_client(7, client=1, size="64 MiB", key="gtt")
    assert isinstance(reader_of(gpu).read().process_bytes, Unknown)
