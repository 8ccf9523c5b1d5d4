"""The expectations of an acceptance run: each is met by a good answer, and missed by one that lacks a single thing."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import pytest
from gpu_acceptance_evidence import Outcome
from gpu_acceptance_judges import (
    judge_activity,
    judge_conversion,
    judge_cpu_only,
    judge_kill,
    judge_overhead,
    judge_probe,
    judge_recovery,
    judge_refusal,
    key_figures,
)

from sir_convert_a_lot.domain.errors import GpuNotAvailable, ServiceUnavailable, WorkerCrashed

Json = dict[str, Any]
Change = Callable[[Json], object]


def stage(result: Json, name: str) -> Json:
    found: Json = next(stage for stage in result["execution"]["stages"] if stage["stage"] == name)
    return found


def test_a_proven_snapshot_of_this_machine_is_ok(made_snapshot: Json) -> None:
    verdict = judge_probe(made_snapshot)
    assert (verdict.outcome, verdict.seen) == (
        Outcome.OK,
        "NVIDIA H200 at 0000:00:06.0 (sm_90), all 9 rungs passed",
    )


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"simulated": True}, Outcome.FAILED),
        ({"is_available": False, "cause": "masked_by_env", "rung": "enumerate"}, Outcome.FAILED),
        ({"is_available": False, "cause": "probe_incomplete", "rung": "result"}, Outcome.UNKNOWN),
        ({"is_available": False, "cause": None, "rung": "result"}, Outcome.UNKNOWN),
    ],
)
def test_any_other_snapshot_is_not(made_snapshot: Json, changes: Json, outcome: Outcome) -> None:
    assert judge_probe(made_snapshot | changes).outcome is outcome


def test_a_proven_conversion_is_ok_and_says_how_long_the_device_worked(made_result: Json, made_snapshot: Json) -> None:
    verdict = judge_conversion(made_result, made_snapshot)
    assert (verdict.outcome, verdict.seen) == (
        Outcome.OK,
        "PROVEN: 25 ms between device events, 480 ms in all",
    )


def test_a_corroborated_one_is_ok_and_told_as_less(made_result: Json, made_snapshot: Json) -> None:
    made_result["execution"]["grade"] = "CORROBORATED"
    verdict = judge_conversion(made_result, made_snapshot)
    assert verdict.outcome is Outcome.OK
    assert verdict.seen.startswith("CORROBORATED (no record of operations or kernels for every stage)")


def test_a_document_without_tables_may_leave_that_stage_idle(made_result: Json, made_snapshot: Json) -> None:
    stage(made_result, "table_structure")["device_used"] = "none"
    assert judge_conversion(made_result, made_snapshot).outcome is Outcome.OK


WRONGS: dict[str, Change] = {
    "acceleration_used is cpu": lambda r: r["conversion_metadata"].update(acceleration_used="cpu"),
    "its grade is SUGGESTIVE": lambda r: r["execution"].update(grade="SUGGESTIVE"),
    "its grade is None": lambda r: r.update(execution=None),
    "layout_analysis was asked to run on cuda:0 and ran on cpu": lambda r: stage(r, "layout_analysis").update(
        device_used="cpu"
    ),
    "layout_analysis was asked to run on cuda:0 and ran on none": lambda r: stage(r, "layout_analysis").update(
        device_used="none"
    ),
    "table_structure was asked to run on the CPU": lambda r: stage(r, "table_structure").update(
        device_asked="cpu", device_used="cpu"
    ),
    "page_parsing was asked to run on cpu and ran on unknown": lambda r: stage(r, "page_parsing").update(
        device_used="unknown"
    ),
    "no stage was asked to use the GPU": lambda r: r["execution"].update(stages=[stage(r, "page_parsing")]),
    "the receipt names no device": lambda r: r["execution"].pop("device"),
    "the receipt's pci_id is 0000:65:00.0, and the probe saw 0000:00:06.0": lambda r: r["execution"]["device"].update(
        pci_id="0000:65:00.0"
    ),
    "the receipt names no gpu_required promise with its probe": lambda r: r["execution"].update(probe_id=None),
}


@pytest.mark.parametrize("problem", WRONGS)
def test_a_conversion_that_lacks_one_thing_fails_by_that_name(
    made_result: Json, made_snapshot: Json, problem: str
) -> None:
    WRONGS[problem](made_result)
    verdict = judge_conversion(made_result, made_snapshot)
    assert verdict.outcome is Outcome.FAILED
    assert problem in verdict.details["problems"]


def test_a_scan_without_an_ocr_stage_fails(made_result: Json, made_snapshot: Json) -> None:
    verdict = judge_conversion(made_result, made_snapshot, needs_ocr=True)
    assert verdict.details["problems"] == ["it needs OCR and has no OCR stage"]


def test_own_memory_and_work_above_rest_are_seen(made_result: Json) -> None:
    assert judge_activity([made_result["execution"]]).outcome is Outcome.OK


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"busy_percent_peak": 0.0}, Outcome.UNKNOWN),
        ({"busy_counter": "unreliable"}, Outcome.UNKNOWN),
        (
            {"busy_counter": "unreliable", "process_busy_percent_idle": 1.0, "process_busy_percent_peak": 40.0},
            Outcome.OK,
        ),
        ({"process_bytes_peak": None, "unavailable": {"process_bytes": "not listed"}}, Outcome.FAILED),
        ({"simulated": True}, Outcome.FAILED),
        ({"source": "none"}, Outcome.FAILED),
    ],
)
def test_activity_is_believed_as_far_as_it_goes(made_result: Json, changes: Json, outcome: Outcome) -> None:
    made_result["execution"]["activity"].update(changes)
    assert judge_activity([made_result["execution"]]).outcome is outcome


def test_a_receipt_without_activity_and_no_receipt_at_all_fail(made_result: Json) -> None:
    made_result["execution"]["activity"] = None
    assert judge_activity([made_result["execution"]]).outcome is Outcome.FAILED
    assert judge_activity([]).outcome is Outcome.FAILED


def refusal(**details: Any) -> GpuNotAvailable:
    told = {"reason": "backend_gpu_runtime_unavailable", "cause": "masked_by_env", "rung": "enumerate"}
    return GpuNotAvailable("no", details=told | {"remediation": ["Unset the masks"]} | details)


def test_the_right_refusal_is_ok() -> None:
    verdict = judge_refusal(refusal(), "masked_by_env", [])
    assert (verdict.outcome, verdict.seen) == (
        Outcome.OK,
        "503 gpu_not_available, masked_by_env at enumerate; nothing stored",
    )


@pytest.mark.parametrize(
    ("error", "stored"),
    [
        (refusal(cause="vram_exhausted"), []),
        (refusal(remediation=[]), []),
        (refusal(reason="cpu_execution_locked"), []),
        (refusal(), ["jobs/job_1/raw/input.pdf"]),
        (ServiceUnavailable("busy", details={"cause": "masked_by_env"}), []),
        (OSError("no route"), []),
    ],
)
def test_another_refusal_fails(error: Exception, stored: list[str]) -> None:
    assert judge_refusal(error, "masked_by_env", stored).outcome is Outcome.FAILED


def test_a_killed_worker_is_a_crash_by_that_signal() -> None:
    killed = WorkerCrashed("gone", details={"signal": "SIGKILL"})
    assert judge_kill({"status": "failed"}, killed).outcome is Outcome.OK
    assert judge_kill({"status": "failed"}, WorkerCrashed("gone", details={"signal": "SIGSEGV"})).outcome is (
        Outcome.FAILED
    )
    assert judge_kill({"status": "failed"}, refusal()).outcome is Outcome.FAILED
    assert judge_kill({"status": "succeeded"}, None).outcome is Outcome.UNKNOWN


def test_the_next_job_is_proven_in_another_worker_on_a_fresh_probe(made_result: Json, made_snapshot: Json) -> None:
    after, verdict = made_result["execution"], judge_conversion(made_result, made_snapshot)
    assert judge_recovery({"worker_pid": 76, "probe_id": "probe_1"}, after, verdict).outcome is Outcome.OK
    for same in ({"worker_pid": 77, "probe_id": "probe_1"}, {"worker_pid": 76, "probe_id": "probe_2"}):
        assert judge_recovery(same, after, verdict).outcome is Outcome.FAILED


def made_cpu_result() -> Json:
    stages = [{"stage": name, "device_used": "cpu"} for name in ("page_parsing", "layout_analysis")]
    return {"execution": {"acceleration_used": "cpu", "grade": None, "stages": stages, "worker_pid": 2}}


@pytest.mark.parametrize(
    ("own", "on_gpu", "control", "outcome"),
    [
        ({1, 2}, {9}, 9, Outcome.OK),
        ({1, 2}, {1, 9}, 9, Outcome.OK),  # the service's own look at the GPU
        ({1, 2}, {2, 9}, 9, Outcome.FAILED),
        ({1}, {9}, 9, Outcome.UNKNOWN),  # another worker than the one that was watched
        ({1, 2}, set(), 9, Outcome.UNKNOWN),  # a list that knows nobody tells nothing
        ({1, 2}, {9}, None, Outcome.UNKNOWN),
        (set(), {9}, 9, Outcome.UNKNOWN),
    ],
)
def test_cpu_only_is_judged_by_a_list_that_knows_a_gpu_worker(
    own: set[int], on_gpu: set[int], control: int | None, outcome: Outcome
) -> None:
    assert judge_cpu_only(made_cpu_result(), own, on_gpu, control).outcome is outcome


def test_a_cpu_only_receipt_that_names_a_gpu_fails() -> None:
    result = made_cpu_result()
    result["execution"]["stages"][1]["device_used"] = "cuda:0"
    assert judge_cpu_only(result, {1, 2}, {9}, 9).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("interval", "tiny", "outcome"),
    [
        ([1.9, 2.9], True, Outcome.OK),
        ([1.9, 3.1], False, Outcome.UNKNOWN),
        ([3.0, 5.0], True, Outcome.UNKNOWN),
        ([3.0, 5.0], False, Outcome.FAILED),
    ],
)
def test_overhead_is_held_to_three_percent_as_far_as_its_times_can_tell(
    interval: list[float], tiny: bool, outcome: Outcome
) -> None:
    measured = {"overhead_percent": statistics.mean(interval), "overhead_percent_95": interval, "bare_ms": 508.8}
    assert judge_overhead(measured, models_are_tiny=tiny).outcome is outcome


def test_key_figures_leave_out_the_single_samples_alone(made_result: Json) -> None:
    receipt = key_figures(made_result)["receipt"]
    assert set(made_result["execution"]["activity"]) - set(receipt["activity"]) == {"samples", "baseline"}
    assert receipt["stages"] == made_result["execution"]["stages"]
