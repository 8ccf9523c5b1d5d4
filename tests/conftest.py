"""What holds for every test: a clean environment, no model hub, and no silent skip in CI.

Owns the marker `system`: a test that needs a command from Debian names it, `@pytest.mark.system("chromium")`. Where the
command is missing the test is skipped with its name; under CI=true it fails, since there
`scripts/ci/install-system-parts.sh` should have installed it.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
FOREIGN_PREFIXES = ("SIR_", "CONVERTER_", "DBOS_", "DOCLING_")

# Before any test module is imported: settings are read from the environment, and a developer's own must not be seen.
for name in [name for name in os.environ if name.startswith(FOREIGN_PREFIXES)]:
    del os.environ[name]
os.environ["HF_HUB_OFFLINE"] = "1"


# Quick ones first. The contract tests keep one live service until the session ends, so they come last: tests of workers
# count the processes that pytest has started.
FOLDER_ORDER = ("unit", "docs", "e2e", "gpu", "contract")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: FOLDER_ORDER.index(item.path.relative_to(REPOSITORY / "tests").parts[0]))


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("system"):
        for command in marker.args:
            if shutil.which(command):
                continue
            if os.environ.get("CI") == "true":
                pytest.fail(f"{command} is missing, and scripts/ci/install-system-parts.sh should have installed it")
            pytest.skip(f"needs {command}: run scripts/ci/install-system-parts.sh as root")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def examples() -> Path:
    """The PDFs that the repository ships, with their truth in `truth/`."""
    return REPOSITORY / "examples"
