"""How checks make findings: the few shapes that all of them share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sir_convert_a_lot.domain.gpu_causes import CAUSES, Cause, Remedy
from sir_convert_a_lot.domain.host_access import CommandOutcome
from sir_convert_a_lot.domain.host_check import CheckReport
from sir_convert_a_lot.domain.host_findings import OK_CODE, Finding, Outcome

HUNG_CODE = "command_hung"
KEPT_LINES = 12  # of what a command printed, as evidence; the evidence folder has all of it


def passed(check: str, summary: str, evidence: Sequence[str] = ()) -> Finding:
    return Finding(check, Outcome.OK, OK_CODE, summary, tuple(evidence))


def failed(check: str, code: str, summary: str, evidence: Sequence[str], *remedies: Remedy) -> Finding:
    return Finding(check, Outcome.FAILED, code, summary, tuple(evidence), remedies)


def unknown(check: str, code: str, summary: str, evidence: Sequence[str], *remedies: Remedy) -> Finding:
    return Finding(check, Outcome.UNKNOWN, code, summary, tuple(evidence), remedies)


def hung(check: str, outcome: CommandOutcome) -> Finding:
    """A command that had to be killed tells nothing but that."""
    remedy = Remedy(
        "See on the host what it waits for; a driver that hangs shows in the kernel's log", "dmesg -T | tail"
    )
    return unknown(
        check, HUNG_CODE, f"{outcome.argv[0]} did not end within {outcome.duration_s:.0f} s", [outcome.line], remedy
    )


def report(*findings: Finding, **raw: bytes) -> CheckReport:
    """`raw`: keyword `rocm_smi__txt` is the file `rocm_smi.txt`."""
    return CheckReport(findings, {name.replace("__", "."): content for name, content in raw.items()})


def lines_of(outcome: CommandOutcome) -> list[str]:
    """The end of what it printed, and how it ended."""
    printed = [line for line in (outcome.text + outcome.error_text).splitlines() if line.strip()]
    return [*printed[-KEPT_LINES:], outcome.line]


def read_object(text: str) -> dict[str, Any] | None:
    """The JSON object in what a command printed, which may have warnings before it; None when there is none."""
    start = text.find("{")
    if start < 0:
        return None
    try:
        value, _ = json.JSONDecoder().raw_decode(text, start)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def remedies_of_cause(code: object, told: object = ()) -> tuple[Remedy, ...]:
    """What the runbook says about a cause; for one that this version does not know, what the host told."""
    if isinstance(code, str) and code in set(Cause):
        cause = Cause(code)
        return CAUSES[cause].remedies or (Remedy(f"Read {cause.runbook}"),)
    sentences = told if isinstance(told, list) else []
    return tuple(Remedy(str(sentence)) for sentence in sentences) or (
        Remedy("Look at it on the host", "convert-a-lot gpu probe"),
    )
