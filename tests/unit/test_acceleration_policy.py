"""The acceleration policy, as a truth table over everything that can be asked, known and set."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

import pytest

from sir_convert_a_lot.domain.acceleration_policy import (
    CPU_ENGINES,
    Decision,
    Refuse,
    RunOnCpu,
    RunOnGpu,
    ServerRules,
    check_conflict,
    check_installed,
    decide,
    judge_readiness,
    refuse_readiness,
)
from sir_convert_a_lot.domain.errors import GpuNotAvailable, ValidationError
from sir_convert_a_lot.domain.gpu_causes import Cause
from sir_convert_a_lot.domain.gpu_facts import LADDER, ProbeSnapshot, Rung, RungReport, RungState, RuntimeKind
from sir_convert_a_lot.domain.job_spec import AccelerationPolicy, BackendStrategy, JobSpec, OcrMode

FIXED_KEYS = {"reason", "backend", "runtime_kind", "hip_version", "cuda_version"}
NEW_KEYS = {"cause", "rung", "evidence", "remediation", "probe_id"}


class Unlookable(ProbeSnapshot):
    """A snapshot that fails the test when anything about it is read."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"the snapshot was consulted: {name}")


class Claimant(ProbeSnapshot):
    """A snapshot that claims an available GPU whatever its rungs say."""

    @property
    def is_available(self) -> bool:
        return True


def make_snapshot(states: dict[Rung, RungState] | None = None, **changes: Any) -> ProbeSnapshot:
    """A snapshot whose rungs all passed, but for `states` and `changes`."""
    given = states or {}
    rungs = tuple(RungReport(r, given.get(r, RungState.PASSED), "seen") for r in LADDER)
    values: dict[str, Any] = {
        "probe_id": "probe_1",
        "taken_at": datetime(2026, 1, 1, tzinfo=UTC),
        "rungs": rungs,
        "cause": None,
        "evidence": ("evidence",),
        "remediation": (),
        "runtime_kind": RuntimeKind.ROCM,
        "device_count": 1,
        "pci_id": "0000:03:00.0",
        "masks": {"HIP_VISIBLE_DEVICES": "0"},
    }
    return ProbeSnapshot(**(values | changes))


def stop_at(rung: Rung, state: RungState, cause: Cause) -> ProbeSnapshot:
    later = LADDER[LADDER.index(rung) + 1 :]
    return make_snapshot({rung: state} | dict.fromkeys(later, RungState.NOT_RUN), cause=cause)


def claim(snapshot: ProbeSnapshot) -> Claimant:
    return Claimant(**{name: getattr(snapshot, name) for name in ProbeSnapshot.__dataclass_fields__})


PROVEN = make_snapshot()
SHORT_LADDER = replace(PROVEN, rungs=PROVEN.rungs[:4])
UNPROVEN: dict[str, ProbeSnapshot | None] = {
    "none": None,
    **{f"failed_{r}": stop_at(r, RungState.FAILED, Cause.NO_GPU_HARDWARE) for r in LADDER},
    **{f"unknown_{r}": stop_at(r, RungState.UNKNOWN, Cause.PROBE_INCOMPLETE) for r in LADDER},
    **{f"not_run_{r}": stop_at(r, RungState.NOT_RUN, Cause.PROBE_INCOMPLETE) for r in LADDER},
    "simulated": make_snapshot(simulated=True),
    "no_device": make_snapshot(device_count=0),
    "no_address": make_snapshot(pci_id=None),
    "no_runtime": make_snapshot(runtime_kind=RuntimeKind.NONE),
    "cause_with_passed_rungs": make_snapshot(cause=Cause.RESULT_MISMATCH),
    "failed_rung_without_cause": make_snapshot({Rung.RESULT: RungState.FAILED}),
    "short_ladder": SHORT_LADDER,
    "claims_it_is_available": claim(make_snapshot({Rung.ENUMERATE: RungState.FAILED})),
    "claims_all_passed": claim(PROVEN),
}
SNAPSHOTS = {"proven": PROVEN} | UNPROVEN
PROMISES: tuple[Literal["none", "gpu"], ...] = ("none", "gpu")
RULES = tuple(
    ServerRules(gpu_is_forbidden=forbidden, cpu_is_locked=locked, promised_device=promised)
    for forbidden, locked, promised in itertools.product((False, True), (False, True), PROMISES)
)
INSTALLED: tuple[frozenset[str], ...] = (
    frozenset({"builtin"}),
    frozenset({"builtin", "docling"}),
    frozenset({"builtin", "pymupdf"}),
    frozenset({"builtin", "docling", "pymupdf"}),
    frozenset(),
)

