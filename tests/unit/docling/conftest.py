"""One engine with tiny models for all tests of the folder; without Docling the folder is skipped, with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sir_convert_a_lot.infrastructure.engines.docling.engine import DoclingEngine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if find_spec("docling") is not None:
        return
    reason = pytest.mark.skip(reason="needs Docling: pdm install -G docling")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(reason)


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tiny_docling_models import make_models

    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def engine(artifacts: Path) -> Iterator[DoclingEngine]:
    from sir_convert_a_lot.infrastructure.engines.docling.engine import DoclingEngine

    return DoclingEngine(artifacts_path=artifacts, threads=2)
