"""Stand-ins for a GPU that is watched: an AMD root of files, NVIDIA's library, and as much of torch as names them.

Made by hand, after the kernel's documentation (gpu/amdgpu/thermal, drm-usage-stats), KFD's sources and nvidia-ml-py's
signatures; the NVIDIA figures are near those of an H200 with driver 580.159.04. They live under tests/ alone, and
whatever is read from them is `simulated`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

AMD, OTHER_AMD, NVIDIA = "0000:03:00.0", "0000:04:00.0", "0000:00:06.0"
FIRST_PID_NAMESPACE = "pid:[4026531836]"
GPU_IDS = {AMD: "7777", OTHER_AMD: "8888"}
MIB = 1 << 20


class MadeAmdGpu:
    """A root with a Radeon at `AMD`, as this process sees it, and another one beside it that is busy."""

    def __init__(self, root: Path, *, namespace: str = FIRST_PID_NAMESPACE) -> None:
        self.root = root
        self._add_card(AMD, node=1, location_id=0x300, busy=3, used=900 * MIB, power_uw=21_000_000)
        self._add_card(OTHER_AMD, node=2, location_id=0x400, busy=99, used=9000 * MIB, power_uw=250_000_000)
        (root / "proc/self/ns").mkdir(parents=True)
        (root / "proc/self/ns/pid").symlink_to(namespace)
        self.write("proc/sys/kernel/osrelease", "6.12.0")
        self.process = f"sys/class/kfd/kfd/proc/{os.getpid()}"
        self.set_process(700 * MIB)
        self.write(f"{self.process}/vram_{GPU_IDS[OTHER_AMD]}", 5)

    def _add_card(self, address: str, *, node: int, location_id: int, busy: int, used: int, power_uw: int) -> None:
        self.write(self.device("gpu_busy_percent", address), busy)
        self.write(self.device("mem_info_vram_used", address), used)
        self.write(self.device("hwmon/hwmon4/power1_average", address), power_uw)
        topology = f"sys/class/kfd/kfd/topology/nodes/{node}"
        self.write(f"{topology}/gpu_id", GPU_IDS[address])
        self.write(f"{topology}/properties", f"simd_count 192\nsimd_per_cu 2\nlocation_id {location_id}\ndomain 0\n")

    @staticmethod
    def device(name: str, address: str = AMD) -> str:
        return f"sys/bus/pci/devices/{address}/{name}"

    def write(self, name: str, content: object) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}")
        fresh.write_text(f"{content}\n", "utf-8")
        fresh.rename(path)  # a file of the kernel's is never seen half written

    def remove(self, name: str) -> None:
        path = self.root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    def set_process(self, vram_bytes: int) -> None:
        self.write(f"{self.process}/vram_{GPU_IDS[AMD]}", vram_bytes)

    def set_occupancy(self, units: int) -> None:
        self.write(f"{self.process}/stats_{GPU_IDS[AMD]}/cu_occupancy", units)

    def set_busy(self, percent: int) -> None:
        self.write(self.device("gpu_busy_percent"), percent)

    def add_client(self, descriptor: int, *, client: int, size: str, address: str = AMD, key: str = "vram") -> None:
        """What the kernel tells of one open DRM file; `key` is the end of the line's name."""
        self.write(
            f"proc/self/fdinfo/{descriptor}",
            f"pos:\t0\ndrm-driver:\tamdgpu\ndrm-pdev:\t{address}\ndrm-client-id:\t{client}\ndrm-memory-{key}:\t{size}",
        )


class MadeNvml:
    """`pynvml` with the functions that the reader calls. `now` is what they answer; a callable there may raise."""

    class NVMLError(Exception):
        """As the library's: its number is `value`."""

        def __init__(self, value: int, text: str = "an error") -> None:
            super().__init__(text)
            self.value = value

    def __init__(self, **now: Any) -> None:
        self.now: dict[str, Any] = {
            "init": None,
            "busy": 0,
            "used": 1266 * 10**6,
            "milliwatts": 119_028,
            "processes": [(os.getpid(), 612_368_384)],
            "samples": lambda: self.fail(6, "Not Found"),
        } | now
        self.calls: list[str] = []

    def fail(self, value: int, text: str) -> Any:
        raise self.NVMLError(value, text)

    def tell(self, function: str, name: str) -> Any:
        self.calls.append(function)
        told = self.now[name]
        return told() if callable(told) else told

    def nvmlInit(self) -> None:  # noqa: N802 - NVML's names
        self.tell("nvmlInit", "init")

    def nvmlDeviceGetHandleByPciBusId(self, address: bytes) -> str:  # noqa: N802
        if address != NVIDIA.encode():
            raise self.NVMLError(6, "Not Found")
        return "handle"

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> Any:  # noqa: N802
        return SimpleNamespace(gpu=self.tell("nvmlDeviceGetUtilizationRates", "busy"), memory=4)

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> Any:  # noqa: N802
        return SimpleNamespace(used=self.tell("nvmlDeviceGetMemoryInfo", "used"))

    def nvmlDeviceGetPowerUsage(self, handle: str) -> Any:  # noqa: N802
        return self.tell("nvmlDeviceGetPowerUsage", "milliwatts")

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[Any]:  # noqa: N802
        told = self.tell("nvmlDeviceGetComputeRunningProcesses", "processes")
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in told]

    def nvmlDeviceGetProcessUtilization(self, handle: str, since_us: int) -> list[Any]:  # noqa: N802
        told = self.tell("nvmlDeviceGetProcessUtilization", "samples")
        return [SimpleNamespace(pid=pid, timeStamp=at, smUtil=share) for pid, at, share in told if at > since_us]


def made_torch(address: str, *, hip: str | None = None, cuda: str | None = None) -> Any:
    """One device at `address`; any other index is refused as torch refuses it."""
    numbers = dict(zip(("pci_domain_id", "pci_bus_id", "pci_device_id"), _split(address), strict=True))

    def properties(index: int) -> Any:
        if index:
            raise AssertionError("Invalid device id")
        return SimpleNamespace(
            name="a GPU", major=9, minor=0, gcnArchName="gfx1100:xnack-", total_memory=24 << 30, **numbers
        )

    return SimpleNamespace(
        __version__="2.15.0",
        version=SimpleNamespace(hip=hip, cuda=cuda),
        cuda=SimpleNamespace(get_device_properties=properties),
    )


def in_turns(*answers: Any) -> Callable[[], Any]:
    """Each answer once, the last for ever; an exception is raised."""
    left: Iterator[Any] = iter(answers)
    last = answers[-1]

    def answer() -> Any:
        told = next(left, last)
        if isinstance(told, Exception):
            raise told
        return told

    return answer


def _split(address: str) -> list[int]:
    domain, bus, rest = address.split(":")
    return [int(part, 16) for part in (domain, bus, rest.partition(".")[0])]
