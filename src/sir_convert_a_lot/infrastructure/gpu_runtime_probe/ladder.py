"""The ladder: runs the rungs in order and makes one snapshot of what they found.

Owns the order, the times and the snapshot. The first rung that does not pass names the cause; what the others saw is
evidence. The four rungs that need no torch come first; the rest run in a child (`child_climb`), and only when those
four passed.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from sir_convert_a_lot.domain.gpu_causes import CAUSES, Cause
from sir_convert_a_lot.domain.gpu_facts import (
    LADDER,
    Present,
    ProbeSnapshot,
    Rung,
    RungReport,
    RungState,
    RuntimeKind,
)
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.child_climb import ChildClimb, climb_in_child
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.child_supervisor import Order
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.driver import Driver, find_driver
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.environment import describe_environment
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.finding import Finding, Route, skip
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.hardware import PCI, PciGpu, find_hardware, read_ras
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.host_root import HostRoot
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.judgement import HostFacts
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.package import find_package
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.permission import find_permission

NOT_ASKED = "not run: it was not asked for"
STOPPED = "not run: an earlier rung stopped the ladder"

BYTES = re.compile(r"\d{1,20}", re.ASCII)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caller may choose. Nothing in it can make a rung pass."""

    last_rung: Rung = LADDER[-1]
    wanted_pci_id: str | None = None


