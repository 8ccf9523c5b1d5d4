"""`convert-a-lot gpu probe`: whether this machine has a GPU that works, and if not, where that ends."""

from __future__ import annotations

from typing import Annotated

import typer

from sir_convert_a_lot.domain.errors import ExitCode
from sir_convert_a_lot.domain.gpu_causes import Cause
from sir_convert_a_lot.domain.gpu_facts import LADDER, ProbeSnapshot, Rung, snapshot_to_json
from sir_convert_a_lot.interfaces.cli import options
from sir_convert_a_lot.interfaces.cli.talk import answer, answer_json, answer_table

app = typer.Typer(help="The GPU of this machine.", no_args_is_help=True)


@app.callback()
def gpu() -> None:
    """The GPU of this machine."""


LastRung = Annotated[
    Rung,
    typer.Option("--rung", help="Climb no further than this. Only the whole ladder proves a GPU: below it, exit 2."),
]


@app.command()
def probe(last_rung: LastRung = LADDER[-1], as_json: options.Json = False) -> ExitCode:
    """Climb the ladder of checks and show where it ends. Exits 0 proven, 1 refused, 2 could not tell."""
    from sir_convert_a_lot.bootstrap import probe_gpu
    from sir_convert_a_lot.settings import load_settings

    snapshot = probe_gpu(last_rung, load_settings().settings)
    if as_json:
        answer_json(snapshot_to_json(snapshot))
    else:
        _show(snapshot)
    return exit_code_of(snapshot)


def exit_code_of(snapshot: ProbeSnapshot) -> ExitCode:
    """0 proven, 1 refused with a cause, 2 could not tell."""
    if snapshot.is_available:
        return ExitCode.OK
    return ExitCode.UNKNOWN if snapshot.cause in {None, Cause.PROBE_INCOMPLETE} else ExitCode.FAILED


def _show(snapshot: ProbeSnapshot) -> None:
    if snapshot.is_available:
        answer(f"GPU proven: {snapshot.device_name} ({snapshot.runtime_kind.value}, {snapshot.arch})")
    else:
        cause = snapshot.cause.value if snapshot.cause else "not proven"
        answer(f"GPU not available: {cause}, the ladder ended at {snapshot.rung.value}")
    rows = [
        (rung.rung.value, rung.state.value, f"{rung.duration_ms:.1f}", rung.seen.replace("\n", " "))
        for rung in snapshot.rungs
    ]
    answer_table(("rung", "state", "ms", "seen"), rows)
    for heading, lines in (
        ("evidence", snapshot.evidence),
        ("remedy", [remedy.sentence for remedy in snapshot.remediation]),
        ("warning", snapshot.warnings),
    ):
        for line in lines:
            answer(f"{heading}: {line}")
