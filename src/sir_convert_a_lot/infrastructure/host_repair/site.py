"""The environment of a host as a place to repair: orders to the agent there, and its answers in the domain's words.

Owns the wire to `agent` and the name of one repair. Refuses to choose or to order steps (`application.repair`).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sir_convert_a_lot.application.host_ports import Host
from sir_convert_a_lot.domain.gpu_facts import Fact, Present, RuntimeKind
from sir_convert_a_lot.domain.host_access import CommandOutcome, Ending, HostCommand, HostNotReached, HostProblem
from sir_convert_a_lot.domain.host_profile import HostProfile
from sir_convert_a_lot.domain.repair_actions import Action, Inventory, PostCheck, TorchSet, Unit, UnitScope, normalise
from sir_convert_a_lot.domain.repair_journal import Journal, Phase, Refusal, RepairRefused, StepOutcome, StepState
from sir_convert_a_lot.infrastructure.host_checks.torch_pins import read_pins

# In the order in which they are made there: the last one is asked.
PACKAGE = "sir_convert_a_lot.infrastructure.host_repair"
MODULES = [
    (f"{PACKAGE}.{name}", Path(__file__).with_name(f"{name}.py").read_text("utf-8"))
    for name in ("inventory", "saved_tree", "agent")
]
LOADER = """\
import json, sys, types
order = json.load(sys.stdin)
for name, text in order.pop("modules"):
    parts = name.split(".")
    for end in range(1, len(parts)):
        parent = types.ModuleType(".".join(parts[:end]))
        parent.__path__ = []
        sys.modules.setdefault(parent.__name__, parent)
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name, "exec"), module.__dict__)
json.dump(module.carry_out(order), sys.stdout)
"""
LOOK_LIMIT_S = 120.0
SAVE_LIMIT_S = 1800.0  # tens of thousands of links; copies where a file system has none
GRACE_S = 30.0  # for the agent around a step
# What may be of one build with torch, or break it, whether or not a set names it.
FAMILY = ("torch", "torchvision", "torchaudio", "triton", "triton-rocm", "pytorch-triton-rocm", "amdsmi")


class EnvironmentSite:
    """The port `RepairSite` for the environment that a profile names. One object is one repair."""

    def __init__(self, host: Host, profile: HostProfile) -> None:
        self._host = host
        self._profile = profile
        self._run_id = secrets.token_hex(8)

    @property
    def name(self) -> str:
        return self._host.name

    def look(self) -> tuple[Inventory, Journal | None]:
        unit = {"name": self._profile.unit, "is_users": self._profile.unit_is_users}
        answer = self._ask("look", LOOK_LIMIT_S, family=list(FAMILY), unit=unit)
        inventory = Inventory(
            python=answer["python"],
            state_directory=answer["state_directory"],
            installed=answer["installed"],
            torn=frozenset(answer["torn"]),
            leftovers={name: tuple(paths) for name, paths in answer["leftovers"].items()},
            dependents=tuple(answer["dependents"]),
            has_pip=answer["has_pip"],
            account=answer["account"],
            closed_nodes=tuple(answer["closed_nodes"]),
            expected=None if answer["expected"] is None else RuntimeKind(answer["expected"]["kind"]),
            kinds=tuple(RuntimeKind(kind) for kind in answer["kinds"]),
            unit=self._read_unit(answer["unit"]),
        )
        return inventory, None if answer["journal"] is None else _read_journal(answer["journal"])

    def find_pins(self, kind: RuntimeKind) -> Fact[TorchSet]:
        pins = read_pins(self._host, self._profile, kind)
        if not isinstance(pins, Present):
            return pins
        versions = {normalise(name): version for name, version in pins.value.packages.items()}
        return Present(TorchSet(kind, pins.value.family, versions, pins.value.index))

    def begin(self, actions: Sequence[Action], goal: TorchSet | None, *, saves: bool) -> Journal:
        answer = self._ask(
            "begin",
            SAVE_LIMIT_S,
            actions=[_write_action(action) for action in actions],
            goal=None if goal is None else goal.to_json(),
            constraints="" if goal is None else goal.constraints,
            saves=saves,
        )
        return _read_journal(answer["journal"])

    def claim(self) -> Journal:
        return _read_journal(self._ask("claim", LOOK_LIMIT_S)["journal"])

    def rewind(self) -> Journal:
        return _read_journal(self._ask("rewind", SAVE_LIMIT_S)["journal"])

    def run_step(self, index: int, timeout_s: float) -> StepOutcome:
        outcome = self._send("run_step", timeout_s + GRACE_S, index=index)
        if outcome.ending is Ending.TIMED_OUT:
            return StepOutcome(None, outcome.line)
        answer = self._read(outcome)
        return StepOutcome(answer["exit_code"], answer["said"])

    def roll_back(self) -> tuple[str, ...]:
        return tuple(self._ask("roll_back", SAVE_LIMIT_S)["strayed"])

    def finish(self) -> None:
        self._ask("finish", SAVE_LIMIT_S)

    def expect(self, goal: TorchSet) -> bool:
        return bool(self._ask("expect", LOOK_LIMIT_S, goal=goal.to_json())["is_new"])

    def _read_unit(self, told: Mapping[str, Any]) -> Unit:
        scope = UnitScope.USER if self._profile.unit_is_users else UnitScope.SYSTEM
        scope = {True: scope, False: UnitScope.NONE, None: UnitScope.UNKNOWN}[told["is_there"]]
        return Unit(self._profile.unit, scope, told["is_active"])

    def _ask(self, what: str, timeout_s: float, **order: Any) -> dict[str, Any]:
        return self._read(self._send(what, timeout_s, **order))

    def _send(self, what: str, timeout_s: float, **order: Any) -> CommandOutcome:
        whole = {"what": what, "run_id": self._run_id, "python": self._profile.python, "modules": MODULES, **order}
        return self._host.run(
            HostCommand(
                ["python3", "-I", "-c", LOADER],
                stdin=json.dumps(whole).encode("ascii"),
                timeout_s=timeout_s,
                directory=self._profile.root,
            )
        )

    def _read(self, outcome: CommandOutcome) -> dict[str, Any]:
        if outcome.ending is Ending.NOT_FOUND:  # python3 has answered before: it is the folder that is not there
            raise RepairRefused(Refusal.NO_ENVIRONMENT, self.name, f"{self._profile.root}: {outcome.error_text}")
        if not outcome.succeeded:
            said = outcome.error_text.splitlines()[-5:]
            told = f"{self.name} could not do its part of the repair"
            raise HostNotReached(HostProblem.NOT_UNDERSTOOD, self._profile.ssh or self.name, told, said)
        answer: dict[str, Any] = json.loads(outcome.text)
        if refused := answer.get("refused"):
            raise RepairRefused(Refusal(refused), self.name, answer["detail"])
        return answer


def _write_action(action: Action) -> dict[str, Any]:
    return {**asdict(action), "argv": list(action.argv)}


def _read_action(told: Mapping[str, Any]) -> Action:
    check = told["post_check"]
    return Action(**{**told, "argv": tuple(told["argv"]), "post_check": None if check is None else PostCheck(**check)})


def _read_journal(told: Mapping[str, Any]) -> Journal:
    return Journal(
        run_id=told["run_id"],
        goal=told["goal"],
        began_at=told["began_at"],
        phase=Phase(told["phase"]),
        actions=tuple(_read_action(step["action"]) for step in told["actions"]),
        states=tuple(StepState(step["state"]) for step in told["actions"]),
    )
