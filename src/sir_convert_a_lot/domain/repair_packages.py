"""The packages of a repair: what is not as pinned, and the actions that put the pinned torch set in place.

The order is the whole point. Everything that comes over the network is fetched before anything is taken away; torch
goes in first, from its own index; its siblings follow; what depends on them comes last, under constraints that carry
the exact local versions, so that a package which wants another torch is a conflict and not another torch.
"""

from __future__ import annotations

from collections.abc import Mapping

from sir_convert_a_lot.domain.gpu_facts import RuntimeKind
from sir_convert_a_lot.domain.repair_actions import TORCH, Action, Inventory, PostCheck, TorchSet, is_version

# Distributions that put the package `triton` in place, each over the others' files: taking one away damages the others.
TRITONS = ("triton", "triton-rocm", "pytorch-triton-rocm")
# Packages that keep a torch of this kind from working, whatever their version, unless the set itself has them.
BREAKERS: Mapping[RuntimeKind, tuple[str, ...]] = {
    # amdsmi: a second copy of the driver's own library; torch then counts no device
    RuntimeKind.ROCM: ("triton", "amdsmi"),
    RuntimeKind.CUDA: ("triton-rocm", "pytorch-triton-rocm"),
}
# Those of a set whose import says that it is whole; a triton is imported by torch where it needs it.
IMPORTED = (TORCH, "torchvision", "torchaudio")

FETCH_LIMIT_S = 3600.0  # a torch wheel for ROCm has several GB
INSTALL_LIMIT_S = 1800.0
IMPORT_LIMIT_S = 600.0

# For pip where the set is concerned: no other index may answer, whatever the account's configuration says. Where this
# stands, the host drops the account's own `PIP_` variables too (`inventory.surroundings`).
OWN_INDEX_ONLY = {"PIP_CONFIG_FILE": "/dev/null"}


def find_deviations(inventory: Inventory, pins: TorchSet) -> tuple[str, ...]:
    """What is not as pinned, one sentence each, in the order of the set; empty when nothing is to do."""
    wrong = [
        f"{name} is {inventory.installed.get(name) or 'not installed'}, pinned is {version}"
        for name, version in sorted(pins.versions.items(), key=lambda pin: pin[0] != TORCH)
        if not is_version(inventory.installed.get(name), version)
    ]
    wrong += [
        f"{name} is {version}, and the family is {pins.family}"
        for name in pins.versions
        if (version := inventory.installed.get(name, "")).partition("+")[2]
        and not version.partition("+")[2].startswith(pins.family)
        and is_version(version, pins.versions[name])
    ]
    wrong += [f"the files of {name} contradict its metadata" for name in sorted(inventory.torn & set(pins.versions))]
    return (*wrong, *(f"{name} is installed and keeps torch from working" for name in find_strangers(inventory, pins)))


def find_strangers(inventory: Inventory, pins: TorchSet) -> list[str]:
    """Installed packages that may not stand beside the set."""
    unwanted = list(BREAKERS.get(pins.kind, ()))
    if any(name in pins.versions for name in TRITONS):
        unwanted += [name for name in TRITONS if name not in unwanted]
    return [name for name in unwanted if name in inventory.installed and name not in pins.versions]


def find_removed(inventory: Inventory, pins: TorchSet) -> list[str]:
    """What is taken away first: strangers, the set itself, and what a stranger shares its files with."""
    strangers = find_strangers(inventory, pins)
    shared = TRITONS if any(name in TRITONS for name in strangers) else ()
    wanted = dict.fromkeys((*strangers, *shared, *pins.versions))
    return [name for name in wanted if name in inventory.installed]


def plan_packages(inventory: Inventory, pins: TorchSet, finding: str) -> list[Action]:
    """The actions that lead from any state of the environment to the pinned set."""
    return [
        *_ensure_pip(inventory, finding),
        _fetch(inventory, pins, finding),
        *_remove(inventory, pins, finding),
        *_install(inventory, pins, finding),
        _settle(inventory, pins, finding),
        _import(inventory, pins, finding),
    ]


def spell(versions: Mapping[str, str]) -> tuple[str, ...]:
    """Requirements with exact versions, torch first."""
    return tuple(
        f"{name}=={version}" for name, version in sorted(versions.items(), key=lambda pin: (pin[0] != TORCH, pin[0]))
    )


