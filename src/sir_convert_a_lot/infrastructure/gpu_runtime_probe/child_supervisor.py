"""The probe's child from outside: starts it, asks it for one rung at a time, and ends it.

Owns the process, the time limits and the decoding of how it died. What the child did is an `Observation`, whatever
happens: a hang, a signal and a broken interpreter are observations too. Refuses to judge (`judgement`).
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType, TracebackType
from typing import Any, Self

from sir_convert_a_lot.domain.gpu_facts import Rung
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.error_facts import ErrorFacts, shorten
from sir_convert_a_lot.infrastructure.workers.process_group import kill_group

MODULE = "sir_convert_a_lot.infrastructure.gpu_probe_child"  # never imported here

# Seconds. Importing torch from a cold disk and starting the runtime take tens of seconds at worst; ollama gives its own
# discovery 30. The first convolutions of a new shape may be compiled by MIOpen, for minutes (MIOpen issue 3322).
LIMITS_S: Mapping[Rung, float] = MappingProxyType(
    {Rung.ENUMERATE: 60.0, Rung.ARCH: 15.0, Rung.FIRST_KERNEL: 60.0, Rung.RESULT: 300.0, Rung.RESOURCE: 30.0}
)

END_GRACE_S = 2.0  # for the runtime to let go of the GPU by itself
KILL_WAIT_S = 5.0  # a process inside a driver that hangs cannot be killed; it is not waited for longer
LOOK_S = 0.1
END_LOOK_S = 0.01
MAX_TOLD_BYTES = 1_048_576
CHUNK_BYTES = 65_536
KEPT_BYTES = 4_096  # of what it prints
LAST_WORDS = 3  # lines of what it printed


class Death(StrEnum):
    HUNG = "hung"
    SIGNAL = "signal"
    EXIT = "exit"
    GARBLED = "garbled"
    NOT_STARTED = "not_started"


@dataclass(frozen=True, slots=True)
class Found:
    """The rung ran; what it saw is for the judge."""

    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Raised:
    """torch raised during `step`."""

    error: ErrorFacts
    step: str


@dataclass(frozen=True, slots=True)
class Died:
    """The child is gone, or was made to go. `number` is the signal, the exit code, or the limit in seconds."""

    how: Death
    number: float
    step: str
    last_words: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        when = f"while {self.step}" if self.step else "before its first step"
        if self.how is Death.HUNG:
            return f"the probe's child did not come back within {self.number:g} s {when}"
        if self.how is Death.SIGNAL:
            return f"the probe's child died by {name_signal(int(self.number))} {when}"
        if self.how is Death.EXIT:
            return f"the probe's child ended with exit code {self.number:g} {when}"
        if self.how is Death.GARBLED:
            return f"the probe's child told something that cannot be read {when}"
        return "the probe's child could not be started"


Observation = Found | Raised | Died


@dataclass(frozen=True, slots=True)
class Order:
    """What the child is started with. `environ` is all of its environment, `python_path` where it imports from."""

    python_path: tuple[str, ...]
    environ: Mapping[str, str]
    need_bytes: int
    limits_s: Mapping[Rung, float] = field(default_factory=lambda: LIMITS_S)
    takes_memory: bool = True  # take what is needed for a moment, and not only ask whether it is free


class ProbeChild:
    """One child, for use in `with`. Call it from one thread, which must live as long: the child dies with it."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._process: subprocess.Popen[bytes] | None = None
        self._open: set[int] = set()  # descriptors of ours
        self._reading = self._printing = -1
        self._told = bytearray()
        self._printed = bytearray()  # the end of it
        self._step = ""
        self._is_garbled = False

    def __enter__(self) -> Self:
        with suppress(OSError):  # no process, no descriptor or no memory left: `observe` says so
            self._start()
        return self

    def _start(self) -> None:
        self._reading, writing = self._make_pipe()
        self._printing, output = self._make_pipe()
        arguments = [str(writing), str(self._order.need_bytes), str(os.getpid()), str(int(self._order.takes_memory))]
        environ = dict(self._order.environ) | {"PYTHONPATH": os.pathsep.join(self._order.python_path)}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", MODULE, *arguments],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=environ,
                pass_fds=(writing,),
                start_new_session=True,
            )
        finally:
            self._close(writing)
            self._close(output)

    def _make_pipe(self) -> tuple[int, int]:
        reading, writing = os.pipe()
        self._open |= {reading, writing}
        return reading, writing

    def _close(self, descriptor: int) -> None:
        self._open.discard(descriptor)
        os.close(descriptor)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            if self._process.stdin is not None:
                with suppress(OSError):
                    self._process.stdin.close()
            self._wait_for_end(END_GRACE_S if kind is None else 0)
            self._kill()
        for descriptor in tuple(self._open):
            self._close(descriptor)

    def observe(self, rung: Rung) -> Observation:
        """Ask for one rung and wait for it, at most its limit."""
        self._step = ""
        process, limit_s = self._process, self._order.limits_s.get(rung, LIMITS_S[rung])
        if process is None or process.stdin is None:
            return Died(Death.NOT_STARTED, 0, "")
        deadline = time.monotonic() + limit_s
        with suppress(OSError):  # it may be dead already; then there is nothing to read either
            process.stdin.write(rung.value.encode() + b"\n")
            process.stdin.flush()
        while True:
            event = self._read_event(deadline)
            if event is None:
                return self._tell_death(deadline, limit_s)
            if event.get("rung") != rung:
                continue
            if event.get("event") == "step":
                self._step = str(event.get("step"))
            elif event.get("event") == "found" and isinstance(event.get("facts"), dict):
                return Found(event["facts"])
            elif event.get("event") == "error":
                told = event.get("error") or {}
                code = told.get("code")
                error = ErrorFacts(
                    str(told.get("kind")), str(told.get("text")), code if isinstance(code, int) else None
                )
                return Raised(error, self._step)

    def _read_event(self, deadline: float) -> dict[str, Any] | None:
        """The next line as JSON; None at the deadline, at the end, and for what no child of ours writes."""
        while b"\n" not in self._told:
            self._is_garbled = len(self._told) > MAX_TOLD_BYTES
            if self._is_garbled or not self._wait_for_more(deadline):
                return None
        line, _, rest = self._told.partition(b"\n")
        self._told = rest
        with suppress(ValueError, RecursionError):
            event = json.loads(line)
            if isinstance(event, dict):
                return event
        self._is_garbled = True
        return None

    def _wait_for_more(self, deadline: float) -> bool:
        """Whether something was told. A process of the child's may hold the pipe, so its own end is looked at too."""
        while (left_s := deadline - time.monotonic()) > 0:
            is_gone = self._process is not None and self._process.poll() is not None
            if self._reading in self._take_in({self._reading, self._printing}, 0 if is_gone else min(left_s, LOOK_S)):
                chunk = os.read(self._reading, CHUNK_BYTES)
                self._told += chunk
                return bool(chunk)
            if is_gone:
                return False
        return False

    def _take_in(self, wanted: set[int], timeout_s: float) -> list[int]:
        """Which can be read now. What is printed is read at once, so that a child that prints never has to wait."""
        poller = select.poll()  # unlike select(), it takes descriptors of any number
        for descriptor in wanted & self._open:
            poller.register(descriptor, select.POLLIN)
        readable = [descriptor for descriptor, _ in poller.poll(timeout_s * 1_000)]
        if self._printing in readable:
            chunk = os.read(self._printing, CHUNK_BYTES)
            if not chunk:
                self._close(self._printing)
            self._printed = (self._printed + chunk)[-KEPT_BYTES:]
        return readable

    def _wait_for_end(self, timeout_s: float) -> None:
        """Let the child end by itself, and go on reading what it prints."""
        deadline = time.monotonic() + timeout_s
        while self._process is not None and self._process.poll() is None and time.monotonic() < deadline:
            self._take_in({self._printing}, END_LOOK_S)  # with nothing left to read, it waits that long

    def _tell_death(self, deadline: float, limit_s: float) -> Died:
        """The pipe has ended, or the time is up, or the words make no sense: which, and what was last said."""
        if not self._is_garbled:
            self._wait_for_end(min(END_GRACE_S, deadline - time.monotonic()))
        code = self._process.returncode if self._process is not None else None
        self._kill()
        words = self._read_last_words()
        if self._is_garbled:
            return Died(Death.GARBLED, 0, self._step, words)
        if code is None:
            return Died(Death.HUNG, limit_s, self._step, words)
        if code < 0:
            return Died(Death.SIGNAL, -code, self._step, words)
        return Died(Death.EXIT, code, self._step, words)

    def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            kill_group(self._process.pid)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(KILL_WAIT_S)

    def _read_last_words(self) -> tuple[str, ...]:
        """The last lines it printed, without what differs from run to run."""
        deadline = time.monotonic() + LOOK_S  # what it started may still be printing
        while time.monotonic() < deadline and self._take_in({self._printing}, 0):
            pass
        lines = [shorten(line) for line in self._printed.decode("utf-8", "replace").splitlines()]
        return tuple([line for line in lines if line][-LAST_WORDS:])


def name_signal(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"
