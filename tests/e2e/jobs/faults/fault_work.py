"""Work for worker processes that goes wrong in ways a real engine might. For tests alone.

The file name in the job spec says how: `sleep-2.pdf`, `crash.pdf`, `hog.pdf`, … Everything but the engine is the
product's own: passes, normalisation, receipt and files.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sir_convert_a_lot import worker
from sir_convert_a_lot.domain.engine import EngineOptions, EngineOutcome, ReportProgress
from sir_convert_a_lot.domain.errors import PdfUnreadable
from sir_convert_a_lot.domain.job import JobStage
from sir_convert_a_lot.domain.receipt import StageReceipt

TEXT = "# Converted\n\n" + "word " * 60 + "\n"
# Each start of an attempt leaves a line here, when the test asks for it.
STARTS = "FAULT_WORK_STARTS"


class FaultEngine:
    name = "builtin"
    version = "fault"

    def __init__(self, fault: str) -> None:
        self._fault, _, self._argument = fault.partition("-")

    def convert(self, pdf: Path, options: EngineOptions, report: ReportProgress) -> EngineOutcome:
        getattr(self, f"_{self._fault}")(report)
        stage = StageReceipt("page_parsing", "cpu", "cpu", "fault engine", 1.0)
        return EngineOutcome(TEXT, 1, (stage,))

    def _ok(self, report: ReportProgress) -> None:
        report(JobStage.PAGE_PARSING, 1, 1)

    def _sleep(self, report: ReportProgress) -> None:
        time.sleep(float(self._argument))

    def _pages(self, report: ReportProgress) -> None:
        for page in range(int(self._argument)):
            report(JobStage.LAYOUT_ANALYSIS, page + 1, int(self._argument))
            time.sleep(0.2)

    def _exit(self, report: ReportProgress) -> None:
        os._exit(int(self._argument))

    def _segfault(self, report: ReportProgress) -> None:
        ctypes.string_at(0)

    def _raise(self, report: ReportProgress) -> None:
        raise KeyError("a bug")

    def _full(self, report: ReportProgress) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _unreadable(self, report: ReportProgress) -> None:
        raise PdfUnreadable("cannot be opened", details={"reason": "damaged"})

    def _memory(self, report: ReportProgress) -> None:
        raise MemoryError

    def _hog(self, report: ReportProgress) -> None:
        kept = []
        while True:
            kept.append(os.urandom(1 << 20) * 16)
            time.sleep(0.01)

    def _stubborn(self, report: ReportProgress) -> None:
        """Ignore SIGTERM, start a child and a daemon that leave the group, and spin."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sleeping = [sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(300)"]
        subprocess.Popen(sleeping)
        subprocess.Popen(sleeping, start_new_session=True)
        report(JobStage.LAYOUT_ANALYSIS, 1, 2)
        while True:
            pass

    def _poison(self, report: ReportProgress) -> None:
        """Take the service down."""
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)


def convert(order: dict[str, Any], staging: Path, report: Callable[[str, int, int], None]) -> dict[str, Any]:
    if path := os.environ.get(STARTS):
        with Path(path).open("a") as starts:
            starts.write(f"{staging.name}\n")
    fault = Path(order["spec"]["source"]["filename"]).stem
    worker._loaded["builtin"] = FaultEngine(fault)
    return worker.convert_in_worker(order, staging, report)
