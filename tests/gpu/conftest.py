"""Tests on this machine's real GPU. Where the probe sees no GPU they are skipped, each with what it saw.

Where it sees one, nothing here is skipped for it: a GPU that cannot be proven is a failure, with the probe's own words.
Run them alone: `python -m pytest tests/gpu -m gpu`. Nothing stands in for anything.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sir_convert_a_lot.domain.gpu_facts import ProbeSnapshot, Rung, RungState
from sir_convert_a_lot.infrastructure.gpu_runtime_probe import probe

if TYPE_CHECKING:
    from sir_convert_a_lot.infrastructure.engines.docling.engine import DoclingEngine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mine = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in mine:
        if item.get_closest_marker("gpu") is None:
            raise pytest.UsageError(f"{item.nodeid} lacks the marker gpu")
    reason = find_reason_to_skip() if mine else None
    for item in mine:
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


def find_reason_to_skip() -> str | None:
    """No GPU hardware, or an environment without the engine that would use one."""
    (hardware, *_) = probe(last_rung=Rung.HARDWARE).rungs
    if hardware.state is RungState.FAILED:
        return f"needs a GPU; the probe: {hardware.seen}"
    if find_spec("docling") is None:
        return "needs Docling: pdm install -G docling"
    return None


@pytest.fixture(scope="session")
def snapshot() -> ProbeSnapshot:
    """The whole ladder, climbed once. A GPU that is there and not proven fails every test that asks for this."""
    seen = probe()
    if not seen.is_available:
        pytest.fail(f"the GPU is not proven: {seen.cause} at {seen.rung}\n" + "\n".join(seen.evidence))
    return seen


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny untrained models for every stage, OCR by torch among them."""
    from tiny_docling_models import make_models, make_torch_ocr_models

    return make_torch_ocr_models(make_models(tmp_path_factory.mktemp("models")))


@pytest.fixture(scope="session")
def engine(artifacts: Path, snapshot: ProbeSnapshot) -> DoclingEngine:
    from sir_convert_a_lot.infrastructure.engines.docling.engine import DoclingEngine

    return DoclingEngine(artifacts_path=artifacts)
