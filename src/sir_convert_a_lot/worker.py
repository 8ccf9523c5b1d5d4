"""Where the parts of a conversion meet inside a worker process: engine, passes, normalisation, files.

Owns the wiring that `bootstrap` cannot do, because functions are named across a process border and objects are not.
Engines stay loaded between jobs. Imports of the engine and of Markdown tools wait until they are needed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from sir_convert_a_lot.application.convert import Conversion, ConversionOrder, convert_document
from sir_convert_a_lot.domain.engine import Engine, EngineOptions
from sir_convert_a_lot.domain.errors import InternalError
from sir_convert_a_lot.domain.job import JobStage, ResultMetadata
from sir_convert_a_lot.domain.job_spec import JobSpec
from sir_convert_a_lot.infrastructure.engines.installed import load_engine
from sir_convert_a_lot.infrastructure.gpu_activity.witness import GpuWitness
from sir_convert_a_lot.infrastructure.markdown.normalise import normalise

logger = logging.getLogger(__name__)

_loaded: dict[str, Engine] = {}

# This process's GPU as seen from beside the engine. Of this machine: nothing that a caller or a setting says goes in.
witness = GpuWitness()


def convert_in_worker(order: dict[str, Any], staging: Path, report: Callable[[str, int, int], None]) -> dict[str, Any]:
    """Convert `order["pdf"]` into `staging/artifacts`; return the result's metadata as JSON.

    `order` is what `job_engine.attempt` writes for a job, and `bootstrap` under `--local`. Raises what
    `convert_document` raises.
    """
    logger.info("converting with %s on %s", order["engine"], order["pci_id"] or order["device"])
    _check_sight(order)
    conversion = convert_document(
        Path(order["pdf"]),
        ConversionOrder(
            spec=JobSpec.model_validate(order["spec"]),
            device=order["device"],
            probe_id=order["probe_id"],
            warnings=tuple(order["warnings"]),
            max_pages=order["max_pages"],
            max_page_pixels=order["max_page_pixels"],
            allow_cpu_stages=tuple(order["engine_arguments"].get("allow_cpu_stages", ())),
        ),
        keep_engine(order["engine"], order["engine_arguments"]),
        normalise,
        lambda stage, processed, total: report(JobStage(stage).value, processed, total),
        witness=witness,
    )
    _give_back_spare(order["device"])
    metadata = _write_artifacts(conversion, staging / "artifacts")
    logger.info("converted, %d bytes", metadata.size_bytes)
    return asdict(metadata)


def load_ahead(order: dict[str, Any]) -> None:
    """Load Docling's pipeline for the default options and look at the device at rest, so that the first job waits for
    neither.

    `order` names the device as that of a job does. Raises what `DoclingEngine.load` raises, and chooses nothing: a job
    that comes later is decided anew.
    """
    from sir_convert_a_lot.infrastructure.engines.docling.engine import DoclingEngine

    _check_sight(order)
    engine = keep_engine("docling", order["engine_arguments"])
    if not isinstance(engine, DoclingEngine):
        raise InternalError(f"the engine docling is a {type(engine).__name__}")
    engine.load(EngineOptions(device=order["device"]))
    if order["device"] != "cpu":
        witness.rest(order["device"])


def _check_sight(order: dict[str, Any]) -> None:
    """Imports torch only for a job on the GPU."""
    if order["device"] != "cpu":
        from sir_convert_a_lot.infrastructure.engines.docling.device_failures import require_address

        require_address(order["pci_id"])


def _give_back_spare(device: str) -> None:
    """Imports torch only after a job on the GPU."""
    if device != "cpu":
        from sir_convert_a_lot.infrastructure.engines.docling.device_memory import give_back_spare

        give_back_spare(device)


def keep_engine(name: str, arguments: dict[str, Any]) -> Engine:
    """The engine of that name, made once a process with these arguments, which a service does not change."""
    if name not in _loaded:
        _loaded[name] = load_engine(name, **arguments)
    return _loaded[name]


def _write_artifacts(conversion: Conversion, folder: Path) -> ResultMetadata:
    """The metadata with the digest of the receipt's file in it."""
    folder.mkdir(parents=True)
    _write_durably(folder / "output.md", conversion.markdown.encode("utf-8"))
    receipt = json.dumps(conversion.metadata.execution, indent=2, ensure_ascii=False).encode("utf-8")
    _write_durably(folder / "execution.json", receipt)
    return replace(conversion.metadata, execution_sha256=hashlib.sha256(receipt).hexdigest())


def _write_durably(path: Path, content: bytes) -> None:
    """On the disk before it returns: the job is called succeeded soon after, and that must outlive a power cut."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
