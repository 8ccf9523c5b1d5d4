"""The error tree: every way a request, a job or a command can fail, grouped by what the caller can do.

    SirConvertError
    ├── InputError               fix the input
    │   ├── AuthInvalidApiKey            401  auth_invalid_api_key
    │   ├── ValidationError              422  validation_error       (400 when the form itself is malformed)
    │   ├── IdempotencyKeyMissing        400  idempotency_key_missing
    │   ├── IdempotencyKeyReused         409  idempotency_key_reused_with_different_payload
    │   ├── UnsupportedMediaType         415  unsupported_media_type
    │   ├── PayloadTooLarge              413  payload_too_large
    │   ├── PdfUnreadable                422  pdf_unreadable
    │   ├── JobNotFound                  404  job_not_found
    │   ├── JobExpired                   404  job_expired
    │   ├── JobNotSucceeded              409  job_not_succeeded
    │   ├── JobNotCancelable             409  job_not_cancelable
    │   └── ResultInlineTooLarge         413  result_inline_too_large
    ├── RetryLaterError          wait, then send the same again
    │   ├── RateLimited                  429  rate_limited
    │   └── ServiceUnavailable           503  service_unavailable
    ├── MachineError             mend the machine, then retry
    │   ├── GpuNotAvailable              503  gpu_not_available
    │   ├── ModelWeightsMissing          503  service_unavailable
    │   ├── OcrModelsMissing             503  ocr_models_missing     (a failure code of jobs)
    │   └── ServiceCannotStart                service_cannot_start   (of the command line; nobody listens yet)
    ├── JobFailure               the job ran and failed; never an HTTP answer of its own
    │   ├── DocumentTimeout                   document_timeout
    │   ├── WorkerCrashed                     worker_crashed
    │   ├── WorkerOutOfMemory                 worker_out_of_memory
    │   ├── RecoveryAttemptsExhausted         recovery_attempts_exhausted
    │   └── PartialConversion                 partial_conversion
    └── InternalError            report a bug
                                         500  internal_error

Owns codes, HTTP status lines, exit codes and whether a retry can help. Refuses to know HTTP, DBOS or Typer: the rim
translates once.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, ClassVar


class ExitCode(IntEnum):
    """What the command line tells the shell. 2 stays "could not tell", so usage errors exit 64 (sysexits EX_USAGE)."""

    OK = 0
    FAILED = 1  # refused, or at least one document failed
    UNKNOWN = 2  # could not tell
    USAGE = 64  # the command line itself is wrong
    BAD_INPUT = 65  # the PDF or the job spec is wrong
    UNAVAILABLE = 69  # no service answers, or it asks to retry later
    INTERNAL = 70  # a bug of ours
    GPU_NOT_AVAILABLE = 75  # the GPU was required and is not there; retry after the remedy
    AUTH = 77  # the API key is missing or wrong
    STILL_RUNNING = 79  # --max-poll-seconds passed; the job goes on
    INTERRUPTED = 130  # Ctrl-C


class SirConvertError(Exception):
    """Base of the tree. `details` is JSON-able and goes to the caller as it is: no secrets, no paths of the host."""

    code: ClassVar[str] = "internal_error"
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[ExitCode] = ExitCode.INTERNAL
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        http_status: int | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Any] = dict(details or {})
        self.status: int = http_status if http_status is not None else self.http_status
        self.retry_after_s = retry_after_s


class InputError(SirConvertError):
    """The caller sent something wrong; the same request will fail again."""

    exit_code = ExitCode.BAD_INPUT


class AuthInvalidApiKey(InputError):
    code = "auth_invalid_api_key"
    http_status = 401
    exit_code = ExitCode.AUTH


class ValidationError(InputError):
    """The form (400) or the job spec (422) is wrong. `details` names `field` and `reason`."""

    code = "validation_error"
    http_status = 422


class IdempotencyKeyMissing(InputError):
    code = "idempotency_key_missing"
    http_status = 400


class IdempotencyKeyReused(InputError):
    code = "idempotency_key_reused_with_different_payload"
    http_status = 409


class UnsupportedMediaType(InputError):
    code = "unsupported_media_type"
    http_status = 415


class PayloadTooLarge(InputError):
    code = "payload_too_large"
    http_status = 413


class PdfUnreadable(InputError):
    """Damaged, without pages, or encrypted: `details.reason` says which. Also a failure code of jobs."""

    code = "pdf_unreadable"
    http_status = 422


class JobNotFound(InputError):
    code = "job_not_found"
    http_status = 404


class JobExpired(InputError):
    code = "job_expired"
    http_status = 404


class JobNotSucceeded(InputError):
    """`details`: `status`, `failure_code`, `failure_message`, `retryable`."""

    code = "job_not_succeeded"
    http_status = 409
    exit_code = ExitCode.FAILED


class JobNotCancelable(InputError):
    code = "job_not_cancelable"
    http_status = 409


class ResultInlineTooLarge(InputError):
    code = "result_inline_too_large"
    http_status = 413


class RetryLaterError(SirConvertError):
    """The same request may succeed later; `retry_after_s` says when."""

    exit_code = ExitCode.UNAVAILABLE
    retryable = True


class RateLimited(RetryLaterError):
    """Too many requests a minute, or the queue is full. Never used for a broken engine."""

    code = "rate_limited"
    http_status = 429


class ServiceUnavailable(RetryLaterError):
    """The job engine or the storage is broken. Never used for a full queue."""

    code = "service_unavailable"
    http_status = 503


class MachineError(SirConvertError):
    """The host must be mended first; `details` carry cause, evidence and the next command to type."""

    retryable = True


class GpuNotAvailable(MachineError):
    """The GPU was asked for and is not proven. Raised at admission, and a failure code of jobs.

    `fault` is how work on the GPU ended in a worker, as JSON: what its service needs to find the cause. No caller sees
    it.
    """

    code = "gpu_not_available"
    http_status = 503
    exit_code = ExitCode.GPU_NOT_AVAILABLE
    fault: Mapping[str, Any] | None = None


class ModelWeightsMissing(MachineError):
    """An engine's model files are not on this machine. `details`: `missing` (file names), `remediation`."""

    code = "service_unavailable"
    http_status = 503
    exit_code = ExitCode.UNAVAILABLE


