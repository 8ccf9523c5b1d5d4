"""Verify a host: is it fit to convert on its GPU? A yes with proof, or a no with its cause and what to do.

Owns the order of the checks and what follows from the first that fails: what depends on it is not reached, and says so.
Refuses to look at anything itself (`infrastructure/host_checks` does) and changes nothing on the host.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sir_convert_a_lot.application.host_ports import CheckSite, HostCheck
from sir_convert_a_lot.domain.host_access import HostNotReached
from sir_convert_a_lot.domain.host_check import CheckReport
from sir_convert_a_lot.domain.host_findings import NOT_REACHED_CODE, Finding, Outcome, Verdict


@dataclass(frozen=True, slots=True)
class Verification:
    """The verdict, and what each check that looked rests on, by its name."""

    verdict: Verdict
    reports: Mapping[str, CheckReport]


def verify(checks: Sequence[HostCheck], site: CheckSite, tell: Callable[[Finding], None] | None = None) -> Verification:
    """Look at everything, in the order of `checks`. `tell` hears each finding as it is made.

    A check is looked at when everything it needs is ok; what could not be told is not ok.
    """
    taken_at, began = datetime.now(UTC), time.monotonic()
    findings: list[Finding] = []
    reports: dict[str, CheckReport] = {}
    blockers: dict[str, Finding] = {}  # check -> what makes looking at those that need it pointless
    for check in checks:
        blocker = next((blockers[name] for name in check.needs if name in blockers), None)
        report = _look(check, site) if blocker is None else CheckReport((_pass_over(check, blocker),))
        if blocker is None:
            reports[check.name] = report
        trouble = blocker or next((found for found in report.findings if found.outcome is not Outcome.OK), None)
        if trouble is not None:
            blockers[check.name] = trouble
        for finding in report.findings:
            findings.append(finding)
            if tell is not None:
                tell(finding)
    verdict = Verdict(site.profile.name, taken_at, time.monotonic() - began, tuple(findings))
    return Verification(verdict, reports)


def _look(check: HostCheck, site: CheckSite) -> CheckReport:
    try:
        return check.look(site)
    except HostNotReached as error:
        finding = Finding(
            check.name, Outcome.UNKNOWN, error.problem.value, error.message, error.evidence, (error.remedy,)
        )
        return CheckReport((finding,))


def _pass_over(check: HostCheck, blocker: Finding) -> Finding:
    return Finding(
        check.name,
        Outcome.UNKNOWN,
        NOT_REACHED_CODE,
        f"not reached: {blocker.check} stands in the way ({blocker.code})",
        was_reached=False,
    )
