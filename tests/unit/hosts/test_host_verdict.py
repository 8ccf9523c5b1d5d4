"""The verdict over findings, the order of checks, and the pages made of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from sir_convert_a_lot.application.host_ports import CheckSite
from sir_convert_a_lot.application.verify import verify
from sir_convert_a_lot.domain.errors import ExitCode
from sir_convert_a_lot.domain.gpu_causes import Remedy
from sir_convert_a_lot.domain.host_access import HostNotReached, HostProblem
from sir_convert_a_lot.domain.host_check import CheckReport, GpuSample, GpuSeries, HostActivity
from sir_convert_a_lot.domain.host_findings import Finding, Outcome, Verdict
from sir_convert_a_lot.domain.host_profile import HostProfile
from sir_convert_a_lot.infrastructure.host_checks import CHECKS
from sir_convert_a_lot.infrastructure.host_evidence import write_evidence
from sir_convert_a_lot.infrastructure.host_evidence.activity_plot import draw
from sir_convert_a_lot.infrastructure.hosts.local import LocalHost

SCHEMA = json.loads(files("sir_convert_a_lot.domain").joinpath("host_verdict.schema.json").read_text("utf-8"))
OK, FAILED, UNKNOWN = Outcome.OK, Outcome.FAILED, Outcome.UNKNOWN
GPU = "0000:03:00.0"


class MadeCheck:
    """A check that finds what it is told to."""

    def __init__(self, name: str, *outcomes: Outcome, needs: tuple[str, ...] = ()) -> None:
        self.name, self.needs, self.outcomes = name, needs, outcomes
        self.looked = 0

    def look(self, site: CheckSite) -> CheckReport:
        self.looked += 1
        found = (finding(self.name, outcome) for outcome in self.outcomes)
        return CheckReport(tuple(found), {"made.txt": b"made"})


class LostHost(MadeCheck):
    def look(self, site: CheckSite) -> CheckReport:
        raise HostNotReached(HostProblem.CONNECTION_LOST, "made", "the connection to made broke", ["made"])


def finding(check: str, outcome: Outcome) -> Finding:
    code = "ok" if outcome is OK else f"{check}_{outcome.value}"
    remedies = () if outcome is OK else (Remedy("Mend it", "mend | it", needs_root=True),)
    return Finding(check, outcome, code, f"{check} was seen", ("```", "a | b"), remedies)


@contextmanager
def nobody(url: str) -> Iterator[Any]:
    raise AssertionError(url)
    yield


SITE = CheckSite(LocalHost(), HostProfile("made", "/srv/made"), nobody)


@pytest.mark.parametrize(
    ("outcomes", "outcome", "exit_code"),
    [
        ([OK, OK], OK, ExitCode.OK),
        ([OK, UNKNOWN], UNKNOWN, ExitCode.UNKNOWN),
        ([UNKNOWN, FAILED, OK], FAILED, ExitCode.FAILED),
        ([], UNKNOWN, ExitCode.UNKNOWN),
    ],
)
def test_one_failure_is_a_no_and_one_doubt_is_no_yes(
    outcomes: list[Outcome], outcome: Outcome, exit_code: ExitCode
) -> None:
    found = tuple(finding(f"check_{index}", each) for index, each in enumerate(outcomes))
    verdict = Verdict("made", datetime(2026, 1, 1, tzinfo=UTC), 1.0, found)
    assert (verdict.outcome, verdict.exit_code) == (outcome, exit_code)


@pytest.mark.parametrize("outcome", [FAILED, UNKNOWN])
def test_what_depends_on_trouble_is_passed_over_and_named_by_the_first(outcome: Outcome) -> None:
    first, second = MadeCheck("first", outcome), MadeCheck("second", OK, needs=("first",))
    third, apart = MadeCheck("third", OK, needs=("second",)), MadeCheck("apart", OK)
    told: list[Finding] = []
    verification = verify((first, second, third, apart), SITE, told.append)
    assert (second.looked, third.looked, apart.looked) == (0, 0, 1)
    assert [found.was_reached for found in verification.verdict.findings] == [True, False, False, True]
    assert all("first" in found.summary for found in verification.verdict.findings[1:3])
    assert verification.verdict.explanation == verification.verdict.findings[0]
    assert tuple(told) == verification.verdict.findings
    assert set(verification.reports) == {"first", "apart"}


def test_one_doubt_among_the_findings_of_a_check_is_enough() -> None:
    second = MadeCheck("second", OK, needs=("first",))
    verify((MadeCheck("first", OK, UNKNOWN), second), SITE)
    assert not second.looked


def test_a_host_that_gets_lost_under_a_check_is_its_finding() -> None:
    verdict = verify((LostHost("first"),), SITE).verdict
    assert (verdict.exit_code, verdict.findings[0].code) == (ExitCode.UNKNOWN, "host_connection_lost")


def test_every_check_needs_only_checks_before_it() -> None:
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
    for index, check in enumerate(CHECKS):
        assert set(check.needs) <= set(names[:index])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"schema_version": "2"}, "another version"),
        ({"exit_code": 3}, "an exit code that nobody knows"),
        ({"findings": []}, "no findings"),
        ({"more": 1}, "a key that the schema does not know"),
    ],
)
def test_the_schema_refuses_what_is_not_version_1(change: dict[str, Any], why: str) -> None:
    verdict = verify((MadeCheck("first", FAILED),), SITE).verdict.to_json()
    jsonschema.validate(verdict, SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(verdict | change, SCHEMA)


def test_the_schema_demands_a_remedy_of_every_failure() -> None:
    verdict = verify((MadeCheck("first", FAILED),), SITE).verdict.to_json()
    verdict["findings"][0]["remedies"] = []
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(verdict, SCHEMA)


def test_the_page_says_what_explains_it_and_what_to_do(tmp_path: Path) -> None:
    verification = verify((MadeCheck("first", OK), MadeCheck("second", FAILED)), SITE)
    (tmp_path / "receipt.json").write_text("of an earlier verification")
    write_evidence(tmp_path, verification.verdict, verification.reports)
    page = (tmp_path / "report.md").read_text()
    assert "# made is not fit to convert on its GPU." in page
    assert "1. Mend it: `mend | it` (needs root)" in page
    assert page.count("```") % 2 == 0
    assert (tmp_path / "raw" / "second" / "made.txt").read_bytes() == b"made"
    assert not (tmp_path / "receipt.json").exists()


def test_a_reading_that_is_missing_leaves_a_gap_in_the_plot() -> None:
    readings = (1.0, 2.0, None, 3.0)
    working = GpuSeries("made", tuple(GpuSample(index / 10, GPU, busy) for index, busy in enumerate(readings)))
    drawing = draw(HostActivity(GPU, GpuSeries("made"), working))
    assert drawing.count("<polyline") == 2
    assert "power" not in drawing
    nothing = draw(HostActivity(GPU, GpuSeries("none"), GpuSeries("none")))
    assert "could not be read" in nothing
