"""Causes that one look cannot tell: what was before counts too, or what a worker met where a fresh child meets nothing.

Owns comparing a snapshot with the last one that passed, and a worker's failure with a snapshot taken after it. Pure,
apart from `describe_worker_fault`, which the worker calls. Can only turn one refusal into another: nothing here makes a
GPU available.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from sir_convert_a_lot.domain.gpu_causes import CAUSES, Cause
from sir_convert_a_lot.domain.gpu_facts import LADDER, ProbeSnapshot, Rung, RungState
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.child_failures import is_out_of_memory
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.error_facts import ErrorFacts, describe_error
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.judgement import NOTHING_TELLS_WHY

# How it looks from inside when a running container loses its devices: the host still has them.
LOSSES = frozenset({Cause.NODE_NOT_PASSED_THROUGH, Cause.DEVICE_CGROUP_DENIED, Cause.KFD_OPEN_FAILED_OTHER})


@dataclass(frozen=True, slots=True)
class WorkerFault:
    """How a worker's work on the GPU ended. `had_started`: the GPU runtime was up in that process before."""

    error: ErrorFacts
    had_started: bool
    is_in_bad_fork: bool

    def to_json(self) -> dict[str, Any]:
        """As it crosses the border of the worker's process."""
        return asdict(self)


def read_worker_fault(told: Mapping[str, Any]) -> WorkerFault:
    """What `WorkerFault.to_json` gave."""
    return WorkerFault(ErrorFacts(**told["error"]), bool(told["had_started"]), bool(told["is_in_bad_fork"]))


def has_passed_whole(snapshot: ProbeSnapshot) -> bool:
    """Every rung passed. Not the same as available: a stand-in passes too, and stays simulated."""
    return snapshot.cause is None and all(report.state is RungState.PASSED for report in snapshot.rungs)


def compare_with_past(now: ProbeSnapshot, past: ProbeSnapshot | None) -> ProbeSnapshot:
    """`now`, as `gpu_lost_after_start` where the GPU passed in the `past` and only its devices went away since."""
    if past is None or has_passed_whole(now) or now.rungs[0].state is not RungState.PASSED:
        return now
    if now.cause not in LOSSES and not is_unexplained(now):
        return now
    seen = f"history: every rung had passed ({past.device_name}, {past.pci_id}); now: {now.cause} at {now.rung.value}"
    remedies = (*CAUSES[Cause.GPU_LOST_AFTER_START].remedies, *now.remediation)
    return replace(
        now,
        cause=Cause.GPU_LOST_AFTER_START,
        evidence=(seen, *now.evidence),
        remediation=tuple(dict.fromkeys(remedies)),
    )


def is_unexplained(now: ProbeSnapshot) -> bool:
    """No device, and nothing tells why: as NVML's unknown error after the host reloaded its daemons."""
    return now.rung is Rung.ENUMERATE and now.rungs[LADDER.index(Rung.ENUMERATE)].seen == NOTHING_TELLS_WHY


def describe_worker_fault(torch: Any, error: BaseException) -> WorkerFault:
    """Called in the worker, with its own torch, where the work failed."""
    cuda = torch.cuda
    return WorkerFault(
        describe_error(error),
        had_started=bool(cuda.is_initialized()),
        is_in_bad_fork=bool(cuda._is_in_bad_fork()),  # noqa: SLF001 - torch has no public name for it
    )


def judge_worker_fault(fault: WorkerFault, fresh: ProbeSnapshot) -> Cause:
    """Why a worker failed on the GPU. `fresh` was taken after it, in a child of its own.

    Where the fresh child fails too, the machine is at fault, and its cause stands.
    """
    if fault.is_in_bad_fork:
        return Cause.BAD_FORK
    if not has_passed_whole(fresh):
        return fresh.cause or Cause.PROBE_INCOMPLETE
    if is_out_of_memory(fault.error):
        return Cause.VRAM_EXHAUSTED
    return Cause.GPU_FAULT_STICKY if fault.had_started else Cause.ENV_CHANGED_AFTER_INIT
