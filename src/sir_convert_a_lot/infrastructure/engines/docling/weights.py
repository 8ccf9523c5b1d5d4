"""Which model files the engine needs, where they lie, and which are missing. Looks at files only.

Owns the names. Imports neither Docling nor torch, so that a service can tell at start-up. Refuses to download anything
(`downloading`).

The names are those of Docling 2.143.0 and RapidOCR 3.10.0; a test holds them against the packages.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sir_convert_a_lot.domain.engine import EngineOptions, OcrPass
from sir_convert_a_lot.domain.errors import MODEL_WEIGHTS_MISSING, ModelWeightsMissing
from sir_convert_a_lot.domain.job_spec import TableMode

DOWNLOAD_COMMAND = "convert-a-lot models download"


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository of a model hub: its name, the revision that Docling asks for, and the files it reads."""

    name: str
    revision: str
    files: tuple[str, ...]

    @property
    def folder(self) -> str:
        """The folder's name under Docling's `artifacts_path`."""
        return self.name.replace("/", "--")


LAYOUT = Repository(
    "docling-project/docling-layout-heron", "main", ("config.json", "preprocessor_config.json", "model.safetensors")
)
TABLES = {
    mode: Repository(
        "docling-project/docling-models",
        "v2.3.0",
        tuple(
            f"model_artifacts/tableformer/{mode.value}/{name}"
            for name in ("tm_config.json", f"tableformer_{mode.value}.safetensors")
        ),
    )
    for mode in TableMode
}
OCR_FOLDER = "RapidOcr"


@dataclass(frozen=True, slots=True)
class OcrFiles:
    """What RapidOCR needs, by its own task names. `keys` is the alphabet where the model does not carry it."""

    detection: Path
    classification: Path
    recognition: Path
    keys: Path | None = None

    def missing(self) -> list[str]:
        wanted = (self.detection, self.classification, self.recognition, self.keys)
        return [path.name for path in wanted if path is not None and not path.is_file()]


def find_artifacts(explicit: Path | None) -> Path | None:
    """Docling's `artifacts_path`: the given one, else its own variable, else where its tool downloads to.

    None: no such folder, and the model hub's cache is looked at instead.
    """
    named = explicit or os.environ.get("DOCLING_ARTIFACTS_PATH")
    if named:
        return Path(named).expanduser()
    folder = download_folder()
    return folder if folder.is_dir() else None


def download_folder() -> Path:
    """Where Docling's own tool puts models when it is not told otherwise."""
    return Path(os.environ.get("DOCLING_CACHE_DIR") or Path.home() / ".cache" / "docling") / "models"


def cpu_ocr_files() -> OcrFiles:
    """The ONNX models inside the rapidocr wheel: PP-OCRv6 small, and the PP-OCR mobile v2.0 angle classifier."""
    spec = find_spec("rapidocr")
    origin = spec.origin if spec else None
    folder = Path(origin).parent / "models" if origin else Path("rapidocr-is-not-installed")
    return OcrFiles(
        folder / "PP-OCRv6_det_small.onnx",
        folder / "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
        folder / "PP-OCRv6_rec_small.onnx",
    )


def gpu_ocr_files(artifacts: Path | None) -> OcrFiles:
    """The same models for RapidOCR's torch engine. No wheel carries them."""
    folder = (artifacts or download_folder()) / OCR_FOLDER
    return OcrFiles(
        folder / "PP-OCRv6_det_small.pth",
        folder / "ch_ppocr_mobile_v2.0_cls_mobile.pth",
        folder / "PP-OCRv6_rec_small.pth",
        folder / "ppocrv6_dict.txt",
    )


def missing_weights(artifacts: Path | None, options: EngineOptions, *, ocr_on_cpu: bool) -> tuple[str, ...]:
    """Names of the files that a conversion with these options needs and that are not here."""
    missing = [
        f"{repository.folder}/{file}"
        for repository in (LAYOUT, TABLES[options.table_mode])
        for file in _missing_files(repository, artifacts)
    ]
    if options.ocr is OcrPass.FULL_PAGE:
        files = cpu_ocr_files() if ocr_on_cpu else gpu_ocr_files(artifacts)
        missing += [f"{OCR_FOLDER}/{name}" for name in files.missing()]
    return tuple(missing)


def refuse(missing: tuple[str, ...]) -> ModelWeightsMissing:
    """The error to raise for these files; no path of the host is in it."""
    return ModelWeightsMissing(
        f"Docling's model files are missing; fetch them with `{DOWNLOAD_COMMAND}`: {', '.join(missing)}",
        details={
            "reason": MODEL_WEIGHTS_MISSING,
            "backend": "docling",
            "missing": list(missing),
            "remediation": [f"Fetch the models: {DOWNLOAD_COMMAND}", "Then send the same request again"],
        },
    )


def _missing_files(repository: Repository, artifacts: Path | None) -> Iterator[str]:
    folder = artifacts / repository.folder if artifacts is not None else find_in_hub_cache(repository)
    yield from (file for file in repository.files if not (folder / file).is_file())


def find_in_hub_cache(repository: Repository) -> Path:
    """Where the model hub's cache keeps this revision, whether it is there or not.

    As `huggingface_hub.try_to_load_from_cache` looks, which a service would import for 0.3 s at every start.
    """
    kept = hub_cache() / f"models--{repository.folder}"
    reference = kept / "refs" / repository.revision
    commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else repository.revision
    return kept / "snapshots" / commit


def hub_cache() -> Path:
    """By the variables of huggingface_hub, in its order."""
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    home = os.environ.get("HF_HOME") or Path(user) / "huggingface"
    return Path(named or Path(home) / "hub").expanduser()