class Climb:
    """One look at the host, rung by rung."""

    def __init__(self, host: HostRoot, site_packages: Sequence[Path], order: Order, wish: Wish) -> None:
        self._host = host
        self._order = order
        self._wish = wish
        self._times: dict[Rung, float] = {}
        self._findings: dict[Rung, Finding] = {}
        self._hardware = self._run(Rung.HARDWARE, lambda: find_hardware(host), lambda found: found.finding)
        self._driver = self._run(Rung.DRIVER, self._find_driver, lambda found: found.finding)
        permission = self._run(Rung.PERMISSION, lambda: find_permission(host, self._driver), lambda found: found)
        self._package = self._run(
            Rung.PACKAGE, lambda: find_package(site_packages, permission.routes), lambda found: found.finding
        )
        self._child = ChildClimb()
        if self._find_stop() is None:
            self._child = climb_in_child(order, wish.last_rung, self._gather_host_facts())
            self._findings |= self._child.findings
            self._times |= self._child.times_ms

    def _run(self, rung: Rung, look: Callable[[], T], read: Callable[[T], Finding]) -> T:
        started = time.perf_counter()
        found = look()
        self._times[rung] = round((time.perf_counter() - started) * 1_000, 3)
        self._findings[rung] = read(found)
        return found

    def _find_driver(self) -> Driver:
        if self._hardware.finding.routes:
            return find_driver(self._host, self._hardware)
        return Driver(skip("no driver was looked for: an earlier rung found no GPU"))

    def _find_stop(self) -> Finding | None:
        return next((finding for finding in self._asked().values() if finding.state is not RungState.PASSED), None)

    def _asked(self) -> dict[Rung, Finding]:
        """The findings up to the last rung that was asked for; the torch-free ones are always gathered, as evidence."""
        last = LADDER.index(self._wish.last_rung)
        return {rung: finding for rung, finding in self._findings.items() if LADDER.index(rung) <= last}

    def _list_routes(self) -> tuple[Route, ...]:
        """Those still open after the last rung that left any."""
        return next((finding.routes for finding in reversed(self._findings.values()) if finding.routes), ())

    def _gather_host_facts(self) -> HostFacts:
        routes = self._list_routes()
        addresses = tuple(gpu.address for gpu in self._hardware.gpus if gpu.route in routes)
        version = self._host.read_text("sys/module/amdgpu/version")
        return HostFacts(
            addresses=addresses,
            kfd_nodes=self._driver.kfd_nodes if Route.KFD in routes else (),
            hip_version=self._package.torch.hip_version if self._package.torch else None,
            amdgpu_version=version.value if isinstance(version, Present) else None,
            ras_lines=tuple(line for address in addresses for line in read_ras(self._host, address)),
            environ=self._order.environ,
            wanted_pci_id=self._wish.wanted_pci_id,
            need_bytes=self._order.need_bytes,
        )

    def take_snapshot(self, environment: tuple[str, ...], *, simulated: bool) -> ProbeSnapshot:
        stopped = self._find_stop()
        is_whole = tuple(self._asked()) == LADDER
        cause = None if stopped is None and is_whole else (stopped and stopped.cause) or Cause.PROBE_INCOMPLETE
        evidence = [f"{rung.value}: {line}" for rung, finding in self._findings.items() for line in finding.evidence]
        if stopped is None and not is_whole:
            evidence.append(f"{LADDER[len(self._asked())].value}: {NOT_ASKED}")
        torch, device = self._package.torch, self._child.device
        gpu = self._pick_gpu()
        return ProbeSnapshot(
            probe_id=f"probe_{uuid.uuid4().hex}",
            taken_at=datetime.now(UTC),
            rungs=self._report(stopped),
            cause=cause,
            evidence=(*evidence, *environment),
            remediation=CAUSES[cause].remedies if cause else (),
            runtime_kind=torch.runtime_kind if torch else RuntimeKind.NONE,
            torch_version=self._child.torch_version or (torch.version if torch else None),
            hip_version=self._child.hip_version or (torch.hip_version if torch else None),
            cuda_version=self._child.cuda_version or (torch.cuda_version if torch else None),
            device_count=self._child.device_count if device else len(self._hardware.gpus),
            device_name=device.name if device else None,
            pci_id=device.pci_id if device else (gpu.address if gpu else None),
            masks=self._child.masks,
            arch=device.arch if device else self._tell_arch(gpu.address if gpu else None),
            vram_bytes=device.vram_bytes if device else (_read_vram(self._host, gpu.address) if gpu else None),
            simulated=simulated,
            warnings=(*environment, *self._child.warnings),
            timings_ms={rung.value: duration for rung, duration in self._times.items()}
            | {"total": round(sum(self._times.values()), 3)},
        )

    def _pick_gpu(self) -> PciGpu | None:
        """The GPU that the last open route leads to; without one, the first GPU seen at all."""
        gpus, routes = self._hardware.gpus, self._list_routes()
        return next((gpu for gpu in gpus if gpu.route in routes), next(iter(gpus), None))

    def _tell_arch(self, address: str | None) -> str | None:
        """As the kernel tells it, before torch does."""
        gpu, nodes = self._pick_gpu(), self._driver.kfd_nodes
        if gpu is None or gpu.route is not Route.KFD:
            return None
        return next((node.arch for node in nodes if node.address == address), nodes[0].arch if nodes else None)

    def _report(self, stopped: Finding | None) -> tuple[RungReport, ...]:
        """The whole ladder, in order. A rung above one that stopped it has not run, whatever it saw as evidence."""
        asked = self._asked()
        rest = STOPPED if stopped else NOT_ASKED
        return tuple(
            RungReport(rung, asked[rung].state, asked[rung].seen, self._times[rung])
            if rung in asked
            else RungReport(rung, RungState.NOT_RUN, rest)
            for rung in LADDER
        )


def climb(host: HostRoot, site_packages: Sequence[Path], order: Order, wish: Wish, *, simulated: bool) -> ProbeSnapshot:
    """One look at the host. Milliseconds where no child is needed; raises nothing."""
    environment = describe_environment(order.environ)
    return Climb(host, site_packages, order, wish).take_snapshot(environment, simulated=simulated)


def _read_vram(host: HostRoot, address: str) -> int | None:
    """The size that amdgpu tells; NVIDIA's driver tells it to its own library only."""
    text = host.read_text(f"{PCI}/{address}/mem_info_vram_total")
    return int(text.value) if isinstance(text, Present) and BYTES.fullmatch(text.value) else None
