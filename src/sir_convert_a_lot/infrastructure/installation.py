"""What this installation has: engines, the models of the GPU's engine, and room where the service keeps things.

Owns the looking, at files alone: nothing is imported, made or changed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sir_convert_a_lot.domain.engine import EngineOptions, OcrPass
from sir_convert_a_lot.infrastructure.engines.docling.weights import find_artifacts, missing_weights
from sir_convert_a_lot.infrastructure.engines.installed import installed_engines

GPU_ENGINE = "docling"
FIRST_GPU = "cuda:0"


@dataclass(frozen=True, slots=True)
class Installation:
    """`missing_models`: what a default conversion on a GPU needs and is not here. `free_bytes`: None, not read.

    `storage_is_writable` speaks of the storage root, or of the nearest folder above it where it is yet to be made.
    """

    engines: tuple[str, ...]
    gpu_engine_is_installed: bool
    missing_models: tuple[str, ...]
    storage_root: Path
    storage_is_writable: bool
    free_bytes: int | None


def look_at_installation(
    storage_root: Path, artifacts_path: Path | None, allow_cpu_stages: Iterable[str]
) -> Installation:
    """Blocking, milliseconds."""
    engines = installed_engines()
    options = EngineOptions(ocr=OcrPass.FULL_PAGE, device=FIRST_GPU)
    missing = missing_weights(find_artifacts(artifacts_path), options, ocr_on_cpu="ocr" in set(allow_cpu_stages))
    place = find_existing(storage_root)
    try:
        free_bytes: int | None = shutil.disk_usage(place).free
    except OSError:
        free_bytes = None  # told as not read
    return Installation(
        engines=engines,
        gpu_engine_is_installed=GPU_ENGINE in engines,
        missing_models=missing,
        storage_root=storage_root,
        storage_is_writable=os.access(place, os.W_OK | os.X_OK),
        free_bytes=free_bytes,
    )


def find_existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())
