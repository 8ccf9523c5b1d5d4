"""A service looks at the GPU when it starts, beside listening, and a plain worker stays free of torch."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest


def test_the_first_look_is_over_before_the_first_request_and_is_told(
    start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def scenario() -> None:
        async with start() as client:
            for _ in range(500):
                if client.service.probe.peek() is not None:
                    break
                await asyncio.sleep(0.02)
            kept = client.service.probe.peek()
            assert kept is not None
            assert (await client.service.probe.current()) is kept
        assert any(record.message.startswith(("no GPU is proven", "GPU proven")) for record in caplog.records)

    asyncio.run(scenario())


def test_a_plain_worker_has_no_torch_and_is_there_without_a_job(start: Any, processes: Any) -> None:
    def workers() -> list[str]:
        maps = []
        for pid in processes():
            try:
                maps.append(Path(f"/proc/{pid}/maps").read_text())
            except OSError:  # it has just ended
                continue
        return maps

    async def scenario() -> None:
        async with start() as client:
            ended = await client.end_of(await client.submit("ok"))
            assert ended.result is not None
            assert workers()
            assert not any("libtorch" in maps for maps in workers())

    asyncio.run(scenario())
