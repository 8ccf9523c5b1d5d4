"""What an exception of torch says, as facts: its type, its first line, and the number the runtime gave.

Owns reading the number. Imports no torch, so that the probe's child, a worker and a test describe an error alike.
Refuses to name a cause.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_TEXT_CHARS = 240

# How torch and the runtimes write the number where they do: "Error 802: system not yet initialized",
# "CUDA error (46)", "hipError 209", "error code 999".
NUMBERED = re.compile(r"\berror(?:\s+code)?[\s:=(]*(\d{1,4})\b", re.IGNORECASE | re.ASCII)
ADDRESS = re.compile(r"0x[0-9a-f]+", re.IGNORECASE | re.ASCII)
PROCESS = re.compile(r"\b(process|pid) \d+", re.IGNORECASE | re.ASCII)  # torch names who holds the memory


@dataclass(frozen=True, slots=True)
class ErrorFacts:
    """`code` is the number of CUDA or HIP (they share the ones we judge by), or None when it was not told."""

    kind: str  # name of the exception's type
    text: str
    code: int | None

    @property
    def line(self) -> str:
        return f"{self.kind}{'' if self.code is None else f' (code {self.code})'}: {self.text}"


def describe_error(error: BaseException) -> ErrorFacts:
    """The facts. torch's own `error_code` counts before a number in the text."""
    told = getattr(error, "error_code", None)
    text = str(error)
    return ErrorFacts(type(error).__name__, shorten(text), told if isinstance(told, int) else read_code(text))


def read_code(text: str) -> int | None:
    """The runtime's number in a message or a warning of torch."""
    found = NUMBERED.search(text)
    return int(found[1]) if found else None


def shorten(text: str) -> str:
    """The first line that says anything, without addresses and process ids: the same failure reads the same twice."""
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return PROCESS.sub(r"\1 …", ADDRESS.sub("0x…", first))[:MAX_TEXT_CHARS]
