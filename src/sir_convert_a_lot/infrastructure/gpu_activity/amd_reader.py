"""AMD: sysfs, KFD's files of this process and its fdinfo, over an injectable root.

Owns which file holds which figure. Reads files alone, loads no library: amdsmi can break torch's own count of devices.
`drm-engine-*` of fdinfo is not read: ROCm submits through /dev/kfd, and that time is not counted there.
"""

from __future__ import annotations

import os
import re

from sir_convert_a_lot.domain.gpu_activity import Reading
from sir_convert_a_lot.domain.gpu_facts import Fact, Present, Unknown
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.driver import TOPOLOGY, name_address, read_properties
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.host_root import HostRoot

KFD_PROCESSES = "sys/class/kfd/kfd/proc"
FDINFO = "proc/self/fdinfo"

# The first pid namespace of a booted kernel (PROC_PID_INIT_INO in include/linux/proc_ns.h). KFD names its files by the
# pids of that one, so in any other a file with our number is some other process's.
PID_NAMESPACE = "proc/self/ns/pid"
FIRST_PID_NAMESPACE = "pid:[4026531836]"

NUMBER = re.compile(r"\d{1,20}", re.ASCII)
# Kernels before 6.14 write drm-memory-vram, newer ones drm-resident-vram besides or instead; both in these units.
VRAM_KEYS = ("drm-memory-vram", "drm-resident-vram")
BYTES_OF_UNIT = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
MICROWATTS = 1_000_000  # in a watt; hwmon's unit


class AmdReader:
    """One GPU by its PCI address, as this process sees it. `process_bytes` counts VRAM: an APU holds models in GTT.

    Not thread-safe.
    """

    source = "amdgpu"

    def __init__(self, host: HostRoot, pci_id: str) -> None:
        self._host = host
        self._pci_id = pci_id
        self._device = f"sys/bus/pci/devices/{pci_id}"
        self._power = find_power(host, self._device)
        self._process: Fact[tuple[str, str]] = Unknown("not looked for yet")
        self._compute_units = count_compute_units(host, pci_id)
        self._descriptors: tuple[str, ...] = ()
        self.read_from = {
            "busy_percent": f"/{self._device}/gpu_busy_percent",
            "device_bytes": f"/{self._device}/mem_info_vram_used",
        }

    def read(self) -> Reading:
        if not isinstance(self._process, Present):  # KFD knows a process from its first use of the device on
            self._process = find_kfd_process(self._host, self._pci_id, os.getpid())
        return Reading(
            busy_percent=read_percent(self._host, f"{self._device}/gpu_busy_percent"),
            process_busy_percent=self._read_occupancy(),
            process_bytes=self._read_process_bytes(),
            device_bytes=read_number(self._host, f"{self._device}/mem_info_vram_used"),
            power_w=self._read_power(),
        )

    def _read_power(self) -> Fact[float]:
        if not isinstance(self._power, Present):
            return self._power
        self.read_from["power_w"] = f"/{self._power.value}"
        watts = read_number(self._host, self._power.value)
        return Present(round(watts.value / MICROWATTS, 3)) if isinstance(watts, Present) else watts

    def _read_occupancy(self) -> Fact[float]:
        """The share of compute units on which this process had waves at that moment; not every GPU counts it."""
        if not isinstance(self._process, Present):
            return self._process
        if not isinstance(self._compute_units, Present):
            return self._compute_units
        folder, gpu_id = self._process.value
        name = f"{folder}/stats_{gpu_id}/cu_occupancy"
        units = read_number(self._host, name)
        if not isinstance(units, Present):
            return units
        if units.value > self._compute_units.value:
            return Unknown(f"/{name} reads {units.value}, and the GPU has {self._compute_units.value} compute units")
        self.read_from["process_busy_percent"] = f"/{name} of {self._compute_units.value} compute units"
        return Present(round(100 * units.value / self._compute_units.value, 1))

    def _read_process_bytes(self) -> Fact[int]:
        by_kfd: Fact[int]
        if isinstance(self._process, Present):
            folder, gpu_id = self._process.value
            by_kfd = read_number(self._host, f"{folder}/vram_{gpu_id}")
            if isinstance(by_kfd, Present):
                self.read_from["process_bytes"] = f"/{folder}/vram_{gpu_id}"
                return by_kfd
        else:
            by_kfd = self._process
        by_fdinfo = self._read_fdinfo()
        if isinstance(by_fdinfo, Present):
            self.read_from["process_bytes"] = f"/{FDINFO} (drm-memory-vram or drm-resident-vram)"
            return by_fdinfo
        return Unknown(f"{by_kfd.reason}; {by_fdinfo.reason}")

    def _read_fdinfo(self) -> Fact[int]:
        """The sum over this process's clients of the device; a client may be open more than once."""
        clients = {}
        for name in self._descriptors:
            client = self._read_client(name)
            if isinstance(client, Present):
                clients[client.value[0]] = client.value[1]
        if not clients:
            return self._search_fdinfo()
        return Present(sum(clients.values()))

    def _search_fdinfo(self) -> Fact[int]:
        """Look through every descriptor, and remember those of the device: a worker has many more."""
        names = self._host.list_names(FDINFO)
        if not isinstance(names, Present):
            return names
        found = {name: client.value for name in names.value if isinstance(client := self._read_client(name), Present)}
        self._descriptors = tuple(found)
        if not found:
            return Unknown(f"/{FDINFO} tells no memory on {self._pci_id}")
        return Present(sum(dict(found.values()).values()))

    def _read_client(self, name: str) -> Fact[tuple[str, int]]:
        """(client, bytes) of one descriptor, where it is one of this device."""
        text = self._host.read_text(f"{FDINFO}/{name}")
        if not isinstance(text, Present):
            return text
        keys = dict(line.split(":", 1) for line in text.value.splitlines() if ":" in line)
        if keys.get("drm-pdev", "").strip() != self._pci_id:
            return Unknown(f"/{FDINFO}/{name} is not of {self._pci_id}")
        size = next((read_size(keys[key]) for key in VRAM_KEYS if key in keys), None)
        if size is None:
            return Unknown(f"/{FDINFO}/{name} tells no memory")
        return Present((keys.get("drm-client-id", name).strip(), size))


