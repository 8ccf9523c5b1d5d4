"""A host over OpenSSH: the user's own configuration, keys and agent, and the launcher at the other end.

Owns ssh's command line and what ssh's own log means. Host keys are checked as the user's configuration says, and
nothing here can lower that; nothing is ever asked for, a password least of all (`BatchMode`). ssh tells apart its
failures in words alone, so they are read here and nowhere else, from the log it keeps apart (`-E`), where no host can
write.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import IO, Any

from sir_convert_a_lot.domain.host_access import HostNotReached, HostProblem
from sir_convert_a_lot.infrastructure.hosts.conversation import LAUNCHER, Answered, Unanswered, converse
from sir_convert_a_lot.infrastructure.hosts.launched import LaunchedHost

CONNECT_TIMEOUT_S = 10
END_LIMIT_S = 5.0  # for an ssh that was told to end
OPTIONS = (
    "BatchMode=yes",
    f"ConnectTimeout={CONNECT_TIMEOUT_S}",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",  # a way that is dead for 15 s is told
    "LogLevel=INFO",  # else a QUIET in the user's configuration hides why it failed
    "ControlMaster=no",  # a master that the user has is used; one of ours would outlive us
    "RequestTTY=no",
    "RemoteCommand=none",
    "PermitLocalCommand=no",
    "ForwardAgent=no",
    "ForwardX11=no",
)
# Only hexadecimal digits stand between the quotes: every login shell reads it alike, csh and fish too.
LAUNCH = f"exec python3 -I -c 'exec(bytes.fromhex(\"{LAUNCHER.hex()}\").decode())'"

# In ssh's own log, most telling first: a changed host key is followed by "Host key verification failed." as well.
SIGNS = (
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", HostProblem.HOST_KEY_CHANGED),
    ("Host key verification failed", HostProblem.HOST_KEY_UNKNOWN),
    ("Permission denied (", HostProblem.AUTH_DENIED),
    ("Too many authentication failures", HostProblem.AUTH_DENIED),
    ("Could not resolve hostname", HostProblem.UNREACHABLE),
    ("ssh: connect to host", HostProblem.UNREACHABLE),
    ("Connection timed out during banner exchange", HostProblem.UNREACHABLE),
    ("kex_exchange_identification", HostProblem.UNREACHABLE),
    ("not responding", HostProblem.CONNECTION_LOST),
    ("Connection to ", HostProblem.CONNECTION_LOST),
    ("Connection closed by", HostProblem.CONNECTION_LOST),
    ("Connection reset by", HostProblem.CONNECTION_LOST),
    ("client_loop: send disconnect", HostProblem.CONNECTION_LOST),
)
TOLD = {
    HostProblem.HOST_KEY_CHANGED: "{host} shows another host key than the one that is known",
    HostProblem.HOST_KEY_UNKNOWN: "the host key of {host} is not known here",
    HostProblem.AUTH_DENIED: "{host} takes none of the keys that ssh offers",
    HostProblem.UNREACHABLE: "{host} cannot be reached",
    HostProblem.CONNECTION_LOST: "the connection to {host} broke",
    HostProblem.PYTHON_MISSING: "{host} has no python3 on its PATH",
    HostProblem.NOT_UNDERSTOOD: "{host} answered, and not as a shell with python3 does",
    HostProblem.SSH_MISSING: "there is no ssh on this machine",
}
SHELL_FOUND_NOTHING = 127  # POSIX: what a shell exits with when there is no such command
SSH_FAILED = 255
KEPT_LINES = 8


class OpenSshHost(LaunchedHost):
    """`destination` is what one would type after `ssh`: an alias, a name, `user@name`.

    `config_file`: None is the user's own (`~/.ssh/config`). Each call is one connection, unless the user keeps a
    ControlMaster for the host.
    """

    def __init__(self, destination: str, *, name: str | None = None, config_file: Path | None = None) -> None:
        """Raises `ValueError` for a destination that ssh would read as an option."""
        if not destination or destination.startswith("-"):
            raise ValueError(f"{destination!r} is no host")
        super().__init__(name or destination)
        self._destination = destination
        self._config_file = config_file

    @property
    def is_local(self) -> bool:
        return False

    @contextmanager
    def forward(self, port: int) -> Iterator[int]:
        own = _find_free_port()
        with tempfile.NamedTemporaryFile("r", prefix="ssh-", suffix=".log") as log:
            # Not through a master that the user keeps: the port would stay open there after us.
            way = self._ssh(
                log.name,
                "-o",
                "ControlPath=none",
                "-o",
                "ExitOnForwardFailure=yes",
                "-N",
                "-L",
                f"127.0.0.1:{own}:127.0.0.1:{port}",
            )
            tunnel = self._start(way)
            try:
                self._wait_until_open(tunnel, own, Path(log.name))
                yield own
            finally:
                _end(tunnel)

    def _converse(self, order: Mapping[str, Any], payload: IO[bytes], limit_s: float, stop: Event | None) -> Answered:
        with tempfile.NamedTemporaryFile("r", prefix="ssh-", suffix=".log") as log:
            way = [*self._ssh(log.name, "-o", "ClearAllForwardings=yes"), LAUNCH]
            try:
                answer = converse(way, order, payload, limit_s=limit_s + CONNECT_TIMEOUT_S, stop=stop)
            except FileNotFoundError as error:
                raise self._tell(HostProblem.SSH_MISSING, [str(error)]) from error
            if isinstance(answer, Answered):
                return answer
            raise self._explain(answer, _read_lines(Path(log.name)))

    def _ssh(self, log: str, *more: str) -> list[str]:
        config = ["-F", str(self._config_file)] if self._config_file else []
        options = [part for option in OPTIONS for part in ("-o", option)]
        return ["ssh", *config, "-E", log, *options, *more, "--", self._destination]

    def _start(self, way: list[str]) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                way,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise self._tell(HostProblem.SSH_MISSING, [str(error)]) from error

    def _wait_until_open(self, tunnel: subprocess.Popen[bytes], port: int, log: Path) -> None:
        deadline = time.monotonic() + 2 * CONNECT_TIMEOUT_S
        while time.monotonic() < deadline and tunnel.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        lines = _read_lines(log)
        raise self._tell(_find_sign(lines) or HostProblem.CONNECTION_LOST, lines)

    def _explain(self, silence: Unanswered, log: list[str]) -> HostNotReached:
        problem = _find_sign(log)
        if problem is None and silence.hung:
            problem = HostProblem.CONNECTION_LOST
        if problem is None and silence.exit_code == SHELL_FOUND_NOTHING:
            problem = HostProblem.PYTHON_MISSING
        if problem is None:
            problem = HostProblem.NOT_UNDERSTOOD
        said = [
            line for part in (silence.stderr, silence.stdout) for line in part.decode("utf-8", "replace").split("\n")
        ]
        seen = log or [line.strip() for line in said if line.strip()]
        return self._tell(problem, [*seen, f"ssh ended with exit code {silence.exit_code}"])

    def _tell(self, problem: HostProblem, lines: list[str]) -> HostNotReached:
        return HostNotReached(problem, self._destination, TOLD[problem].format(host=self.name), lines[-KEPT_LINES:])


def _end(tunnel: subprocess.Popen[bytes]) -> None:
    tunnel.terminate()
    try:
        tunnel.wait(END_LIMIT_S)
    except subprocess.TimeoutExpired:
        tunnel.kill()
        tunnel.wait()


def _find_sign(lines: list[str]) -> HostProblem | None:
    text = "\n".join(lines)
    return next((problem for sign, problem in SIGNS if sign in text), None)


def _read_lines(log: Path) -> list[str]:
    return [line.strip() for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
