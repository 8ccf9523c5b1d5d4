"""Families of processes: found wherever they moved, measured and killed as one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from sir_convert_a_lot.infrastructure.workers.process_group import find_family, kill_group, read_held_bytes

MIB = 1 << 20
# A leader with a child in its session and one in a session of its own, all deaf to SIGTERM.
LEADER = """
import os, signal, subprocess, sys, time
os.setsid()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
code = "import signal, time; signal.signal(15, signal.SIG_IGN); kept = bytearray({size}); time.sleep(300)"
subprocess.Popen([sys.executable, "-c", code])
subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
print("ready", flush=True)
time.sleep(300)
"""


def start_leader(size: int = 0) -> subprocess.Popen[str]:
    leader = subprocess.Popen(
        [sys.executable, "-c", LEADER.replace("{size}", str(size))], stdout=subprocess.PIPE, text=True
    )
    assert leader.stdout is not None
    assert leader.stdout.readline() == "ready\n"
    return leader


def wait_until(holds: object) -> None:
    deadline = time.monotonic() + 10
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_kill_reaches_every_descendant() -> None:
    leader = start_leader()
    family = find_family(leader.pid)
    assert len(family) == 3
    kill_group(leader.pid)
    assert leader.wait() == -signal.SIGKILL
    wait_until(lambda: not any(pid in find_family(pid) for pid in family))


def test_memory_of_children_counts() -> None:
    leader = start_leader(100 * MIB)
    try:
        wait_until(lambda: read_held_bytes(leader.pid) > 200 * MIB)
    finally:
        kill_group(leader.pid)
        leader.wait()
    assert read_held_bytes(leader.pid) == 0


def test_a_family_of_the_dead_is_empty_and_a_kill_of_it_harmless() -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    assert find_family(done.pid) == set()
    kill_group(done.pid)
    assert os.getpid() in find_family(os.getpid())


def test_pages_of_mapped_files_are_not_memory_that_a_process_holds(tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.write_bytes(bytes(300 * MIB))
    read = "import mmap, sys, time; f = open(sys.argv[1], 'rb'); m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)"
    code = f"{read}; sum(m[::4096]); print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(library)], stdout=subprocess.PIPE) as reader:
        try:
            assert reader.stdout is not None
            reader.stdout.readline()
            resident = int(Path(f"/proc/{reader.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            assert resident > 200 * MIB
            assert read_held_bytes(reader.pid) < 100 * MIB
        finally:
            reader.kill()
