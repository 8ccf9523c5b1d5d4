"""A run of documents on this machine, without a server: one after the other, in the order of their paths.

Owns the loop, Ctrl-C and the writing of the Markdown. Where a conversion runs and what it may take is decided as in the
service: under the default policy `gpu_required` this refuses on a machine whose GPU is not proven.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from sir_convert_a_lot.bootstrap import ConvertLocal, LocalResult, build_local
from sir_convert_a_lot.domain.errors import SirConvertError
from sir_convert_a_lot.domain.job import JobStage, JobStatus
from sir_convert_a_lot.interfaces.cli.interrupts import Interrupts
from sir_convert_a_lot.interfaces.cli.options import Wish
from sir_convert_a_lot.interfaces.cli.outcome import Outcome, OutputNotWritten, failed, is_common
from sir_convert_a_lot.interfaces.cli.progress_display import ProgressDisplay
from sir_convert_a_lot.interfaces.cli.sources import Document
from sir_convert_a_lot.interfaces.client.answers import ProgressView
from sir_convert_a_lot.interfaces.client.whole_files import written_whole
from sir_convert_a_lot.settings import Settings

LOOK_EVERY_S = 0.1  # whether Ctrl-C came; as often as a run with a service looks


class LocalRun:
    """One run. Use it once, on the main thread."""

    def __init__(self, wish: Wish, settings: Settings, display: ProgressDisplay, interrupts: Interrupts) -> None:
        self._wish, self._settings = wish, settings
        self._display, self._interrupts = display, interrupts
        self.stopped_by: SirConvertError | None = None

    def convert(self, documents: Sequence[Document]) -> list[Outcome]:
        """One outcome a document. After Ctrl-C the rest are `canceled`; after a refusal common to all, `failed`."""
        return asyncio.run(self._convert_all(documents))

    async def _convert_all(self, documents: Sequence[Document]) -> list[Outcome]:
        outcomes = []
        async with build_local(self._settings) as convert:
            for document in documents:
                outcome = await self._outcome_of(document, convert)
                self._display.finished(outcome)
                outcomes.append(outcome)
        return outcomes

    async def _outcome_of(self, document: Document, convert: ConvertLocal) -> Outcome:
        if self._interrupts.asked.is_set():
            return Outcome(document, JobStatus.CANCELED.value)
        if self.stopped_by is not None:
            return Outcome(document, JobStatus.FAILED.value, error_code=self.stopped_by.code)
        self._display.started(document)
        try:
            return await self._convert(document, convert)
        except asyncio.CancelledError:
            return Outcome(document, JobStatus.CANCELED.value)
        except SirConvertError as error:
            if is_common(error):
                self.stopped_by = error
            return failed(document, error)

    async def _convert(self, document: Document, convert: ConvertLocal) -> Outcome:
        pages = 0

        def report(stage: JobStage, pages_done: int, pages_total: int) -> None:
            nonlocal pages
            pages = pages_total
            self._display.progressed(document, ProgressView(stage.value, pages_done, pages_total))

        began = time.monotonic()
        conversion = asyncio.ensure_future(convert(document.pdf, self._wish.spec_for(document.pdf), report))
        local = await self._wait_for(conversion)
        _write(document, local.markdown)
        return Outcome(
            document,
            JobStatus.SUCCEEDED.value,
            backend_used=local.metadata.backend_used,
            acceleration_used=local.metadata.acceleration_used,
            pages=pages or None,
            elapsed_s=time.monotonic() - began,
            warnings=local.metadata.warnings,
        )

    async def _wait_for(self, conversion: asyncio.Future[LocalResult]) -> LocalResult:
        """Raises `CancelledError` after Ctrl-C, once the worker is dead."""
        while not conversion.done():
            await asyncio.wait({conversion}, timeout=LOOK_EVERY_S)
            if self._interrupts.asked.is_set() and conversion.cancel():
                self._display.told("stopping; Ctrl-C again quits at once")
                break
        return await conversion


def _write(document: Document, markdown: str) -> None:
    """Complete or not at all."""
    try:
        document.output.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(document.output) as part:
            part.write_bytes(markdown.encode())
    except OSError as error:
        raise OutputNotWritten(f"cannot write {document.output}: {error.strerror}") from error
