"""Ctrl-C and SIGTERM: the first asks for an orderly end, the second ends the process at once.

Owns the two signals while a run is on. Refuses to cancel anything itself: who waits on `asked` does.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

from sir_convert_a_lot.domain.errors import ExitCode

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """A context in which either signal sets `asked`. Enter it on the main thread only.

    `before_quit` runs at the second signal, just before the process ends: it may only put the terminal right.
    """

    def __init__(self, before_quit: Callable[[], None]) -> None:
        self.asked = threading.Event()
        self._before_quit = before_quit

    def __enter__(self) -> Self:
        self._previous = [(number, signal.signal(number, self._handle)) for number in SIGNALS]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous:
            signal.signal(number, handler)

    def _handle(self, _signal: int, _frame: FrameType | None) -> None:
        if self.asked.is_set():
            self._before_quit()
            os._exit(ExitCode.INTERRUPTED)
        self.asked.set()
