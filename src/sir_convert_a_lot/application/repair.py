"""Repair a host: carry out the plan that its findings lead to, or put everything back.

Owns the order of a repair: an unfinished one is settled first, what is there is saved, each step is held against what
it promised, and whatever fails puts the environment back. Refuses to choose actions (`domain/repair_plan`), and to run
one that needs root or cannot be undone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sir_convert_a_lot.application.host_ports import RepairSite
from sir_convert_a_lot.domain.gpu_facts import Present, RuntimeKind
from sir_convert_a_lot.domain.host_findings import Finding, Outcome
from sir_convert_a_lot.domain.repair_actions import Action, Inventory, Plan, TorchSet, Trouble
from sir_convert_a_lot.domain.repair_journal import Journal, Phase, StepState
from sir_convert_a_lot.domain.repair_packages import find_deviations
from sir_convert_a_lot.domain.repair_plan import RESTART, choose_kind, plan_repair

Tell = Callable[[str], None]
SETTLE_S = 3.0  # a service that cannot work often dies only after it has imported its packages
KEPT_LINES = 12  # of what a step that failed printed last


class Ended(StrEnum):
    """How a repair ended. What the host is like afterwards is for a verification to say."""

    NOTHING_TO_DO = "nothing_to_do"
    DONE = "done"
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would be done, and what it is based on. `goal`: None where no GPU runtime is expected, `unclear` says why.

    `left`: the journal of a repair that was cut off; `--apply` settles it first.
    """

    plan: Plan
    inventory: Inventory
    goal: TorchSet | None
    unclear: str | None = None
    left: Journal | None = None

    @property
    def is_resumable(self) -> bool:
        """The repair that was cut off was on its way to what is wanted now."""
        wanted = None if self.goal is None else self.goal.to_json()
        return self.left is not None and self.left.phase is Phase.APPLYING and self.left.goal == wanted


@dataclass(frozen=True, slots=True)
class RepairReport:
    """`trouble`: what failed, in sentences; `strayed`: paths that could not be made what they were."""

    ended: Ended
    proposal: Proposal
    trouble: tuple[str, ...] = ()
    strayed: tuple[str, ...] = ()


class _StepFailed(Exception):
    """Within this module: a step, or what it promised. `args` are sentences."""


def propose(site: RepairSite, expected: RuntimeKind | None, findings: Iterable[Finding]) -> Proposal:
    """The plan for a host; changes nothing there. `expected`: the runtime that its profile names."""
    inventory, journal = site.look()
    left = journal if journal is not None and journal.is_unfinished else None
    kind = choose_kind(expected, inventory)
    if kind is None:
        unclear = None if expected is RuntimeKind.NONE else tell_unclear(inventory)
        return Proposal(plan_repair(troubles_of(findings), inventory, None), inventory, None, unclear, left)
    pins = site.find_pins(kind)
    if not isinstance(pins, Present):
        plan = plan_repair(troubles_of(findings), inventory, None)
        return Proposal(plan, inventory, None, f"which torch builds belong here is not known: {pins.reason}", left)
    return Proposal(plan_repair(troubles_of(findings), inventory, pins.value), inventory, pins.value, None, left)


def tell_unclear(inventory: Inventory) -> str:
    seen = " and ".join(f"a GPU for {kind.value}" for kind in inventory.kinds) or "no device node of a GPU"
    return f"the profile expects no kind of GPU runtime, and the host has {seen}: the packages are left alone"


def troubles_of(findings: Iterable[Finding]) -> list[Trouble]:
    """What is wrong, in the order in which it was found. What was not reached has no remedy yet."""
    return [
        Trouble(finding.code, finding.remedies)
        for finding in findings
        if finding.was_reached and finding.outcome is not Outcome.OK
    ]


