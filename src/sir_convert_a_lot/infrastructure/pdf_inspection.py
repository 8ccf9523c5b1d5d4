"""Open uploads in a warm child process, so that the API process needs no PDF library and no PDF can hurt it.

Owns the child and its limit. The limit counts from when the child takes the file, so uploads that wait for one another
are not refused for it.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
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
    """`application.ports.PdfInspector`. One child; concurrent calls take turns, each a millisecond or two."""

    def __init__(self, limit_s: float, max_pages: int) -> None:
        self._limit_s = limit_s
        self._max_pages = max_pages
        self._pool: ProcessPool | None = None

    async def warm_up(self) -> None:
        """Start the child. Called from the event loop's thread: the child dies with the thread that started it."""
        await asyncio.wrap_future(self._started().schedule(_start_up, timeout=START_LIMIT_S))

    async def inspect(self, pdf: Path) -> Inspection:
        for is_last in (False, True):
            try:
                task = self._started().schedule(_open_pdf, (str(pdf), self._max_pages), timeout=self._limit_s)
                return Inspection(*await asyncio.wrap_future(task))
            except TimeoutError:
                return Inspection(None, None, f"opening it took longer than {self._limit_s:g} s")
            except ProcessExpired as error:
                return Inspection(None, "damaged", f"opening it ended the inspection with exit code {error.exitcode}")
            except (BrokenProcessPool, RuntimeError) as error:
                # The child ended while it had nothing to do, and pebble gives a pool up for that: a fresh one.
                self._pool = None
                if is_last:
                    raise ServiceUnavailable(
                        "the process that opens PDFs cannot be started", retry_after_s=5
                    ) from error
        raise AssertionError

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.stop()  # type: ignore[no-untyped-call]
            await asyncio.to_thread(pool.join)

    def _started(self) -> ProcessPool:
        if self._pool is None:
            self._pool = ProcessPool(
                1, initializer=_enter, initargs=(os.getpid(),), context=multiprocessing.get_context("spawn")
            )
        return self._pool
