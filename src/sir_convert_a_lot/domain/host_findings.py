"""What a check of a host found, and what all of them say together.

Owns outcomes, the verdict, its exit code and the JSON of both, which `host_verdict.schema.json` beside this file
describes. Refuses to check (`infrastructure/host_checks`) and to order the checks (`application.verify`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sir_convert_a_lot.domain.errors import ExitCode
from sir_convert_a_lot.domain.gpu_causes import Cause, Remedy

SCHEMA_VERSION = "1"
OK_CODE = "ok"
NOT_REACHED_CODE = "not_reached"
RUNBOOK = "docs/runbooks/runbook-hemma-devops-and-gpu.md"


class Outcome(StrEnum):
    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"  # could not tell, also because an earlier check stands in the way


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `check` is where it was looked for, `code` what it is: both stable, the code `ok`
    where there is nothing to say.

    `was_reached` is False where an earlier finding made looking pointless; it explains this one.
    """

    check: str
    outcome: Outcome
    code: str
    summary: str
    evidence: tuple[str, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    was_reached: bool = True

    @property
    def runbook(self) -> str | None:
        """Where the runbooks speak of it; None where there is nothing to say, or another finding says it."""
        if self.code in {OK_CODE, NOT_REACHED_CODE}:
            return None
        return Cause(self.code).runbook if self.code in set(Cause) else f"{RUNBOOK}#{self.code}"

    def to_json(self) -> dict[str, Any]:
        return {
            "check": self.check,
            "outcome": self.outcome.value,
            "code": self.code,
            "reached": self.was_reached,
            "summary": self.summary,
            "evidence": list(self.evidence),
            "runbook": self.runbook,
            "remedies": [
                {
                    "text": remedy.text,
                    "command": remedy.command,
                    "needs_root": remedy.needs_root,
                    "reversible": remedy.is_reversible,
                }
                for remedy in self.remedies
            ],
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """All findings about one host, in the order in which they were made."""

    host: str
    taken_at: datetime  # aware, UTC
    duration_s: float
    findings: tuple[Finding, ...]

    @property
    def outcome(self) -> Outcome:
        """Failed if anything did; else unknown if anything is; ok only when everything is."""
        outcomes = {finding.outcome for finding in self.findings}
        if Outcome.FAILED in outcomes:
            return Outcome.FAILED
        return Outcome.UNKNOWN if Outcome.UNKNOWN in outcomes or not outcomes else Outcome.OK

    @property
    def exit_code(self) -> ExitCode:
        return {Outcome.OK: ExitCode.OK, Outcome.FAILED: ExitCode.FAILED, Outcome.UNKNOWN: ExitCode.UNKNOWN}[
            self.outcome
        ]

    @property
    def explanation(self) -> Finding | None:
        """The finding that explains the verdict: the first that failed, else the first that could not tell."""
        for outcome in (Outcome.FAILED, Outcome.UNKNOWN):
            for finding in self.findings:
                if finding.outcome is outcome and finding.was_reached:
                    return finding
        return None

    def to_json(self) -> dict[str, Any]:
        """JSON-able, as the schema says. The same host state gives the same value apart from times and evidence."""
        explanation = self.explanation
        return {
            "schema_version": SCHEMA_VERSION,
            "host": self.host,
            "taken_at": self.taken_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "duration_s": round(self.duration_s, 3),
            "outcome": self.outcome.value,
            "exit_code": int(self.exit_code),
            "explained_by": None if explanation is None else {"check": explanation.check, "code": explanation.code},
            "findings": [finding.to_json() for finding in self.findings],
        }
