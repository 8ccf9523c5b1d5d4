"""Runs on the host: starts one command there, watches it, and tells how it ended.

Its text is sent whole to the host's `python3` (`conversation`), so it imports the standard library alone and keeps to
Python 3.8. Owns the time limit and the end of the command's process group on the host itself: a connection that breaks
must not leave a command behind. Nothing here knows what is run.

On stdin: one line of JSON, the order; `stdin_bytes` bytes; then nothing until the caller wants the command to end or is
gone, which closes it. On stdout: the order's nonce, a line of JSON, the two outputs, and the nonce again.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Callable, Dict, Optional  # noqa: UP035 - Python 3.8 evaluates the alias below

Order = Dict[str, Any]  # noqa: UP006 - Python 3.8

STOP_GRACE_S = 2.0
LOOK_S = 0.02
CHUNK_BYTES = 65536
# They would lead the command's Python, or its shell, to what belongs to whoever calls.
LEFT_OUT = ("VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "BASH_ENV", "ENV", "CDPATH")


def main() -> None:
    order = json.loads(sys.stdin.buffer.readline())
    with tempfile.TemporaryFile() as payload, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        if not take(sys.stdin.buffer, payload, order["stdin_bytes"]):
            return
        payload.seek(0)
        began = time.monotonic()
        told = WORK[order["what"]](order, payload, out, err)
        told["duration_s"] = time.monotonic() - began
        tell(order, told, out, err)


def take(source: IO[bytes], target: IO[bytes], size: int) -> bool:
    """Whether all `size` bytes came."""
    while size:
        chunk = source.read(min(size, CHUNK_BYTES))
        if not chunk:
            return False
        target.write(chunk)
        size -= len(chunk)
    return True


def run(order: Order, payload: IO[bytes], out: IO[bytes], err: IO[bytes]) -> Order:
    environment = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
    environment["LC_ALL"] = "C.UTF-8"
    environment.update(order["environment"])
    try:
        process = subprocess.Popen(
            order["argv"],
            stdin=payload,
            stdout=out,
            stderr=err,
            cwd=Path(order["directory"] or "~").expanduser(),
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        err.write(str(error).encode("utf-8", "replace"))
        is_missing = error.errno in {errno.ENOENT, errno.ENOTDIR}
        return {"ending": "not_found" if is_missing else "not_started", "exit_code": None}
    except ValueError as error:  # a NUL byte in an argument or a name
        err.write(str(error).encode("utf-8", "replace"))
        return {"ending": "not_started", "exit_code": None}
    made_to = watch(process, order["timeout_s"])
    if made_to is not None:
        return {"ending": made_to, "exit_code": None}
    code = process.returncode
    return {"ending": "signalled" if code < 0 else "exited", "exit_code": code}


def watch(process: subprocess.Popen[bytes], timeout_s: float) -> Optional[str]:  # noqa: UP045 - Python 3.8
    """None when it ended by itself, else how it was made to."""
    deadline = time.monotonic() + timeout_s
    while process.poll() is None:
        if time.monotonic() >= deadline:
            end(process, grace_s=0.0)
            return "timed_out"
        # Readable means closed: nothing more is ever sent.
        if select.select([sys.stdin.buffer], [], [], LOOK_S)[0]:
            end(process, grace_s=STOP_GRACE_S)
            return "stopped"
    return None


def end(process: subprocess.Popen[bytes], grace_s: float) -> None:
    if grace_s:
        send(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace_s)
    send(process.pid, signal.SIGKILL)
    process.wait()


def send(group: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)


def read(order: Order, payload: IO[bytes], out: IO[bytes], err: IO[bytes]) -> Order:
    del payload
    try:
        with find(order["path"]).open("rb") as file:
            out.write(file.read(order["limit_bytes"]))
    except OSError as error:
        return fail(error, err)
    return {"ending": "exited", "exit_code": 0}


def write(order: Order, payload: IO[bytes], out: IO[bytes], err: IO[bytes]) -> Order:
    del out
    path = find(order["path"])
    part = path.with_name(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            take(payload, file, order["stdin_bytes"])
            os.fchmod(file.fileno(), order["mode"])
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        return fail(error, err)
    return {"ending": "exited", "exit_code": 0}


def find(path: str) -> Path:
    return Path.home() / Path(path).expanduser()


def fail(error: OSError, err: IO[bytes]) -> Order:
    err.write((error.strerror or str(error)).encode("utf-8", "replace"))
    return {"ending": "exited", "exit_code": error.errno or 1}


def tell(order: Order, told: Order, out: IO[bytes], err: IO[bytes]) -> None:
    parts = []
    for file in (out, err):
        file.seek(0)
        parts.append(file.read(order["limit_bytes"]))
    told["sizes"] = [len(part) for part in parts]
    nonce = order["nonce"].encode("ascii")
    sys.stdout.buffer.write(nonce + json.dumps(told).encode("ascii") + b"\n" + b"".join(parts) + nonce)
    sys.stdout.buffer.flush()


WORK: Dict[str, Callable[..., Order]] = {"run": run, "read": read, "write": write}  # noqa: UP006 - Python 3.8

if __name__ == "__main__":
    main()
