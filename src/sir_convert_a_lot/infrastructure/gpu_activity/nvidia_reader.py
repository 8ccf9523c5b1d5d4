"""NVIDIA: the management library (NVML) by nvidia-ml-py.

Owns which function holds which figure, and how this process is told from others. Refuses to guess: the library counts
processes by pids that need not be ours, so a process that it does not list is not told as one that uses nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from sir_convert_a_lot.domain.gpu_activity import Reading
from sir_convert_a_lot.domain.gpu_facts import Fact, Present, Unknown

MILLIWATTS = 1000  # in a watt; NVML's unit
MICROSECONDS = 1_000_000  # in a second; the unit of NVML's time stamps

# The driver samples processes every 1/6 to 1 s, and asking for it takes ten times as long as for any other figure
# (1.4 ms on an H200 with driver 580.159.04), so its newest answer stands for this long.
OWN_BUSY_LASTS_S = 0.5


def open_nvml(pci_id: str, library: Any = None) -> Fact[NvidiaReader]:
    """A reader of the GPU at this address. `library` stands in for `pynvml` in tests alone."""
    if library is None:
        try:
            import pynvml  # of nvidia-ml-py
        except ImportError:
            return Unknown("nvidia-ml-py is not installed; it comes with the extra [docling]")
        library = pynvml
    try:
        library.nvmlInit()
        handle = library.nvmlDeviceGetHandleByPciBusId(pci_id.encode())
    except library.NVMLError as error:
        return Unknown(f"NVML cannot be opened for {pci_id}: {tell(error)}")
    return Present(NvidiaReader(library, handle, os.getpid()))


class NvidiaReader:
    """One GPU as this process sees it. Kept for the life of the process. Not thread-safe."""

    source = "nvml"

    def __init__(self, library: Any, handle: Any, pid: int) -> None:
        self._nvml = library
        self._handle = handle
        self._pid = pid
        # NVML then gives samples newer than this one; with 0 it would give all that it has.
        self._seen_us = int((time.time() - 1) * MICROSECONDS)
        self._own_busy: Fact[float] = Unknown("not asked yet")
        self._own_busy_ends = 0.0  # of the monotonic clock
        self.read_from = {
            "busy_percent": "nvmlDeviceGetUtilizationRates",
            "process_busy_percent": f"nvmlDeviceGetProcessUtilization, pid {pid}",
            "process_bytes": f"nvmlDeviceGetComputeRunningProcesses, pid {pid}",
            "device_bytes": "nvmlDeviceGetMemoryInfo",
            "power_w": "nvmlDeviceGetPowerUsage",
        }

    def read(self) -> Reading:
        return Reading(
            busy_percent=self._read_busy(),
            process_busy_percent=self._keep_own_busy(),
            process_bytes=self._read_own_bytes(),
            device_bytes=self._ask(self._nvml.nvmlDeviceGetMemoryInfo, lambda memory: int(memory.used)),
            power_w=self._ask(self._nvml.nvmlDeviceGetPowerUsage, lambda milliwatts: milliwatts / MILLIWATTS),
        )

    def _ask(self, function: Callable[..., Any], read: Callable[[Any], Any], *arguments: Any) -> Fact[Any]:
        try:
            return Present(read(function(self._handle, *arguments)))
        except self._nvml.NVMLError as error:
            return Unknown(f"{function.__name__}: {tell(error)}")

    def _read_busy(self) -> Fact[float]:
        rates = self._ask(self._nvml.nvmlDeviceGetUtilizationRates, lambda rates: int(rates.gpu))
        return require_percent(rates)

    def _read_own_bytes(self) -> Fact[int]:
        processes = self._ask(self._nvml.nvmlDeviceGetComputeRunningProcesses, list)
        if not isinstance(processes, Present):
            return processes
        own = [process for process in processes.value if process.pid == self._pid]
        if not own:
            return Unknown(
                f"NVML lists {len(processes.value)} process(es) on the GPU, and not this one (pid {self._pid}): "
                "in a container it may count by the pids of the host"
            )
        if own[0].usedGpuMemory is None:
            return Unknown("NVML lists this process and does not tell its memory")
        return Present(int(own[0].usedGpuMemory))

    def _keep_own_busy(self) -> Fact[float]:
        if time.monotonic() >= self._own_busy_ends:
            self._own_busy = self._read_own_busy()
            self._own_busy_ends = time.monotonic() + OWN_BUSY_LASTS_S
        return self._own_busy

    def _read_own_busy(self) -> Fact[float]:
        """The newest of the driver's samples of this process; at rest it takes none."""
        samples = self._ask(self._nvml.nvmlDeviceGetProcessUtilization, list, self._seen_us)
        if not isinstance(samples, Present):
            return samples
        self._seen_us = max([self._seen_us, *(int(sample.timeStamp) for sample in samples.value)])
        own = [sample for sample in samples.value if sample.pid == self._pid]
        if not own:
            return Unknown(f"NVML has no sample of this process (pid {self._pid}) since the last look")
        newest = max(own, key=lambda sample: int(sample.timeStamp))
        return require_percent(Present(int(newest.smUtil)))


def require_percent(fact: Fact[int]) -> Fact[float]:
    if not isinstance(fact, Present):
        return fact
    if not 0 <= fact.value <= 100:
        return Unknown(f"NVML reads {fact.value}, which is no percentage")
    return Present(fact.value)


def tell(error: Any) -> str:
    """NVML's own words, and its number, which does not change with them."""
    return f"{error} (NVML {error.value})"