def apply(site: RepairSite, expected: RuntimeKind | None, findings: Sequence[Finding], tell: Tell) -> RepairReport:
    """Carry out what may be carried out. `tell` hears each step as it begins.

    Raises `HostNotReached` and `RepairRefused`; the journal then stays, and the next `apply` settles it.
    """
    proposal = propose(site, expected, findings)
    if proposal.left is not None:
        if proposal.is_resumable:
            return _resume(site, proposal, tell)
        tell("putting back what a repair that was cut off had saved")
        site.claim()
        site.roll_back()
        proposal = propose(site, expected, findings)
    if proposal.plan.to_run:
        tell("saving what is there")
        journal = site.begin(proposal.plan.to_run, proposal.goal, saves=proposal.plan.changes_packages)
        return _carry_out(site, proposal, journal, tell)
    if proposal.goal is not None and site.expect(proposal.goal):
        tell(f"recorded for the guard: this environment is to hold the builds for {proposal.goal.kind.value}")
    return RepairReport(Ended.NOTHING_TO_DO, proposal)


def _resume(site: RepairSite, proposal: Proposal, tell: Tell) -> RepairReport:
    """Go on where it stopped; cut off within a step, from what was saved, since nobody knows what that step left."""
    journal = site.claim()
    tell(f"going on with the repair of {journal.began_at}, which was cut off at step {journal.next_index + 1}")
    if journal.was_cut_off_within:
        tell("that step was under way: putting back what was saved, and beginning from there")
        journal = site.rewind()
    return _carry_out(site, proposal, journal, tell)


def _carry_out(site: RepairSite, proposal: Proposal, journal: Journal, tell: Tell) -> RepairReport:
    done = [action for action, state in zip(journal.actions, journal.states, strict=True) if state is StepState.DONE]
    trouble: tuple[str, ...] = ()
    try:
        for index in range(journal.next_index, len(journal.actions)):
            action = journal.actions[index]
            tell(f"step {index + 1} of {len(journal.actions)}: {action.why}")
            if action.name == RESTART:
                _check_goal(site, proposal.goal, done)  # no service is started with packages that are not right
            done.append(action)
            _run(site, index, action)
        _check_goal(site, proposal.goal, done)
    except _StepFailed as failure:
        trouble = failure.args
        if not _is_restart_of_a_dead_service(proposal, done):
            return _give_up(site, proposal, done, trouble, tell)
    site.finish()
    if proposal.goal is not None:
        site.expect(proposal.goal)
    return RepairReport(Ended.DONE, proposal, trouble)


def _is_restart_of_a_dead_service(proposal: Proposal, done: Sequence[Action]) -> bool:
    """It did not run before either: that it does not start is no reason to take the right packages away again."""
    unit = proposal.inventory.unit
    return bool(done) and done[-1].name == RESTART and (unit is None or unit.is_active is not True)


def _run(site: RepairSite, index: int, action: Action) -> None:
    outcome = site.run_step(index, action.timeout_s)
    if not outcome.succeeded:
        how = "did not end in time" if outcome.exit_code is None else f"ended with {outcome.exit_code}"
        said = [line for line in outcome.said.splitlines() if line.strip()][-KEPT_LINES:]
        raise _StepFailed(f"{action.name} {how}", *said)
    _check(site, action)
    if action.name == RESTART:
        time.sleep(SETTLE_S)
        _check(site, action)


def _check(site: RepairSite, action: Action) -> None:
    if action.post_check is not None:
        inventory, _ = site.look()
        if wrong := action.post_check.failures(inventory):
            raise _StepFailed(f"{action.name} did not do what it was to do", *wrong)


def _check_goal(site: RepairSite, goal: TorchSet | None, done: Sequence[Action]) -> None:
    """After all steps, the whole set once more: a later step may have undone an earlier one."""
    if goal is None or not any(action.changes_packages for action in done):
        return
    inventory, _ = site.look()
    if wrong := find_deviations(inventory, goal):
        raise _StepFailed("the set is still not as pinned", *wrong)


def _give_up(
    site: RepairSite, proposal: Proposal, done: Sequence[Action], trouble: Sequence[str], tell: Tell
) -> RepairReport:
    tell(f"{trouble[0]}: putting back what was saved")
    strayed = site.roll_back()
    restart = next((action for action in done if action.name == RESTART), None)
    if restart is not None and proposal.plan.changes_packages:
        _restart_again(site, restart, tell)
    return RepairReport(Ended.ROLLED_BACK, proposal, tuple(trouble), strayed)


def _restart_again(site: RepairSite, restart: Action, tell: Tell) -> None:
    """It was started with the packages that are gone again."""
    tell("starting the service again with what was put back")
    site.begin([restart], None, saves=False)
    site.run_step(0, restart.timeout_s)
    site.finish()
