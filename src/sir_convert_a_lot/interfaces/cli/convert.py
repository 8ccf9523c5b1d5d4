"""`convert-a-lot convert`: PDFs in, Markdown files and a manifest out, through a service or on this machine."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sir_convert_a_lot.domain.errors import ExitCode, SirConvertError
from sir_convert_a_lot.domain.job import JobStatus
from sir_convert_a_lot.interfaces.cli import options
from sir_convert_a_lot.interfaces.cli.manifest import entries_of, write_manifest
from sir_convert_a_lot.interfaces.cli.options import Wish, connect
from sir_convert_a_lot.interfaces.cli.outcome import JOB_TIMEOUT, Outcome, OutputNotWritten
from sir_convert_a_lot.interfaces.cli.sources import Document, absolute, find_documents
from sir_convert_a_lot.interfaces.cli.talk import UsageMistake, answer_json, answer_path, error_object, say

if TYPE_CHECKING:
    from sir_convert_a_lot.settings import Settings


Local = Annotated[
    bool, typer.Option("--local", help="Convert on this machine, without a service: one document after the other.")
]
Concurrency = Annotated[
    int, typer.Option("--concurrency", min=1, max=64, help="Documents under way at once, with a service.")
]
MaxPoll = Annotated[
    float, typer.Option("--max-poll-seconds", min=0, help="A job that takes longer goes on without being waited for.")
]

# What only a service could do something about; by parameter, since that is how Click knows where a value came from.
SERVICE_ONLY = {
    "service_url": "--service-url",
    "api_key": "--api-key",
    "concurrency": "--concurrency",
    "priority": "--priority",
    "pin": "--pin",
    "max_poll_seconds": "--max-poll-seconds",
}


@dataclass(frozen=True, slots=True)
class _Run:
    """What a run came to. `stopped_by`: the refusal that every later document would have met as well."""

    outcomes: Sequence[Outcome]
    stopped_by: SirConvertError | None
    is_interrupted: bool


@dataclass(frozen=True, slots=True)
class _Service:
    """Which service is asked, and how much at once and how long."""

    url: str
    api_key: str | None
    concurrency: int
    max_poll_s: float


@options.takes_wish
def convert(
    context: typer.Context,
    sources: options.Sources,
    *,
    output_dir: options.OutputDir,
    service_url: options.ServiceUrl = options.DEFAULT_SERVICE_URL,
    local: Local = False,
    recursive: options.Recursive = False,
    concurrency: Concurrency = 8,
    wish: Wish,
    max_poll_seconds: MaxPoll = 7200.0,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> int:
    """Convert PDFs to Markdown: files, folders, several at once.

    The paths of the Markdown written go to stdout, everything else to stderr. Running it again reuses what succeeded or
    still runs, and tries anew what failed. Ctrl-C cancels the jobs that this run started.

    With --local there is no service, so --service-url, --api-key, --concurrency, --priority, --pin and
    --max-poll-seconds are refused.
    """
    if local:
        _refuse_service_flags(context)
    documents = find_documents(sources, output_dir, recursive=recursive)
    _make_folder(output_dir)
    began = time.monotonic()
    if local:
        run = _convert_here(documents, wish)
    else:
        service = _Service(service_url, api_key, concurrency, max_poll_seconds)
        run = _convert_through(service, documents, wish)
    manifest = _keep_manifest(absolute(output_dir), run.outcomes)
    if len(run.outcomes) > 1:
        say(_sum_up(run.outcomes, time.monotonic() - began))
    _answer(run, manifest, as_json=as_json)
    return _exit_code(run)


def _refuse_service_flags(context: typer.Context) -> None:
    """A flag that would change nothing must not look as if it did. Variables are set once for many commands, and stay
    unheeded.
    """
    for parameter, flag in SERVICE_ONLY.items():
        source = context.get_parameter_source(parameter)
        if source is not None and source.name == "COMMANDLINE":
            raise UsageMistake(
                f"{flag} is for a service and means nothing with --local: leave one of them out",
                details={"field": flag, "reason": "means_nothing_with_local"},
            )


def _convert_through(service: _Service, documents: Sequence[Document], wish: Wish) -> _Run:
    from sir_convert_a_lot.interfaces.cli.interrupts import Interrupts
    from sir_convert_a_lot.interfaces.cli.progress_display import open_display
    from sir_convert_a_lot.interfaces.cli.remote_run import RemoteRun, RunLimits

    display = open_display(len(documents))
    try:
        with (
            Interrupts(display.close) as interrupts,
            connect(service.url, service.api_key, interrupts.asked) as client,
        ):
            limits = RunLimits(service.concurrency, service.max_poll_s)
            run = RemoteRun(client, wish, limits, display, interrupts)
            return _Run(run.convert(documents), run.stopped_by, interrupts.asked.is_set())
    finally:
        display.close()


def _convert_here(documents: Sequence[Document], wish: Wish) -> _Run:
    from sir_convert_a_lot.interfaces.cli.interrupts import Interrupts
    from sir_convert_a_lot.interfaces.cli.local_run import LocalRun
    from sir_convert_a_lot.interfaces.cli.progress_display import open_display

    settings = load_local_settings()
    display = open_display(len(documents))
    try:
        with Interrupts(display.close) as interrupts:
            run = LocalRun(wish, settings, display, interrupts)
            return _Run(run.convert(documents), run.stopped_by, interrupts.asked.is_set())
    finally:
        display.close()


def load_local_settings() -> Settings:
    """What this machine forbids and bounds holds without a server too. A key is for callers, and here nobody calls."""
    from sir_convert_a_lot.settings import load_settings, variables_of

    key = variables_of("api_key")
    return load_settings(environ={name: value for name, value in os.environ.items() if name not in key}).settings


def _make_folder(output_dir: Path) -> None:
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageMistake(
            f"cannot make the folder {output_dir}: {error.strerror}",
            details={"field": "--output-dir", "reason": "mkdir"},
        ) from error


def _keep_manifest(output_dir: Path, outcomes: Sequence[Outcome]) -> Path:
    try:
        return write_manifest(output_dir, outcomes)
    except OSError as error:
        raise OutputNotWritten(f"cannot write the manifest to {output_dir}: {error.strerror}") from error


def _sum_up(outcomes: Sequence[Outcome], elapsed_s: float) -> str:
    """One line: "3 documents in 4.0 s: 2 succeeded, 1 failed (1 reused); 40 pages, 10.0 pages/s"."""
    reused = sum(outcome.is_reused for outcome in outcomes)
    counts = Counter(outcome.status for outcome in outcomes)
    pages = sum(outcome.pages or 0 for outcome in outcomes if not outcome.is_reused)
    states = ", ".join(f"{counts[status]} {status}" for status in JobStatus if counts[status])
    if reused:
        states += f" ({reused} reused)"
    return f"{len(outcomes)} documents in {elapsed_s:.1f} s: {states}; {pages} pages, {pages / elapsed_s:.1f} pages/s"


def _answer(run: _Run, manifest: Path, *, as_json: bool) -> None:
    ordered = sorted(run.outcomes, key=lambda outcome: outcome.document.pdf)
    if not as_json:
        for outcome in ordered:
            if outcome.has_succeeded:
                answer_path(outcome.document.output)
        return
    told = {str(outcome.document.pdf): _details(outcome) for outcome in ordered}
    entries = [entry | told[entry["source_file_path"]] for entry in entries_of(run.outcomes)]
    body: dict[str, object] = {"manifest_path": str(manifest), "entries": entries}
    if run.stopped_by is not None:
        body["error"] = error_object(run.stopped_by)
    answer_json(body)


def _details(outcome: Outcome) -> dict[str, object]:
    """What `--json` tells of a document beyond the manifest."""
    return {
        "backend_used": outcome.backend_used,
        "acceleration_used": outcome.acceleration_used,
        "pages": outcome.pages,
        "is_reused": outcome.is_reused,
        "elapsed_s": None if outcome.elapsed_s is None else round(outcome.elapsed_s, 3),
        "warnings": list(outcome.warnings),
        "error": None if outcome.error is None else error_object(outcome.error),
    }


def _exit_code(run: _Run) -> ExitCode:
    """One document speaks for itself; of several, one failure makes the run a failed one."""
    if run.is_interrupted:
        return ExitCode.INTERRUPTED
    if run.stopped_by is not None:
        return run.stopped_by.exit_code
    unfinished = [outcome for outcome in run.outcomes if not outcome.has_succeeded]
    if not unfinished:
        return ExitCode.OK
    if all(outcome.error_code == JOB_TIMEOUT for outcome in unfinished):
        return ExitCode.STILL_RUNNING
    if len(run.outcomes) == 1 and run.outcomes[0].error is not None:
        return run.outcomes[0].error.exit_code
    return ExitCode.FAILED
