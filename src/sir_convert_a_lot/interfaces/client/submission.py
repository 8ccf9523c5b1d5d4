"""Submitting so that the same conversion is one job, and a retry is a retry.

Owns which attempt's key is sent. A job that lives or succeeded is reused; one that failed, was canceled or expired is
left alone, and the next attempt gets a key of its own.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

from sir_convert_a_lot.domain.errors import IdempotencyKeyReused, JobExpired, PdfUnreadable
from sir_convert_a_lot.domain.job import JobStatus
from sir_convert_a_lot.domain.job_spec import JobSpec
from sir_convert_a_lot.interfaces.client.answers import Submission
from sir_convert_a_lot.interfaces.client.idempotency import key_of, sha256_of_file
from sir_convert_a_lot.interfaces.client.service import ServiceClient

MAX_REPLAYS = 20  # each look at an earlier attempt is one upload; past that a key is made up


def submissions(client: ServiceClient, pdf: Path, spec: JobSpec) -> Iterator[Submission]:
    """The job of this content and spec, and a later attempt each time the caller asks for another.

    The first is what nearly everyone wants. Ask again when a replayed job turns out to be of no use (canceled a moment
    later, its files gone). The last one is never a replay. Raises `PdfUnreadable` when the file cannot be opened.
    """
    try:
        pdf_sha256 = sha256_of_file(pdf)
    except OSError as error:
        raise PdfUnreadable(f"cannot open {pdf}: {error.strerror}", details={"reason": "cannot_be_opened"}) from error
    keys = [key_of(spec, pdf_sha256, attempt) for attempt in range(1, MAX_REPLAYS + 1)]
    for key in [*keys, f"{keys[0]}-{uuid.uuid4().hex}"]:
        try:
            submission = client.submit(pdf, spec, key)
        except (JobExpired, IdempotencyKeyReused):
            continue  # the key's job is gone, or it was bound by a service with other defaults
        if not (submission.is_replay and submission.job.status in {JobStatus.FAILED, JobStatus.CANCELED}):
            yield submission
