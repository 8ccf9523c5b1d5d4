"""The receipt's device comes from looking at this process, never from the request."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sir_convert_a_lot.infrastructure.engines.builtin.process_devices import measure_device

LOOK = (
    "from sir_convert_a_lot.infrastructure.engines.builtin.process_devices import measure_device; "
    "print(measure_device()[0])"
)


def folder_with(tmp_path: Path, *targets: str) -> Path:
    """A folder of links as /proc/self/fd has them."""
    for index, target in enumerate(targets):
        (tmp_path / str(index)).symlink_to(target)
    return tmp_path


def test_a_process_without_gpu_runtime_or_node_used_the_cpu(tmp_path: Path) -> None:
    device, seen = measure_device(folder_with(tmp_path, "/dev/null", "pipe:[1]"))
    assert device == "cpu"
    assert seen.startswith(("no_gpu_runtime_loaded", "no_gpu_device_open"))


def test_an_open_gpu_node_is_told_and_is_not_called_cpu(tmp_path: Path) -> None:
    device, seen = measure_device(folder_with(tmp_path, "/dev/null", "/dev/nvidia0", "/dev/kfd"))
    assert device == "unknown"
    assert "/dev/kfd, /dev/nvidia0" in seen


def test_descriptors_that_cannot_be_read_prove_nothing(tmp_path: Path) -> None:
    assert measure_device(tmp_path / "absent")[0] == "unknown"


def test_this_interpreter_itself_is_looked_at() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "cpu"