def find_power(host: HostRoot, device: str) -> Fact[str]:
    """The file in which the driver tells the board's power, averaged where it averages."""
    folders = host.list_names(f"{device}/hwmon")
    if not isinstance(folders, Present):
        return folders
    names = [
        f"{device}/hwmon/{folder}/{file}" for folder in folders.value for file in ("power1_average", "power1_input")
    ]
    readable = (name for name in names if isinstance(read_number(host, name), Present))
    found = next(readable, None)
    return Present(found) if found else Unknown(f"/{device}/hwmon has no readable power1_average or power1_input")


def find_kfd_process(host: HostRoot, pci_id: str, pid: int) -> Fact[tuple[str, str]]:
    """(folder of this process, KFD's own number of the GPU)."""
    namespace = host.read_link_name(PID_NAMESPACE)
    if not isinstance(namespace, Present):
        return namespace
    if namespace.value != FIRST_PID_NAMESPACE:
        return Unknown(f"KFD counts by the pids of the host, and this process is in {namespace.value}")
    node = find_node(host, pci_id)
    if not isinstance(node, Present):
        return node
    gpu_id = read_number(host, f"{node.value}/gpu_id")
    if not isinstance(gpu_id, Present):
        return gpu_id
    folder = f"{KFD_PROCESSES}/{pid}"
    there = host.look_for(folder)
    return Present((folder, str(gpu_id.value))) if isinstance(there, Present) else there


def count_compute_units(host: HostRoot, pci_id: str) -> Fact[int]:
    node = find_node(host, pci_id)
    if not isinstance(node, Present):
        return node
    text = host.read_text(f"{node.value}/properties")
    if not isinstance(text, Present):
        return text
    properties = read_properties(text.value)
    units = properties.get("simd_count", 0) // max(properties.get("simd_per_cu", 0), 1)
    if not units or not properties.get("simd_per_cu"):
        return Unknown(f"/{node.value}/properties does not tell the number of compute units")
    return Present(units)


def find_node(host: HostRoot, pci_id: str) -> Fact[str]:
    """The folder of the GPU in KFD's topology."""
    numbers = host.list_names(TOPOLOGY)
    if not isinstance(numbers, Present):
        return numbers
    for number in numbers.value:
        text = host.read_text(f"{TOPOLOGY}/{number}/properties")
        if isinstance(text, Present) and name_address(read_properties(text.value)) == pci_id:
            return Present(f"{TOPOLOGY}/{number}")
    return Unknown(f"KFD's topology has no GPU at {pci_id}")


def read_number(host: HostRoot, name: str) -> Fact[int]:
    """A whole number as the kernel writes it."""
    text = host.read_text(name)
    if not isinstance(text, Present):
        return text
    if not NUMBER.fullmatch(text.value):
        return Unknown(f"/{name} is no number")
    return Present(int(text.value))


def read_percent(host: HostRoot, name: str) -> Fact[float]:
    """A number from 0 to 100; a register of all ones, as some boards show, is none."""
    number = read_number(host, name)
    if not isinstance(number, Present):
        return number
    if number.value > 100:
        return Unknown(f"/{name} reads {number.value}, which is no percentage")
    return Present(number.value)


def read_size(text: str) -> int | None:
    """`1024 KiB` as bytes."""
    number, _, unit = text.strip().partition(" ")
    if not NUMBER.fullmatch(number) or unit.strip() not in BYTES_OF_UNIT:
        return None
    return int(number) * BYTES_OF_UNIT[unit.strip()]
