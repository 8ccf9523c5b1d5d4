"""The runtime's own libraries, asked without torch: what it leaves out, and numbers where it has only words.

Runs in the probe's child alone. Owns which C functions are called, by ctypes. An answer may be None: no such library.
"""

from __future__ import annotations

import ctypes
import re
from pathlib import Path
from typing import Any

CUDA_DRIVER = "libcuda.so.1"
# The runtime that torch has loaded into this process, HIP's or CUDA's: opened again by the path it came from.
RUNTIME = re.compile(r"\S*/lib(?:amdhip64|cudart)[-\w]*\.so\S*")
HIP = re.compile(r"\S*/libamdhip64[-\w]*\.so\S*")
ADDRESS_CHARS = 32


def list_mapped(pattern: re.Pattern[str]) -> list[str]:
    """The libraries in this process whose path fits, each once."""
    try:
        maps = Path("/proc/self/maps").read_text("utf-8", "replace")
    except OSError:
        return []
    return sorted(set(pattern.findall(maps)))


def open_library(name: str | None) -> Any:
    if name is None:
        return None
    try:
        return ctypes.CDLL(name)
    except OSError:
        return None


def read_cuda_driver_version() -> int:
    """13000 for CUDA 13.0, as the driver says; 0: its library cannot be loaded, or does not tell."""
    driver = open_library(CUDA_DRIVER)
    version = ctypes.c_int(0)
    if driver is None or driver.cuDriverGetVersion(ctypes.byref(version)) != 0:
        return 0
    return version.value


def start(*, is_rocm: bool) -> int | None:
    """Start the driver (`cuInit`) or HIP (`hipInit`) and return its number, 0 when all is well."""
    name = next(iter(list_mapped(HIP)), None) if is_rocm else CUDA_DRIVER
    library = open_library(name)
    if library is None:
        return None
    return int(library.hipInit(0) if is_rocm else library.cuInit(0))


def read_address(index: int) -> str | None:
    """The PCI address of a device by the runtime's count, which is torch's, as the kernel writes it."""
    library = open_library(next(iter(list_mapped(RUNTIME)), None))
    function = getattr(library, "hipDeviceGetPCIBusId", None) or getattr(library, "cudaDeviceGetPCIBusId", None)
    told = ctypes.create_string_buffer(ADDRESS_CHARS)
    if function is None or function(told, ADDRESS_CHARS, index) != 0:
        return None
    return told.value.decode("ascii", "replace").lower()