def _ensure_pip(inventory: Inventory, finding: str) -> list[Action]:
    if inventory.has_pip:
        return []
    argv = (inventory.python, "-m", "ensurepip")
    why = "the environment has no pip, and its Python carries one"
    return [Action("install_pip", argv, why, finding, changes_packages=True)]


def _fetch(inventory: Inventory, pins: TorchSet, finding: str) -> Action:
    has_own = pins.index_url is not None
    # In the environment, which is the account's alone to read: every account sees a command line.
    only = {} if pins.index_url is None else {**OWN_INDEX_ONLY, "PIP_INDEX_URL": pins.index_url}
    return Action(
        "fetch_torch_set",
        (*inventory.pip, "download", "--no-deps", "--dest", inventory.wheels, *spell(pins.versions)),
        f"have every wheel of the set, {'from its own index alone, ' if has_own else ''}before anything is taken away",
        finding,
        environment=only,
        timeout_s=FETCH_LIMIT_S,
    )


def _remove(inventory: Inventory, pins: TorchSet, finding: str) -> list[Action]:
    gone = find_removed(inventory, pins)
    damaged = [name for name in gone if name in inventory.leftovers]
    whole = [name for name in gone if name not in inventory.leftovers]
    actions = []
    if whole:
        actions.append(
            Action(
                "remove_wrong_packages",
                (*inventory.pip, "uninstall", "--yes", *whole),
                "take away what is not of the set, or writes over its files",
                finding,
                post_check=PostCheck("none of them is installed", dict.fromkeys(whole)),
                timeout_s=INSTALL_LIMIT_S,
                changes_packages=True,
            )
        )
    if damaged:
        paths = [path for name in damaged for path in inventory.leftovers[name]]
        actions.append(
            Action(
                "remove_damaged_packages",
                ("rm", "-rf", "--", *paths),
                "take away what pip cannot, since their record is not what lies there",
                finding,
                post_check=PostCheck("none of them is installed", dict.fromkeys(damaged)),
                changes_packages=True,
            )
        )
    return actions


def _install(inventory: Inventory, pins: TorchSet, finding: str) -> list[Action]:
    """torch, then its siblings, from the wheels that were fetched."""
    offline = ("--no-index", "--find-links", inventory.wheels, "--no-deps", "--force-reinstall")
    steps = [
        ("install_torch", {TORCH: pins.versions[TORCH]}, "torch first, the very build that is pinned"),
        ("install_siblings", pins.siblings, "what carries operators and kernels for torch, of one build with it"),
    ]
    return [
        Action(
            name,
            (*inventory.pip, "--isolated", "install", *offline, *spell(versions)),
            why,
            finding,
            post_check=PostCheck(f"as pinned: {', '.join(spell(versions))}", versions),
            environment=OWN_INDEX_ONLY,
            timeout_s=INSTALL_LIMIT_S,
            changes_packages=True,
        )
        for name, versions, why in steps
        if versions
    ]


def _settle(inventory: Inventory, pins: TorchSet, finding: str) -> Action:
    """What is installed and satisfies its requirement stays as it is, so mostly this fetches nothing. The set is named
    without its versions: those are the constraints' to say, for whoever asks for it.
    """
    unwanted = dict.fromkeys(find_strangers(inventory, pins))
    wanted = (*pins.versions, *inventory.dependents)
    return Action(
        "install_rest",
        (*inventory.pip, "install", "--constraint", inventory.constraints, *wanted),
        "what the set needs and what needs the set, under its exact versions: another torch is a conflict",
        finding,
        post_check=PostCheck(
            "the set is as pinned, and nothing that breaks it is there", {**pins.versions, **unwanted}
        ),
        timeout_s=FETCH_LIMIT_S,
        changes_packages=True,
    )


def _import(inventory: Inventory, pins: TorchSet, finding: str) -> Action:
    names = ", ".join(name for name in IMPORTED if name in pins.versions)
    return Action(
        "import_torch_set",
        (inventory.python, "-I", "-c", f"import {names}"),
        "what was installed can be imported",
        finding,
        timeout_s=IMPORT_LIMIT_S,
    )
