"""The ladder: runs the rungs in order and makes one snapshot of what they found.

Owns the order, the times and the snapshot. The first rung that does not pass names the cause; what the others saw is
evidence. This version has the four rungs that need no torch. They can show why a GPU is unusable, never that it is
usable, so a host on which all four pass is `probe_incomplete`.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from sir_convert_a_lot.domain.gpu_causes import CAUSES, Cause
from sir_convert_a_lot.domain.gpu_facts import (
    LADDER,
    TORCH_FREE_RUNGS,
    Present,
    ProbeSnapshot,
    Rung,
    RungReport,
    RungState,
    RuntimeKind,
)
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.driver import Driver, find_driver
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.environment import describe_environment
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.finding import Finding, Route, skip
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.hardware import PCI, Hardware, find_hardware
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.host_root import HostRoot
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.package import Package, find_package
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.permission import find_permission

NO_SUCH_RUNG = "this version has no such rung, so it cannot prove a GPU"
STOPPED = "not run: an earlier rung stopped the ladder"

BYTES = re.compile(r"\d{1,20}", re.ASCII)

T = TypeVar("T")


def climb(
    host: HostRoot, site_packages: Sequence[Path], environ: Mapping[str, str], *, simulated: bool
) -> ProbeSnapshot:
    """One look at the host. Takes milliseconds, imports nothing, raises nothing."""
    times: dict[Rung, float] = {}
    hardware = _time(times, Rung.HARDWARE, lambda: find_hardware(host))
    driver = _time(times, Rung.DRIVER, lambda: _find_driver(host, hardware))
    permission = _time(times, Rung.PERMISSION, lambda: find_permission(host, driver))
    package = _time(times, Rung.PACKAGE, lambda: find_package(site_packages, permission.routes))
    findings = dict(zip(TORCH_FREE_RUNGS, (hardware.finding, driver.finding, permission, package.finding), strict=True))
    environment = describe_environment(environ)
    return _take_snapshot(
        host, hardware, driver, package, findings=findings, times=times, environment=environment, simulated=simulated
    )


def _find_driver(host: HostRoot, hardware: Hardware) -> Driver:
    if hardware.finding.routes:
        return find_driver(host, hardware)
    return Driver(skip("no driver was looked for: an earlier rung found no GPU"))


def _time(times: dict[Rung, float], rung: Rung, run: Callable[[], T]) -> T:
    started = time.perf_counter()
    found = run()
    times[rung] = round((time.perf_counter() - started) * 1_000, 3)
    return found


def _take_snapshot(
    host: HostRoot,
    hardware: Hardware,
    driver: Driver,
    package: Package,
    *,
    findings: dict[Rung, Finding],
    times: dict[Rung, float],
    environment: tuple[str, ...],
    simulated: bool,
) -> ProbeSnapshot:
    stopped = next((finding for finding in findings.values() if finding.state is not RungState.PASSED), None)
    cause = stopped.cause if stopped and stopped.cause else Cause.PROBE_INCOMPLETE
    evidence = [f"{rung.value}: {line}" for rung, finding in findings.items() for line in finding.evidence]
    if stopped is None:
        evidence.append(f"{Rung.ENUMERATE.value}: {NO_SUCH_RUNG}")
    torch = package.torch
    # The GPU that the last open route leads to; without one, the first GPU seen at all.
    routes = next((f.routes for f in reversed(findings.values()) if f.routes), ())
    gpu = next((gpu for gpu in hardware.gpus if gpu.route in routes), next(iter(hardware.gpus), None))
    return ProbeSnapshot(
        probe_id=f"probe_{uuid.uuid4().hex}",
        taken_at=datetime.now(UTC),
        rungs=_report(findings, times, stopped),
        cause=cause,
        evidence=(*evidence, *environment),
        remediation=CAUSES[cause].remedies,
        runtime_kind=torch.runtime_kind if torch else RuntimeKind.NONE,
        torch_version=torch.version if torch else None,
        hip_version=torch.hip_version if torch else None,
        cuda_version=torch.cuda_version if torch else None,
        device_count=len(hardware.gpus),
        pci_id=gpu.address if gpu else None,
        arch=driver.kfd_nodes[0].arch if driver.kfd_nodes and gpu and gpu.route is Route.KFD else None,
        vram_bytes=_read_vram(host, gpu.address) if gpu else None,
        simulated=simulated,
        warnings=environment,
        timings_ms={rung.value: duration for rung, duration in times.items()}
        | {"total": round(sum(times.values()), 3)},
    )


def _report(findings: dict[Rung, Finding], times: dict[Rung, float], stopped: Finding | None) -> tuple[RungReport, ...]:
    """The whole ladder, in order. A rung above one that stopped it has not run, whatever it saw as evidence."""
    reports: list[RungReport] = []
    for rung in LADDER:
        finding = findings.get(rung)
        if finding is None:
            reports.append(RungReport(rung, RungState.NOT_RUN, STOPPED if stopped else NO_SUCH_RUNG))
        else:
            reports.append(RungReport(rung, finding.state, finding.seen, times[rung]))
    return tuple(reports)


def _read_vram(host: HostRoot, address: str) -> int | None:
    """The size that amdgpu tells; NVIDIA's driver tells it to its own library only."""
    text = host.read_text(f"{PCI}/{address}/mem_info_vram_total")
    return int(text.value) if isinstance(text, Present) and BYTES.fullmatch(text.value) else None
