"""What follows from readings: peaks against rest, what a busy counter is worth, and what was not read."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sir_convert_a_lot.domain.gpu_activity import (
    FIGURES,
    MAX_SAMPLES,
    ActivitySample,
    BusyCounter,
    GpuActivity,
    Watched,
    derive_activity,
    thin,
)


def busy(*values: float | None) -> tuple[ActivitySample, ...]:
    return tuple(ActivitySample(float(at), busy_percent=value) for at, value in enumerate(values))


def activity(baseline: tuple[ActivitySample, ...], samples: tuple[ActivitySample, ...], **more: Any) -> GpuActivity:
    return derive_activity(
        Watched("nvml", "0000:00:06.0", baseline=baseline, samples=samples, taken=len(samples), **more)
    )


@pytest.mark.parametrize(
    ("idle", "working", "counter", "was_busy", "word"),
    [
        ((0, 0, 1), (0, 40, 90), BusyCounter.USABLE, True, "0 to 90 %"),
        ((5, 8), (3, 8), BusyCounter.USABLE, False, "5 to 8 %"),
        (
            (100, 100),
            (100, 100, 100),
            BusyCounter.UNRELIABLE,
            None,
            "at rest and 3 during the job: it does not follow the work",
        ),
        ((0, 0), (0, 0, 0), BusyCounter.UNRELIABLE, None, "read 0 %"),
        ((100, 100), (100, 97), BusyCounter.UNRELIABLE, None, "nothing can rise above"),
        ((None, None), (None, None), BusyCounter.UNAVAILABLE, None, "during the job"),
        ((0, 0), (None, None), BusyCounter.UNAVAILABLE, None, "during the job"),
        ((None,), (0, 90), BusyCounter.UNAVAILABLE, None, "at rest"),
        ((), (0, 90), BusyCounter.UNAVAILABLE, None, "at rest"),
        ((0,), (), BusyCounter.UNAVAILABLE, None, "during the job"),
        ((100, 40), (100, 60), BusyCounter.USABLE, False, "40 to 100 %"),
    ],
)
def test_a_busy_counter_counts_only_where_it_moves(
    idle: tuple[float | None, ...],
    working: tuple[float | None, ...],
    counter: BusyCounter,
    was_busy: bool | None,
    word: str,
) -> None:
    seen = activity(busy(*idle), busy(*working))
    assert (seen.busy_counter, seen.device_was_busy) == (counter, was_busy)
    assert word in seen.busy_counter_reason


def test_figures_of_rest_are_the_highest_so_that_a_peak_rose_above_all_of_them() -> None:
    rest = (ActivitySample(0, 2, 1, 100, 900, 20.0), ActivitySample(100, 9, 0, 300, 800, 25.5))
    work = (ActivitySample(0, 50, 44, 100, 700, 90.0), ActivitySample(100, 20, 3, 400, 950, 80.0))
    seen = activity(rest, work)
    assert (seen.busy_percent_idle, seen.busy_percent_peak) == (9, 50)
    assert (seen.process_busy_percent_idle, seen.process_busy_percent_peak) == (1, 44)
    assert (seen.process_bytes_idle, seen.process_bytes_peak) == (300, 400)
    assert (seen.power_w_idle, seen.power_w_peak) == (25.5, 90.0)


def test_what_was_not_read_is_none_with_its_reason_and_never_zero() -> None:
    seen = activity(busy(0), busy(0, 5), reasons={"process_bytes": "not listed", "power_w": "no hwmon"})
    assert seen.process_bytes_peak is None
    assert seen.resident_bytes is None
    assert seen.power_w_peak is None
    assert seen.unavailable["process_bytes"] == "not listed"
    assert seen.unavailable["power_w"] == "no hwmon"
    assert "busy_percent" not in seen.unavailable
    assert set(seen.unavailable) == set(FIGURES) - {"busy_percent"}


def test_a_zero_that_was_read_stays_a_zero() -> None:
    sample = ActivitySample(0, 0, 0, 0, 0, 0.0)
    seen = activity((sample,), (sample,))
    assert seen.process_bytes_peak == 0
    assert seen.resident_bytes == 0
    assert seen.unavailable == {}


def test_a_figure_that_is_lost_midway_keeps_its_peak_and_tells_the_loss() -> None:
    seen = activity(busy(0), busy(10, 60, None, None), reasons={"busy_percent": "the driver went away"})
    assert seen.busy_percent_peak == 60
    assert seen.unavailable["busy_percent"] == "the driver went away (in 2 of 5 samples)"


def test_a_sampling_that_stopped_is_told() -> None:
    seen = activity(busy(0), busy(10), stopped="a reading had not come back")
    assert seen.unavailable["samples"] == "a reading had not come back"


@pytest.mark.parametrize("baseline", [(), busy(0)])
def test_what_a_stand_in_showed_is_no_evidence(baseline: tuple[ActivitySample, ...]) -> None:
    seen = activity(baseline, (ActivitySample(0, 90, 90, 10**9, 10**9, 300.0),), simulated=True)
    assert (seen.resident_bytes, seen.device_was_busy) == (None, None)
    assert replace(seen, simulated=False).resident_bytes == 10**9


def test_it_becomes_json_with_every_derived_figure_in_it() -> None:
    told = json.loads(json.dumps(asdict(activity(busy(0), busy(7)))))
    assert told["busy_percent_peak"] == 7
    assert told["busy_counter"] == "usable"
    assert told["samples"][0]["process_bytes"] is None
    assert "power_w_peak" in told


FIGURE = st.none() | st.integers(0, 100)
SAMPLES = st.lists(st.tuples(FIGURE, FIGURE, FIGURE, FIGURE, FIGURE), max_size=400).map(
    lambda rows: tuple(ActivitySample(float(at), *row) for at, row in enumerate(rows))
)


@given(SAMPLES)
def test_samples_are_bounded_in_order_and_keep_every_peak(samples: tuple[ActivitySample, ...]) -> None:
    kept = thin(samples)
    assert len(kept) == min(len(samples), MAX_SAMPLES) or MAX_SAMPLES - len(FIGURES) <= len(kept) <= MAX_SAMPLES
    assert list(kept) == sorted(kept, key=lambda sample: sample.at_ms)
    assert set(kept) <= set(samples)
    assert kept[:1] == samples[:1]
    assert kept[-1:] == samples[-1:]
    for figure in FIGURES:
        known = [getattr(sample, figure) for sample in samples if getattr(sample, figure) is not None]
        left = [getattr(sample, figure) for sample in kept if getattr(sample, figure) is not None]
        assert max(left, default=None) == max(known, default=None)


def test_a_long_job_is_thinned_evenly_and_says_so() -> None:
    seen = activity(busy(0), busy(*([1] * 3000)))
    assert len(seen.samples) <= MAX_SAMPLES
    gaps = [late.at_ms - early.at_ms for early, late in zip(seen.samples, seen.samples[1:], strict=False)]
    assert max(gaps) <= 2 * 3000 / (MAX_SAMPLES - len(FIGURES))
    assert seen.samples_taken == 3000
    assert seen.samples_kept.startswith(f"{len(seen.samples)} of 3000")
    assert activity(busy(0), busy(1, 2)).samples_kept == "every sample"
