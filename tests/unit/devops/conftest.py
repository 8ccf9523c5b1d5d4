"""What an acceptance run writes, made up: on the device of a recorded machine, with every check fulfilled."""

from __future__ import annotations

from typing import Any

import pytest

DEVICE = "cuda:0"


@pytest.fixture
def made_snapshot() -> dict[str, Any]:
    """As `gpu probe --json` prints a proven GPU."""
    rungs = ("hardware", "driver", "permission", "package", "enumerate", "arch", "first_kernel", "result", "resource")
    return {
        "is_available": True,
        "simulated": False,
        "cause": None,
        "rung": "resource",
        "evidence": ["hardware: PCI 0000:00:06.0: NVIDIA GPU, device 0x2335, driver nvidia"],
        "remediation": [],
        "probe_id": "probe_1",
        "runtime_kind": "cuda",
        "device_name": "NVIDIA H200",
        "pci_id": "0000:00:06.0",
        "arch": "sm_90",
        "vram_bytes": 150109880320,
        "torch_version": "2.11.0+cu130",
        "cuda_version": "13.0",
        "hip_version": None,
        "rungs": [{"rung": rung, "state": "passed", "seen": f"{rung} is fine", "duration_ms": 1.0} for rung in rungs],
    }


def made_stage(name: str, device: str = DEVICE, **more: Any) -> dict[str, Any]:
    work = {"device_ms": 12.5, "operations": 200, "operations_elsewhere": 0, "kernels": 498}
    nothing = dict.fromkeys(work)
    shown = work if device != "cpu" else nothing
    return {"stage": name, "device_asked": device, "device_used": device} | shown | more


@pytest.fixture
def made_activity() -> dict[str, Any]:
    return {
        "source": "nvml",
        "simulated": False,
        "busy_counter": "usable",
        "busy_counter_reason": "it read 0 % at rest and 0-94 % during the job",
        "busy_percent_idle": 0.0,
        "busy_percent_peak": 94.0,
        "process_busy_percent_idle": None,
        "process_busy_percent_peak": None,
        "process_bytes_idle": 612368384,
        "process_bytes_peak": 849346560,
        "unavailable": {},
        "samples": [{"at_ms": 0.0}],
        "baseline": [{"at_ms": 0.0}],
    }


@pytest.fixture
def made_result(made_activity: dict[str, Any]) -> dict[str, Any]:
    """As the service answers for a proven `gpu_required` job."""
    stages = [
        made_stage("page_parsing", "cpu"),
        made_stage("layout_analysis"),
        made_stage("table_structure"),
        made_stage("assembly", "cpu"),
    ]
    return {
        "conversion_metadata": {"backend_used": "docling", "acceleration_used": "cuda"},
        "execution": {
            "acceleration_policy": "gpu_required",
            "acceleration_used": "cuda",
            "grade": "PROVEN",
            "probe_id": "probe_2",
            "worker_pid": 77,
            "wall_ms": 480.0,
            "stages": stages,
            "device": {
                "pci_id": "0000:00:06.0",
                "name": "NVIDIA H200",
                "arch": "sm_90",
                "torch": "2.11.0+cu130",
                "driver": "580.159.04",
                "cuda": "13.0",
                "hip": None,
            },
            "activity": made_activity,
        },
    }