Cell = tuple[AccelerationPolicy, BackendStrategy, str, ServerRules, frozenset[str]]


def table() -> Iterator[tuple[Cell, Decision]]:
    for cell in itertools.product(AccelerationPolicy, BackendStrategy, SNAPSHOTS, RULES, INSTALLED):
        policy, backend, name, rules, installed = cell
        yield cell, decide(policy, backend, SNAPSHOTS[name], rules, installed)


def expect(policy: AccelerationPolicy, backend: BackendStrategy, name: str, rules: ServerRules, installed: Any) -> str:
    """The contract once more, in other words: first who must be refused, then who runs where."""
    gpu = name == "proven" and not rules.gpu_is_forbidden
    wants_gpu = policy is not AccelerationPolicy.CPU_ONLY
    if wants_gpu and backend in CPU_ENGINES:
        return "422 backend_incompatible_with_gpu_policy"
    if policy is AccelerationPolicy.GPU_REQUIRED and not gpu:
        return "503 backend_gpu_runtime_unavailable"
    if rules.cpu_is_locked and not (wants_gpu and gpu):
        return "503 cpu_execution_locked"
    if backend is BackendStrategy.AUTO:
        falls_back = policy is AccelerationPolicy.GPU_PREFER and not gpu and "docling" not in installed
        engine = "docling" if wants_gpu and not falls_back else "builtin"
    else:
        engine = backend.value
    if engine not in installed:
        return "422 backend_not_available"
    return f"{'gpu' if wants_gpu and gpu else 'cpu'} {engine}"


def describe(decision: Decision) -> str:
    match decision:
        case RunOnGpu(engine, device, probe_id):
            assert device == "cuda:0"
            assert probe_id == PROVEN.probe_id
            assert (decision.pci_id, decision.masks) == (PROVEN.pci_id, PROVEN.masks)
            return f"gpu {engine}"
        case RunOnCpu(engine):
            return f"cpu {engine}"
        case Refuse(error):
            return f"{error.status} {error.details['reason']}"


def test_every_cell_of_the_truth_table_is_what_the_contract_says() -> None:
    cells = list(table())
    assert len(cells) == 3 * 4 * len(SNAPSHOTS) * len(RULES) * len(INSTALLED)
    wrong = [(cell, describe(got), expect(*cell)) for cell, got in cells if describe(got) != expect(*cell)]
    assert wrong == []
    assert {expect(*cell) for cell, _ in cells} == {
        "gpu docling",
        "cpu docling",
        "cpu builtin",
        "cpu pymupdf",
        "422 backend_incompatible_with_gpu_policy",
        "422 backend_not_available",
        "503 backend_gpu_runtime_unavailable",
        "503 cpu_execution_locked",
    }


def test_not_one_cell_runs_gpu_required_on_the_cpu() -> None:
    required = [got for cell, got in table() if cell[0] is AccelerationPolicy.GPU_REQUIRED]
    assert required
    assert not any(isinstance(got, RunOnCpu) for got in required)


def test_only_the_proven_snapshot_ever_runs_on_the_gpu() -> None:
    names = {cell[2] for cell, got in table() if isinstance(got, RunOnGpu)}
    assert names == {"proven"}


def test_a_forbidden_gpu_is_never_used() -> None:
    assert not any(isinstance(got, RunOnGpu) for cell, got in table() if cell[3].gpu_is_forbidden)


def test_nothing_runs_on_the_cpu_under_the_lock() -> None:
    assert not any(isinstance(got, RunOnCpu) for cell, got in table() if cell[3].cpu_is_locked)


def test_a_promised_device_changes_no_decision() -> None:
    for (policy, backend, name, rules, installed), got in table():
        promised = replace(rules, promised_device="gpu")
        assert describe(decide(policy, backend, SNAPSHOTS[name], promised, installed)) == describe(got)


def test_cpu_only_never_consults_the_snapshot() -> None:
    unlookable = Unlookable(**{name: getattr(PROVEN, name) for name in ProbeSnapshot.__dataclass_fields__})
    with pytest.raises(AssertionError, match="consulted"):
        decide(
            AccelerationPolicy.GPU_PREFER,
            BackendStrategy.AUTO,
            unlookable,
            ServerRules(cpu_is_locked=True),
            INSTALLED[1],
        )
    for backend, rules, installed in itertools.product(BackendStrategy, RULES, INSTALLED):
        got = decide(AccelerationPolicy.CPU_ONLY, backend, unlookable, rules, installed)
        assert describe(got) == expect(AccelerationPolicy.CPU_ONLY, backend, "none", rules, installed)


