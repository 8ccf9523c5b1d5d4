"""`convert-a-lot receipt` for people: the device, its activity, and each look told once."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sir_convert_a_lot.domain.gpu_activity import ActivitySample, ReceiptDevice, Watched, derive_activity
from sir_convert_a_lot.domain.receipt import ExecutionReceipt, Grade, StageReceipt
from sir_convert_a_lot.interfaces.cli.receipt import _show

PLAIN = "no_gpu_device_open: torch imported; operations: none"
RECEIPT = ExecutionReceipt(
    engine="docling",
    engine_version="2",
    acceleration_policy="gpu_required",
    acceleration_used="cuda",
    grade=Grade.PROVEN,
    stages=(
        StageReceipt("page_parsing", "cpu", "cpu", PLAIN, 1.0),
        StageReceipt("layout_analysis", "cuda:0", "cuda:0", "parameter_devices: cuda:0", 2.0, kernels=498),
        StageReceipt("assembly", "cpu", "cpu", PLAIN, 3.0),
    ),
    wall_ms=9.0,
    worker_pid=1,
    device=ReceiptDevice(
        "cuda:0", "0000:00:06.0", "NVIDIA H200", "sm_90", 150_000 << 20, "580.1", "2.15.0", None, "13.0"
    ),
    activity=derive_activity(
        Watched(
            "nvml",
            "0000:00:06.0",
            baseline_age_ms=3210.0,
            baseline=(ActivitySample(0, 0, process_bytes=584 << 20),),
            samples=(ActivitySample(0, 94, process_bytes=810 << 20),),
            taken=1,
            reasons={"power_w": "nvmlDeviceGetPowerUsage: Not Supported (NVML 3)"},
        )
    ),
)


def shown(receipt: ExecutionReceipt, capsys: pytest.CaptureFixture[str]) -> list[str]:
    _show(json.loads(json.dumps(receipt.to_json())))
    return capsys.readouterr().out.splitlines()


def value_of(lines: list[str], name: str) -> str:
    (line,) = [line for line in lines if line.strip().startswith(f"{name}:")]
    return line.partition(":")[2].strip()


def test_the_device_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    told = value_of(shown(RECEIPT, capsys), "device")
    assert told == "cuda:0, NVIDIA H200, sm_90, 0000:00:06.0, 150000 MiB, driver 580.1, torch 2.15.0, cuda 13.0"


def test_activity_is_told_against_rest_and_what_is_missing_is_no_zero(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(RECEIPT, capsys)
    assert value_of(lines, "activity") == "nvml; samples: 1 in the job, 1 at rest, 3.2 s before"
    assert value_of(lines, "busy counter") == "usable: it read 0 % at rest and 94 % during the job"
    assert value_of(lines, "process memory") == "810 MiB at most, 584 MiB at rest"
    assert value_of(lines, "power") == "- (nvmlDeviceGetPowerUsage: Not Supported (NVML 3))"


def test_a_look_that_several_stages_share_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(RECEIPT, capsys)
    assert lines[-5:] == [
        "seen of page_parsing, assembly:",
        "  no_gpu_device_open: torch imported",
        "  operations: none",
        "seen of layout_analysis:",
        "  parameter_devices: cuda:0",
    ]
    assert max(map(len, lines)) < 120


def test_a_job_of_the_cpu_has_neither_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(replace(RECEIPT, device=None, activity=None), capsys)
    assert not [line for line in lines if line.startswith(("device:", "activity:"))]
    assert lines[0].startswith("engine:")