class OcrModelsMissing(MachineError):
    """A page needs OCR and the installation lacks the models; `details.missing` names their files."""

    code = "ocr_models_missing"
    http_status = 503
    exit_code = ExitCode.UNAVAILABLE


class ServiceCannotStart(MachineError):
    """The storage root or a database under it cannot be used. `details.reason`: root_in_use | storage | database |
    torch_set_undone.
    """

    code = "service_cannot_start"
    http_status = 503
    exit_code = ExitCode.UNAVAILABLE


class JobFailure(SirConvertError):
    """A job that ran and failed."""

    exit_code = ExitCode.FAILED


class DocumentTimeout(JobFailure):
    code = "document_timeout"
    retryable = True


class WorkerCrashed(JobFailure):
    code = "worker_crashed"
    retryable = True


class WorkerOutOfMemory(JobFailure):
    code = "worker_out_of_memory"


class RecoveryAttemptsExhausted(JobFailure):
    """The job was running each time the service died, so it is no longer started again."""

    code = "recovery_attempts_exhausted"


class PartialConversion(JobFailure):
    """Some pages could not be converted; `details.failed_pages` lists them (1-based)."""

    code = "partial_conversion"


class InternalError(SirConvertError):
    code = "internal_error"
    http_status = 500


# For whoever reads an error back from a wire: the class of each code. Where two share one, it is the first, and
# `find_kind` tells them apart.
ERRORS_BY_CODE: dict[str, type[SirConvertError]] = {
    kind.code: kind
    for kind in reversed(list(vars().values()))
    if isinstance(kind, type) and kind is not SirConvertError and issubclass(kind, SirConvertError)
    if "code" in vars(kind)
}
MODEL_WEIGHTS_MISSING = "model_weights_missing"  # `details.reason` of `ModelWeightsMissing`


def find_kind(code: str, details: Mapping[str, Any]) -> type[SirConvertError] | None:
    """The class of an error that came over a wire; None for a code that this version does not know."""
    if code == ModelWeightsMissing.code and details.get("reason") == MODEL_WEIGHTS_MISSING:
        return ModelWeightsMissing
    return ERRORS_BY_CODE.get(code)
