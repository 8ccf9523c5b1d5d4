"""A run of documents on this machine, without a server: one after the other, in the order of their paths.

Owns the loop and the writing of the Markdown. Where a conversion runs is decided as in the service: under the default
policy `gpu_required` this refuses on a machine whose GPU is not proven.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from sir_convert_a_lot.bootstrap import convert_local
from sir_convert_a_lot.domain.errors import SirConvertError
from sir_convert_a_lot.domain.job import JobStage, JobStatus
from sir_convert_a_lot.interfaces.cli.options import Wish
from sir_convert_a_lot.interfaces.cli.outcome import Outcome, OutputNotWritten, failed, is_common
from sir_convert_a_lot.interfaces.cli.progress_display import ProgressDisplay
from sir_convert_a_lot.interfaces.cli.sources import Document
from sir_convert_a_lot.interfaces.client.answers import ProgressView
from sir_convert_a_lot.interfaces.client.whole_files import written_whole
from sir_convert_a_lot.settings import Settings


class LocalRun:
    """One run. Use it once."""

    def __init__(self, wish: Wish, settings: Settings, display: ProgressDisplay) -> None:
        self._wish, self._settings, self._display = wish, settings, display
        self.stopped_by: SirConvertError | None = None
        self.is_interrupted = False

    def convert(self, documents: Sequence[Document]) -> list[Outcome]:
        """One outcome a document. After Ctrl-C the rest are `canceled`; after a refusal common to all, `failed`."""
        outcomes = []
        for document in documents:
            outcome = self._outcome_of(document)
            self._display.finished(outcome)
            outcomes.append(outcome)
        return outcomes

    def _outcome_of(self, document: Document) -> Outcome:
        if self.is_interrupted:
            return Outcome(document, JobStatus.CANCELED.value)
        if self.stopped_by is not None:
            return Outcome(document, JobStatus.FAILED.value, error_code=self.stopped_by.code)
        self._display.started(document)
        try:
            return self._convert(document)
        except KeyboardInterrupt:
            self.is_interrupted = True
            return Outcome(document, JobStatus.CANCELED.value)
        except SirConvertError as error:
            if is_common(error):
                self.stopped_by = error
            return failed(document, error)
        except OSError as error:
            return failed(document, OutputNotWritten(f"cannot write {document.output}: {error.strerror}"))

    def _convert(self, document: Document) -> Outcome:
        pages = 0

        def report(stage: JobStage, pages_done: int, pages_total: int) -> None:
            nonlocal pages
            pages = pages_total
            self._display.progressed(document, ProgressView(stage.value, pages_done, pages_total))

        began = time.monotonic()
        local = convert_local(document.pdf, self._wish.spec_for(document.pdf), report=report, settings=self._settings)
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


def _write(document: Document, markdown: str) -> None:
    """Complete or not at all."""
    document.output.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(document.output) as part:
        part.write_bytes(markdown.encode())
