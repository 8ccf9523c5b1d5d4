"""The service of a host, as the checks of a verification meet it: the client that everyone uses, behind their port.

Owns one conversion under `gpu_required` that is always a new job. Refuses to judge its result.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sir_convert_a_lot.domain.errors import JobNotCancelable
from sir_convert_a_lot.domain.host_check import LiveResult, ServiceAnswer
from sir_convert_a_lot.domain.job import JobStatus
from sir_convert_a_lot.domain.job_spec import AccelerationPolicy
from sir_convert_a_lot.interfaces.cli.options import make_wish
from sir_convert_a_lot.interfaces.client.answers import ResultView
from sir_convert_a_lot.interfaces.client.refusals import UnrecognisedAnswer
from sir_convert_a_lot.interfaces.client.service import ServiceClient


@dataclass(frozen=True, slots=True)
class ClientService:
    """The port `LiveService`."""

    client: ServiceClient

    def health(self) -> ServiceAnswer:
        return ServiceAnswer(*self.client.look("/healthz"))

    def readiness(self) -> ServiceAnswer:
        return ServiceAnswer(*self.client.look("/readyz"))

    def convert(self, pdf: Path, timeout_s: float) -> LiveResult | None:
        spec = make_wish(acceleration_policy=AccelerationPolicy.GPU_REQUIRED).spec_for(pdf)
        began = time.monotonic()
        submission = self.client.submit(pdf, spec, f"host-verify-{uuid.uuid4().hex}")
        job = self.client.wait(submission.job.job_id, timeout_s)
        elapsed_s = time.monotonic() - began
        if not job.status.is_terminal:
            self._cancel(job.job_id)
            return None
        if job.status is JobStatus.FAILED:
            raise self.client.failure(job.job_id)
        result = self.client.result(job.job_id)
        if not isinstance(result, ResultView):
            raise UnrecognisedAnswer(f"{job.job_id} has {job.status.value}, yet its result is said to be under way")
        return LiveResult(
            job.job_id, result.acceleration_used, result.warnings, result.execution, elapsed_s, result.raw
        )

    def _cancel(self, job_id: str) -> None:
        try:
            self.client.cancel(job_id)
        except JobNotCancelable:
            return  # it ended by itself meanwhile


def connecting(api_key: str | None) -> Callable[[str], AbstractContextManager[ClientService]]:
    """What opens the service at a URL, with this key."""

    @contextmanager
    def connect(service_url: str) -> Iterator[ClientService]:
        with ServiceClient(service_url, api_key) as client:
            yield ClientService(client)

    return connect
