"""`convert-a-lot cancel JOB`: ask the service to stop a job."""

from __future__ import annotations

from sir_convert_a_lot.interfaces.cli import options
from sir_convert_a_lot.interfaces.cli.options import connect
from sir_convert_a_lot.interfaces.cli.talk import answer, answer_json


def cancel(
    job: options.JobId,
    *,
    service_url: options.ServiceUrl = options.DEFAULT_SERVICE_URL,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> None:
    """Ask for a job to be canceled. Its worker is dead within 5 s; asking twice is harmless."""
    with connect(service_url, api_key) as client:
        record = client.cancel(job)
    if as_json:
        answer_json({"job": record.raw})
    elif record.status.is_terminal:
        answer(f"{record.job_id}  {record.status.value}")
    else:
        answer(f"{record.job_id}  cancel asked, still {record.status.value}")
