"""Rung 3, permission: may this process open the device nodes?

Owns really opening them, for reading and writing, as the GPU runtime will; mode bits alone would miss cgroups, security
modules and the driver's own refusal. Refuses to change anything: a node is closed at once.
"""

from __future__ import annotations

import os
import stat

from sir_convert_a_lot.domain.gpu_causes import Cause
from sir_convert_a_lot.domain.gpu_facts import Present
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.driver import Driver, list_nvidia_nodes, list_render_nodes
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.finding import Finding, Route, fail, settle, skip
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.host_root import HostRoot

# EACCES: the mode or the groups of the node. EPERM: a device rule, a security module or a filter, whatever the mode.
CAUSE_OF_ERRNO = {"EACCES": Cause.DEVICE_PERMISSION_DENIED, "EPERM": Cause.DEVICE_CGROUP_DENIED}


def find_permission(host: HostRoot, driver: Driver) -> Finding:
    """Open the nodes of each open route. One node of a kind is enough: a container may be given one GPU of several."""
    if not driver.finding.routes:
        return skip("no device node was opened: an earlier rung found none to open")
    passed: dict[Route, str] = {}
    stopped: dict[Route, Finding] = {}
    for route in driver.finding.routes:
        verdict = judge_nodes(host, list_needed_nodes(host, route))
        if isinstance(verdict, str):
            passed[route] = verdict
        else:
            stopped[route] = verdict
    return settle(passed, stopped)


def list_needed_nodes(host: HostRoot, route: Route) -> tuple[tuple[str, ...], ...]:
    """Groups of nodes; of each group one must open."""
    if route is Route.WSL:
        return (("dev/dxg",),)
    if route is Route.KFD:
        cards = list_render_nodes(host)
        return (("dev/kfd",), tuple(f"dev/dri/{name}" for name in cards.value) if isinstance(cards, Present) else ())
    cards = list_nvidia_nodes(host)
    return (("dev/nvidiactl",), tuple(f"dev/{name}" for name in cards.value) if isinstance(cards, Present) else ())


def judge_nodes(host: HostRoot, groups: tuple[tuple[str, ...], ...]) -> str | Finding:
    """One line when each group has a node that opens, else the failure of the first group that has none."""
    opened: list[str] = []
    for group in groups:
        answers = {name: host.try_open(name) for name in group}
        good = [name for name, error in answers.items() if error is None]
        if not good:
            return blame(host, answers)
        opened += good
    return f"opened for reading and writing: {', '.join(f'/{name}' for name in opened)}"


def blame(host: HostRoot, answers: dict[str, str | None]) -> Finding:
    """The first node's errno names the cause; every node is evidence."""
    evidence = tuple(f"open /{name}: {error}; {describe_mode(host, name)}" for name, error in answers.items())
    if not evidence:
        return fail(Cause.NODE_NOT_PASSED_THROUGH, "the device nodes went away while the probe ran")
    name, error = next(iter(answers.items()))
    return fail(
        CAUSE_OF_ERRNO.get(error or "", Cause.KFD_OPEN_FAILED_OTHER), f"/{name} cannot be opened: {error}", evidence
    )


def describe_mode(host: HostRoot, name: str) -> str:
    """Mode, owner and group in numbers, since the names of a container are not those of the host."""
    node = host.look_for(name)
    if not isinstance(node, Present):
        return "mode not known"
    mode, uid, gid = stat.S_IMODE(node.value.st_mode), node.value.st_uid, node.value.st_gid
    member = "is" if gid in {os.getegid(), *os.getgroups()} else "is not"
    return f"mode {mode:04o}, uid {uid}, gid {gid}; this process has uid {os.geteuid()} and {member} in group {gid}"
