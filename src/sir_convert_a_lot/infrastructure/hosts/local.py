"""This machine as a host: the launcher in a Python of its own, so that a command here meets what it meets elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Event
from typing import IO, Any

from sir_convert_a_lot.domain.host_access import HostNotReached, HostProblem
from sir_convert_a_lot.infrastructure.hosts.conversation import LAUNCHER, Answered, converse
from sir_convert_a_lot.infrastructure.hosts.launched import LaunchedHost

LOCALHOST = "localhost"
WAY = (sys.executable, "-I", "-c", LAUNCHER.decode("utf-8"))


class LocalHost(LaunchedHost):
    """The machine that this runs on."""

    def __init__(self, name: str = LOCALHOST) -> None:
        super().__init__(name)

    @property
    def is_local(self) -> bool:
        return True

    @contextmanager
    def forward(self, port: int) -> Iterator[int]:
        yield port

    def _converse(self, order: Mapping[str, Any], payload: IO[bytes], limit_s: float, stop: Event | None) -> Answered:
        answer = converse(WAY, order, payload, limit_s=limit_s, stop=stop)
        if isinstance(answer, Answered):
            return answer
        said = answer.stderr.decode("utf-8", "replace").splitlines()[-3:]
        raise HostNotReached(
            HostProblem.NOT_UNDERSTOOD,
            self.name,
            "this machine's own Python did not answer",
            [f"exit code {answer.exit_code}", *said],
        )
