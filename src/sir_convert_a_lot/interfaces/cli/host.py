"""`convert-a-lot host`: a host that converts, looked at from anywhere.

Owns what a person reads of a verification. Refuses to look itself (`application.verify`).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sir_convert_a_lot.domain.errors import ExitCode
from sir_convert_a_lot.domain.host_findings import Finding, Outcome, Verdict
from sir_convert_a_lot.interfaces.cli import options
from sir_convert_a_lot.interfaces.cli.outcome import OutputNotWritten
from sir_convert_a_lot.interfaces.cli.talk import UsageMistake, answer, answer_json, say

app = typer.Typer(help="A host that converts on its GPU.", no_args_is_help=True)

HostName = Annotated[
    str | None,
    typer.Option("--host", help="A host of the hosts file; without it, this machine.", show_default=False),
]
HostsFile = Annotated[
    Path | None,
    typer.Option(
        "--hosts",
        help="The hosts file; else what SIR_CONVERT_A_LOT_HOSTS names, else ~/.config/sir-convert-a-lot/hosts.toml.",
        exists=True,
        dir_okay=False,
        show_default=False,
    ),
]
Evidence = Annotated[
    Path | None,
    typer.Option("--evidence", help="Keep all of it in this folder, with a page to read.", show_default=False),
]
Pdf = Annotated[
    Path | None,
    typer.Option(
        "--pdf",
        help="What is converted as the proof; else an example of the project's on the host.",
        exists=True,
        dir_okay=False,
        show_default=False,
    ),
]
MARK = {Outcome.OK: "ok     ", Outcome.FAILED: "FAILED ", Outcome.UNKNOWN: "unknown"}


@app.callback()
def host() -> None:
    """A host that converts on its GPU."""


@app.command()
def verify(
    *,
    host: HostName = None,
    hosts: HostsFile = None,
    evidence: Evidence = None,
    pdf: Pdf = None,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> ExitCode:
    """Ask whether a host is fit to convert on its GPU.

    Exits 0 with a yes, 1 with a no, 2 when it could not be told. Changes nothing on the host; converts one PDF there.
    """
    from sir_convert_a_lot.bootstrap_hosts import find_profile, verify_host
    from sir_convert_a_lot.interfaces.cli.live_service import connecting

    profile = find_profile(host, hosts)
    try:
        verification = verify_host(
            profile, connecting(api_key), pdf=pdf, evidence=evidence, tell=None if as_json else _tell
        )
    except OSError as error:
        raise OutputNotWritten(f"cannot write the evidence to {evidence}: {error.strerror}") from error
    if as_json:
        answer_json(verification.verdict.to_json())
    else:
        _conclude(verification.verdict, evidence)
    return verification.verdict.exit_code


def _tell(finding: Finding) -> None:
    answer(f"{MARK[finding.outcome]}  {finding.check + ':':<17}{finding.summary}")


def _conclude(verdict: Verdict, evidence: Path | None) -> None:
    explanation = verdict.explanation
    if explanation is None:
        answer(f"{verdict.host} is fit to convert on its GPU.")
    else:
        word = "is not" if verdict.outcome is Outcome.FAILED else "may not be"
        answer(f"{verdict.host} {word} fit to convert on its GPU: {explanation.code}")
        for line in explanation.evidence:
            answer(f"  evidence: {line}")
        for remedy in explanation.remedies:
            answer(f"  remedy:   {remedy.sentence}")
        answer(f"  runbook:  {explanation.runbook}")
    if evidence is not None:
        say(f"Evidence: {evidence / 'report.md'}")


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def run(
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="[COMMAND]...", help="What to run; without it, a shell script on stdin."),
    ] = None,
    *,
    host: HostName = None,
    hosts: HostsFile = None,
    timeout_s: Annotated[
        float, typer.Option("--timeout-seconds", min=1, help="After it, the command is killed.")
    ] = 3600,
) -> int:
    """Run a command in the project's folder on a host, in a clean shell.

    Its exit code is passed through. 66: the folder is not there; 67: it is no git repository; 68: it is not the top of
    the one it lies in; 124: the command was killed after its time. Every argument arrives as it is.
    """
    from sir_convert_a_lot.bootstrap_hosts import find_profile, reach_host
    from sir_convert_a_lot.interfaces.cli.host_run import run_in_project

    stdin = b"" if sys.stdin.isatty() else sys.stdin.buffer.read()
    if not command and not stdin:
        raise UsageMistake(
            "name a command, or give a script on stdin", details={"field": "command", "reason": "missing"}
        )
    profile = find_profile(host, hosts)
    return run_in_project(reach_host(profile), profile.root, command or [], stdin, timeout_s)
