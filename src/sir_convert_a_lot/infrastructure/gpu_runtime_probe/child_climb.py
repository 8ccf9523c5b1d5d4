"""The rungs that need torch, climbed in a child: asks for one, judges it, and asks for the next only when it passed.

Owns that order, the second child (without masks, or with the GPU that is meant alone in sight), and what of the facts
the snapshot shows.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sir_convert_a_lot.domain.gpu_facts import LADDER, TORCH_FREE_RUNGS, Rung, RungState
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.child_supervisor import Found, Observation, Order, ProbeChild
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.environment import show_only
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.finding import Finding
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.judgement import HostFacts, find_slowness, judge

CHILD_RUNGS = LADDER[len(TORCH_FREE_RUNGS) :]


@dataclass(frozen=True, slots=True)
class Device:
    """torch's first device."""

    name: str
    pci_id: str | None
    arch: str
    vram_bytes: int


@dataclass(frozen=True, slots=True)
class ChildClimb:
    """What the child's rungs found. The versions and the device are torch's own words, None before it spoke."""

    findings: dict[Rung, Finding] = field(default_factory=dict)
    times_ms: dict[Rung, float] = field(default_factory=dict)
    torch_version: str | None = None
    hip_version: str | None = None
    cuda_version: str | None = None
    device_count: int = 0
    device: Device | None = None
    masks: dict[str, str] = field(default_factory=dict)  # that leave a process the device alone
    warnings: tuple[str, ...] = ()


def climb_in_child(order: Order, last_rung: Rung, host: HostFacts) -> ChildClimb:
    """Climb to `last_rung` or to the first rung that does not pass. Starts no child when no rung is asked for.

    Where torch sees the GPU that is meant behind another one, it is climbed again with that GPU alone in sight.
    """
    rungs = [rung for rung in CHILD_RUNGS if LADDER.index(rung) <= LADDER.index(last_rung)]
    if not rungs:
        return ChildClimb()
    narrowed, climbed = order, climb_once(order, rungs, host)
    if masks := find_masks_of_wanted(climbed.seen.get(Rung.ENUMERATE, {}), order, host):
        environ = {**order.environ, **masks}
        narrowed = replace(order, environ=environ)
        climbed = climb_once(narrowed, rungs, replace(host, environ=environ))
    return tell_climb(climbed, narrowed)


@dataclass(frozen=True, slots=True)
class Climbed:
    """What one child found, and the facts that it told."""

    findings: dict[Rung, Finding] = field(default_factory=dict)
    times_ms: dict[Rung, float] = field(default_factory=dict)
    seen: dict[Rung, Mapping[str, Any]] = field(default_factory=dict)


def climb_once(order: Order, rungs: Sequence[Rung], host: HostFacts) -> Climbed:
    climbed = Climbed()
    findings, times_ms, seen = climbed.findings, climbed.times_ms, climbed.seen
    with ProbeChild(order) as child:
        for rung in rungs:
            started = time.perf_counter()
            observation = child.observe(rung)
            if rung is Rung.ENUMERATE and host.masks and found_nothing(observation):
                host = replace(host, unmasked_count=count_without_masks(order, host.masks))
            findings[rung] = judge(rung, observation, seen, host)
            times_ms[rung] = round((time.perf_counter() - started) * 1_000, 3)
            if isinstance(observation, Found):
                seen[rung] = observation.facts
            if findings[rung].state is not RungState.PASSED:
                break
    return climbed


def find_masks_of_wanted(facts: Mapping[str, Any], order: Order, host: HostFacts) -> dict[str, str]:
    """What brings the GPU that is meant to the front; empty where it is there already, or is not in sight at all."""
    devices = facts.get("devices")
    found = [read_device(device) for device in devices] if isinstance(devices, list) and host.wanted_pci_id else []
    index = next((i for i, device in enumerate(found) if device and device.pci_id == host.wanted_pci_id), 0)
    return name_masks(index, facts, order) if index else {}


def name_masks(index: int, facts: Mapping[str, Any], order: Order) -> dict[str, str]:
    uuid, is_rocm = read_text(facts["devices"][index], "uuid"), bool(facts.get("hip_version"))
    return show_only(index, order.environ, uuid=uuid, is_rocm=is_rocm)


def found_nothing(observation: Observation) -> bool:
    return isinstance(observation, Found) and observation.facts.get("device_count") == 0


def count_without_masks(order: Order, masks: tuple[str, ...]) -> int | None:
    """What a second child finds that has none of the masks; None when it found out nothing."""
    bare = {name: value for name, value in order.environ.items() if name not in masks}
    with ProbeChild(replace(order, environ=bare)) as child:
        observation = child.observe(Rung.ENUMERATE)
    count = observation.facts.get("device_count") if isinstance(observation, Found) else None
    return count if isinstance(count, int) else None


def tell_climb(climbed: Climbed, order: Order) -> ChildClimb:
    """The findings with torch's own words about itself and its first device, as far as they can be read."""
    findings, seen = climbed.findings, climbed.seen
    facts = seen.get(Rung.ENUMERATE, {})
    count, devices = facts.get("device_count"), facts.get("devices")
    device = read_device(devices[0]) if isinstance(devices, list) and devices else None
    return ChildClimb(
        findings=findings,
        times_ms=climbed.times_ms,
        torch_version=read_text(facts, "torch_version"),
        hip_version=read_text(facts, "hip_version"),
        cuda_version=read_text(facts, "cuda_version"),
        device_count=count if isinstance(count, int) else 0,
        device=device,
        masks=name_masks(0, facts, order) if device else {},
        warnings=find_slowness(seen) if has_passed(findings, Rung.RESULT) else (),
    )


def has_passed(findings: Mapping[Rung, Finding], rung: Rung) -> bool:
    return rung in findings and findings[rung].state is RungState.PASSED


def read_text(facts: Mapping[str, Any], name: str) -> str | None:
    value = facts.get(name)
    return value if isinstance(value, str) else None


def read_device(facts: Any) -> Device | None:
    """None where the child told something else than a device."""
    try:
        return Device(str(facts["name"]), read_text(facts, "pci_id"), str(facts["arch"]), int(facts["total_bytes"]))
    except (KeyError, TypeError, ValueError):
        return None
