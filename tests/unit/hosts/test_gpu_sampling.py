"""What the sampler reads on a host: the kernel's files of AMD, and the tools of both vendors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sir_convert_a_lot.domain.host_access import CommandOutcome, Ending
from sir_convert_a_lot.infrastructure.host_checks.gpu_sampling import SCRIPT, read_series

AMD = "0000:03:00.0"
GIB = 1024**3


def sample(folder: Path, vendor: str) -> dict[str, Any]:
    """The first look of the real script: over a made root, with the tools that lie in `tools`."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    command = [sys.executable, "-I", "-", vendor, "0.01", str(folder / "root")]
    environment = {"PATH": f"{tools}{os.pathsep}/usr/bin{os.pathsep}/bin"}
    done = subprocess.run(command, input=SCRIPT, env=environment, capture_output=True, check=True, timeout=60)
    look: dict[str, Any] = json.loads(done.stdout.splitlines()[0])
    return look


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def add_tool(folder: Path, name: str, script: str) -> None:
    write(folder / "tools" / name, f"#!/bin/sh\n{script}\n")
    (folder / "tools" / name).chmod(0o755)


def add_amd_card(folder: Path) -> Path:
    device = folder / "root" / "sys/devices/pci0000:00" / AMD
    write(device / "vendor", "0x1002\n")
    write(device / "gpu_busy_percent", "63\n")
    write(device / "mem_info_vram_used", f"{3 * GIB}\n")
    write(device / "mem_info_vram_total", f"{24 * GIB}\n")
    write(device / "hwmon/hwmon4/power1_average", "41000000\n")
    card = folder / "root" / "sys/class/drm/card1"
    card.mkdir(parents=True)
    (card / "device").symlink_to(device)
    return device


def test_the_kernels_files_tell_of_an_amd_gpu_and_of_the_processes_on_it(tmp_path: Path) -> None:
    add_amd_card(tmp_path)
    held = tmp_path / "root" / "sys/class/kfd/kfd/proc/4711"
    write(held / "vram_1", f"{GIB}\n")
    write(held / "vram_2", f"{GIB}\n")
    look = sample(tmp_path, "amd")
    assert look["source"] == "amdgpu sysfs"
    assert look["gpus"] == {
        AMD: {"busy_percent": 63.0, "power_w": 41.0, "used_bytes": 3 * GIB, "total_bytes": 24 * GIB}
    }
    assert look["processes"] == {"4711": 2 * GIB}


def test_what_cannot_be_read_is_null_and_never_zero(tmp_path: Path) -> None:
    device = add_amd_card(tmp_path)
    (device / "gpu_busy_percent").unlink()
    write(device / "mem_info_vram_used", "not a number\n")
    figures = sample(tmp_path, "amd")["gpus"][AMD]
    assert (figures["busy_percent"], figures["used_bytes"], figures["power_w"]) == (None, None, 41.0)


def test_without_the_kernels_files_rocm_smi_is_asked(tmp_path: Path) -> None:
    card = {"PCI Bus": AMD.upper(), "GPU use (%)": "12", "VRAM Total Used Memory (B)": "5", "Socket Power (W)": "7.5"}
    add_tool(tmp_path, "rocm-smi", f"echo 'WARNING: low power'; echo '{json.dumps({'card0': card, 'system': {}})}'")
    look = sample(tmp_path, "amd")
    assert look["source"] == "rocm-smi"
    assert look["gpus"] == {AMD: {"busy_percent": 12.0, "power_w": 7.5, "used_bytes": 5.0, "total_bytes": None}}


def test_nvidia_smi_is_read_with_its_units_and_its_gaps(tmp_path: Path) -> None:
    add_tool(
        tmp_path,
        "nvidia-smi",
        'case "$1" in --query-gpu*) echo "00000000:65:00.0, 91, [N/A], 1024, 81559" ;; *) echo "4711, 512" ;; esac',
    )
    look = sample(tmp_path, "nvidia")
    mib = 1024**2
    assert look["gpus"] == {
        "0000:65:00.0": {
            "busy_percent": 91.0,
            "power_w": None,
            "used_bytes": 1024 * mib,
            "total_bytes": 81559 * mib,
        }
    }
    assert look["processes"] == {"4711": 512 * mib}


@pytest.mark.parametrize("vendor", ["amd", "nvidia"])
def test_a_tool_that_is_missing_or_fails_is_told(tmp_path: Path, vendor: str) -> None:
    assert sample(tmp_path, vendor)["unread"]
    for name in ("rocm-smi", "nvidia-smi"):
        add_tool(tmp_path, name, 'echo \'{"card0": {"GPU use (%)": "5"}}\'; exit 3')
    look = sample(tmp_path, vendor)
    assert look["gpus"] == {}
    assert "exit code 3" in look["unread"][0]


def outcome(printed: str) -> CommandOutcome:
    return CommandOutcome(("python3",), Ending.STOPPED, None, printed.encode(), b"", 1.0)


def test_a_series_keeps_the_most_that_each_process_held_and_tells_a_cut_line() -> None:
    gpu = {"busy_percent": 1.0, "power_w": None, "used_bytes": None, "total_bytes": None}
    looks = [
        {"at_s": at_s, "source": "made", "gpus": {AMD: gpu}, "processes": {"7": held}, "unread": []}
        for at_s, held in ((0.0, 10), (0.1, 30), (0.2, 20))
    ]
    series = read_series(outcome("\n".join(map(json.dumps, looks)) + '\n{"at_s": 0.3, "sou'))
    assert series.process_bytes == {7: 30}
    assert series.busy(AMD) == [1.0, 1.0, 1.0]
    assert any("unreadable" in why for why in series.unread)


def test_a_sampler_that_printed_nothing_is_told_by_how_it_ended() -> None:
    assert read_series(outcome("")).unread == ("python3: was stopped",)
