"""Fetches the models that the engine needs, with Docling's own tool. Run by a person, never inside a request.

Owns which models are fetched: the layout model, TableFormer, and RapidOCR's models for its torch engine. Those for the
CPU lie in the rapidocr wheel.
"""

from __future__ import annotations

import os
from pathlib import Path

from sir_convert_a_lot.domain.errors import ServiceUnavailable
from sir_convert_a_lot.infrastructure.engines.docling.weights import download_folder

OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
TRUE_VALUES = frozenset({"1", "ON", "YES", "TRUE"})  # as huggingface_hub reads them
OCR_MODELS = ["torch:ch"]  # the multilingual PP-OCRv6 model, in RapidOCR's name for it


def download_models(output_dir: Path | None = None) -> Path:
    """Fetch all models into `output_dir` (None: Docling's own folder) and return it. Files that are there are kept.

    Raises `ServiceUnavailable` when the model hub cannot be reached, or is forbidden by a variable.
    """
    folder = output_dir or download_folder()
    forbidding = [name for name in OFFLINE_VARIABLES if os.environ.get(name, "").upper() in TRUE_VALUES]
    if forbidding:
        raise _unreachable(f"{forbidding[0]} is set, which forbids it", f"Unset {forbidding[0]} and run this again")
    import httpx
    import requests
    from docling.utils import model_downloader
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        model_downloader.download_models(
            output_dir=folder,
            progress=True,
            with_code_formula=False,
            with_picture_classifier=False,
            rapidocr_models=OCR_MODELS,
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, httpx.TransportError, requests.RequestException) as error:
        seen = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no answer'}"
        raise _unreachable(seen, "Run it on a machine with access, then copy the folder here") from error
    return folder


def _unreachable(why: str, remedy: str) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"The models cannot be fetched: no model hub can be reached ({why}). {remedy}; the service finds the folder "
        "through DOCLING_ARTIFACTS_PATH.",
        details={"reason": "model_hub_unreachable", "evidence": [why], "remediation": [remedy]},
    )
