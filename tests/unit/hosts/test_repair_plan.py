"""A plan follows from what is there and what is pinned alone, and never runs what it may not."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from sir_convert_a_lot.domain.gpu_causes import CAUSES, Cause, Remedy
from sir_convert_a_lot.domain.gpu_facts import RuntimeKind
from sir_convert_a_lot.domain.repair_actions import Inventory, Plan, PostCheck, TorchSet, Trouble, Unit, UnitScope
from sir_convert_a_lot.domain.repair_plan import choose_kind, plan_repair

PINS = TorchSet(
    RuntimeKind.ROCM,
    "rocm7.1",
    {
        "torch": "2.10.0+rocm7.1",
        "torchvision": "0.25.0+rocm7.1",
        "torchaudio": "2.10.0+rocm7.1",
        "triton-rocm": "3.6.0",
    },
    "https://wheels.example.org/rocm7.1",
)
HEALTHY = Inventory("/srv/sir/.venv/bin/python", "/srv/sir/.venv/.state", dict(PINS.versions), account="sir")
CPU = replace(
    HEALTHY, installed={"torch": "2.10.0+cpu", "docling": "2.143.0"}, dependents=("docling-ibm-models==3.10.0",)
)


def names(plan: Plan) -> list[str]:
    return [action.name for action in plan.actions]


def test_a_healthy_host_gets_no_plan() -> None:
    assert plan_repair([], HEALTHY, PINS) == Plan(())


def test_everything_is_fetched_before_anything_is_taken_away_and_torch_comes_first() -> None:
    plan = plan_repair([], CPU, PINS)
    assert names(plan) == [
        "fetch_torch_set", "remove_wrong_packages", "install_torch", "install_siblings", "install_rest",
        "import_torch_set",
    ]  # fmt: skip
    assert [action.order for action in plan.actions] == [1, 2, 3, 4, 5, 6]
    assert plan.to_run == plan.actions
    fetch, remove, torch, siblings, rest, _ = plan.actions
    # An index of the account's would answer too, and every account sees a command line.
    assert fetch.environment == {"PIP_CONFIG_FILE": "/dev/null", "PIP_INDEX_URL": PINS.index_url}
    assert not any("://" in word for action in plan.actions for word in action.argv)
    assert remove.argv[-1] == "torch"
    assert torch.argv[-1] == "torch==2.10.0+rocm7.1"
    assert "--no-index" in torch.argv
    assert siblings.argv[-3:] == ("torchaudio==2.10.0+rocm7.1", "torchvision==0.25.0+rocm7.1", "triton-rocm==3.6.0")
    assert rest.argv[rest.argv.index("--constraint") + 1] == HEALTHY.constraints
    assert rest.argv[-1] == "docling-ibm-models==3.10.0"


def test_constraints_carry_the_exact_local_versions() -> None:
    assert PINS.constraints.splitlines() == [
        "torch==2.10.0+rocm7.1", "torchaudio==2.10.0+rocm7.1", "torchvision==0.25.0+rocm7.1", "triton-rocm==3.6.0"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "deviation"),
    [
        ({"torch": "2.10.0+cpu"}, "torch is 2.10.0+cpu, pinned is 2.10.0+rocm7.1"),
        ({"torchvision": "0.25.0"}, "torchvision is 0.25.0, pinned is 0.25.0+rocm7.1"),
        ({"torchaudio": None}, "torchaudio is not installed, pinned is 2.10.0+rocm7.1"),
        ({"triton": "3.6.0"}, "triton is installed and keeps torch from working"),
        ({"amdsmi": "7.0.2"}, "amdsmi is installed and keeps torch from working"),
    ],
)
def test_what_is_not_as_pinned_is_told(change: dict[str, str | None], deviation: str) -> None:
    installed = {name: version for name, version in {**HEALTHY.installed, **change}.items() if version is not None}
    plan = plan_repair([], replace(HEALTHY, installed=installed), PINS)
    assert plan.deviations == (deviation,)
    assert plan.changes_packages


def test_files_of_another_build_than_their_metadata_are_not_as_pinned() -> None:
    assert plan_repair([], replace(HEALTHY, torn=frozenset({"torch"})), PINS).deviations == (
        "the files of torch contradict its metadata",
    )


def test_a_pin_without_a_tag_leaves_the_tag_to_the_family() -> None:
    pins = TorchSet(RuntimeKind.CUDA, "cu", {"torch": "2.15.0", "triton": "3.7.0"})
    fits = replace(HEALTHY, installed={"torch": "2.15.0+cu130", "triton": "3.7.0"})
    assert plan_repair([], fits, pins).deviations == ()
    strange = replace(HEALTHY, installed={"torch": "2.15.0+cpu", "triton": "3.7.0"})
    assert plan_repair([], strange, pins).deviations == ("torch is 2.15.0+cpu, and the family is cu",)


CUDA_PINS = TorchSet(RuntimeKind.CUDA, "cu", {"torch": "2.15.0", "torchvision": "0.29.2"})
CUDA = replace(HEALTHY, installed={"torch": "2.15.0+cu130", "torchvision": "0.29.2+cu130", "triton": "3.7.0"})


def test_the_triton_that_torch_for_cuda_asks_for_is_no_stranger_there() -> None:
    assert plan_repair([], CUDA, CUDA_PINS).actions == ()


def test_what_shares_its_files_with_a_stranger_is_taken_away_too_and_comes_back() -> None:
    both = replace(CUDA, installed={**CUDA.installed, "triton-rocm": "3.6.0"})
    remove, rest = (plan_repair([], both, CUDA_PINS).actions[number] for number in (1, 4))
    assert set(remove.argv[-4:]) == {"torch", "torchvision", "triton", "triton-rocm"}
    assert "--no-deps" not in rest.argv


def test_what_pip_cannot_take_away_is_taken_away_by_its_paths() -> None:
    torn = replace(CPU, torn=frozenset({"torch"}), leftovers={"torch": ("/srv/torch", "/srv/torch-1.dist-info")})
    plan = plan_repair([], torn, PINS)
    (action,) = (action for action in plan.actions if action.name.startswith("remove_"))
    assert action.argv == ("rm", "-rf", "--", "/srv/torch", "/srv/torch-1.dist-info")
    assert action.changes_packages


def test_a_set_without_an_index_of_its_own_comes_from_the_environments() -> None:
    fetch = plan_repair([], CPU, replace(PINS, index_url=None)).actions[0]
    assert fetch.environment == {}
    assert fetch.environment == {}


@pytest.mark.parametrize("cause", [Cause.TORCH_IMPORT_BROKEN, Cause.BLAS_TARGET_MISSING])
def test_damaged_files_are_installed_again_though_their_versions_are_right(cause: Cause) -> None:
    assert "install_torch" in names(plan_repair([Trouble(cause.value)], HEALTHY, PINS))


def test_groups_are_joined_by_number_and_by_root() -> None:
    closed = replace(HEALTHY, closed_nodes=(44, 993))
    plan = plan_repair([Trouble(Cause.DEVICE_PERMISSION_DENIED.value)], closed, PINS)
    action = plan.actions[0]
    assert action.argv == ("usermod", "--append", "--groups", "44,993", "sir")
    assert action.needs_root
    assert plan.to_run == ()


@pytest.mark.parametrize("cause", Cause)
def test_no_cause_lets_anything_run_that_needs_root_or_cannot_be_undone(cause: Cause) -> None:
    plan = plan_repair([Trouble(cause.value)], replace(CPU, closed_nodes=(44,)), PINS)
    for action in plan.to_run:
        assert action.reversible
        assert action.argv[0] == HEALTHY.python
    printed = " ".join(action.shown for action in plan.to_print)
    for remedy in CAUSES[cause].remedies:
        if remedy.needs_root and cause is not Cause.DEVICE_PERMISSION_DENIED:
            assert (remedy.command or "") in printed


def test_a_remedy_that_several_findings_name_is_told_once() -> None:
    reboot = Remedy("Reboot the host", "reboot", needs_root=True, is_reversible=False)
    plan = plan_repair([Trouble("one", (reboot,)), Trouble("two", (reboot,))], HEALTHY, PINS)
    assert names(plan) == ["one_1"]


def test_a_repair_is_no_remedy_of_itself() -> None:
    itself = Remedy("Put the pinned builds in place", "convert-a-lot host repair --apply")
    assert plan_repair([Trouble("torch_not_pinned", (itself,))], HEALTHY, PINS).actions == ()


@pytest.mark.parametrize(
    ("scope", "argv", "runs"),
    [
        (UnitScope.USER, ("systemctl", "--user", "restart", "sir.service"), True),
        (UnitScope.SYSTEM, ("systemctl", "restart", "sir.service"), False),
        (UnitScope.NONE, (), False),
        (UnitScope.UNKNOWN, (), False),
    ],
)
@pytest.mark.parametrize("code", ["service_down", "wrong_revision"])
def test_only_a_unit_of_the_account_is_restarted(
    scope: UnitScope, argv: tuple[str, ...], runs: bool, code: str
) -> None:
    plan = plan_repair([Trouble(code)], replace(HEALTHY, unit=Unit("sir.service", scope, False)), PINS)
    (action,) = plan.actions
    assert (action.argv, action.runs) == (argv, runs)


def test_a_service_is_restarted_after_its_packages_were_replaced() -> None:
    plan = plan_repair([], replace(CPU, unit=Unit("sir.service", UnitScope.USER, True)), PINS)
    assert names(plan)[-1] == "restart_service"
    assert plan_repair([], replace(HEALTHY, unit=Unit("sir.service", UnitScope.USER, True)), PINS).actions == ()


@pytest.mark.parametrize(
    ("expected", "kinds", "chosen"),
    [
        (RuntimeKind.ROCM, (RuntimeKind.CUDA,), RuntimeKind.ROCM),
        (RuntimeKind.NONE, (RuntimeKind.CUDA,), None),
        (None, (RuntimeKind.CUDA,), RuntimeKind.CUDA),
        (None, (RuntimeKind.ROCM, RuntimeKind.CUDA), None),
        (None, (), None),
    ],
)
def test_the_kind_is_the_profiles_else_that_of_the_only_gpu(
    expected: RuntimeKind | None, kinds: tuple[RuntimeKind, ...], chosen: RuntimeKind | None
) -> None:
    assert choose_kind(expected, replace(HEALTHY, kinds=kinds)) is chosen


def test_what_an_earlier_repair_put_there_goes_before_the_gpus_that_are_seen() -> None:
    left = replace(HEALTHY, kinds=(RuntimeKind.CUDA,), expected=RuntimeKind.ROCM)
    assert choose_kind(None, left) is RuntimeKind.ROCM
    assert choose_kind(RuntimeKind.CUDA, left) is RuntimeKind.CUDA


def test_without_a_kind_the_packages_are_left_alone() -> None:
    assert plan_repair([], CPU, None).actions == ()


def test_a_post_check_tells_each_thing_that_does_not_hold() -> None:
    unit = Unit("sir.service", UnitScope.USER, None)
    check = PostCheck("all well", {"torch": "2.10.0+rocm7.1", "docling": None}, unit_is_active=True)
    assert check.failures(replace(CPU, unit=unit)) == [
        "torch is 2.10.0+cpu and should be 2.10.0+rocm7.1",
        "docling is 2.143.0 and should be absent",
        "sir.service is not active",
    ]
    assert check.failures(replace(HEALTHY, unit=replace(unit, is_active=True))) == []


def test_an_environment_without_pip_gets_it_first() -> None:
    assert names(plan_repair([], replace(CPU, has_pip=False), PINS))[0] == "install_pip"


def test_names_of_actions_are_words_that_a_script_can_keep() -> None:
    codes = [Trouble(cause.value) for cause in Cause]
    for name in names(plan_repair(codes, replace(CPU, closed_nodes=(44,)), PINS)):
        assert re.fullmatch(r"[a-z0-9_]+", name)
