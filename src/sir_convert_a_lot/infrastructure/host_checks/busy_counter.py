"""What the GPU's activity during a conversion says, and what the verdict rests on where it says nothing.

Owns the judgement of the busy counter as the host sees it, against the same counter at rest. A device-wide figure is
never proof; a stuck one is a finding of its own, and no failure where the receipt proves the work without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sir_convert_a_lot.domain.gpu_activity import BusyCounter, judge_busy_counter
from sir_convert_a_lot.domain.gpu_causes import Remedy
from sir_convert_a_lot.domain.host_check import HostActivity
from sir_convert_a_lot.domain.host_findings import Finding, Outcome
from sir_convert_a_lot.domain.receipt import Grade
from sir_convert_a_lot.infrastructure.host_checks.findings import passed, unknown

UNRELIABLE_CODE = "busy_counter_unreliable"
UNAVAILABLE_CODE = "busy_counter_unavailable"
NOT_ABOVE_IDLE_CODE = "gpu_not_above_idle"

LEAN_ON_RECEIPT = Remedy(
    "Nothing is to be mended on a chip whose counter does not count; the receipt has to be PROVEN, and the process has "
    "to be seen holding memory of the GPU"
)
LONGER = Remedy(
    "Convert a longer document while nothing else uses the GPU", "convert-a-lot host verify --pdf paper.pdf"
)


def judge_activity(check: str, activity: HostActivity, receipt: Mapping[str, Any]) -> Finding:
    """The peak is always told. Ok only where it rose above rest, or where the receipt proves the work without it."""
    idle, working = activity.idle.busy(activity.pci_id), activity.working.busy(activity.pci_id)
    counter, reason = judge_busy_counter(idle, working)
    peak = "not read" if not working else f"{max(working):g} %"
    rest = "not read" if not idle else f"{max(idle):g} %"
    held = find_held_bytes(activity, receipt)
    evidence = [
        f"GPU {activity.pci_id}, by {activity.working.source}: peak {peak}, at rest {rest}",
        f"the counter is {counter.value}: {reason}",
        f"memory of the GPU that the worker held: {'not read' if held is None else f'{held} bytes'}",
        *activity.working.unread,
    ]
    if counter is BusyCounter.USABLE:
        if max(working) > max(idle):
            return passed(check, f"the GPU was busy: peak {peak}, above {rest} at rest", evidence)
        told = f"the GPU's peak of {peak} is not above its {rest} at rest"
        return unknown(check, NOT_ABOVE_IDLE_CODE, told, evidence, LONGER)
    code = UNRELIABLE_CODE if counter is BusyCounter.UNRELIABLE else UNAVAILABLE_CODE
    is_proven = receipt.get("grade") == Grade.PROVEN.value and bool(held)
    rests = (
        "the receipt is PROVEN and the process held memory of the GPU" if is_proven else "nothing else proves the work"
    )
    return Finding(
        check,
        Outcome.OK if is_proven else Outcome.UNKNOWN,
        code,
        f"the busy counter tells nothing ({reason}); {rests}",
        tuple(evidence),
        (LEAN_ON_RECEIPT,),
    )


def find_held_bytes(activity: HostActivity, receipt: Mapping[str, Any]) -> int | None:
    """GPU memory of the very worker: as the host saw its pid, else as the receipt measured it. None: nobody could."""
    pid = receipt.get("worker_pid")
    seen = activity.working.process_bytes.get(pid) if isinstance(pid, int) else None
    if seen is not None:
        return seen
    own = receipt.get("activity")
    if not isinstance(own, dict) or own.get("simulated") is not False:
        return None
    held = own.get("process_bytes_peak")
    return held if isinstance(held, int) else None
