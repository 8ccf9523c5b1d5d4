"""`convert-a-lot submit`: hand PDFs to a service and come back at once with the job ids."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sir_convert_a_lot.domain.errors import ExitCode, SirConvertError
from sir_convert_a_lot.interfaces.cli import options
from sir_convert_a_lot.interfaces.cli.options import Wish, connect
from sir_convert_a_lot.interfaces.cli.sources import find_pdfs
from sir_convert_a_lot.interfaces.cli.talk import answer, answer_json, error_object, report


@options.takes_wish
def submit(
    sources: options.Sources,
    *,
    service_url: options.ServiceUrl = options.DEFAULT_SERVICE_URL,
    recursive: options.Recursive = False,
    wish: Wish,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> ExitCode:
    """Submit PDFs and print one job id a line. Stops at the first refusal.

    Submitting the same PDF with the same options again gives the same job, unless that one failed or was canceled.
    """
    pdfs = find_pdfs(sources, recursive=recursive)
    jobs: list[dict[str, Any]] = []
    told: dict[str, Any] = {"jobs": jobs}
    code = ExitCode.OK
    try:
        for job in _submit(pdfs, wish, service_url, api_key):
            jobs.append(job)
            if not as_json:
                answer(job["job_id"])
    except SirConvertError as error:
        code, told["error"] = error.exit_code, error_object(error)
        if not as_json:
            report(error, as_json=False)
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    if as_json:  # also after a refusal: the jobs before it are at work
        answer_json(told)
    return code


def _submit(pdfs: tuple[Path, ...], wish: Wish, service_url: str, api_key: str | None) -> Iterator[dict[str, Any]]:
    """What is told of each job, as soon as it is accepted."""
    from sir_convert_a_lot.interfaces.client.submission import submissions

    with connect(service_url, api_key) as client:
        for pdf in pdfs:
            submission = next(submissions(client, pdf, wish.spec_for(pdf)))
            yield {
                "source_file_path": str(pdf),
                "job_id": submission.job.job_id,
                "status": submission.job.status.value,
                "is_replay": submission.is_replay,
            }