def test_every_503_has_the_fixed_keys_a_remedy_and_words_for_each_refusal() -> None:
    refusals = [
        (cell, got.error) for cell, got in table() if isinstance(got, Refuse) and isinstance(got.error, GpuNotAvailable)
    ]
    assert refusals
    for cell, error in refusals:
        assert set(error.details) == FIXED_KEYS | NEW_KEYS, cell
        assert error.details["evidence"], cell
        assert error.details["remediation"], cell
        assert error.retry_after_s, cell
        assert error.details["runtime_kind"] in {"rocm", "cuda", "none"}
        json.dumps(error.details)


def test_every_refused_gpu_request_names_a_cause() -> None:
    for cell, got in table():
        if isinstance(got, Refuse) and cell[0] is not AccelerationPolicy.CPU_ONLY and got.error.status == 503:
            assert got.error.details["cause"] in set(Cause), cell


def test_the_same_facts_give_the_same_body_apart_from_the_probe_id() -> None:
    for name, snapshot in UNPROVEN.items():
        again = replace(snapshot, probe_id="probe_2") if snapshot else None
        bodies = []
        for seen in (snapshot, again):
            got = decide(
                AccelerationPolicy.GPU_REQUIRED, BackendStrategy.AUTO, seen, ServerRules(), frozenset({"docling"})
            )
            assert isinstance(got, Refuse), name
            bodies.append((got.error.message, got.error.details | {"probe_id": None}))
        assert bodies[0] == bodies[1]


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("none", Cause.PROBE_INCOMPLETE),
        ("simulated", Cause.PROBE_INCOMPLETE),
        ("failed_driver", Cause.NO_GPU_HARDWARE),
        ("cause_with_passed_rungs", Cause.RESULT_MISMATCH),
    ],
)
def test_a_refusal_carries_the_cause_of_its_snapshot(name: str, cause: Cause) -> None:
    got = decide(
        AccelerationPolicy.GPU_REQUIRED, BackendStrategy.AUTO, SNAPSHOTS[name], ServerRules(), frozenset({"docling"})
    )
    assert isinstance(got, Refuse)
    assert got.error.details["cause"] == cause
    assert cause.value in got.error.message


def test_without_a_gpu_gpu_required_is_503_even_where_docling_is_missing() -> None:
    got = decide(AccelerationPolicy.GPU_REQUIRED, BackendStrategy.DOCLING, None, ServerRules(), frozenset({"builtin"}))
    assert describe(got) == "503 backend_gpu_runtime_unavailable"


def test_gpu_prefer_on_the_cpu_says_so_and_why() -> None:
    got = decide(
        AccelerationPolicy.GPU_PREFER,
        BackendStrategy.AUTO,
        SNAPSHOTS["failed_hardware"],
        ServerRules(),
        frozenset({"builtin"}),
    )
    assert got == RunOnCpu(
        "builtin", ("No GPU was used: no_gpu_hardware. Converted on the CPU by `builtin`, as `gpu_prefer` allows.",)
    )
    assert decide(
        AccelerationPolicy.CPU_ONLY, BackendStrategy.AUTO, None, ServerRules(), frozenset({"builtin"})
    ) == RunOnCpu("builtin", ())


def make_spec(policy: AccelerationPolicy, backend: BackendStrategy, ocr_mode: OcrMode) -> JobSpec:
    return JobSpec.model_validate(
        {
            "api_version": "v1",
            "source": {"kind": "upload", "filename": "a.pdf"},
            "conversion": {"backend_strategy": backend, "ocr_mode": ocr_mode},
            "execution": {"acceleration_policy": policy},
        }
    )


@pytest.mark.parametrize(
    ("policy", "backend", "ocr_mode"), list(itertools.product(AccelerationPolicy, BackendStrategy, OcrMode))
)
def test_a_conflict_is_told_by_its_field(
    policy: AccelerationPolicy, backend: BackendStrategy, ocr_mode: OcrMode
) -> None:
    spec = make_spec(policy, backend, ocr_mode)
    if policy is not AccelerationPolicy.CPU_ONLY and backend in CPU_ENGINES:
        details: dict[str, Any] = {
            "field": "conversion.backend_strategy",
            "reason": "backend_incompatible_with_gpu_policy",
        }
    elif backend is BackendStrategy.PYMUPDF and ocr_mode is not OcrMode.OFF:
        details = {
            "field": "conversion.ocr_mode",
            "reason": "backend_option_incompatible",
            "backend": "pymupdf",
            "supported": ["off"],
        }
    else:
        check_conflict(spec)
        return
    with pytest.raises(ValidationError) as caught:
        check_conflict(spec)
    assert caught.value.status == 422
    assert caught.value.details == details


