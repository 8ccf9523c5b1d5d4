"""`convert-a-lot collect JOB`: fetch the Markdown of a job."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated

import typer

from sir_convert_a_lot.domain.errors import ExitCode
from sir_convert_a_lot.interfaces.cli import options
from sir_convert_a_lot.interfaces.cli.options import connect
from sir_convert_a_lot.interfaces.cli.outcome import JOB_TIMEOUT
from sir_convert_a_lot.interfaces.cli.sources import absolute
from sir_convert_a_lot.interfaces.cli.talk import answer_json, answer_path, say


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
    """Write the Markdown of a succeeded job into the output folder and print its path."""
    from sir_convert_a_lot.interfaces.cli.remote_run import write_result
    from sir_convert_a_lot.interfaces.client.answers import ResultView
    from sir_convert_a_lot.interfaces.client.refusals import UnrecognisedAnswer

    with connect(service_url, api_key) as client:
        record = client.wait(job, max_poll_seconds)
        if not record.status.is_terminal:
            if as_json:
                answer_json(
                    {"job_id": job, "status": record.status.value, "output_path": None, "error_code": JOB_TIMEOUT}
                )
            say(f"{job} is still {record.status.value}; run this again later")
            return ExitCode.STILL_RUNNING
        result = client.result(job)
        if not isinstance(result, ResultView):
            raise UnrecognisedAnswer(f"{job} ended, yet the service says that its result is to come")
        # The name comes from the network: only its last part is used.
        output = absolute(output_dir) / (PurePosixPath(result.markdown_filename).name or f"{job}.md")
        write_result(client, result, output)
    if as_json:
        answer_json(
            {
                "job_id": job,
                "status": record.status.value,
                "output_path": str(output),
                "error_code": None,
                "sha256": result.sha256,
                "size_bytes": result.size_bytes,
                "backend_used": result.backend_used,
                "acceleration_used": result.acceleration_used,
                "warnings": list(result.warnings),
            }
        )
        return ExitCode.OK
    for warning in result.warnings:
        say(f"warning: {warning}")
    say(f"{output.name}: {result.size_bytes} bytes by {result.backend_used} on {result.acceleration_used}")
    answer_path(output)
    return ExitCode.OK
