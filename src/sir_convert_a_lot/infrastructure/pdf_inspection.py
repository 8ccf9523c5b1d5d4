"""Open uploads in a warm child process, so that the API process needs no PDF library and no PDF can hurt it.

Owns the child and its limit. The limit counts from when the child takes the file, so uploads that wait for one another
are not refused for it.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from pebble import ProcessExpired, ProcessPool

from sir_convert_a_lot.application.ports import Inspection
from sir_convert_a_lot.domain.errors import ServiceUnavailable
from sir_convert_a_lot.infrastructure.workers.process_group import enter_own_group

START_LIMIT_S = 60.0


def _start_up() -> None:
    from sir_convert_a_lot.infrastructure import pdf_opening

    pdf_opening.start_up()


def _open_pdf(path: str, max_pages: int) -> tuple[int | None, str | None, str]:
    from sir_convert_a_lot.infrastructure import pdf_opening

    return pdf_opening.open_pdf(path, max_pages)


def _enter(parent_pid: int) -> None:
    enter_own_group(parent_pid)
    _start_up()


class ChildInspector:
    """`application.ports.PdfInspector`. One child; concurrent calls take turns, each a millisecond or two.

    `limit_s` bounds one file once the child has it, `patience_s` a whole call: then the child is taken for stuck.
    """

    def __init__(self, limit_s: float, max_pages: int, patience_s: float = 20.0) -> None:
        self._limit_s = limit_s
        self._max_pages = max_pages
        self._patience_s = patience_s
        self._pool: ProcessPool | None = None
        self._endings: list[threading.Thread] = []

    def start(self) -> Future[None]:
        """Start the child and do not wait for it; a failure shows at the next inspection.

        Called from the event loop's thread, since the child dies with the thread that started it.
        """
        starting: Future[None] = self._started().schedule(_start_up, timeout=START_LIMIT_S)
        return starting

    async def inspect(self, pdf: Path) -> Inspection:
        """Raises `ServiceUnavailable` when the file cannot be read or no child can be started."""
        try:
            return await self._ask(pdf)
        except (BrokenProcessPool, RuntimeError):
            # The child ended while it had nothing to do, and pebble gives a pool up for that: once more, a fresh one.
            self._discard()
        try:
            return await self._ask(pdf)
        except (BrokenProcessPool, RuntimeError) as error:
            raise ServiceUnavailable("the process that opens PDFs cannot be started", retry_after_s=5) from error

    async def close(self) -> None:
        self._discard()
        for ending in self._endings:
            await asyncio.to_thread(ending.join)

    async def _ask(self, pdf: Path) -> Inspection:
        task = self._started().schedule(_open_pdf, (str(pdf), self._max_pages), timeout=self._limit_s)
        done, _ = await asyncio.wait({answer := asyncio.wrap_future(task)}, timeout=self._patience_s)
        if not done:
            self._discard()
            return Inspection(None, None, "the inspection did not get to it in time")
        try:
            return Inspection(*answer.result())
        except TimeoutError:
            return Inspection(None, None, f"opening it took longer than {self._limit_s:g} s")
        except ProcessExpired as error:
            return Inspection(None, "damaged", f"opening it ended the inspection with exit code {error.exitcode}")
        except OSError as error:
            raise ServiceUnavailable(
                "the upload cannot be read", details={"reason": "storage"}, retry_after_s=30
            ) from error

    def _discard(self) -> None:
        """Kill the child, in a thread: pebble gives it seconds to end by itself."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.stop()  # type: ignore[no-untyped-call]
            ending = threading.Thread(target=pool.join, name="inspector-ending", daemon=True)
            ending.start()
            self._endings = [thread for thread in self._endings if thread.is_alive()] + [ending]

    def _started(self) -> ProcessPool:
        if self._pool is None:
            self._pool = ProcessPool(
                1, initializer=_enter, initargs=(os.getpid(),), context=multiprocessing.get_context("spawn")
            )
        return self._pool