def test_an_engine_that_is_not_installed_is_refused_with_those_that_are() -> None:
    check_installed("builtin", frozenset({"builtin"}))
    with pytest.raises(ValidationError) as caught:
        check_installed("docling", frozenset({"pymupdf", "builtin"}))
    assert caught.value.details == {
        "field": "conversion.backend_strategy",
        "reason": "backend_not_available",
        "requested": "docling",
        "available": ["builtin", "pymupdf"],
    }


@pytest.mark.parametrize("name", SNAPSHOTS)
@pytest.mark.parametrize("rules", RULES)
def test_readiness_keeps_the_promise(name: str, rules: ServerRules) -> None:
    proven = name == "proven" and not rules.gpu_is_forbidden
    got = judge_readiness(SNAPSHOTS[name], rules)
    assert got.state == ("proven" if proven else "not_proven")
    assert got.is_ready is (proven or (rules.promised_device == "none" and not rules.cpu_is_locked))
    assert (got.cause is None) is proven


def test_under_the_lock_no_remedy_sends_anybody_to_the_cpu() -> None:
    for cell, got in table():
        if cell[3].cpu_is_locked and isinstance(got, Refuse) and got.error.status == 503:
            told = got.error.details["remediation"]
            assert told, cell
            assert not [remedy for remedy in told if "cpu_only" in remedy], cell


def test_a_banned_gpu_may_be_answered_with_the_cpu_where_nothing_locks_it() -> None:
    got = decide(
        AccelerationPolicy.GPU_REQUIRED, BackendStrategy.AUTO, PROVEN, ServerRules(gpu_is_forbidden=True), INSTALLED[0]
    )
    assert isinstance(got, Refuse)
    assert any("cpu_only" in remedy for remedy in got.error.details["remediation"])


@pytest.mark.parametrize(("installed", "engine"), [(INSTALLED[0], "builtin"), (INSTALLED[1], "docling")])
def test_the_lock_names_the_engine_that_would_have_run(installed: frozenset[str], engine: str) -> None:
    got = decide(AccelerationPolicy.GPU_PREFER, BackendStrategy.AUTO, None, ServerRules(cpu_is_locked=True), installed)
    assert isinstance(got, Refuse)
    assert got.error.details["backend"] == engine
    assert f"`{engine}`" in got.error.message


def test_a_gpu_refusal_says_to_come_back_when_the_probe_will_have_looked_again() -> None:
    rules = ServerRules(cpu_is_locked=True, probe_ttl_s=7.2)
    for policy in AccelerationPolicy:
        got = decide(policy, BackendStrategy.AUTO, None, rules, INSTALLED[1])
        assert isinstance(got, Refuse)
        assert got.error.retry_after_s == 8
    assert refuse_readiness(None, rules).retry_after_s == 8


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (ServerRules(promised_device="gpu"), "promises a GPU"),
        (ServerRules(cpu_is_locked=True), "GPU lock"),
        (ServerRules(cpu_is_locked=True, promised_device="gpu"), "promises a GPU"),
    ],
)
def test_an_unready_service_names_the_rule_that_asks_for_the_gpu(rules: ServerRules, words: str) -> None:
    refusal = refuse_readiness(SNAPSHOTS["failed_hardware"], rules)
    assert words in refusal.message
    assert refusal.details["cause"] == "no_gpu_hardware"
    assert ("promise" in refusal.message) is (rules.promised_device == "gpu")


def test_a_service_that_is_not_ready_names_no_backend_since_nobody_asked_for_one() -> None:
    for rules in (ServerRules(cpu_is_locked=True), ServerRules(promised_device="gpu")):
        details = refuse_readiness(UNPROVEN["failed_hardware"], rules).details
        assert details["backend"] is None
        assert set(details) == FIXED_KEYS | NEW_KEYS


def test_no_refusal_speaks_of_a_server_since_it_is_met_without_one_too() -> None:
    """`/readyz` is left out: only a service has it."""
    errors = {id(decision.error): decision.error for _, decision in table() if isinstance(decision, Refuse)}
    told = {str([error.message, error.details]) for error in errors.values()}
    assert told
    assert not [text for text in told if "this server" in text or "this service" in text]
