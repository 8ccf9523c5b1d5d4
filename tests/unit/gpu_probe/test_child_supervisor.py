"""The probe's child from outside: whatever it does is an observation, and nothing of it stays behind."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sir_convert_a_lot.domain.gpu_causes import Cause
from sir_convert_a_lot.domain.gpu_facts import LADDER, Rung, RungState
from sir_convert_a_lot.infrastructure.gpu_runtime_probe import probe
from sir_convert_a_lot.infrastructure.gpu_runtime_probe.child_supervisor import LIMITS_S

SITE = "usr/lib/python3.11/site-packages"

# What a torch may do to the pipe, to its own output and to other processes while it is imported.
WRITES_TO_EVERY_PIPE = """
import os
for number in range(3, 64):
    try:
        os.write(number, {noise!r})
    except OSError:
        pass
"""
STARTS_ANOTHER = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True)
open({where!r}, "w").write(str(child.pid))
time.sleep(300)
"""
PARENT = """
import sys
from pathlib import Path
from sir_convert_a_lot.infrastructure.gpu_runtime_probe import probe
probe(Path(sys.argv[1]))
"""


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def wait_until(condition: Any, timeout_s: float = 20) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def put_torch(host: Any, code: str) -> None:
    host.add_amd().add_rocm_torch().write(f"{SITE}/torch/__init__.py", code)


@pytest.mark.parametrize("noise", [b"not JSON\n", b"[1]\n", b'"found"\n', b"\xff\xfe\n", b"9" * 5_000 + b"\n"])
def test_what_is_no_report_of_the_child_is_not_taken_for_one(noise: bytes, host: Any) -> None:
    put_torch(host, WRITES_TO_EVERY_PIPE.format(noise=noise))
    snapshot = probe(host.root)
    assert (snapshot.cause, snapshot.rung) == (Cause.PROBE_INCOMPLETE, Rung.ENUMERATE)
    assert snapshot.rungs[4].seen == "the probe's child told something that cannot be read while importing torch"


@pytest.mark.parametrize("facts", [{}, {"devices": "many"}, {"is_in_bad_fork": False, "hip_version": [], "devices": 3}])
def test_facts_that_cannot_be_read_refuse(facts: dict[str, Any], host: Any) -> None:
    event = json.dumps({"event": "found", "rung": "enumerate", "facts": facts}).encode() + b"\n"
    put_torch(host, WRITES_TO_EVERY_PIPE.format(noise=event))
    snapshot = probe(host.root)
    assert (snapshot.cause, snapshot.rung) == (Cause.PROBE_INCOMPLETE, Rung.ENUMERATE)
    assert "cannot be read" in snapshot.rungs[4].seen


def test_endless_noise_is_bounded(host: Any) -> None:
    noise = WRITES_TO_EVERY_PIPE.format(noise=b"x" * 4096).strip().replace("\n", "\n    ")
    put_torch(host, f"while True:\n    {noise}\n")
    snapshot = probe(host.root, limits_s={Rung.ENUMERATE: 60.0})
    assert snapshot.rungs[4].seen.startswith("the probe's child told something that cannot be read")


def test_a_process_with_many_open_files_can_still_probe(host: Any) -> None:
    put_torch(host, "raise ImportError('broken')\n")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 4_096) if most > 0 else 4_096, most))
    many = [os.open("/dev/null", os.O_RDONLY) for _ in range(1_100)]
    try:
        assert probe(host.root).cause is Cause.TORCH_IMPORT_BROKEN
    finally:
        for descriptor in many:
            os.close(descriptor)


def test_what_the_child_started_dies_with_it(host: Any, tmp_path: Path) -> None:
    where = tmp_path / "pid"
    put_torch(host, STARTS_ANOTHER.format(where=str(where)))
    probe(host.root, limits_s={Rung.ENUMERATE: 5.0})
    pid = int(where.read_text())
    assert wait_until(lambda: not is_alive(pid))


def test_the_child_dies_with_a_parent_that_was_killed(host: Any, tmp_path: Path) -> None:
    where = tmp_path / "pid"
    put_torch(host, f"import os, time\nopen({str(where)!r}, 'w').write(str(os.getpid()))\ntime.sleep(300)\n")
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(host.root)])
    assert wait_until(lambda: where.exists() and where.read_text())
    parent.kill()
    parent.wait()
    pid = int(where.read_text())
    assert wait_until(lambda: not is_alive(pid))


def test_a_child_that_prints_does_not_disturb_the_answer(host: Any, capfd: pytest.CaptureFixture[str]) -> None:
    host.add_working_amd()
    shim = host.root / SITE / "torch/__init__.py"
    shim.write_text("print('a banner')\nimport sys\nsys.stderr.write('a warning')\n" + shim.read_text())
    snapshot = probe(host.root, last_rung=Rung.ARCH)
    assert snapshot.rungs[5].state is RungState.PASSED
    assert capfd.readouterr() == ("", "")


def test_a_child_that_prints_without_end_is_read_and_only_the_end_kept(host: Any) -> None:
    put_torch(
        host,
        "import sys\nsys.stdout.write('x' * 5_000_000 + '\\nthe end\\n')\nsys.stdout.flush()\nraise SystemExit(4)\n",
    )
    snapshot = probe(host.root)
    assert snapshot.cause is Cause.TORCH_IMPORT_BROKEN
    assert "enumerate: it printed: the end" in snapshot.evidence


def test_a_child_that_cannot_be_started_is_told_and_nothing_is_raised(host: Any) -> None:
    host.add_working_amd()
    snapshot = probe(host.root, environ={"TOO_LONG": "x" * 5_000_000})
    assert (snapshot.cause, snapshot.rung) == (Cause.PROBE_INCOMPLETE, Rung.ENUMERATE)
    assert snapshot.rungs[4].seen == "the probe's child could not be started"


def test_every_rung_of_the_child_has_a_limit() -> None:
    assert set(LIMITS_S) == set(LADDER[4:])


def test_probing_leaves_no_open_file(host: Any) -> None:
    put_torch(host, "raise ImportError('broken')\n")
    probe(host.root)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counted as it is
    for _ in range(3):
        probe(host.root)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
