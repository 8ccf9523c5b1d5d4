"""How far a repair has come, as it stands written on the host, and what the host says to its next step.

Owns the phases and what each means for whoever finds it. The journal lies in the environment that is repaired.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sir_convert_a_lot.domain.errors import ExitCode, MachineError
from sir_convert_a_lot.domain.repair_actions import Action


class Phase(StrEnum):
    SAVING = "saving"  # nothing was changed yet
    APPLYING = "applying"
    ROLLING_BACK = "rolling_back"
    FINISHED = "finished"
    ROLLED_BACK = "rolled_back"


class StepState(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Refusal(StrEnum):
    """Why the host did not carry out an order of a repair."""

    BUSY = "repair_busy"  # a step of a repair runs there now
    FENCED = "repair_taken_over"  # another repair went on from this one's journal
    UNFINISHED = "repair_unfinished"
    NO_ENVIRONMENT = "no_environment"
    STORAGE = "storage"
    SAVED_INCOMPLETE = "saved_incomplete"  # putting it back would take away what it lacks


TOLD = {
    Refusal.BUSY: ("a step of a repair is running on {host}", "wait for it to end, then run the same command again"),
    Refusal.FENCED: ("another repair has taken this one over on {host}", "leave it to that one"),
    Refusal.UNFINISHED: ("a repair of {host} was cut off", "run the same command again"),
    Refusal.NO_ENVIRONMENT: ("{host} has no environment of the project", "make it there first: make environment"),
    Refusal.SAVED_INCOMPLETE: (
        "what a repair of {host} had saved is not whole, and was not put back",
        "make the environment anew: remove it, then make environment",
    ),
    Refusal.STORAGE: ("the environment on {host} cannot be written", "mend what the evidence says"),
}


class RepairRefused(MachineError):
    """The host did not carry out an order. `details`: `reason` (a `Refusal`), `evidence`, `remediation`."""

    code = "repair_refused"
    http_status = 503
    exit_code = ExitCode.FAILED

    def __init__(self, refusal: Refusal, host: str, detail: str = "") -> None:
        message, remedy = TOLD[refusal]
        evidence = [detail] if detail else []
        details = {"reason": refusal.value, "evidence": evidence, "remediation": [remedy]}
        super().__init__(message.format(host=host), details=details)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Journal:
    """A repair as its host remembers it. `goal`: `TorchSet.to_json` of what it was to reach."""

    run_id: str
    goal: dict[str, Any] | None
    began_at: str  # RFC 3339, UTC
    phase: Phase
    actions: tuple[Action, ...]
    states: tuple[StepState, ...]

    @property
    def is_unfinished(self) -> bool:
        """Somebody has to go on with it, or to put back what it saved."""
        return self.phase in {Phase.APPLYING, Phase.ROLLING_BACK}

    @property
    def next_index(self) -> int:
        """The first step that is not done; their number when all are."""
        return next((n for n, state in enumerate(self.states) if state is not StepState.DONE), len(self.states))

    @property
    def was_cut_off_within(self) -> bool:
        """A step that changes packages was under way: what it left nobody knows."""
        index = self.next_index
        if index == len(self.states) or self.states[index] is StepState.PENDING:
            return False
        return self.actions[index].changes_packages


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """How one step ended. `exit_code`: None when it was stopped. `said`: the end of what it printed."""

    exit_code: int | None
    said: str

    @property
    def succeeded(self) -> bool:
        return self.exit_code == 0
