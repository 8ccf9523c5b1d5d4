"""A worker process and all it started, as one thing that can be measured and killed.

Owns sessions, the parent-death signal, the memory it holds and SIGKILL. Refuses to know what a worker does. Linux only:
it reads `/proc`.
"""

from __future__ import annotations

import ctypes
import os
import signal
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h
# Lines of /proc/PID/status, in kB: what a process wrote itself, and shared memory. Pages of files (RssFile) are left
# out: the kernel takes them back when memory is short, and the libraries of torch and CUDA have many.
HELD = ("RssAnon", "RssShmem")
WHOLE = "VmRSS"
ALL_RSS = {*HELD, WHOLE}
KIB = 1024


def enter_own_group(parent_pid: int) -> None:
    """Become the leader of a session, and die with the parent. Called first thing in a child of `parent_pid`.

    The signal is tied to the thread that started the child, so a pool must be started from a thread that lives on.
    """
    os.setsid()
    die_with_parent(parent_pid)


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel for SIGKILL when the thread that started this process ends; exit if that has happened."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # the parent died before the signal was asked for
        os._exit(1)


def kill_group(leader_pid: int) -> None:
    """SIGKILL the leader, its group, and every descendant that moved to another group or session."""
    family = find_family(leader_pid)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader_pid, signal.SIGKILL)
    for pid in family:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def find_family(leader_pid: int) -> set[int]:
    """Living processes that descend from the leader or are in its session; zombies are not counted."""
    family = {leader_pid}
    rows = [row for row in map(_read_stat, _list_pids()) if row is not None]
    grew = True
    while grew:
        before = len(family)
        family |= {pid for pid, parent, session in rows if parent in family or session == leader_pid}
        grew = len(family) > before
    return family & {pid for pid, _, _ in rows}


def read_held_bytes(leader_pid: int) -> int:
    """Resident memory of the leader and its children that belongs to no file, in bytes; pages they share are counted
    for each. 0 where none of them is left.
    """
    return sum(_read_held(pid) for pid in [leader_pid, *_list_children(leader_pid)])


def _list_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - names only, read often


def _read_stat(pid: int) -> tuple[int, int, int] | None:
    """(pid, parent, session) of a living process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return None
    state, parent, _, session = text.rpartition(")")[2].split()[:4]  # the name may hold spaces and parentheses
    return None if state in {"Z", "X"} else (pid, int(parent), int(session))


def _list_children(pid: int) -> list[int]:
    """Children of every thread, and theirs. Cheap enough to be asked ten times a second."""
    found: list[int] = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, listing.read_text("ascii").split()):
                found += [child, *_list_children(child)]
    return found


def _read_held(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text("utf-8", "replace").splitlines()
    except OSError:
        return 0
    told = {
        name: int(value.split()[0]) * KIB for name, value in (line.split(":", 1) for line in lines) if name in ALL_RSS
    }
    # A kernel that does not tell them apart gives the whole: too much is a limit, nothing would be none.
    return sum(told.get(name, 0) for name in HELD) if HELD[0] in told else told.get(WHOLE, 0)
