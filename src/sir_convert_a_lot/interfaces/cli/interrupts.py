"""Ctrl-C: the first asks for an orderly end, the second ends the process at once.

Owns the signal while a run with a service is on. Refuses to cancel anything itself: who waits on `asked` does.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

from sir_convert_a_lot.domain.errors import ExitCode


class Interrupts:
    """A context in which SIGINT sets `asked`. Enter it on the main thread only.

    `before_quit` runs in the second Ctrl-C, just before the process ends: it may only put the terminal right.
    """

    def __init__(self, before_quit: Callable[[], None]) -> None:
        self.asked = threading.Event()
        self._before_quit = before_quit

    def __enter__(self) -> Self:
        self._previous = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._previous)

    def _handle(self, _signal: int, _frame: FrameType | None) -> None:
        if self.asked.is_set():
            self._before_quit()
            os._exit(ExitCode.INTERRUPTED)
        self.asked.set()
