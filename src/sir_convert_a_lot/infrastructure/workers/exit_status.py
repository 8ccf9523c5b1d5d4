"""What an exit code of a worker process says, for a person.

Owns the decoding of signals. Draws no conclusion that the number does not hold.
"""

from __future__ import annotations

import signal
from typing import Any

HINTS = {
    signal.SIGKILL: "killed from outside, often by the kernel because memory ran out: see dmesg",
    signal.SIGSEGV: "it touched memory that is not its own, inside a native library",
    signal.SIGABRT: "a native library gave up",
    signal.SIGBUS: "a mapped file shrank, or shared memory ran out",
    signal.SIGILL: "a native library was built for another processor",
}


def describe_exit(code: int | None) -> dict[str, Any]:
    """`details` of `worker_crashed`: exit code, signal name and a hint, each None when unknown."""
    if code is None or code >= 0:
        return {"reason": "exit", "exit_code": code, "signal": None, "hint": None}
    try:
        name = signal.Signals(-code)
    except ValueError:
        return {"reason": "signal", "exit_code": code, "signal": str(-code), "hint": None}
    return {"reason": "signal", "exit_code": code, "signal": name.name, "hint": HINTS.get(name)}
