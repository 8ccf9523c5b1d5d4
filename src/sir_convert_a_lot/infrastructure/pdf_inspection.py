"""Open uploads in a warm child process, so that the API process needs no PDF library and no PDF can hurt it.

Owns the child and its limit. The limit counts from when the child takes the file, so uploads that wait for one another
are not refused for it.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from pebble import ProcessExpired, ProcessPool

from sir_convert_a_lot.application.ports import Inspection
from sir_convert_a_lot.domain.errors import ServiceUnavailable
from sir_convert_a_lot.infrastructure.workers.process_group import enter_own_group

START_LIMIT_S = 60.0
# A PDF that waits while others end the child is asked about again; one that ends it itself is not.
TRIES = 5

Opened = tuple[int | None, str | None, str]


def _start_up() -> None:
    from sir_convert_a_lot.infrastructure import pdf_opening

    pdf_opening.start_up()


def _open_pdf(path: str, max_pages: int) -> Opened:
    from sir_convert_a_lot.infrastructure import pdf_opening

    return pdf_opening.open_pdf(path, max_pages)


def _enter(parent_pid: int) -> None:
    enter_own_group(parent_pid)
    _start_up()


class _ChildEnded(Exception):
    """The child ended while this call waited for its turn."""


class ChildInspector:
    """`application.ports.PdfInspector`. One child; concurrent calls take turns, each a millisecond or two.

    `limit_s` bounds one file once the child has it, `patience_s` a whole call: then the child is taken for stuck.
    """

    def __init__(self, limit_s: float, max_pages: int, patience_s: float = 20.0) -> None:
        self._limit_s = limit_s
        self._max_pages = max_pages
        self._patience_s = patience_s
        self._pool: ProcessPool | None = None
        self._waiting: set[asyncio.Future[Opened]] = set()
        self._endings: list[threading.Thread] = []

    def start(self) -> Future[None]:
        """Start the child and do not wait for it; a failure shows at the next inspection.

        Called from the event loop's thread, since the child dies with the thread that started it.
        """
        starting: Future[None] = self._started().schedule(_start_up, timeout=START_LIMIT_S)
        return starting

    async def inspect(self, pdf: Path) -> Inspection:
        """Raises `ServiceUnavailable` when the file cannot be read or no child can be started."""
        for _ in range(TRIES):
            pool = self._started()
            try:
                return await self._ask(pool, pdf)
            except (BrokenProcessPool, RuntimeError, _ChildEnded):
                # The child ended while it had nothing to do, and pebble gives a pool up for that; or another PDF ended
                # it while this one waited.
                self._discard(pool)
        raise ServiceUnavailable("the process that opens PDFs cannot be kept alive", retry_after_s=5)

    async def close(self) -> None:
        if self._pool is not None:
            self._discard(self._pool)
        for ending in self._endings:
            await asyncio.to_thread(ending.join)

    async def _ask(self, pool: ProcessPool, pdf: Path) -> Inspection:
        task = pool.schedule(_open_pdf, (str(pdf), self._max_pages), timeout=self._limit_s)
        answer = asyncio.wrap_future(task)
        self._waiting.add(answer)
        try:
            await asyncio.wait({answer}, timeout=self._patience_s)
            return self._judge(pool, answer)
        except OSError as error:
            raise ServiceUnavailable(
                "the upload cannot be read", details={"reason": "storage"}, retry_after_s=30
            ) from error
        finally:
            self._waiting.discard(answer)

    def _judge(self, pool: ProcessPool, answer: asyncio.Future[Opened]) -> Inspection:
        if not answer.done():
            self._discard(pool)
            return Inspection(None, None, "the inspection did not get to it in time")
        if answer.cancelled():
            raise _ChildEnded
        try:
            return Inspection(*answer.result())
        except TimeoutError:
            return Inspection(None, None, f"opening it took longer than {self._limit_s:g} s")
        except ProcessExpired as error:
            # The pool is not used again: a child that is killed may leave a lock held that its successor waits for.
            self._discard(pool)
            was_killed = error.exitcode == -signal.SIGKILL  # from outside, so it says nothing of the PDF
            problem = None if was_killed else "damaged"
            return Inspection(None, problem, f"opening it ended the inspection with exit code {error.exitcode}")

    def _discard(self, pool: ProcessPool) -> None:
        """Kill the child, in a thread: pebble gives it seconds to end by itself. Whoever waits for it asks another."""
        if self._pool is not pool:
            return
        self._pool = None
        for answer in self._waiting:
            answer.cancel()
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
