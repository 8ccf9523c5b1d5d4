"""Whether this environment still holds the torch builds that are expected of it.

A sync from the lock brings back the torch that the lock names, and a service would then refuse every GPU job, or worse,
start. Owns where an expectation stands: written into the environment by a repair, or in the operator's hosts file, in a
profile without `ssh` whose environment this is. Without either, nothing is expected and nothing looked at.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from sir_convert_a_lot.domain.gpu_facts import Present, RuntimeKind, Unknown
from sir_convert_a_lot.domain.host_profile import HostProfile, TorchPins
from sir_convert_a_lot.domain.repair_actions import Inventory, TorchSet, normalise
from sir_convert_a_lot.domain.repair_packages import find_deviations
from sir_convert_a_lot.infrastructure.host_checks.torch_pins import parse_pins
from sir_convert_a_lot.infrastructure.host_repair.agent import EXPECTED, STATE, Place, write_whole
from sir_convert_a_lot.infrastructure.host_repair.inventory import read_installed
from sir_convert_a_lot.infrastructure.host_repair.site import FAMILY
from sir_convert_a_lot.infrastructure.hosts.profiles import HostProfileMissing, list_profiles_of_this_machine


def find_undone(prefix: Path, environ: Mapping[str, str]) -> list[str]:
    """What is not as expected of the environment at `prefix`, as sentences; empty where nothing is expected.

    Raises `HostProfileMissing` when what is expected cannot be read.
    """
    goal = find_expectation(prefix, environ)
    return [] if goal is None else list(find_deviations(_take_inventory(prefix), goal))


def find_expectation(prefix: Path, environ: Mapping[str, str]) -> TorchSet | None:
    """What the operator's hosts file expects, else what a repair has written down."""
    for profile in list_profiles_of_this_machine(environ):
        if (
            profile.runtime_kind in {RuntimeKind.ROCM, RuntimeKind.CUDA}
            and _environment_of(profile) == prefix.resolve()
        ):
            return _pins_of(profile, profile.runtime_kind)
    path = prefix / STATE / EXPECTED
    try:
        told = json.loads(path.read_text("utf-8"))
        return TorchSet(RuntimeKind(told["kind"]), told["family"], told["packages"], told["index"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HostProfileMissing(f"{path} does not tell what is expected: {error!r}") from error


def expect(prefix: Path, kind: RuntimeKind, pyproject: Path) -> None:
    """Write down that the environment is to hold what this project pins for `kind`. Raises `HostProfileMissing`."""
    goal = _read_pins(kind, pyproject)
    (prefix / STATE).mkdir(mode=0o755, exist_ok=True)
    write_whole(prefix / STATE / EXPECTED, json.dumps(goal.to_json(), indent=1, sort_keys=True), mode=0o644)


def _environment_of(profile: HostProfile) -> Path:
    root = Path(profile.root).expanduser()
    return (root / Path(profile.python).expanduser()).parent.parent.resolve()


def _pins_of(profile: HostProfile, kind: RuntimeKind) -> TorchSet:
    if profile.torch is not None:
        return _make_set(kind, profile.torch)
    return _read_pins(kind, Path(profile.root).expanduser() / "pyproject.toml")


def _read_pins(kind: RuntimeKind, pyproject: Path) -> TorchSet:
    try:
        pins = parse_pins(pyproject.read_bytes(), kind)
    except OSError as error:
        pins = Unknown(f"{pyproject}: {error.strerror}")
    if isinstance(pins, Present):
        return _make_set(kind, pins.value)
    raise HostProfileMissing(f"which torch builds are expected is not known: {pins.reason}")


def _make_set(kind: RuntimeKind, pins: TorchPins) -> TorchSet:
    return TorchSet(
        kind, pins.family, {normalise(name): version for name, version in pins.packages.items()}, pins.index
    )


def _take_inventory(prefix: Path) -> Inventory:
    place = Place(prefix / "bin" / "python")
    installed, torn = read_installed(place.packages, list(FAMILY))
    return Inventory(str(place.python), str(place.state), installed, frozenset(torn))
