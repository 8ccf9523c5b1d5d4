"""How the command line speaks: answers on stdout, talk on stderr, errors with their next step.

Owns the two streams and the words around an error. Refuses to decide exit codes (`domain/errors.py`) and to draw
progress (`progress_display`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import typer

from sir_convert_a_lot.domain.errors import ExitCode, SirConvertError
from sir_convert_a_lot.domain.gpu_causes import Cause

# What to do about an error whose details carry no remedy of their own: by reason, else by code.
NEXT_STEPS = {
    "storage": "is there room on the disk, and may it be written? then run the same command again",
    "auth_invalid_api_key": "give the service's key with --api-key or SIR_CONVERT_A_LOT_API_KEY",
    "service_unavailable": "is the service running? start one with: convert-a-lot serve",
    "rate_limited": "the service is busy: run the same command again later",
    "job_not_found": "look at the jobs it has: convert-a-lot list",
    "job_expired": "its files are gone: submit the PDF again",
}


# Causes that may be over by themselves when the GPU is looked at again. Of all others the remedies have to be followed.
MENDED_BY_WAITING = frozenset(
    {
        Cause.VRAM_EXHAUSTED,  # others let go of their memory
        Cause.EXCLUSIVE_OR_BUSY,
        Cause.FABRIC_NOT_READY,  # it is set up while the host starts
        Cause.GPU_FAULT_STICKY,  # the service replaces the worker
        Cause.PROBE_INCOMPLETE,  # a look that was cut short
    }
)


class UsageMistake(SirConvertError):
    """The command line itself is wrong, seen only after it was parsed."""

    code = "validation_error"
    exit_code = ExitCode.USAGE


def say(line: str) -> None:
    """One line of talk, on stderr."""
    typer.echo(line, err=True)


def answer(line: str) -> None:
    """One line of data, on stdout."""
    typer.echo(line)


def answer_path(path: Path) -> None:
    """A path, on stdout, byte for byte: file names need not be UTF-8."""
    typer.echo(os.fsencode(path))


def answer_json(value: Any) -> None:
    """JSON on stdout, in ASCII, so that no terminal and no file name can spoil it."""
    typer.echo(json.dumps(value, indent=2))


def answer_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns in plain text, as wide as their widest cell; the last one is not padded."""
    table = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    for row in table:
        answer("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def error_object(error: SirConvertError) -> dict[str, Any]:
    """The API's error object, as it stands under `error`. Also for errors that no service told us."""
    details = {name: value for name, value in error.details.items() if name != "correlation_id"}
    return {
        "code": error.code,
        "message": error.message,
        "retryable": error.retryable,
        "details": details,
        "correlation_id": error.details.get("correlation_id"),
    }


def may_pass(cause: object) -> bool:
    """Whether waiting alone may mend `cause`. One that this version does not know may, if its service says so."""
    known = set(Cause)
    return isinstance(cause, str) and (cause in MENDED_BY_WAITING or cause not in known)


def explain(error: SirConvertError) -> list[str]:
    """What a person should read about `error`: the message, what was seen, what to do next."""
    details = error.details
    lines = [f"error: {error.message or error.code} [{error.code}]"]
    if details.get("cause"):
        lines.append(f"  cause:    {details['cause']} (rung {details.get('rung')})")
    lines += [f"  evidence: {seen}" for seen in details.get("evidence") or ()]
    lines += [f"  remedy:   {remedy}" for remedy in details.get("remediation") or ()]
    if error.retry_after_s is not None and may_pass(details.get("cause")):
        lines.append(f"  retry:    after {error.retry_after_s} s at the earliest")
    if details.get("field"):
        lines.append(f"  field:    {details['field']} ({details.get('reason', 'not allowed')})")
    next_step = NEXT_STEPS.get(str(details.get("reason")), NEXT_STEPS.get(error.code))
    if next_step is not None and not details.get("remediation"):
        lines.append(f"  remedy:   {next_step}")
    lines += [f"  log:      {line}" for line in details.get("log") or ()]
    if details.get("correlation_id"):
        lines.append(f"  request:  {details['correlation_id']} in the log of the service")
    return lines


def report(error: SirConvertError, *, as_json: bool) -> None:
    """Tell an error: to people on stderr, to programs (`--json`) on stdout."""
    if as_json:
        answer_json({"error": error_object(error)})
    else:
        for line in explain(error):
            say(line)
