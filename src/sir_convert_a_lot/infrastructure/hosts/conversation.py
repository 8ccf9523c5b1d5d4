"""One order to the launcher and its answer, over a child process that leads there.

Owns the wire towards `launcher.py`: what is sent, what must come back, and the end of a child that says nothing.
Refuses to know whether the child is `python3` or `ssh`, and to judge why it failed (`openssh`).
"""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sir_convert_a_lot.domain.host_access import CommandOutcome, Ending

LAUNCHER = Path(__file__).with_name("launcher.py").read_bytes()
LIMIT_BYTES = 16 * 1024 * 1024  # of each output, and of a file that is read
# The host enforces `timeout_s` itself. After it, this much for the way there and back; then the way is what hangs.
GRACE_S = 20.0
LOOK_S = 0.02


@dataclass(frozen=True, slots=True)
class Answered:
    """The launcher told how it went."""

    ending: Ending
    exit_code: int | None
    stdout: bytes
    stderr: bytes
    duration_s: float

    def outcome(self, argv: Sequence[str]) -> CommandOutcome:
        return CommandOutcome(tuple(argv), self.ending, self.exit_code, self.stdout, self.stderr, self.duration_s)


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The child ended, or was killed because it `hung`, without a whole answer."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    hung: bool


def converse(
    way: Sequence[str],
    order: Mapping[str, Any],
    payload: IO[bytes],
    *,
    limit_s: float,
    stop: threading.Event | None = None,
) -> Answered | Unanswered:
    """Start `way`, give it the order and the payload (`order["stdin_bytes"]` of them), and wait for the answer.

    `limit_s`: after this and `GRACE_S` the child is killed. `stop`, once set, ends the command on the host.
    """
    nonce = secrets.token_hex(16)
    head = json.dumps({**order, "nonce": nonce, "limit_bytes": LIMIT_BYTES}).encode("ascii") + b"\n"
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            way, stdin=subprocess.PIPE, stdout=out, stderr=err, start_new_session=True
        )  # Ctrl-C is ours to pass on
        talking = threading.Thread(target=_talk, args=(process, head, payload), daemon=True)
        talking.start()
        try:
            hung = not _wait(process, limit_s + GRACE_S, talking, stop)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            talking.join()
            _hang_up(process)
        out.seek(0)
        err.seek(0)
        said, complained = out.read(), err.read()
    answer = _read_answer(said, nonce.encode("ascii"))
    return answer or Unanswered(process.returncode, said, complained, hung)


def _talk(process: subprocess.Popen[bytes], head: bytes, payload: IO[bytes]) -> None:
    """A child that dies early is told by its exit, not by the pipe it leaves."""
    assert process.stdin is not None  # noqa: S101 - it is a pipe
    with suppress(OSError):
        process.stdin.write(head)
        shutil.copyfileobj(payload, process.stdin)
        process.stdin.flush()


def _wait(
    process: subprocess.Popen[bytes], limit_s: float, talking: threading.Thread, stop: threading.Event | None
) -> bool:
    """Whether it ended within the limit."""
    deadline = time.monotonic() + limit_s
    while process.poll() is None:
        if time.monotonic() >= deadline:
            return False
        if stop is not None and stop.is_set() and not talking.is_alive():
            _hang_up(process)
            stop = None
        with suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_S)
    return True


def _hang_up(process: subprocess.Popen[bytes]) -> None:
    """Closes its stdin: the launcher ends what it runs."""
    assert process.stdin is not None  # noqa: S101 - it is a pipe
    with suppress(OSError):
        process.stdin.close()


def _read_answer(said: bytes, nonce: bytes) -> Answered | None:
    """None unless all of it is there. Whatever the host's shell printed before is skipped: it cannot know the nonce."""
    _, found, rest = said.partition(nonce)
    head, _, body = rest.partition(b"\n")
    if not found:
        return None
    told = json.loads(head)
    out_bytes, err_bytes = told["sizes"]
    if body[out_bytes + err_bytes :][: len(nonce)] != nonce:
        return None
    return Answered(
        ending=Ending(told["ending"]),
        exit_code=told["exit_code"],
        stdout=body[:out_bytes],
        stderr=body[out_bytes : out_bytes + err_bytes],
        duration_s=float(told["duration_s"]),
    )
