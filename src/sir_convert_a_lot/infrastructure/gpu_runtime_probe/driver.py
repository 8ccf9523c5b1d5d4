"""Rung 2, driver: does a kernel driver serve the GPU for computing, and are its device nodes here?

Owns the kernel modules, the KFD topology, the nodes' presence, and hints of a container or of secure boot. Refuses to
open a node (`permission`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sir_convert_a_lot.domain.gpu_causes import Cause
from sir_convert_a_lot.domain.gpu_facts import Absent, Fact, Present, Unknown
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.finding import Finding, Route, fail, give_up, settle
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.hardware import Hardware
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.host_root import HostRoot, tell_unknown

TOPOLOGY = "sys/class/kfd/kfd/topology/nodes"
NVIDIA_VERSION = "proc/driver/nvidia/version"
WSL_CUDA = "usr/lib/wsl/lib/libcuda.so.1"

# The variable of the UEFI specification; its first four bytes are attributes, the fifth is the value.
SECURE_BOOT = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

CONTAINER_FILES = (".dockerenv", "run/.containerenv")
CONTAINER_WORDS = re.compile(r"docker|kubepods|containerd|libpod|lxc|garden")


@dataclass(frozen=True, slots=True)
class KfdNode:
    """One GPU as AMD's compute driver sees it."""

    number: int
    arch: str | None  # gfx1100
    render_minor: int | None  # /dev/dri/renderD<minor>
    address: str | None = None  # on the PCI bus, as 0000:03:00.0


@dataclass(frozen=True, slots=True)
class Driver:
    """The second rung's finding, and what the later rungs and the snapshot need of it."""

    finding: Finding
    kfd_nodes: tuple[KfdNode, ...] = ()
    nvidia_version: str | None = None


def find_driver(host: HostRoot, hardware: Hardware) -> Driver:
    """Look at each open route. A passed rung means: the kernel computes with that GPU, and its nodes are here."""
    topology = read_topology(host)
    version = read_nvidia_version(host)
    judges: dict[Route, Callable[[], str | Finding]] = {
        Route.KFD: lambda: judge_kfd(host, hardware, topology),
        Route.NVIDIA: lambda: judge_nvidia(host, version),
        Route.WSL: lambda: judge_wsl(host),
    }
    verdicts = {route: judges[route]() for route in hardware.finding.routes}
    passed = {route: line for route, line in verdicts.items() if isinstance(line, str)}
    stopped = {route: finding for route, finding in verdicts.items() if isinstance(finding, Finding)}
    return Driver(
        settle(passed, stopped, () if passed else describe_surroundings(host)),
        topology.value if isinstance(topology, Present) else (),
        version.value if isinstance(version, Present) else None,
    )


def judge_kfd(host: HostRoot, hardware: Hardware, topology: Fact[tuple[KfdNode, ...]]) -> str | Finding:
    """AMD. Fails with `kernel_driver_missing`, `kfd_rejects_device` or `node_not_passed_through`."""
    module, kfd, render = host.look_for("sys/module/amdgpu"), host.look_for("dev/kfd"), list_render_nodes(host)
    reason = tell_unknown(module, kfd, render, topology)
    if reason is not None:
        return give_up(reason)
    cards = [gpu for gpu in hardware.gpus if gpu.route is Route.KFD]
    bound = [gpu for gpu in cards if gpu.driver == "amdgpu"]
    if isinstance(module, Absent) and not bound and isinstance(kfd, Absent):
        return fail(Cause.KERNEL_DRIVER_MISSING, "the kernel module amdgpu is not loaded, and no GPU is bound to it")
    if isinstance(topology, Absent):
        if isinstance(kfd, Absent):
            return fail(Cause.KERNEL_DRIVER_MISSING, "amdgpu is loaded without its compute part (KFD)")
        return give_up(f"/dev/kfd is there, and {topology.reason}")
    nodes = topology.value if isinstance(topology, Present) else ()
    if not nodes and cards and not bound:
        return fail(Cause.KERNEL_DRIVER_MISSING, "amdgpu is loaded, and no GPU is bound to it")
    if not nodes:
        seen = f"{len(bound)} GPU(s) bound to amdgpu" if bound else "amdgpu is loaded"
        return fail(Cause.KFD_REJECTS_DEVICE, f"{seen}, and the KFD topology lists no node with compute units")
    missing = name_absent({"/dev/kfd": kfd, "/dev/dri/renderD*": render})
    if missing:
        return fail(Cause.NODE_NOT_PASSED_THROUGH, f"KFD lists {len(nodes)} GPU(s), and {missing}")
    archs = ", ".join(node.arch or "arch not told" for node in nodes)
    return f"amdgpu with KFD serves {len(nodes)} GPU(s): {archs}"


def judge_nvidia(host: HostRoot, version: Fact[str]) -> str | Finding:
    """NVIDIA. Fails with `kernel_driver_missing` or `node_not_passed_through`."""
    module, control, nodes = host.look_for("sys/module/nvidia"), host.look_for("dev/nvidiactl"), list_nvidia_nodes(host)
    reason = tell_unknown(module, control, nodes, version)
    if reason is not None:
        return give_up(reason)
    if isinstance(module, Absent) and isinstance(version, Absent) and isinstance(control, Absent):
        return fail(Cause.KERNEL_DRIVER_MISSING, "the kernel module nvidia is not loaded")
    cards = nodes.value if isinstance(nodes, Present) else ()
    missing = name_absent({"/dev/nvidiactl": control, "/dev/nvidia0": nodes})
    if missing:
        return fail(Cause.NODE_NOT_PASSED_THROUGH, f"the module nvidia is loaded, and {missing}")
    told = version.value if isinstance(version, Present) else "(version not told)"
    return f"nvidia driver {told} serves {len(cards)} GPU node(s)"


