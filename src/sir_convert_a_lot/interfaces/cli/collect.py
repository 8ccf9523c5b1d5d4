"""`convert-a-lot collect JOB`: fetch the Markdown of a job."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sir_convert_a_lot.domain.errors import ExitCode
from sir_convert_a_lot.interfaces.cli import options
from sir_convert_a_lot.interfaces.cli.options import connect
from sir_convert_a_lot.interfaces.cli.outcome import JOB_TIMEOUT
from sir_convert_a_lot.interfaces.cli.sources import absolute
from sir_convert_a_lot.interfaces.cli.talk import answer_json, answer_path, say

if TYPE_CHECKING:
    from sir_convert_a_lot.interfaces.client.answers import JobView, ResultView


def collect(
    job: options.JobId,
    *,
    output_dir: options.OutputDir,
    max_poll_seconds: Annotated[
        float, typer.Option("--max-poll-seconds", min=0, help="Wait that long for a job that is still under way.")
    ] = 0.0,
    service_url: options.ServiceUrl = options.DEFAULT_SERVICE_URL,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> ExitCode:
    """Fetch the Markdown of a job that succeeded.

    It is written into the output folder, under the name that the service gave it, and its path is printed.
    """
    from sir_convert_a_lot.interfaces.cli.remote_run import write_result
    from sir_convert_a_lot.interfaces.client.answers import ResultView
    from sir_convert_a_lot.interfaces.client.refusals import UnrecognisedAnswer

    with connect(service_url, api_key) as client:
        record = client.wait(job, max_poll_seconds)
        if not record.status.is_terminal:
            return _tell_unfinished(record, as_json=as_json)
        result = client.result(job)
        if not isinstance(result, ResultView):
            raise UnrecognisedAnswer(f"{job} ended, yet the service says that its result is to come")
        # The name comes from the network: only its last part is used.
        output = absolute(output_dir) / (PurePosixPath(result.markdown_filename).name or f"{job}.md")
        write_result(client, result, output)
    _tell_collected(record, result, output, as_json=as_json)
    return ExitCode.OK


def _tell_unfinished(record: JobView, *, as_json: bool) -> ExitCode:
    if as_json:
        answer_json(_describe(record, output=None, error_code=JOB_TIMEOUT))
    say(f"{record.job_id} is still {record.status.value}; run this again later")
    return ExitCode.STILL_RUNNING


def _tell_collected(record: JobView, result: ResultView, output: Path, *, as_json: bool) -> None:
    if as_json:
        about = {
            "sha256": result.sha256,
            "size_bytes": result.size_bytes,
            "backend_used": result.backend_used,
            "acceleration_used": result.acceleration_used,
            "warnings": list(result.warnings),
        }
        answer_json(_describe(record, output=output, error_code=None) | about)
        return
    for warning in result.warnings:
        say(f"warning: {warning}")
    say(f"{output.name}: {result.size_bytes} bytes by {result.backend_used} on {result.acceleration_used}")
    answer_path(output)


def _describe(record: JobView, *, output: Path | None, error_code: str | None) -> dict[str, Any]:
    return {
        "job_id": record.job_id,
        "status": record.status.value,
        "output_path": None if output is None else str(output),
        "error_code": error_code,
    }
