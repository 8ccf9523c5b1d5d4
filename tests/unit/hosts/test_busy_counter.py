"""What a busy counter can carry: a rise above rest, and nothing where it is stuck."""

from __future__ import annotations

from typing import Any

import pytest

from sir_convert_a_lot.domain.host_check import GpuSample, GpuSeries, HostActivity
from sir_convert_a_lot.domain.host_findings import Outcome
from sir_convert_a_lot.infrastructure.host_checks.busy_counter import judge_activity

GPU = "0000:03:00.0"
PROVEN: dict[str, Any] = {"grade": "PROVEN", "worker_pid": 7, "activity": {"simulated": False, "process_bytes_peak": 9}}
NOT_HELD = PROVEN | {"activity": None}


def series(*readings: float | None, held: dict[int, int] | None = None) -> GpuSeries:
    samples = tuple(GpuSample(index / 10, GPU, busy) for index, busy in enumerate(readings))
    return GpuSeries("made", samples, held or {})


@pytest.mark.parametrize(
    ("idle", "working", "receipt", "outcome", "code"),
    [
        (series(2, 3), series(2, 87), PROVEN, Outcome.OK, "ok"),
        (series(2, 3), series(2, 87), {"grade": "CORROBORATED"}, Outcome.OK, "ok"),
        (series(60, 70), series(60, 65), PROVEN, Outcome.UNKNOWN, "gpu_not_above_idle"),
        (series(0, 0), series(0, 0), PROVEN, Outcome.OK, "busy_counter_unreliable"),
        (series(100, 100), series(100, 100), PROVEN, Outcome.OK, "busy_counter_unreliable"),
        (
            series(100, 100),
            series(100, 100),
            PROVEN | {"grade": "CORROBORATED"},
            Outcome.UNKNOWN,
            "busy_counter_unreliable",
        ),
        (series(100, 100), series(100, 100), NOT_HELD, Outcome.UNKNOWN, "busy_counter_unreliable"),
        (series(100, 100), series(100, 100, held={7: 5}), NOT_HELD, Outcome.OK, "busy_counter_unreliable"),
        (series(100, 100), series(100, 100, held={8: 5}), NOT_HELD, Outcome.UNKNOWN, "busy_counter_unreliable"),
        (series(100, 100), series(100, 100, held={7: 0}), PROVEN, Outcome.UNKNOWN, "busy_counter_unreliable"),
        (series(None), series(None), PROVEN, Outcome.OK, "busy_counter_unavailable"),
        (series(None), series(87), NOT_HELD, Outcome.UNKNOWN, "busy_counter_unavailable"),
    ],
)
def test_the_verdict_rests_on_what_the_counter_can_carry(
    idle: GpuSeries, working: GpuSeries, receipt: dict[str, Any], outcome: Outcome, code: str
) -> None:
    finding = judge_activity("live_conversion", HostActivity(GPU, idle, working), receipt)
    assert (finding.outcome, finding.code) == (outcome, code)
    assert "peak" in finding.evidence[0]


def test_memory_that_a_stand_in_measured_is_no_memory() -> None:
    receipt = PROVEN | {"activity": {"simulated": True, "process_bytes_peak": 9}}
    activity = HostActivity(GPU, series(100), series(100))
    assert judge_activity("live_conversion", activity, receipt).outcome is Outcome.UNKNOWN
