"""Fetching models: by a person, with a clear word where no hub can be reached, and never in a request."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sir_convert_a_lot.domain.errors import ServiceUnavailable
from sir_convert_a_lot.infrastructure.engines.docling.downloading import download_models
from sir_convert_a_lot.infrastructure.engines.docling.weights import find_artifacts


def test_a_variable_that_forbids_the_hub_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ServiceUnavailable) as refused:
        download_models(tmp_path)
    assert "HF_HUB_OFFLINE" in refused.value.message
    assert list(tmp_path.iterdir()) == []


def test_a_hub_that_does_not_answer_is_told_with_what_to_do(tmp_path: Path) -> None:
    """The hub's address is one that refuses connections: port 9 of this machine."""
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    told = subprocess.run(
        [sys.executable, "-m", "sir_convert_a_lot", "models", "download", "--output-dir", str(tmp_path / "models")],
        env=environment | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 69, told.stderr
    assert told.stdout == ""
    assert "no model hub can be reached" in told.stderr
    assert "copy the folder here" in told.stderr


def test_models_are_found_where_they_are_downloaded_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCLING_ARTIFACTS_PATH", raising=False)
    monkeypatch.setenv("DOCLING_CACHE_DIR", str(tmp_path))
    assert find_artifacts(None) is None
    (tmp_path / "models").mkdir()
    assert find_artifacts(None) == tmp_path / "models"
    monkeypatch.setenv("DOCLING_ARTIFACTS_PATH", str(tmp_path / "other"))
    assert find_artifacts(None) == tmp_path / "other"
    assert find_artifacts(tmp_path / "given") == tmp_path / "given"
