"""NVML's figures are this process's or none: a process that it does not list is not one that uses nothing."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from made_activity import NVIDIA, MadeNvml

from sir_convert_a_lot.domain.gpu_activity import FIGURES
from sir_convert_a_lot.domain.gpu_facts import Fact, Present, Unknown
from sir_convert_a_lot.infrastructure.gpu_activity.nvidia_reader import NvidiaReader, open_nvml

PID = os.getpid()


def reader_of(nvml: MadeNvml) -> NvidiaReader:
    opened: Fact[NvidiaReader] = open_nvml(NVIDIA, nvml)
    assert isinstance(opened, Present)
    return opened.value


def now_us() -> int:
    return int(time.time() * 1_000_000)


def test_every_figure_is_read() -> None:
    nvml = MadeNvml(busy=94, milliwatts=633_474, samples=[(PID, now_us() - 2, 12), (PID, now_us(), 44), (1, 1, 99)])
    reader = reader_of(nvml)
    reading = reader.read()
    assert reading.busy_percent == Present(94)
    assert reading.process_busy_percent == Present(44)
    assert reading.process_bytes == Present(612_368_384)
    assert reading.device_bytes == Present(1_266_000_000)
    assert reading.power_w == Present(633.474)
    assert set(reader.read_from) == set(FIGURES)


def test_a_process_that_is_not_listed_is_not_one_that_uses_nothing() -> None:
    """In a container the driver may count by the pids of the host."""
    held = reader_of(MadeNvml(processes=[(PID + 1, 10**9), (PID + 2, 10**9)])).read().process_bytes
    assert isinstance(held, Unknown)
    assert "lists 2 process" in held.reason
    assert f"pid {PID}" in held.reason


def test_memory_that_is_not_told_is_not_zero() -> None:
    held = reader_of(MadeNvml(processes=[(PID, None)])).read().process_bytes
    assert isinstance(held, Unknown)


@pytest.mark.parametrize(
    ("name", "figure"),
    [
        ("busy", "busy_percent"),
        ("used", "device_bytes"),
        ("milliwatts", "power_w"),
        ("processes", "process_bytes"),
        ("samples", "process_busy_percent"),
    ],
)
def test_what_the_device_does_not_support_is_told_with_nvmls_number(name: str, figure: str) -> None:
    nvml = MadeNvml(samples=[(PID, now_us(), 5)])
    nvml.now[name] = lambda: nvml.fail(3, "Not Supported")
    reading = reader_of(nvml).read()
    fact = getattr(reading, figure)
    assert isinstance(fact, Unknown)
    assert "Not Supported (NVML 3)" in fact.reason
    assert all(isinstance(getattr(reading, other), Present) for other in FIGURES if other != figure)


@pytest.mark.parametrize("samples", [[], [(PID + 1, 2**62, 80)], [(PID, 2**62, 4_294_967_295)]])
def test_a_share_of_others_or_none_or_garbage_is_not_this_processs(samples: list[Any]) -> None:
    assert isinstance(reader_of(MadeNvml(samples=samples)).read().process_busy_percent, Unknown)


def test_the_dear_question_is_not_asked_at_every_look() -> None:
    nvml = MadeNvml(samples=[(PID, now_us(), 7)])
    reader = reader_of(nvml)
    readings = [reader.read() for _ in range(5)]
    assert nvml.calls.count("nvmlDeviceGetProcessUtilization") == 1
    assert nvml.calls.count("nvmlDeviceGetUtilizationRates") == 5
    assert {reading.process_busy_percent for reading in readings} == {Present(7)}


def test_a_gpu_that_nvml_does_not_know_is_a_reason() -> None:
    opened: Fact[NvidiaReader] = open_nvml("0000:99:00.0", MadeNvml())
    assert isinstance(opened, Unknown)
    assert "0000:99:00.0" in opened.reason


def test_the_real_library_without_a_driver_is_a_reason() -> None:
    pynvml = pytest.importorskip("pynvml", reason="needs nvidia-ml-py: pdm install -G docling")
    if Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has NVIDIA's driver")
    opened: Fact[NvidiaReader] = open_nvml(NVIDIA)
    assert isinstance(opened, Unknown)
    assert f"(NVML {pynvml.NVML_ERROR_LIBRARY_NOT_FOUND})" in opened.reason


def test_the_functions_are_those_of_the_real_library() -> None:
    """So that the stand-in cannot drift from what it stands for."""
    pynvml = pytest.importorskip("pynvml", reason="needs nvidia-ml-py: pdm install -G docling")
    made = {name for name in dir(MadeNvml) if name.startswith("nvml")}
    assert made <= set(dir(pynvml))
    assert isinstance(pynvml.NVMLError(12).value, int)
