"""Every cause is produced in a test, by the part that names it in production; the others stand here by name."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from sir_convert_a_lot.domain.gpu_causes import CAUSES, Cause

HERE = Path(__file__).parent

# Those that a test of its own produces, because they need more than one look: the file and the test.
SINGLE = {
    Cause.MASKED_BY_ENV: ("test_child_climb.py", "test_a_mask_that_hides_the_gpu_is_told_by_a_child_without_it"),
    Cause.GFX_OVERRIDE_IN_EFFECT: (
        "test_child_climb.py",
        "test_an_override_is_told_by_what_the_kernel_says_before_any_kernel_runs",
    ),
    Cause.SLOW_FIRST_RUN: ("test_child_climb.py", "test_a_slow_first_run_is_a_warning_and_refuses_nothing"),
    Cause.GPU_LOST_AFTER_START: (
        "test_history.py",
        "test_a_gpu_that_worked_and_is_gone_while_the_host_has_it_was_lost",
    ),
    Cause.GPU_FAULT_STICKY: (
        "test_history.py",
        "test_a_worker_whose_context_is_poisoned_while_a_fresh_child_computes_has_a_sticky_fault",
    ),
    Cause.ENV_CHANGED_AFTER_INIT: (
        "test_history.py",
        "test_a_worker_that_cannot_start_where_a_fresh_child_can_had_its_variables_changed",
    ),
}

# Not of the probe: who names them.
ELSEWHERE = {
    Cause.GPU_FORBIDDEN_BY_SETTING: "the policy: tests/unit/test_acceleration_policy.py",
    Cause.STAGE_FELL_BACK: "the receipt of a job",
}


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"produced_{name.removesuffix('.py')}", HERE / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_cause_is_produced() -> None:
    without_torch, with_torch = load("test_causes.py"), load("test_child_causes.py")
    produced = {case[0] for case in (*without_torch.CASES, *without_torch.OPENING_CASES)}
    produced |= {case[0] for case in with_torch.CASES.values()}
    assert produced | set(SINGLE) | set(ELSEWHERE) == set(Cause)
    assert not (produced | set(SINGLE)) & set(ELSEWHERE)


def test_the_tests_that_produce_one_cause_are_there() -> None:
    for name, test in SINGLE.values():
        assert callable(getattr(load(name), test))


def test_the_table_says_who_tells_what_no_single_look_can() -> None:
    remembered = {Cause.GPU_LOST_AFTER_START, Cause.GPU_FAULT_STICKY, Cause.ENV_CHANGED_AFTER_INIT}
    assert {cause for cause, entry in CAUSES.items() if entry.teller} == remembered | set(ELSEWHERE)
