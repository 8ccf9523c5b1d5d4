"""Opening uploads in a child: what is wrong with a PDF is told, and no PDF hurts anyone else."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pikepdf
import pytest

from sir_convert_a_lot.domain.errors import ServiceUnavailable
from sir_convert_a_lot.infrastructure.pdf_inspection import ChildInspector
from sir_convert_a_lot.infrastructure.workers.process_group import find_family


async def inspect(pdf: Path, limit_s: float = 20.0, max_pages: int = 100) -> tuple[int | None, str | None]:
    inspector = ChildInspector(limit_s, max_pages)
    try:
        found = await inspector.inspect(pdf)
        return found.pages_total, found.problem
    finally:
        await inspector.close()


@pytest.mark.parametrize(
    ("name", "expected"), [("digital", (3, None)), ("damaged", (None, "damaged")), ("encrypted", (None, "encrypted"))]
)
def test_what_is_wrong_with_a_pdf_is_told(examples: Path, name: str, expected: tuple[int | None, str | None]) -> None:
    assert asyncio.run(inspect(examples / f"{name}.pdf")) == expected


def test_text_that_is_no_pdf_is_damaged(tmp_path: Path) -> None:
    fake = tmp_path / "fake.pdf"
    fake.write_text("%PDF-1.7 and nothing more")
    assert asyncio.run(inspect(fake)) == (None, "damaged")


def test_a_pdf_without_pages_is_told_so(examples: Path, tmp_path: Path) -> None:
    path = tmp_path / "empty.pdf"
    with pikepdf.new() as document:
        document.save(path)

    async def scenario() -> None:
        """PDFium's error code outlives the file it was for: an encrypted one before must not show."""
        inspector = ChildInspector(20.0, 100)
        try:
            problems = [(await inspector.inspect(pdf)).problem for pdf in (examples / "encrypted.pdf", path)]
        finally:
            await inspector.close()
        assert problems == ["encrypted", "no_pages"]

    asyncio.run(scenario())


def test_too_many_pages_are_told(examples: Path) -> None:
    assert asyncio.run(inspect(examples / "digital.pdf", max_pages=2)) == (3, "too_many_pages")


def test_an_upload_that_vanished_is_no_fault_of_the_pdf(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable):
        asyncio.run(inspect(tmp_path / "gone.pdf"))


def children() -> set[int]:
    return {
        pid
        for pid in find_family(os.getpid()) - {os.getpid()}
        if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    }


def test_forty_at_once_are_all_opened(examples: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        inspector = ChildInspector(1.0, 100)
        await asyncio.wrap_future(inspector.start())
        try:
            found = await asyncio.gather(*(inspector.inspect(examples / "digital.pdf") for _ in range(40)))
        finally:
            await inspector.close()
        assert {inspection.pages_total for inspection in found} == {3}

    asyncio.run(scenario())


def test_a_child_that_does_not_answer_is_killed_and_replaced(examples: Path) -> None:
    async def scenario() -> None:
        inspector = ChildInspector(20.0, 100, patience_s=0.5)
        await asyncio.wrap_future(inspector.start())
        try:
            (child,) = children()
            os.kill(child, signal.SIGSTOP)
            stuck = await inspector.inspect(examples / "digital.pdf")
            assert (stuck.pages_total, stuck.problem) == (None, None)
            await asyncio.wrap_future(inspector.start())
            assert (await inspector.inspect(examples / "digital.pdf")).pages_total == 3
        finally:
            await inspector.close()
        assert child not in children()

    asyncio.run(scenario())


@pytest.mark.parametrize(("number", "problem"), [(signal.SIGSEGV, "damaged"), (signal.SIGKILL, None)])
def test_a_child_that_ends_takes_no_waiting_pdf_with_it(
    examples: Path, number: signal.Signals, problem: str | None
) -> None:
    """A crash is the fault of the PDF that the child has; a kill from outside is not."""

    async def scenario() -> None:
        inspector = ChildInspector(20.0, 100)
        await asyncio.wrap_future(inspector.start())
        try:
            (child,) = children()
            os.kill(child, signal.SIGSTOP)
            inspecting = [asyncio.create_task(inspector.inspect(examples / "digital.pdf")) for _ in range(20)]
            await asyncio.sleep(0.3)
            os.kill(child, number)
            os.kill(child, signal.SIGCONT)
            found = await asyncio.gather(*inspecting)
            # The child had one of them at most; if it had none, all twenty were asked again.
            assert sum(inspection.pages_total == 3 for inspection in found) >= 19
            assert {inspection.problem for inspection in found} <= {None, problem}
            assert (await inspector.inspect(examples / "digital.pdf")).pages_total == 3
        finally:
            await inspector.close()

    asyncio.run(scenario())


def test_a_child_that_died_while_idle_is_replaced(examples: Path) -> None:
    async def scenario() -> None:
        inspector = ChildInspector(20.0, 100)
        await asyncio.wrap_future(inspector.start())
        try:
            (child,) = children()
            os.kill(child, signal.SIGKILL)
            deadline = time.monotonic() + 5
            while child in children():
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.3)  # pebble looks every 0.1 s, and gives the pool up
            assert (await inspector.inspect(examples / "digital.pdf")).pages_total == 3
        finally:
            await inspector.close()
        assert children() == set()

    asyncio.run(scenario())
