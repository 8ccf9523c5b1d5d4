"""`convert-a-lot host repair`: what would mend a host, and its carrying out.

Owns what a person reads of a plan and of a repair. Refuses to choose actions (`domain/repair_plan`) and to run them
(`application/repair`).
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sir_convert_a_lot.domain.errors import ExitCode
from sir_convert_a_lot.domain.repair_actions import Action, without_userinfo
from sir_convert_a_lot.interfaces.cli import options
from sir_convert_a_lot.interfaces.cli.host import HostName, HostsFile, Pdf
from sir_convert_a_lot.interfaces.cli.talk import UsageMistake, answer, answer_json, say

if TYPE_CHECKING:
    from sir_convert_a_lot.application.repair import Proposal, RepairReport
    from sir_convert_a_lot.application.verify import Verification
    from sir_convert_a_lot.domain.host_profile import HostProfile

START_LIMIT_S = 60.0  # for a service that was restarted to answer again

PlanFlag = Annotated[bool, typer.Option("--plan", help="Show what would be done; the default. Changes nothing.")]
ApplyFlag = Annotated[
    bool,
    typer.Option("--apply", help="Do what needs no root and can be undone; put everything back if it fails."),
]


def repair(
    *,
    host: HostName = None,
    hosts: HostsFile = None,
    plan: PlanFlag = False,
    apply: ApplyFlag = False,
    pdf: Pdf = None,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> ExitCode:
    """Bring a host back to where it converts on its GPU.

    It verifies, shows what would mend the host, with --apply does what may be done, and verifies again. Exits as the
    last verification: 0 fit, 1 not fit, 2 could not tell; with 1 too when it was rolled back.
    """
    if plan and apply:
        raise UsageMistake("--plan or --apply, not both", details={"field": "apply", "reason": "contradiction"})
    from sir_convert_a_lot.application import repair as repairing
    from sir_convert_a_lot.bootstrap_hosts import build_repair_site, find_profile, verify_host
    from sir_convert_a_lot.interfaces.cli.live_service import connecting

    profile = find_profile(host, hosts)

    def verify() -> Verification:
        say(f"Verifying {profile.name} ...")
        return verify_host(profile, connecting(api_key), pdf=pdf)

    first = verify()
    site, findings = build_repair_site(profile), first.verdict.findings
    if not apply:
        proposal = repairing.propose(site, profile.runtime_kind, findings)
        _show_plan(proposal, first, profile, as_json=as_json)
        return first.verdict.exit_code
    report = repairing.apply(site, profile.runtime_kind, findings, say)
    last = first
    if report.ended is not repairing.Ended.NOTHING_TO_DO:
        _wait_for_service(profile, api_key, report)
        last = verify()
    _show_report(report, last, as_json=as_json)
    was_rolled_back = report.ended is repairing.Ended.ROLLED_BACK
    return ExitCode.FAILED if was_rolled_back else last.verdict.exit_code


def _wait_for_service(profile: HostProfile, api_key: str | None, report: RepairReport) -> None:
    from sir_convert_a_lot.bootstrap_hosts import wait_for_service
    from sir_convert_a_lot.domain.repair_plan import RESTART
    from sir_convert_a_lot.interfaces.cli.live_service import connecting

    if any(action.name == RESTART for action in report.proposal.plan.to_run):
        wait_for_service(profile, connecting(api_key), START_LIMIT_S)


def _show_plan(proposal: Proposal, verification: Verification, profile: HostProfile, *, as_json: bool) -> None:
    if as_json:
        answer_json(_tell(proposal, verification))
        return
    _show_verdict(verification)
    if proposal.left is not None:
        word = "goes on with it" if proposal.is_resumable else "puts back what it saved first"
        answer(f"A repair of {proposal.left.began_at} was cut off; --apply {word}.")
    for line in proposal.plan.deviations:
        answer(f"not as pinned: {line}")
    if proposal.unclear is not None:
        answer(f"packages: {proposal.unclear}")
    for action in proposal.plan.actions:
        _show_action(action)
    if not proposal.plan.actions:
        answer("Nothing to do.")
    elif proposal.plan.to_run:
        at = "" if profile.ssh is None else f" --host {profile.name}"
        answer(f"To do what runs by itself: convert-a-lot host repair{at} --apply")


def _show_action(action: Action) -> None:
    mode = "runs with --apply" if action.runs else "for you to do"
    answer(f"{action.order}. {action.name} ({mode})")
    answer(f"   why:     {action.why} [{action.finding}]")
    if command := spell(action):
        answer(f"   command: {command}")
        answer(f"   root:    {'needed' if action.needs_root else 'not needed'}")
        answer(f"   undo:    {'yes' if action.reversible else 'no'}")
    if action.post_check is not None:
        answer(f"   then:    {action.post_check.sentence}")


def spell(action: Action) -> str:
    """The command as a person types it, with the variables that stand before it; empty where there is none."""
    if not action.argv:
        return action.shown
    variables = [f"{name}={shlex.quote(without_userinfo(value))}" for name, value in action.environment.items()]
    return " ".join([*variables, shlex.join(action.argv)])


def _show_report(report: RepairReport, last: Verification, *, as_json: bool) -> None:
    if as_json:
        told = {"ended": report.ended.value, "trouble": list(report.trouble), "strayed": list(report.strayed)}
        answer_json({**_tell(report.proposal, last), **told})
        return
    words = {
        "nothing_to_do": "Nothing to do: nothing was changed.",
        "done": "Done.",
        "rolled_back": "Rolled back: the environment is what it was.",
    }
    for line in report.trouble:
        answer(f"  {line}")
    for path in report.strayed:
        answer(f"  could not be put back as it was: {path}")
    answer(words[report.ended.value])
    if report.ended.value == "done" and report.proposal.plan.changes_packages:
        kept = f"{report.proposal.inventory.state_directory}/saved"
        answer(f"What was there before is kept in {kept} until the next repair; the runbook says how to go back.")
    for action in report.proposal.plan.to_print:
        _show_action(action)
    _show_verdict(last)


def _show_verdict(verification: Verification) -> None:
    verdict = verification.verdict
    explanation = verdict.explanation
    if explanation is None:
        answer(f"{verdict.host} is fit to convert on its GPU.")
    else:
        answer(f"{verdict.host}: {explanation.summary} [{explanation.code}]")
        answer(f"  runbook:  {explanation.runbook}")


def _tell(proposal: Proposal, verification: Verification) -> dict[str, Any]:
    """JSON-able: the plan, and the verdict of the last verification."""
    return {
        "goal": None if proposal.goal is None else proposal.goal.to_json(),
        "unclear": proposal.unclear,
        "deviations": list(proposal.plan.deviations),
        "interrupted": None if proposal.left is None else {"began_at": proposal.left.began_at},
        "actions": [_tell_action(action) for action in proposal.plan.actions],
        "verdict": verification.verdict.to_json(),
    }


def _tell_action(action: Action) -> dict[str, Any]:
    return {
        "order": action.order,
        "name": action.name,
        "finding": action.finding,
        "command": spell(action) or None,
        "why": action.why,
        "needs_root": action.needs_root,
        "reversible": action.reversible,
        "runs": action.runs,
        "post_check": None if action.post_check is None else action.post_check.sentence,
    }
