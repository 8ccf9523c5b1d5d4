"""`convert-a-lot list`: the jobs a service has, newest first."""

from __future__ import annotations

from typing import Annotated

import typer

from sir_convert_a_lot.domain.job import JobStatus
from sir_convert_a_lot.interfaces.cli import options
from sir_convert_a_lot.interfaces.cli.options import connect
from sir_convert_a_lot.interfaces.cli.talk import answer_json, answer_table, say


def list_jobs(
    *,
    status: Annotated[
        JobStatus | None, typer.Option("--status", help="Only jobs in this state.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=200, help="At most so many.")] = 20,
    cursor: Annotated[
        str | None, typer.Option("--cursor", help="Go on where the page before ended.", show_default=False)
    ] = None,
    service_url: options.ServiceUrl = options.DEFAULT_SERVICE_URL,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> None:
    """List jobs, newest first.

    When there are more, the command that shows the next page is told on stderr.
    """
    from sir_convert_a_lot.interfaces.cli.progress_display import describe

    with connect(service_url, api_key) as client:
        page = client.jobs(status.value if status else None, limit, cursor)
    if as_json:
        answer_json({"jobs": [job.raw for job in page.jobs], "next_cursor": page.next_cursor})
        return
    rows = [
        (job.job_id, job.status.value, job.created_at, describe(job.progress), job.source_filename) for job in page.jobs
    ]
    answer_table(("job", "status", "created", "progress", "file"), rows)
    if page.next_cursor:
        say(f"more: convert-a-lot list --cursor {page.next_cursor}")
