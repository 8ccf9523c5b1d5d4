"""The verdict as one page for a person: what was found, what explains it, what to do, and where the rest lies."""

from __future__ import annotations

from collections.abc import Sequence

from sir_convert_a_lot.domain.host_findings import Finding, Outcome, Verdict

ANSWER = {
    Outcome.OK: "{host} is fit to convert on its GPU.",
    Outcome.FAILED: "{host} is not fit to convert on its GPU.",
    Outcome.UNKNOWN: "Whether {host} is fit to convert on its GPU could not be told.",
}
SHOWN_EVIDENCE = 6  # lines a finding; verdict.json has all


def write_page(verdict: Verdict, files: Sequence[str], plot: str) -> str:
    """GitHub's Markdown. What hosts printed stands in code, so that it stays what it is."""
    explanation = verdict.explanation
    when, took_s = f"{verdict.taken_at:%Y-%m-%d %H:%M:%S} UTC", f"{verdict.duration_s:.1f} s"
    looked = f"Looked at {when}, in {took_s}. Exit code {int(verdict.exit_code)}."
    lines = [
        f"# {ANSWER[verdict.outcome].format(host=verdict.host)}",
        "",
        looked,
    ]
    if explanation is not None:
        lines += ["", f"What explains it: **{explanation.code}**, found by {explanation.check}."]
        lines += ["", *_tell_remedies(explanation)]
    lines += ["", "| check | outcome | code | what was seen |", "|---|---|---|---|"]
    lines += [
        f"| {finding.check} | {finding.outcome.value} | {finding.code} | {_cell(finding.summary)} |"
        for finding in verdict.findings
    ]
    if plot in files:
        lines += ["", "## GPU activity", "", f"![busy and power before and during the conversion]({plot})"]
    lines += ["", "## Evidence"]
    for finding in verdict.findings:
        if finding.evidence:
            lines += ["", f"### {finding.check}: {finding.code}", "", "```text"]
            lines += [line.replace("```", "'''") for line in finding.evidence[:SHOWN_EVIDENCE]]
            lines += ["```"]
    lines += ["", "## Files", "", *(f"- [{name}]({name})" for name in files)]
    return "\n".join(lines) + "\n"


def _tell_remedies(finding: Finding) -> list[str]:
    return [
        f"{number}. {remedy.text}" + (f": `{remedy.command}`" if remedy.command else "") + _rights(remedy.needs_root)
        for number, remedy in enumerate(finding.remedies, 1)
    ]


def _rights(needs_root: bool) -> str:
    return " (needs root)" if needs_root else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
