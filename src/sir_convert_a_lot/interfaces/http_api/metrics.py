"""What `/metrics` says: requests, refusals by cause, jobs from admission to end, stage times, the GPU probe's state.

Owns names and labels. Labels have few values (routes, codes, causes), never ids or file names. Every service has a
registry of its own.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from sir_convert_a_lot.domain.acceleration_policy import CPU_LOCKED, Readiness
from sir_convert_a_lot.domain.errors import SirConvertError
from sir_convert_a_lot.domain.job import JobRecord
from sir_convert_a_lot.domain.job_spec import AccelerationPolicy

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "sir_convert_a_lot"
# Long-polls last up to 20 s; a status read takes milliseconds.
DURATION_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """Counts in memory. Every method is cheap and may be called from the event loop."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            f"{PREFIX}_http_requests", "Answered requests", ["method", "route", "status"], registry=self._registry
        )
        self._durations = Histogram(
            f"{PREFIX}_http_request_duration_seconds",
            "Time from request to the end of the answer, waiting included",
            ["route"],
            buckets=DURATION_BUCKETS_S,
            registry=self._registry,
        )
        self._refusals = Counter(
            f"{PREFIX}_refusals",
            "Refused requests by error code and, for gpu_not_available, cause (or cpu_execution_locked)",
            ["code", "cause"],
            registry=self._registry,
        )
        self._admitted = Counter(
            f"{PREFIX}_jobs_admitted", "Jobs admitted; replays are not counted", ["policy"], registry=self._registry
        )
        self._ended = Counter(
            f"{PREFIX}_jobs_ended",
            "Jobs that ended since the start, by status and failure code",
            ["status", "code"],
            registry=self._registry,
        )
        self._stage_s = Counter(
            f"{PREFIX}_stage_seconds",
            "Wall time of the stages of succeeded jobs, by the device that was seen to do them",
            ["stage", "device"],
            registry=self._registry,
        )
        self._jobs = Gauge(f"{PREFIX}_jobs", "Live jobs by state: queued, running", ["status"], registry=self._registry)
        self._gpu = Gauge(
            f"{PREFIX}_gpu_probe_state", "1 for the state the probe is in", ["state", "cause"], registry=self._registry
        )
        self._healthy = Gauge(f"{PREFIX}_engine_healthy", "1 while the job engine works", registry=self._registry)

    def count_request(self, method: str, route: str, status: int, duration_s: float) -> None:
        known = method if method in METHODS else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._durations.labels(route).observe(duration_s)

    def count_refusal(self, error: SirConvertError) -> None:
        is_locked = error.details.get("reason") == CPU_LOCKED
        cause = CPU_LOCKED if is_locked else error.details.get("cause")
        self._refusals.labels(error.code, cause or "").inc()

    def count_admission(self, policy: AccelerationPolicy) -> None:
        self._admitted.labels(policy.value).inc()

    def count_end(self, record: JobRecord) -> None:
        """Called once for each job that ended."""
        self._ended.labels(record.status.value, record.failure.code if record.failure else "").inc()
        for stage in record.result.execution["stages"] if record.result else ():
            device = str(stage["device_used"]).partition(":")[0]  # cuda:1 and cuda:0 are one label
            self._stage_s.labels(stage["stage"], device).inc(stage["wall_ms"] / 1000)

    def note_jobs(self, *, queued: int, running: int) -> None:
        self._jobs.labels("queued").set(queued)
        self._jobs.labels("running").set(running)

    def note_gpu(self, readiness: Readiness) -> None:
        self._gpu.clear()
        self._gpu.labels(readiness.state, readiness.cause or "").set(1)

    def note_health(self, *, healthy: bool) -> None:
        self._healthy.set(healthy)

    def render(self) -> bytes:
        """Everything in the Prometheus text format."""
        return generate_latest(self._registry)
