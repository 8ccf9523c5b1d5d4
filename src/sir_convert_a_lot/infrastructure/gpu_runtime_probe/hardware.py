"""Rung 1, hardware: is there a GPU at all, and does it still answer on its bus?

Owns the PCI scan and the device nodes that stand for a GPU. Refuses to judge drivers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sir_convert_a_lot.domain.gpu_causes import Cause
from sir_convert_a_lot.domain.gpu_facts import Absent, Fact, Present, RungState, Unknown
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.finding import Finding, Route, fail, give_up
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.host_root import HostRoot, tell_unknown

PCI = "sys/bus/pci/devices"

# Vendor ids as the PCI-SIG gave them out.
ROUTE_OF_VENDOR = {0x1002: Route.KFD, 0x10DE: Route.NVIDIA}
ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")  # domain:bus:device.function
HEX = re.compile(r"0x[0-9a-f]{1,8}")

VENDOR_NAME = {Route.KFD: "AMD", Route.NVIDIA: "NVIDIA"}

# PCI base classes: 0x03 display controller, 0x12 processing accelerator (how AMD Instinct boards show up).
GPU_BASE_CLASSES = {0x03, 0x12}

# A node that only a GPU driver (or the Windows host) makes stands for hardware that PCI may not show.
ROUTE_OF_NODE = {"dev/kfd": Route.KFD, "dev/nvidiactl": Route.NVIDIA, "dev/dxg": Route.WSL}
# Fixed by the kernel (Documentation/admin-guide/devices.txt); KFD takes any that is free. A container runtime makes a
# folder of a node that the host lacks, and a file is made by anyone: neither is a GPU.
MAJOR_OF_NODE = {"dev/nvidiactl": 195, "dev/dxg": 10}


@dataclass(frozen=True, slots=True)
class PciGpu:
    """One PCI function of a GPU. `driver` is the kernel module bound to it, or None."""

    address: str  # domain:bus:device.function
    route: Route
    device_id: int
    driver: str | None
    answers: bool  # False: its configuration reads as all ones

    @property
    def line(self) -> str:
        vendor = VENDOR_NAME[self.route]
        state = f"driver {self.driver or 'none'}" if self.answers else "its PCI configuration reads as all ones"
        return f"PCI {self.address}: {vendor} GPU, device 0x{self.device_id:04x}, {state}"


@dataclass(frozen=True, slots=True)
class Hardware:
    """The first rung's finding, with the GPUs that answer."""

    finding: Finding
    gpus: tuple[PciGpu, ...] = ()


def find_hardware(host: HostRoot) -> Hardware:
    """Look at PCI and at the nodes. Fails with `no_gpu_hardware` or `gpu_fell_off_bus`."""
    gpus = scan_pci(host)
    nodes = {name: host.look_for_node(name, MAJOR_OF_NODE.get(name)) for name in ROUTE_OF_NODE}
    reason = tell_unknown(gpus, *nodes.values())
    if reason is not None:
        return Hardware(give_up(reason))
    seen = gpus.value if isinstance(gpus, Present) else ()
    there = [name for name, fact in nodes.items() if isinstance(fact, Present)]
    evidence = tuple(gpu.line for gpu in seen) + tuple(f"/{name} is there" for name in there)
    alive = tuple(gpu for gpu in seen if gpu.answers)
    if seen and not alive:
        return Hardware(fail(Cause.GPU_FELL_OFF_BUS, "no GPU on the PCI bus answers", evidence))
    answering = {gpu.route for gpu in alive}
    silent = {gpu.route for gpu in seen} - answering
    routes = answering | ({ROUTE_OF_NODE[name] for name in there} - silent)
    if not routes:
        searched = "no PCI bus" if isinstance(gpus, Absent) else "no AMD or NVIDIA GPU on the PCI bus"
        return Hardware(fail(Cause.NO_GPU_HARDWARE, f"{searched}, and no /dev/kfd, /dev/nvidiactl or /dev/dxg"))
    ordered = tuple(route for route in Route if route in routes)
    line = f"{len(alive)} GPU(s) on the PCI bus; nodes: {', '.join(f'/{name}' for name in there) or 'none'}"
    return Hardware(Finding(RungState.PASSED, line, evidence, routes=ordered), alive)


def scan_pci(host: HostRoot) -> Fact[tuple[PciGpu, ...]]:
    """The GPUs on the bus, by address. Absent: a kernel without PCI. Unknown: /sys could not be read."""
    addresses = host.list_names(PCI)
    if isinstance(addresses, Absent):
        sys = host.list_names("sys")
        return addresses if isinstance(sys, Present) and sys.value else Unknown("/sys is not mounted or is empty")
    if isinstance(addresses, Unknown):
        return addresses
    gpus: list[PciGpu] = []
    for address in addresses.value:
        if not ADDRESS.fullmatch(address):
            return Unknown(f"/{PCI} has an entry that is no PCI address: {address!a}")
        gpu = read_pci_function(host, address)
        if isinstance(gpu, Unknown):
            return gpu
        if isinstance(gpu, Present):
            gpus.append(gpu.value)
    return Present(tuple(gpus))


def read_pci_function(host: HostRoot, address: str) -> Fact[PciGpu]:
    """One function as a GPU; absent when it is something else."""
    vendor, kind = (read_hex(host, f"{PCI}/{address}/{name}") for name in ("vendor", "class"))
    if isinstance(vendor, Unknown):
        return vendor
    route = ROUTE_OF_VENDOR.get(vendor.value)
    if route is None:
        return Absent("another vendor")
    if isinstance(kind, Unknown):
        return kind
    if kind.value >> 16 not in GPU_BASE_CLASSES:
        return Absent("another class")
    device = read_hex(host, f"{PCI}/{address}/device")
    # The kernel keeps vendor, device and class from when it found the function; only `config` asks the bus itself.
    config = host.read_bytes(f"{PCI}/{address}/config", 4)
    driver = host.read_link_name(f"{PCI}/{address}/driver")
    for fact in (device, config, driver):
        if isinstance(fact, Unknown):
            return fact
    if not isinstance(config, Present) or len(config.value) < 4:
        return Unknown(f"/{PCI}/{address}/config is too short or not there")
    bound = ascii(driver.value).strip("'") if isinstance(driver, Present) else None
    answers = config.value != b"\xff\xff\xff\xff"
    return Present(PciGpu(address, route, device.value if isinstance(device, Present) else 0, bound, answers))


def read_hex(host: HostRoot, name: str) -> Present[int] | Unknown:
    """A number as sysfs writes it (0x1002). The kernel always has it, so one that is missing is unknown."""
    text = host.read_text(name)
    if not isinstance(text, Present):
        return Unknown(text.reason)
    if not HEX.fullmatch(text.value):
        return Unknown(f"/{name} is no hexadecimal number")
    return Present(int(text.value, 16))


def read_ras(host: HostRoot, address: str) -> tuple[str, ...]:
    """One line a block of the GPU in which amdgpu counts uncorrected errors (`ue: N` in its `ras` files)."""
    place = f"{PCI}/{address}/ras"
    names = host.list_names(place)
    lines: list[str] = []
    for name in names.value if isinstance(names, Present) else ():
        text = host.read_text(f"{place}/{name}") if name.endswith("_err_count") else Absent("another file")
        found = (
            re.search(r"^ue: *(\d{1,18})$", text.value, re.MULTILINE | re.ASCII) if isinstance(text, Present) else None
        )
        if found and int(found[1]):
            lines.append(f"{name.removesuffix('_err_count')} of {address}: {found[1]} uncorrected error(s)")
    return tuple(lines)
