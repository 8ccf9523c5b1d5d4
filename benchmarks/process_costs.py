"""Runs a command and tells what it cost: wall time, processor time and peak memory of it and all its children.

Owns the measuring, from outside and the same for every command. Refuses to know what the command does. Linux only: it
reads /proc.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SAMPLE_S = 0.01
SAID_BYTES = 2000  # of what a command that failed wrote last


@dataclass(frozen=True, slots=True)
class Cost:
    """`peak_mb` is the largest sum of resident memory over the processes; what they share counts once in each."""

    wall_s: float
    processor_s: float  # user and system, of the process and every child that it waited for
    peak_mb: float
    exit_code: int  # negative: ended by that signal
    said: str  # the end of its output, when it failed

    @property
    def failure(self) -> str | None:
        """The last line it wrote, or how it ended; None when it ended well."""
        if self.exit_code == 0:
            return None
        lines = self.said.strip().splitlines()
        return f"exit {self.exit_code}: {lines[-1] if lines else 'nothing was said'}"


class PeakMemory(threading.Thread):
    """Looks at a process tree until told to stop. `peak_kb` is 0 when the process was never seen alive."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._done = threading.Event()
        self.peak_kb = 0

    def run(self) -> None:
        while not self._done.wait(SAMPLE_S):
            seen = [read_status(pid) for pid in list_tree(self._pid)]
            highest = max((high for _, high in seen), default=0)  # between two looks one process may have been larger
            self.peak_kb = max(self.peak_kb, highest, sum(now for now, _ in seen))

    def stop(self) -> int:
        self._done.set()
        self.join()
        return self.peak_kb


def list_tree(pid: int) -> list[int]:
    """The process and its descendants. Those that end meanwhile may be among them, or not."""
    found, pending = [], [pid]
    while pending:
        member = pending.pop()
        found.append(member)
        try:
            for thread in Path(f"/proc/{member}/task").iterdir():
                pending += map(int, (thread / "children").read_text().split())
        except (FileNotFoundError, ProcessLookupError):  # it, or a thread of it, has ended; the next look is soon
            continue
    return found


def read_status(pid: int) -> tuple[int, int]:
    """Resident memory now and at its highest, in kB; zeros for a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0
    told = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith(("VmRSS:", "VmHWM:"))}
    return int(told.get("VmRSS", 0)), int(told.get("VmHWM", 0))


def run_measured(command: Sequence[str], limit_s: float, extra_environment: Mapping[str, str] | None = None) -> Cost:
    """Runs to the end, or to `limit_s` seconds: then the command and all that it started are killed."""
    return run_side_by_side([command], limit_s, extra_environment)[0]


def run_side_by_side(
    commands: Sequence[Sequence[str]], limit_s: float, extra_environment: Mapping[str, str] | None = None
) -> list[Cost]:
    """The costs of commands that are started together, each as `run_measured` tells it."""
    costs: dict[int, Cost] = {}
    environment = {**os.environ, **(extra_environment or {})}

    def run(index: int) -> None:
        costs[index] = _run(commands[index], limit_s, environment)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(commands))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [costs[index] for index in range(len(commands))]


def _run(command: Sequence[str], limit_s: float, environment: Mapping[str, str]) -> Cost:
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
        )
        memory = PeakMemory(process.pid)
        memory.start()
        killer = threading.Timer(limit_s, os.killpg, (process.pid, signal.SIGKILL))
        killer.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - began
        killer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)  # so that Popen does not wait for it again
        output.seek(max(0, output.seek(0, os.SEEK_END) - SAID_BYTES))
        said = output.read().decode("utf-8", "replace") if process.returncode else ""
    return Cost(wall_s, usage.ru_utime + usage.ru_stime, memory.stop() / 1024, process.returncode, said)
