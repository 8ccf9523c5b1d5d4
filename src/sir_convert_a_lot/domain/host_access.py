"""The words for reaching a host: a command, how it ended, and why a host could not be reached.

Owns what is the same for this machine and for one over SSH. Refuses to run anything (`infrastructure/hosts`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from sir_convert_a_lot.domain.errors import ExitCode, MachineError
from sir_convert_a_lot.domain.gpu_causes import Remedy

DEFAULT_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class HostCommand:
    """One program with its arguments, as they are: no shell stands between, so nothing needs quoting.

    `environment` is put over the account's own, from which whatever points Python elsewhere is left out and in which
    `LC_ALL` is `C.UTF-8`. `directory`: None is the account's home; `~` at its beginning is that too. `timeout_s`: after
    it the command and its process group are killed, on the host itself.
    """

    argv: Sequence[str]
    stdin: bytes = b""
    timeout_s: float = DEFAULT_TIMEOUT_S
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: str | None = None


class Ending(StrEnum):
    EXITED = "exited"
    SIGNALLED = "signalled"  # it died by a signal that the host access did not send
    TIMED_OUT = "timed_out"  # killed at its time limit
    STOPPED = "stopped"  # the caller asked for its end
    NOT_FOUND = "not_found"  # no such program or directory
    NOT_STARTED = "not_started"  # it is there and could not be started; stderr says why


@dataclass(frozen=True, slots=True)
class CommandOutcome:
    """How a command ended. `stdout` and `stderr` are what it wrote until then, cut at 16 MiB each.

    `exit_code`: of `EXITED`; minus the signal's number of `SIGNALLED`; else None.
    """

    argv: tuple[str, ...]
    ending: Ending
    exit_code: int | None
    stdout: bytes
    stderr: bytes
    duration_s: float

    @property
    def succeeded(self) -> bool:
        return self.ending is Ending.EXITED and self.exit_code == 0

    @property
    def text(self) -> str:
        """What it printed, as text; bytes that are no UTF-8 become U+FFFD."""
        return self.stdout.decode("utf-8", "replace")

    @property
    def error_text(self) -> str:
        return self.stderr.decode("utf-8", "replace")

    @property
    def line(self) -> str:
        """What happened, as one line of evidence."""
        how = {
            Ending.EXITED: f"exit code {self.exit_code}",
            Ending.SIGNALLED: f"died by signal {-(self.exit_code or 0)}",
            Ending.TIMED_OUT: f"did not end within {self.duration_s:.0f} s and was killed",
            Ending.STOPPED: "was stopped",
            Ending.NOT_FOUND: "is not there",
            Ending.NOT_STARTED: "could not be started",
        }[self.ending]
        last = next((line for line in reversed(self.error_text.splitlines()) if line.strip()), "")
        return f"{self.argv[0]}: {how}" + (f": {last.strip()[:300]}" if last else "")


class HostProblem(StrEnum):
    """Why a host could not be reached, or could not be worked on. Stable codes."""

    UNREACHABLE = "host_unreachable"  # no such name, no route, refused, or silent
    HOST_KEY_CHANGED = "host_key_changed"
    HOST_KEY_UNKNOWN = "host_key_unknown"
    AUTH_DENIED = "host_auth_denied"
    CONNECTION_LOST = "host_connection_lost"  # it was there, and went away or went silent under a command
    PYTHON_MISSING = "host_python_missing"
    SSH_MISSING = "ssh_missing"  # on this machine
    NOT_UNDERSTOOD = "host_not_understood"  # something answered, and not what was sent there


REMEDIES: Mapping[HostProblem, Remedy] = MappingProxyType(
    {
        HostProblem.UNREACHABLE: Remedy("See what ssh says, and whether the host is up", "ssh -v {host} true"),
        HostProblem.HOST_KEY_CHANGED: Remedy(
            "Ask whoever runs the host whether it has a new key; only then forget the old one, and compare the new one "
            "when ssh shows it",
            "ssh-keygen -R {host}",
            is_reversible=False,
        ),
        HostProblem.HOST_KEY_UNKNOWN: Remedy("Connect once by hand, and compare the key that ssh shows", "ssh {host}"),
        HostProblem.AUTH_DENIED: Remedy(
            "Add a key that the host knows to the agent, or name it in ~/.ssh/config", "ssh-add"
        ),
        HostProblem.CONNECTION_LOST: Remedy(
            "See whether the connection holds, then run the same again", "ssh -v {host} true"
        ),
        HostProblem.PYTHON_MISSING: Remedy("Install Python on the host", "apt-get install python3", needs_root=True),
        HostProblem.SSH_MISSING: Remedy(
            "Install OpenSSH's client here", "apt-get install openssh-client", needs_root=True
        ),
        HostProblem.NOT_UNDERSTOOD: Remedy(
            "See what the host answers to a plain command", "ssh {host} python3 --version"
        ),
    }
)


class HostNotReached(MachineError):
    """The host itself, not a command on it, is the trouble. `details`: `reason` (a `HostProblem`), `evidence`,
    `remediation`.
    """

    code = "host_not_reached"
    http_status = 503
    exit_code = ExitCode.UNAVAILABLE

    def __init__(self, problem: HostProblem, host: str, message: str, evidence: Sequence[str] = ()) -> None:
        """`host`: what one types after `ssh`."""
        remedy = REMEDIES[problem]
        command = remedy.command.format(host=host) if remedy.command else None
        self.problem = problem
        self.evidence = tuple(evidence)
        self.remedy = replace(remedy, command=command)
        details = {"reason": problem.value, "evidence": list(evidence), "remediation": [self.remedy.sentence]}
        super().__init__(message, details=details)


class HostCopyFailed(MachineError):
    """A file could not be written on the host. `details.evidence` says why."""

    code = "host_copy_failed"
    http_status = 503
    exit_code = ExitCode.FAILED
