"""`convert-a-lot status JOB`: where a job is."""

from __future__ import annotations

from typing import Annotated

import typer

from sir_convert_a_lot.domain.job import JobStatus
from sir_convert_a_lot.interfaces.cli import options
from sir_convert_a_lot.interfaces.cli.options import connect
from sir_convert_a_lot.interfaces.cli.talk import answer, answer_json, explain, say


def status(
    job: options.JobId,
    *,
    wait_seconds: Annotated[
        int, typer.Option("--wait-seconds", min=0, max=20, help="Wait that long for a change of state.")
    ] = 0,
    service_url: options.ServiceUrl = options.DEFAULT_SERVICE_URL,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> None:
    """Show a job: its state, stage and pages.

    And why, when it failed. Exits 0 whatever the state is.
    """
    from sir_convert_a_lot.interfaces.cli.progress_display import describe

    with connect(service_url, api_key) as client:
        record = client.job(job, wait_seconds)
        failure = client.failure(job) if record.status is JobStatus.FAILED else None
    if as_json:
        answer_json({"job": record.raw})
        return
    answer(f"{record.job_id}  {record.status.value}  {record.source_filename}")
    if not record.status.is_terminal:
        answer(describe(record.progress))
    for line in explain(failure) if failure is not None else ():
        say(line)
