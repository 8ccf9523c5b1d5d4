"""`convert-a-lot convert`: PDFs in, Markdown files and a manifest out, through a service or on this machine."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from sir_convert_a_lot.domain.errors import ExitCode, SirConvertError
from sir_convert_a_lot.domain.job import JobStatus
from sir_convert_a_lot.domain.job_spec import (
    AccelerationPolicy,
    BackendStrategy,
    Normalize,
    OcrMode,
    Priority,
    TableMode,
)
from sir_convert_a_lot.interfaces.cli import options
from sir_convert_a_lot.interfaces.cli.manifest import entries_of, write_manifest
from sir_convert_a_lot.interfaces.cli.options import Wish, connect
from sir_convert_a_lot.interfaces.cli.outcome import JOB_TIMEOUT, Outcome, OutputNotWritten
from sir_convert_a_lot.interfaces.cli.sources import Document, absolute, find_documents
from sir_convert_a_lot.interfaces.cli.talk import UsageMistake, answer_json, answer_path, error_object, say


def convert(
    sources: options.Sources,
    *,
    output_dir: options.OutputDir,
    service_url: options.ServiceUrl = options.DEFAULT_SERVICE_URL,
    local: Annotated[bool, typer.Option("--local", help="Convert on this machine, without a service.")] = False,
    recursive: options.Recursive = False,
    concurrency: Annotated[
        int, typer.Option("--concurrency", min=1, max=64, help="Documents under way at once, with a service.")
    ] = 8,
    acceleration_policy: options.Policy = AccelerationPolicy.GPU_REQUIRED,
    backend_strategy: options.Backend = BackendStrategy.AUTO,
    ocr_mode: options.Ocr = OcrMode.AUTO,
    table_mode: options.Tables = TableMode.FAST,
    normalize: options.Tidy = Normalize.STANDARD,
    priority: options.Urgency = Priority.NORMAL,
    document_timeout_seconds: options.DocumentTimeout = 1800,
    pin: options.Pin = False,
    max_poll_seconds: Annotated[
        float,
        typer.Option("--max-poll-seconds", min=0, help="A job that takes longer goes on without being waited for."),
    ] = 7200.0,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> int:
    """Convert PDFs to Markdown: files, folders, several at once.

    The paths of the Markdown written go to stdout, everything else to stderr. Running it again reuses what succeeded or
    still runs, and tries anew what failed.
    """
    wish = options.wish_of(
        policy=acceleration_policy,
        backend=backend_strategy,
        ocr=ocr_mode,
        tables=table_mode,
        tidy=normalize,
        urgency=priority,
        document_timeout_s=document_timeout_seconds,
        pin=pin,
    )
    documents = find_documents(sources, output_dir, recursive=recursive)
    _make_folder(output_dir)
    began = time.monotonic()
    if local:
        outcomes, stopped_by, is_interrupted = _convert_here(documents, wish)
    else:
        outcomes, stopped_by, is_interrupted = _convert_through(
            documents,
            wish,
            service_url=service_url,
            api_key=api_key,
            concurrency=concurrency,
            max_poll_s=max_poll_seconds,
        )
    manifest = _keep_manifest(absolute(output_dir), outcomes)
    if len(outcomes) > 1:
        say(_sum_up(outcomes, time.monotonic() - began))
    _answer(outcomes, manifest, stopped_by, as_json=as_json)
    return _exit_code(outcomes, stopped_by, is_interrupted=is_interrupted)


Run = tuple[list[Outcome], SirConvertError | None, bool]


def _convert_through(
    documents: Sequence[Document],
    wish: Wish,
    *,
    service_url: str,
    api_key: str | None,
    concurrency: int,
    max_poll_s: float,
) -> Run:
    from sir_convert_a_lot.interfaces.cli.interrupts import Interrupts
    from sir_convert_a_lot.interfaces.cli.progress_display import open_display
    from sir_convert_a_lot.interfaces.cli.remote_run import RemoteRun, RunLimits

    display = open_display(len(documents))
    try:
        with Interrupts(display.close) as interrupts, connect(service_url, api_key, interrupts.asked) as client:
            run = RemoteRun(client, wish, RunLimits(concurrency, max_poll_s), display, interrupts)
            return run.convert(documents), run.stopped_by, interrupts.asked.is_set()
    finally:
        display.close()


def _convert_here(documents: Sequence[Document], wish: Wish) -> Run:
    from sir_convert_a_lot.interfaces.cli.local_run import LocalRun
    from sir_convert_a_lot.interfaces.cli.progress_display import open_display
    from sir_convert_a_lot.settings import load_settings

    settings = load_settings().settings  # what this machine forbids holds without a server too
    display = open_display(len(documents))
    try:
        run = LocalRun(wish, settings, display)
        return run.convert(documents), run.stopped_by, run.is_interrupted
    finally:
        display.close()


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


def _answer(outcomes: Sequence[Outcome], manifest: Path, stopped_by: SirConvertError | None, *, as_json: bool) -> None:
    ordered = sorted(outcomes, key=lambda outcome: outcome.document.pdf)
    if not as_json:
        for outcome in ordered:
            if outcome.has_succeeded:
                answer_path(outcome.document.output)
        return
    told = {str(outcome.document.pdf): _details(outcome) for outcome in ordered}
    entries = [entry | told[entry["source_file_path"]] for entry in entries_of(outcomes)]
    body: dict[str, object] = {"manifest_path": str(manifest), "entries": entries}
    if stopped_by is not None:
        body["error"] = error_object(stopped_by)
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


def _exit_code(outcomes: Sequence[Outcome], stopped_by: SirConvertError | None, *, is_interrupted: bool) -> ExitCode:
    """One document speaks for itself; of several, one failure makes the run a failed one."""
    if is_interrupted:
        return ExitCode.INTERRUPTED
    if stopped_by is not None:
        return stopped_by.exit_code
    unfinished = [outcome for outcome in outcomes if not outcome.has_succeeded]
    if not unfinished:
        return ExitCode.OK
    if all(outcome.error_code == JOB_TIMEOUT for outcome in unfinished):
        return ExitCode.STILL_RUNNING
    if len(outcomes) == 1 and outcomes[0].error is not None:
        return outcomes[0].error.exit_code
    return ExitCode.FAILED
