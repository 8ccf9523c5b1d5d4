"""What became of one document of a run, through a service or without one.

Owns the outcome and what an error means for it and for the rest of the run. Refuses to print and to write files.
"""

from __future__ import annotations

from dataclasses import dataclass

from sir_convert_a_lot.domain.errors import (
    AuthInvalidApiKey,
    ExitCode,
    GpuNotAvailable,
    JobNotSucceeded,
    ModelWeightsMissing,
    RetryLaterError,
    SirConvertError,
    ValidationError,
)
from sir_convert_a_lot.domain.job import JobStatus
from sir_convert_a_lot.interfaces.cli.sources import Document
from sir_convert_a_lot.interfaces.client.refusals import SHA256_MISMATCH, UnrecognisedAnswer

JOB_TIMEOUT = "job_timeout"  # --max-poll-seconds passed; the job itself goes on


class OutputNotWritten(SirConvertError):
    """The Markdown or the manifest could not be written where it was wanted."""

    code = "output_not_written"
    exit_code = ExitCode.FAILED


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one document; more than the manifest keeps."""

    document: Document
    status: str  # a value of job.JobStatus
    job_id: str | None = None
    error: SirConvertError | None = None
    error_code: str | None = None
    backend_used: str | None = None
    acceleration_used: str | None = None
    pages: int | None = None
    elapsed_s: float | None = None
    is_reused: bool = False  # an earlier run had converted it: its pages are not this run's work
    warnings: tuple[str, ...] = ()

    @property
    def has_succeeded(self) -> bool:
        return self.status == JobStatus.SUCCEEDED.value


def is_common(error: SirConvertError) -> bool:
    """Whether every other document of the run would be refused the same way."""
    if isinstance(error, ValidationError):  # of the spec, which differs only in the file name
        return str(error.details.get("field", "")).startswith(("conversion.", "execution.", "retention."))
    if isinstance(error, UnrecognisedAnswer):
        return error.details.get("reason") != SHA256_MISMATCH
    return isinstance(error, AuthInvalidApiKey | GpuNotAvailable | ModelWeightsMissing | RetryLaterError)


def failed(document: Document, error: SirConvertError, job_id: str | None = None) -> Outcome:
    """A failure; the code is the service's own word, also where this version has no error of that name."""
    code = error.details.get("failure_code") or error.details.get("code") or error.code
    if isinstance(error, JobNotSucceeded) and error.details.get("status") == JobStatus.CANCELED.value:
        return Outcome(document, JobStatus.CANCELED.value, job_id)
    return Outcome(document, JobStatus.FAILED.value, job_id, error=error, error_code=str(code))
