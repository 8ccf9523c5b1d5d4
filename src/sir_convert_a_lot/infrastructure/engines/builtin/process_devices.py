"""Whether this process could have computed on a GPU: looked up, never assumed.

Owns the two looks: which GPU runtimes are imported, which GPU device nodes are open. Refuses to decide anything.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

GPU_RUNTIMES = ("torch", "tensorflow", "jax", "cupy", "pynvml")
GPU_NODES = ("/dev/kfd", "/dev/nvidia", "/dev/dri/render", "/dev/dxg")


def measure_device(fd_folder: Path = Path("/proc/self/fd")) -> tuple[str, str]:
    """(device_used, measured_by) for work done in this process: "cpu" only when both looks came back empty."""
    runtimes = [name for name in GPU_RUNTIMES if name in sys.modules]
    try:
        nodes = sorted({target for target in _open_files(fd_folder) if target.startswith(GPU_NODES)})
    except OSError as error:
        return "unknown", f"process_devices: {fd_folder} cannot be read ({error.strerror})"
    if not runtimes and not nodes:
        return "cpu", (
            "no_gpu_runtime_loaded: none of " + ", ".join(GPU_RUNTIMES) + " in sys.modules, no "
            "/dev/kfd, /dev/nvidia*, /dev/dri/render* or /dev/dxg open"
        )
    if not nodes:
        return "cpu", f"no_gpu_device_open: {', '.join(runtimes)} imported, but no GPU device node open"
    return "unknown", f"gpu_device_open: {', '.join(nodes)}"


def _open_files(fd_folder: Path) -> list[str]:
    targets = []
    for entry in os.listdir(fd_folder):  # noqa: PTH208 - names alone, no Path per descriptor
        try:
            targets.append(os.readlink(fd_folder / entry))  # noqa: PTH115 - the link's own text
        except FileNotFoundError:  # closed since listed; the listing's own descriptor always is
            continue
    return targets
