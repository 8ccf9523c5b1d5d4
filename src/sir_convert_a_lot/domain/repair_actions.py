"""The words of a repair: what a host has, what it should have, and the actions between the two.

Owns the types, and what an action promises to leave behind. Refuses to choose actions (`repair_plan`,
`repair_packages`) and to run them (`application/repair`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sir_convert_a_lot.domain.gpu_causes import Remedy
from sir_convert_a_lot.domain.gpu_facts import RuntimeKind

TORCH = "torch"
QUICK_LIMIT_S = 120.0


class UnitScope(StrEnum):
    """Whose systemd runs the service."""

    USER = "user"
    SYSTEM = "system"
    NONE = "none"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Unit:
    """The service's systemd unit. `is_active`: None when that could not be told."""

    name: str
    scope: UnitScope
    is_active: bool | None = None


@dataclass(frozen=True, slots=True)
class TorchSet:
    """The builds that belong together, for one kind of GPU: `versions` by normalised name, torch among them.

    `family`: what every local tag begins with. `index_url`: None is the index of the environment.
    """

    kind: RuntimeKind
    family: str
    versions: Mapping[str, str]
    index_url: str | None = None

    @property
    def siblings(self) -> dict[str, str]:
        return {name: version for name, version in self.versions.items() if name != TORCH}

    @property
    def constraints(self) -> str:
        """The text of a pip constraints file."""
        return "".join(f"{name}=={version}\n" for name, version in sorted(self.versions.items()))

    def to_json(self) -> dict[str, Any]:
        """As it is written down on a host, by a repair and for the guard: others may read it there."""
        versions = dict(sorted(self.versions.items()))
        index = None if self.index_url is None else without_userinfo(self.index_url)
        return {"kind": self.kind.value, "family": self.family, "packages": versions, "index": index}


def without_userinfo(text: str) -> str:
    """The text, its URLs without name, password or token."""
    return re.sub(r"(?<=://)[^/\s@]+@", "", text)


def is_version(seen: str | None, pinned: str) -> bool:
    """Whether `seen` is the pinned version. A pin without a local tag leaves the tag to the family."""
    return seen is not None and (seen == pinned or ("+" not in pinned and seen.partition("+")[0] == pinned))


@dataclass(frozen=True, slots=True)
class Inventory:
    """What the host has, as far as a repair is concerned.

    `python`: of the environment, absolute. `installed`: versions by normalised name; of torch and its siblings with the
    local tag that their own files tell. `torn`: names whose files and metadata contradict each other. `dependents`:
    requirements (`name==version`) of the installed packages that ask for one of the torch set. `closed_nodes`: numeric
    ids of the groups that would let the account open the GPU's device nodes. `kinds`: of the GPUs that have a node.
    `leftovers`: paths of each package that pip cannot take away whole. `expected`: what an earlier repair has left
    written that the environment is to hold.
    """

    python: str
    state_directory: str
    installed: Mapping[str, str]
    torn: frozenset[str] = frozenset()
    leftovers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dependents: tuple[str, ...] = ()
    has_pip: bool = True
    account: str = ""
    closed_nodes: tuple[int, ...] = ()
    kinds: tuple[RuntimeKind, ...] = ()
    expected: RuntimeKind | None = None
    unit: Unit | None = None

    @property
    def pip(self) -> tuple[str, ...]:
        return (self.python, "-m", "pip")

    @property
    def wheels(self) -> str:
        """The folder of the wheels that a repair has fetched."""
        return f"{self.state_directory}/wheels"

    @property
    def constraints(self) -> str:
        """The file of `TorchSet.constraints`."""
        return f"{self.state_directory}/constraints.txt"


@dataclass(frozen=True, slots=True)
class Trouble:
    """A finding, as the plan needs it: its stable code, and what it names as remedy by itself."""

    code: str
    remedies: tuple[Remedy, ...] = ()


@dataclass(frozen=True, slots=True)
class PostCheck:
    """What must hold after an action. `installed`: versions by name, None for "not there"."""

    sentence: str
    installed: Mapping[str, str | None] = field(default_factory=dict)
    unit_is_active: bool = False

    def failures(self, inventory: Inventory) -> list[str]:
        """What does not hold, as sentences."""
        wrong = [
            f"{name} is {seen or 'not installed'} and should be {wanted or 'absent'}"
            for name, wanted in self.installed.items()
            if not _holds(seen := inventory.installed.get(name), wanted)
        ]
        wrong += [f"the files of {name} contradict its metadata" for name in self.installed if name in inventory.torn]
        if self.unit_is_active and (inventory.unit is None or inventory.unit.is_active is not True):
            name = inventory.unit.name if inventory.unit else "the unit"
            wrong.append(f"{name} is not active")
        return wrong


def _holds(seen: str | None, wanted: str | None) -> bool:
    return seen is None if wanted is None else is_version(seen, wanted)


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do. `argv` is what is run and what a person would type; empty where nothing can be typed.

    `environment` is put before it. `changes_packages`: cut off in the middle, it leaves packages that nobody knows.
    """

    name: str
    argv: tuple[str, ...]
    why: str
    finding: str
    needs_root: bool = False
    reversible: bool = True
    by_hand: bool = False
    post_check: PostCheck | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    shown: str = ""
    timeout_s: float = QUICK_LIMIT_S
    changes_packages: bool = False
    order: int = 0

    @property
    def runs(self) -> bool:
        """Whether `--apply` runs it: the account's own, and it can be undone."""
        return bool(self.argv) and self.reversible and not self.needs_root and not self.by_hand


@dataclass(frozen=True, slots=True)
class Plan:
    """Actions in their order. `deviations`: what about the torch set is not as pinned, as sentences."""

    actions: tuple[Action, ...]
    deviations: tuple[str, ...] = ()

    @property
    def to_run(self) -> tuple[Action, ...]:
        return tuple(action for action in self.actions if action.runs)

    @property
    def to_print(self) -> tuple[Action, ...]:
        return tuple(action for action in self.actions if not action.runs)

    @property
    def changes_packages(self) -> bool:
        return any(action.changes_packages for action in self.to_run)


def normalise(name: str) -> str:
    """A distribution's name as the packaging standards compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
