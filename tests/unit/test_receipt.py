"""What proves a GPU and what does not: the grades, as a function of what was measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sir_convert_a_lot.domain.gpu_activity import ActivitySample, GpuActivity, Watched, derive_activity
from sir_convert_a_lot.domain.receipt import Grade, StageReceipt, acceleration_used_by, grade_of

PARSING = StageReceipt("page_parsing", "cpu", "cpu", "the test", 10.0)
LAYOUT = StageReceipt(
    stage="layout_analysis",
    device_asked="cuda:0",
    device_used="cuda:0",
    measured_by="the test",
    wall_ms=100.0,
    device_ms=80.0,
    operations=880,
    operations_elsewhere=2,
    kernels=400,
    model_devices=("cuda:0",),
    peak_vram_bytes=500_000_000,
)
TABLES = replace(LAYOUT, stage="table_structure")
RESIDENT = 700_000_000


def grade(
    *stages: StageReceipt, resident_bytes: int | None = RESIDENT, device_was_busy: bool | None = True
) -> Grade | None:
    return grade_of(stages, resident_bytes=resident_bytes, device_was_busy=device_was_busy)


def test_a_job_that_asked_for_the_cpu_has_nothing_to_prove() -> None:
    assert grade(PARSING, replace(LAYOUT, device_asked="cpu", device_used="cpu")) is None


def test_operations_device_time_and_kernels_prove_the_gpu() -> None:
    assert grade(PARSING, LAYOUT, TABLES) is Grade.PROVEN


def test_no_reading_of_the_host_is_needed_for_a_proof() -> None:
    assert grade(PARSING, LAYOUT, resident_bytes=None, device_was_busy=None) is Grade.PROVEN


@pytest.mark.parametrize("missing", ["operations", "device_ms", "kernels"])
@pytest.mark.parametrize("value", [None, 0])
def test_without_one_of_the_three_it_is_corroborated_at_best(missing: str, value: int | None) -> None:
    weaker = replace(TABLES, **{missing: value, "operations_elsewhere": None})  # type: ignore[arg-type]
    if missing == "operations" and value == 0:
        # counted, and none there: that contradicts the models lying there
        assert grade(LAYOUT, weaker) is Grade.SUGGESTIVE
    else:
        assert grade(LAYOUT, weaker) is Grade.CORROBORATED


def test_the_weakest_stage_decides() -> None:
    assert grade(LAYOUT, replace(TABLES, device_used="cpu", model_devices=("cpu",))) is Grade.UNAVAILABLE


@pytest.mark.parametrize("used", ["cpu", "unknown", "cuda:1"])
def test_a_stage_that_was_done_elsewhere_ends_every_proof(used: str) -> None:
    assert grade(LAYOUT, replace(TABLES, device_used=used)) is Grade.UNAVAILABLE


def test_work_that_went_mostly_elsewhere_is_not_proven() -> None:
    strayed = replace(LAYOUT, operations=10, operations_elsewhere=870)
    assert grade(strayed) is Grade.SUGGESTIVE
    assert grade(strayed, device_was_busy=None) is Grade.UNAVAILABLE


def test_a_process_that_only_holds_a_context_is_not_proven() -> None:
    """The negative control: memory of this process on the device, the device busy all the time, and no work."""
    idle = StageReceipt("layout_analysis", "cuda:0", "cuda:0", "the test", 100.0, device_ms=0.0, operations=0)
    assert grade(idle) is Grade.SUGGESTIVE
    assert acceleration_used_by(grade(idle)) == "cpu"


def test_a_busy_device_alone_is_only_suggestive() -> None:
    unmeasured = StageReceipt("layout_analysis", "cuda:0", "cuda:0", "the test", 100.0)
    assert grade(unmeasured, resident_bytes=None) is Grade.SUGGESTIVE
    assert grade(unmeasured, resident_bytes=None, device_was_busy=False) is Grade.UNAVAILABLE
    assert grade(unmeasured, resident_bytes=None, device_was_busy=None) is Grade.UNAVAILABLE


def test_models_on_the_device_without_memory_of_this_process_there_corroborate_nothing() -> None:
    unrecorded = replace(LAYOUT, operations=None, operations_elsewhere=None, kernels=None)
    assert grade(unrecorded) is Grade.CORROBORATED
    assert grade(unrecorded, resident_bytes=None) is Grade.SUGGESTIVE
    assert grade(unrecorded, resident_bytes=0) is Grade.SUGGESTIVE
    assert grade(replace(unrecorded, model_devices=("cpu", "cuda:0"))) is Grade.SUGGESTIVE


def test_memory_of_the_process_that_is_less_than_torch_held_there_is_another_processs() -> None:
    unrecorded = replace(LAYOUT, operations=None, operations_elsewhere=None, kernels=None, peak_vram_bytes=RESIDENT)
    assert grade(unrecorded) is Grade.CORROBORATED
    assert grade(unrecorded, resident_bytes=RESIDENT - 1) is Grade.SUGGESTIVE
    assert grade(replace(unrecorded, peak_vram_bytes=0)) is Grade.SUGGESTIVE


def see(*, idle: float | None, working: float | None, held_bytes: int | None, simulated: bool = False) -> GpuActivity:
    rest = (ActivitySample(0.0, busy_percent=idle, process_bytes=held_bytes),)
    work = (ActivitySample(0.0, busy_percent=working, process_bytes=held_bytes),)
    return derive_activity(Watched("nvml", "0000:00:06.0", simulated=simulated, baseline=rest, samples=work, taken=1))


def grade_by(activity: GpuActivity, *stages: StageReceipt) -> Grade | None:
    return grade_of(stages, resident_bytes=activity.resident_bytes, device_was_busy=activity.device_was_busy)


@pytest.mark.parametrize("stage", [
    StageReceipt("layout_analysis", "cuda:0", "cuda:0", "the test", 100.0, device_ms=0.0, operations=0),
    StageReceipt("layout_analysis", "cuda:0", "cuda:0", "the test", 100.0, device_ms=0.4, peak_vram_bytes=0),
    StageReceipt("layout_analysis", "cuda:0", "cuda:0", "the test", 100.0),
])  # fmt: skip
def test_holding_a_context_beside_someone_elses_work_is_never_more_than_suggestive(stage: StageReceipt) -> None:
    """The negative control with all that a host can show: memory of this very process, and a counter that rises."""
    seen = see(idle=0, working=97, held_bytes=612_368_384)
    assert seen.device_was_busy
    assert grade_by(seen, stage) is Grade.SUGGESTIVE
    assert acceleration_used_by(grade_by(seen, stage)) == "cpu"


@pytest.mark.parametrize(("idle", "working"), [(100, 100), (0, 0), (None, 97), (97, None), (40, 40), (90, 30)])
def test_a_counter_that_is_stuck_or_not_read_or_does_not_rise_is_not_even_suggestive(
    idle: float | None, working: float | None
) -> None:
    stage = StageReceipt("layout_analysis", "cuda:0", "cuda:0", "the test", 100.0)
    assert grade_by(see(idle=idle, working=working, held_bytes=10**9), stage) is Grade.UNAVAILABLE


def test_memory_that_could_not_be_read_corroborates_nothing_and_neither_does_a_stand_in() -> None:
    unrecorded = replace(LAYOUT, operations=None, operations_elsewhere=None, kernels=None)
    assert grade_by(see(idle=0, working=90, held_bytes=RESIDENT), unrecorded) is Grade.CORROBORATED
    assert grade_by(see(idle=0, working=90, held_bytes=None), unrecorded) is Grade.SUGGESTIVE
    assert grade_by(see(idle=0, working=90, held_bytes=0), unrecorded) is Grade.SUGGESTIVE
    assert grade_by(see(idle=0, working=90, held_bytes=RESIDENT, simulated=True), unrecorded) is Grade.UNAVAILABLE


def test_a_stage_with_nothing_to_compute_neither_proves_nor_spoils() -> None:
    idle = replace(TABLES, device_used="none", operations=None, device_ms=0.0)
    assert grade(LAYOUT, idle) is Grade.PROVEN
    assert grade(idle) is Grade.UNAVAILABLE


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (Grade.PROVEN, "cuda"),
        (Grade.CORROBORATED, "cuda"),
        (Grade.SUGGESTIVE, "cpu"),
        (Grade.UNAVAILABLE, "cpu"),
        (None, "cpu"),
    ],
)
def test_acceleration_is_claimed_only_where_it_is_proven(given: Grade | None, told: str) -> None:
    assert acceleration_used_by(given) == told
