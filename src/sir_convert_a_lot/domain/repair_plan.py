"""From what is wrong with a host to what would mend it: a pure function from findings to ordered actions.

Owns which finding is answered by which action, in which order, and what is left to a person. Refuses to run anything
(`application/repair`) and to look at a host (`infrastructure/host_repair`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sir_convert_a_lot.domain.gpu_causes import CAUSES, REINSTALL, Cause, Remedy
from sir_convert_a_lot.domain.gpu_facts import RuntimeKind
from sir_convert_a_lot.domain.repair_actions import (
    Action,
    Inventory,
    Plan,
    PostCheck,
    TorchSet,
    Trouble,
    Unit,
    UnitScope,
)
from sir_convert_a_lot.domain.repair_packages import find_deviations, plan_packages

RESTART = "restart_service"

# The right versions can be there and their files damaged: only a new installation mends these.
DAMAGED_FILES = frozenset({Cause.TORCH_IMPORT_BROKEN.value, Cause.BLAS_TARGET_MISSING.value})
# Answered by the packages above or by the groups below, not by the printed remedies of the cause.
ANSWERED_BY_PACKAGES = DAMAGED_FILES | {
    Cause.TORCH_MISSING.value,
    Cause.WHEEL_CPU_ONLY.value,
    Cause.WHEEL_WRONG_VENDOR.value,
    Cause.TORCH_FAMILY_MISMATCH.value,
    Cause.SMI_LIBRARY_CLASH.value,
}
# A restart is what mends these, where systemd runs the service.
ANSWERED_BY_RESTART = frozenset(
    {
        "service_down",
        "service_unhealthy",
        "wrong_revision",
        "revision_unknown",
        Cause.GPU_FAULT_STICKY.value,
        Cause.ENV_CHANGED_AFTER_INIT.value,
    }
)


def plan_repair(troubles: Iterable[Trouble], inventory: Inventory, pins: TorchSet | None) -> Plan:
    """The actions for these findings on this host. Deterministic. `pins`: None where no GPU runtime is expected.

    The packages follow from the inventory alone, so that the same host gets the same plan whoever asks, and a host
    whose set is as pinned gets none; findings add what an inventory cannot show.
    """
    known = list(dict.fromkeys(troubles))
    codes = {trouble.code for trouble in known}
    actions: list[Action] = []
    deviations: tuple[str, ...] = ()
    if pins is not None:
        deviations = find_deviations(inventory, pins)
        damaged = sorted(codes & DAMAGED_FILES)
        if deviations or damaged:
            actions += plan_packages(inventory, pins, damaged[0] if damaged else "torch_set_not_as_pinned")
    has_new_packages = bool(actions)
    actions += plan_groups(inventory, codes)
    actions += plan_by_hand(known, inventory, pins)
    if inventory.unit is not None and (has_new_packages or codes & ANSWERED_BY_RESTART):
        actions += plan_restart(inventory.unit, has_new_packages)
    return Plan(tuple(replace(action, order=number) for number, action in enumerate(actions, 1)), deviations)


def choose_kind(expected: RuntimeKind | None, inventory: Inventory) -> RuntimeKind | None:
    """The kind of GPU runtime that the environment should hold: what the profile says, else what an earlier repair has
    put there, else what the host's GPU needs.

    None where none of them tells, or where GPUs of two kinds do: then the packages are left alone.
    """
    if expected is not None:
        return None if expected is RuntimeKind.NONE else expected
    if inventory.expected is not None:
        return inventory.expected
    return inventory.kinds[0] if len(inventory.kinds) == 1 else None


def plan_groups(inventory: Inventory, codes: set[str]) -> list[Action]:
    """Groups in numbers: the names of a container's groups are not the host's."""
    if Cause.DEVICE_PERMISSION_DENIED.value not in codes or not inventory.closed_nodes:
        return []
    groups = ",".join(str(group) for group in inventory.closed_nodes)
    return [
        Action(
            "join_device_groups",
            ("usermod", "--append", "--groups", groups, inventory.account),
            "the account may not open the GPU's device nodes; it takes effect with the next login",
            Cause.DEVICE_PERMISSION_DENIED.value,
            needs_root=True,
        )
    ]


def plan_by_hand(troubles: Sequence[Trouble], inventory: Inventory, pins: TorchSet | None) -> list[Action]:
    """What a person has to do: the remedies of each finding that nothing above answers."""
    actions: list[Action] = []
    told: set[Remedy] = set()
    for trouble in troubles:
        if trouble.code in ANSWERED_BY_RESTART or (pins is not None and trouble.code in ANSWERED_BY_PACKAGES):
            continue
        remedies = [remedy for remedy in find_remedies(trouble, inventory) if remedy not in told]
        told.update(remedies)
        for number, remedy in enumerate(remedies, 1):
            actions.append(
                Action(
                    f"{trouble.code}_{number}",
                    (),
                    remedy.text,
                    trouble.code,
                    needs_root=remedy.needs_root,
                    reversible=remedy.is_reversible,
                    by_hand=True,
                    shown=remedy.command or "",
                )
            )
    return actions


def find_remedies(trouble: Trouble, inventory: Inventory) -> list[Remedy]:
    """Its own, else those of the cause with its name, without what other actions of the plan do."""
    remedies = trouble.remedies
    if not remedies and trouble.code in {cause.value for cause in CAUSES}:
        remedies = CAUSES[Cause(trouble.code)].remedies
    has_groups = trouble.code == Cause.DEVICE_PERMISSION_DENIED.value and bool(inventory.closed_nodes)
    return [
        remedy
        for remedy in remedies
        if remedy is not REINSTALL and not is_own_command(remedy) and not (has_groups and remedy.needs_root)
    ]


def is_own_command(remedy: Remedy) -> bool:
    """The remedy is this very repair."""
    return remedy.command is not None and " host repair " in f"{remedy.command} "


def plan_restart(unit: Unit, has_new_packages: bool) -> list[Action]:
    why = "a running service keeps the packages that it started with" if has_new_packages else "the service must answer"
    if unit.scope in {UnitScope.NONE, UnitScope.UNKNOWN}:
        told = f"{why}; systemd does not know {unit.name}: start the service again the way it was started"
        return [Action(RESTART, (), told, "service", by_hand=True)]
    is_users = unit.scope is UnitScope.USER
    argv = ("systemctl", *(("--user",) if is_users else ()), "restart", unit.name)
    check = PostCheck(f"{unit.name} is active", unit_is_active=True)
    return [Action(RESTART, argv, why, "service", needs_root=not is_users, post_check=check)]
