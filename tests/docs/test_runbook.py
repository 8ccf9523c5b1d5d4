"""The runbook has a section for every finding, and says of each command where it runs."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import check_docs
import doc_blocks
from sir_convert_a_lot.domain.gpu_causes import Cause
from sir_convert_a_lot.domain.host_access import HostProblem
from sir_convert_a_lot.domain.host_findings import RUNBOOK, Finding, Outcome
from sir_convert_a_lot.domain.repair_journal import Refusal
from sir_convert_a_lot.infrastructure import host_checks

# What one upload that is always new cannot be answered with.
OF_OTHER_REQUESTS = {
    "idempotency_key_missing", "idempotency_key_reused_with_different_payload", "job_expired", "job_not_cancelable",
    "job_not_found", "job_not_succeeded", "result_inline_too_large", "service_cannot_start", "unsupported_media_type",
}  # fmt: skip
OF_THE_GUARD = {"torch_set_undone"}
PLACES = ("# on the host", "# on your machine, with a host", "# where Docker runs")


def codes_of_checks() -> set[str]:
    """The codes that stand in the source of the checks: in calls that make findings, and in constants."""
    found: set[str] = set()
    for path in Path(host_checks.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"failed", "unknown"}:
                found |= {word.value for word in node.args[1:2] if isinstance(word, ast.Constant)}
            elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                names = [target.id for target in node.targets if isinstance(target, ast.Name)]
                found |= {str(node.value.value) for name in names if name.endswith("_CODE")}
    return found


def all_codes() -> set[str]:
    answered = check_docs.api_error_codes() - OF_OTHER_REQUESTS
    refused = {refusal.value for refusal in Refusal}
    return codes_of_checks() | answered | {problem.value for problem in HostProblem} | refused | OF_THE_GUARD


@pytest.fixture(scope="module")
def text(repository: Path) -> str:
    return (repository / RUNBOOK).read_text(encoding="utf-8")


def test_the_codes_of_the_checks_are_found() -> None:
    assert {
        "service_down",
        "busy_counter_unreliable",
        "command_hung",
        "clock_off",
        "wrong_revision",
    } <= codes_of_checks()


def test_every_finding_names_a_section_that_is_there(repository: Path) -> None:
    for code in sorted(all_codes()):
        finding = Finding("made", Outcome.FAILED, code, "made")
        assert finding.runbook is not None
        document, _, anchor = finding.runbook.partition("#")
        assert anchor in check_docs.anchors_of((repository / document).read_text(encoding="utf-8")), code


def test_a_cause_leads_to_the_page_of_causes() -> None:
    assert Finding("made", Outcome.FAILED, "wheel_cpu_only", "made").runbook == Cause.WHEEL_CPU_ONLY.runbook
    assert Finding("made", Outcome.OK, "ok", "made").runbook is None


def test_no_section_is_about_what_no_finding_says(text: str) -> None:
    sections = {line.removeprefix("#### ") for line in text.splitlines() if line.startswith("#### ")}
    assert sections - all_codes() == set()


def test_a_command_that_is_not_run_says_where_it_would_be(text: str) -> None:
    blocks = doc_blocks.blocks_of(text)
    assert {block.language for block in blocks} == {"console", "sh"}
    for block in blocks:
        if block.language == "sh":
            assert block.content.splitlines()[0] in PLACES, f"line {block.line}"
