"""`convert-a-lot submit`: hand PDFs to a service and come back at once with the job ids."""

from __future__ import annotations

from sir_convert_a_lot.domain.job_spec import (
    AccelerationPolicy,
    BackendStrategy,
    Normalize,
    OcrMode,
    Priority,
    TableMode,
)
from sir_convert_a_lot.interfaces.cli import options
from sir_convert_a_lot.interfaces.cli.options import connect
from sir_convert_a_lot.interfaces.cli.sources import find_pdfs
from sir_convert_a_lot.interfaces.cli.talk import answer, answer_json


def submit(
    sources: options.Sources,
    *,
    service_url: options.ServiceUrl = options.DEFAULT_SERVICE_URL,
    recursive: options.Recursive = False,
    acceleration_policy: options.Policy = AccelerationPolicy.GPU_REQUIRED,
    backend_strategy: options.Backend = BackendStrategy.AUTO,
    ocr_mode: options.Ocr = OcrMode.AUTO,
    table_mode: options.Tables = TableMode.FAST,
    normalize: options.Tidy = Normalize.STANDARD,
    priority: options.Urgency = Priority.NORMAL,
    document_timeout_seconds: options.DocumentTimeout = 1800,
    pin: options.Pin = False,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> None:
    """Submit PDFs and print one job id a line. Stops at the first refusal.

    Submitting the same PDF with the same options again gives the same job, unless that one failed or was canceled.
    """
    from sir_convert_a_lot.interfaces.client.submission import submissions

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
    jobs = []
    with connect(service_url, api_key) as client:
        for pdf in find_pdfs(sources, recursive=recursive):
            submission = next(submissions(client, pdf, wish.spec_for(pdf)))
            if not as_json:
                answer(submission.job.job_id)
            jobs.append(
                {
                    "source_file_path": str(pdf),
                    "job_id": submission.job.job_id,
                    "status": submission.job.status.value,
                    "is_replay": submission.is_replay,
                }
            )
    if as_json:
        answer_json({"jobs": jobs})