def judge_wsl(host: HostRoot) -> str | Finding:
    """Windows Subsystem for Linux: only NVIDIA's library of Windows is a way that this version knows."""
    library, kfd = host.look_for(WSL_CUDA), host.look_for("dev/kfd")
    reason = tell_unknown(library, kfd)
    if reason is not None:
        return give_up(reason)
    if isinstance(library, Present):
        return f"WSL: the CUDA library of Windows is mounted at /{WSL_CUDA}"
    return fail(Cause.WSL_NO_KFD, f"WSL: /dev/dxg is there, and neither /dev/kfd nor /{WSL_CUDA} is")


def name_absent(nodes: dict[str, Fact[Any]]) -> str:
    """Which of the nodes are not here, as the end of a sentence; empty when all are."""
    absent = [name for name, fact in nodes.items() if isinstance(fact, Absent)]
    return f"{' and '.join(absent)} {'are' if len(absent) > 1 else 'is'} not here" if absent else ""


def list_render_nodes(host: HostRoot) -> Fact[tuple[str, ...]]:
    """The names under /dev/dri that stand for GPUs without a display."""
    return _list_matching(host, "dev/dri", re.compile(r"renderD\d+"))


def list_nvidia_nodes(host: HostRoot) -> Fact[tuple[str, ...]]:
    return _list_matching(host, "dev", re.compile(r"nvidia\d+"))


def _list_matching(host: HostRoot, directory: str, pattern: re.Pattern[str]) -> Fact[tuple[str, ...]]:
    names = host.list_names(directory)
    if isinstance(names, Present):
        names = Present(tuple(name for name in names.value if pattern.fullmatch(name)))
    if isinstance(names, Present) and not names.value:
        return Absent(f"/{directory} has none")
    return names


def read_topology(host: HostRoot) -> Fact[tuple[KfdNode, ...]]:
    """The KFD nodes that compute; CPUs are nodes too, with no SIMD units. Absent: a kernel without KFD."""
    numbers = host.list_names(TOPOLOGY)
    if not isinstance(numbers, Present):
        return numbers
    nodes: list[KfdNode] = []
    for number in sorted((name for name in numbers.value if name.isdecimal()), key=int):
        text = host.read_text(f"{TOPOLOGY}/{number}/properties")
        if not isinstance(text, Present):
            return Unknown(text.reason)
        properties = read_properties(text.value)
        if "simd_count" not in properties:
            return Unknown(f"/{TOPOLOGY}/{number}/properties has no simd_count")
        if properties["simd_count"] > 0:
            arch = name_arch(properties.get("gfx_target_version", 0))
            nodes.append(KfdNode(int(number), arch, properties.get("drm_render_minor"), name_address(properties)))
    return Present(tuple(nodes))


def read_properties(text: str) -> dict[str, int]:
    """`name number` a line, as KFD writes it; other lines are not for us."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and re.fullmatch(r"\d{1,20}", pair[1], re.ASCII)}


def name_arch(target_version: int) -> str | None:
    """90010 -> gfx90a, 110000 -> gfx1100: major * 10000 + minor * 100 + stepping, the last two in hexadecimal."""
    if not target_version:
        return None
    return f"gfx{target_version // 10_000}{target_version // 100 % 100:x}{target_version % 100:x}"


def name_address(properties: dict[str, int]) -> str | None:
    """KFD's `location_id` is bus, device and function in 8, 5 and 3 bits; `domain` is beside it (kfd_topology.c)."""
    place = properties.get("location_id")
    if not place:
        return None
    return f"{properties.get('domain', 0):04x}:{place >> 8 & 0xFF:02x}:{place >> 3 & 0x1F:02x}.{place & 7}"


def read_nvidia_version(host: HostRoot) -> Fact[str]:
    """The version of the loaded NVIDIA module, as 570.86.15."""
    text = host.read_text(NVIDIA_VERSION)
    if not isinstance(text, Present):
        return text
    found = re.search(r"\s(\d+\.\d+(?:\.\d+)?)\s", text.value, re.ASCII)
    return Present(found[1]) if found else Unknown(f"/{NVIDIA_VERSION} names no version")


def describe_surroundings(host: HostRoot) -> tuple[str, ...]:
    """What explains a missing driver or node: a container, secure boot."""
    return (describe_container(host), describe_secure_boot(host))


def describe_container(host: HostRoot) -> str:
    marks = [f"/{name}" for name in CONTAINER_FILES if isinstance(host.look_for(name), Present)]
    groups = host.read_text("proc/self/cgroup")
    if isinstance(groups, Present) and CONTAINER_WORDS.search(groups.value):
        marks.append("/proc/self/cgroup")
    return f"this looks like a container: {', '.join(marks)}" if marks else "nothing hints at a container"


def describe_secure_boot(host: HostRoot) -> str:
    value = host.read_bytes(SECURE_BOOT, 5)
    if isinstance(value, Unknown):
        return f"secure boot: not known ({value.reason})"
    if isinstance(value, Absent) or len(value.value) < 5:
        return "secure boot: no such variable"
    return "secure boot is on: unsigned modules are refused" if value.value[4] == 1 else "secure boot is off"
