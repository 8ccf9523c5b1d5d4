"""Whether Docling's models are here, for a process that loads none of them: the port `ModelFiles`.

Owns how long a look at the files is good for. What is needed, and where it lies, is `weights`'s.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sir_convert_a_lot.domain.engine import EngineOptions, OcrPass
from sir_convert_a_lot.domain.job_spec import Conversion, OcrMode, TableMode
from sir_convert_a_lot.infrastructure.engines.docling.weights import find_artifacts, missing_weights, refuse

# A burst of requests looks once; whoever has just fetched the models does not wait noticeably.
LOOK_TTL_S = 2.0


@dataclass(frozen=True, slots=True)
class _Look:
    missing: tuple[str, ...]
    until: float  # of the monotonic clock


class DoclingModelFiles:
    """May be asked from anywhere; looks in a thread, since a folder may lie on a slow disk."""

    def __init__(
        self, artifacts_path: Path | None, allow_cpu_stages: Iterable[str] = (), *, ttl_s: float = LOOK_TTL_S
    ) -> None:
        self._artifacts_path = artifacts_path
        self._allow_cpu_stages = frozenset(allow_cpu_stages)
        self._ttl_s = ttl_s
        self._looks: dict[tuple[TableMode, OcrPass, bool], _Look] = {}

    async def require(self, engine: str, device: str, conversion: Conversion) -> None:
        """Other engines need no models. Under `ocr_mode=auto` the models of OCR must be here as well."""
        if engine != "docling":
            return
        ocr = OcrPass.OFF if conversion.ocr_mode is OcrMode.OFF else OcrPass.FULL_PAGE
        options = EngineOptions(ocr=ocr, table_mode=conversion.table_mode, device=device)
        ocr_is_on_cpu = device == "cpu" or "ocr" in self._allow_cpu_stages
        key = (options.table_mode, ocr, ocr_is_on_cpu)
        seen = self._looks.get(key)
        if seen is None or time.monotonic() > seen.until:
            missing = await asyncio.to_thread(self.look, options, ocr_on_cpu=ocr_is_on_cpu)
            self._looks[key] = seen = _Look(missing, time.monotonic() + self._ttl_s)
        if seen.missing:
            raise refuse(seen.missing)

    def look(self, options: EngineOptions, *, ocr_on_cpu: bool) -> tuple[str, ...]:
        """Names of the files that are not here now. Blocking."""
        return missing_weights(find_artifacts(self._artifacts_path), options, ocr_on_cpu=ocr_on_cpu)
