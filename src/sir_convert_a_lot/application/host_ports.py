"""What looking at hosts and mending them needs from the outside world, as protocols that `infrastructure/` implements.

Owns the seams of `verify`, `repair` and `bundle`; those of the service are in `ports`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Protocol

from sir_convert_a_lot.domain.gpu_facts import Fact, RuntimeKind
from sir_convert_a_lot.domain.host_access import CommandOutcome, HostCommand
from sir_convert_a_lot.domain.host_check import CheckReport, LiveResult, ServiceAnswer
from sir_convert_a_lot.domain.host_profile import HostProfile
from sir_convert_a_lot.domain.repair_actions import Action, Inventory, TorchSet
from sir_convert_a_lot.domain.repair_journal import Journal, StepOutcome


class Host(Protocol):
    """A machine to look at and to mend: this one or one over SSH, with the same semantics. Blocking; may be called from
    several threads at once.

    Every method raises `HostNotReached` when the host itself is the trouble; what a command does is an outcome.
    """

    @property
    def name(self) -> str:
        """How people call it: a profile's name, an SSH alias, or `localhost`."""
        ...

    @property
    def is_local(self) -> bool: ...

    def run(self, command: HostCommand, stop: Event | None = None) -> CommandOutcome:
        """Run the command and wait for its end. Every byte of its arguments, environment and stdin arrives unchanged.

        `stop`, once set, ends it: SIGTERM to its group, SIGKILL 2 s later. The same happens when the caller dies.
        """
        ...

    def read_file(self, path: str) -> Fact[bytes]:
        """A whole file, at most 16 MiB of it. Absent: no such file. Unknown: it could not be read, and why.

        `~` at the beginning is the account's home; a path that is not absolute begins there too.
        """
        ...

    def copy_to(self, source: Path, target: str, mode: int = 0o644) -> None:
        """Copy a local file to `target` on the host: whole or not at all, parents made. Raises `HostCopyFailed`."""
        ...

    def forward(self, port: int) -> AbstractContextManager[int]:
        """The port of this machine's loopback that leads to `port` of the host's, while the context is open."""
        ...


class LiveService(Protocol):
    """A running service as any client meets it. Blocking.

    Every method raises `ServiceUnavailable` with `details.reason` `unreachable` when nothing answers.
    """

    def health(self) -> ServiceAnswer:
        """What `/healthz` says, whatever its status."""
        ...

    def readiness(self) -> ServiceAnswer:
        """What `/readyz` says, whatever its status."""
        ...

    def convert(self, pdf: Path, timeout_s: float) -> LiveResult | None:
        """Convert the PDF under `gpu_required`, as a new job. None: it did not end within `timeout_s` and was canceled.
        Raises the error that it was refused with, or failed with.
        """
        ...


@dataclass(frozen=True, slots=True)
class CheckSite:
    """Where a check looks. `connect` opens a service by its URL. `pdf` is what is converted; None: an example that the
    project on the host has.
    """

    host: Host
    profile: HostProfile
    connect: Callable[[str], AbstractContextManager[LiveService]]
    pdf: Path | None = None


class HostCheck(Protocol):
    """One thing that must hold for a host to be fit. Changes nothing there."""

    @property
    def name(self) -> str: ...

    @property
    def needs(self) -> tuple[str, ...]:
        """The checks without whose success looking is pointless."""
        ...

    def look(self, site: CheckSite) -> CheckReport:
        """Raises `HostNotReached` alone; whatever else it meets is a finding."""
        ...


class RepairSite(Protocol):
    """The project's environment on a host, as a place to repair. One object is one repair. Blocking.

    Its journal is written on the host before and after each step, so that whoever looks later knows what was under way.
    Every method raises `HostNotReached` when the host itself is the trouble, and `RepairRefused` when the host does not
    carry the order out: `repair_busy` while a step runs there, `repair_taken_over` once another repair went on from
    this one's journal.
    """

    @property
    def name(self) -> str: ...

    def look(self) -> tuple[Inventory, Journal | None]:
        """What is there now, and the last repair's journal. Changes nothing."""
        ...

    def find_pins(self, kind: RuntimeKind) -> Fact[TorchSet]:
        """The builds that the profile, else the project on the host, pins for this kind."""
        ...

    def begin(self, actions: Sequence[Action], goal: TorchSet | None, *, saves: bool) -> Journal:
        """Write the plan down and, with `saves`, save the whole environment first."""
        ...

    def claim(self) -> Journal:
        """Take over the journal that is there."""
        ...

    def rewind(self) -> Journal:
        """Put back what was saved and go on from there: steps that change packages are not done any more."""
        ...

    def run_step(self, index: int, timeout_s: float) -> StepOutcome:
        """Run one action of the journal, to its end or its limit."""
        ...

    def roll_back(self) -> tuple[str, ...]:
        """Put back what was saved and end the repair; idempotent. Gives back the paths that could not be made what they
        were.
        """
        ...

    def finish(self) -> None:
        """End the repair as done; what was saved goes."""
        ...

    def expect(self, goal: TorchSet) -> bool:
        """Write down in the environment what it is to hold, for the guard. Whether that was new."""
        ...
