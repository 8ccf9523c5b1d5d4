"""A host that is worked through its launcher: running, reading and copying, the same for every way there.

Owns the orders. What a subclass adds is the way (the child process that ends in a Python on the host) and the judgement
of a child that gave no answer.
"""

from __future__ import annotations

import errno
import io
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Event
from typing import IO, Any

from sir_convert_a_lot.domain.gpu_facts import Absent, Fact, Present, Unknown
from sir_convert_a_lot.domain.host_access import CommandOutcome, HostCommand, HostCopyFailed
from sir_convert_a_lot.infrastructure.hosts.conversation import LIMIT_BYTES, Answered

FILE_LIMIT_S = 300.0  # for one file of any size, there or back


class LaunchedHost(ABC):
    """The port `Host`, but for the way there. Keeps nothing between two calls, so threads need no lock."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    @property
    @abstractmethod
    def is_local(self) -> bool: ...

    @abstractmethod
    def forward(self, port: int) -> AbstractContextManager[int]: ...

    @abstractmethod
    def _converse(self, order: Mapping[str, Any], payload: IO[bytes], limit_s: float, stop: Event | None) -> Answered:
        """Ask the launcher. Raises `HostNotReached` when it does not answer."""

    def run(self, command: HostCommand, stop: Event | None = None) -> CommandOutcome:
        if not command.argv:
            raise ValueError("a command has at least its program")
        order = {
            "what": "run",
            "argv": list(command.argv),
            "environment": dict(command.environment),
            "directory": command.directory,
            "timeout_s": command.timeout_s,
            "stdin_bytes": len(command.stdin),
        }
        return self._converse(order, io.BytesIO(command.stdin), command.timeout_s, stop).outcome(command.argv)

    def read_file(self, path: str) -> Fact[bytes]:
        answer = self._converse({"what": "read", "path": path, "stdin_bytes": 0}, io.BytesIO(), FILE_LIMIT_S, None)
        if answer.exit_code == 0:
            is_whole = len(answer.stdout) < LIMIT_BYTES
            return Present(answer.stdout) if is_whole else Unknown(f"{path} has {LIMIT_BYTES} bytes or more")
        reason = f"{path}: {answer.stderr.decode('utf-8', 'replace')}"
        return Absent(reason) if answer.exit_code in {errno.ENOENT, errno.ENOTDIR} else Unknown(reason)

    def copy_to(self, source: Path, target: str, mode: int = 0o644) -> None:
        with source.open("rb") as payload:
            size = os.fstat(payload.fileno()).st_size
            order = {"what": "write", "path": target, "mode": mode, "stdin_bytes": size}
            answer = self._converse(order, payload, FILE_LIMIT_S, None)
        if answer.exit_code != 0:
            why = answer.stderr.decode("utf-8", "replace")
            raise HostCopyFailed(f"cannot write {target} on {self.name}: {why}", details={"evidence": [why]})
