"""`convert-a-lot version`: which version this is, and on what it stands."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of

from sir_convert_a_lot.interfaces.cli import options
from sir_convert_a_lot.interfaces.cli.talk import answer, answer_json

DISTRIBUTION = "sir-convert-a-lot"
ENGINES = ("pypdfium2", "rapidocr", "docling", "pymupdf", "torch")


def version(as_json: options.Json = False) -> None:
    """Print the version of this program.

    With --json those of Python and of the engines' packages too; null: not installed.
    """
    if not as_json:
        answer(version_of(DISTRIBUTION))
        return
    answer_json(
        {
            "version": version_of(DISTRIBUTION),
            "python": platform.python_version(),
            "packages": {name: _installed(name) for name in ENGINES},
        }
    )


def _installed(distribution: str) -> str | None:
    try:
        return version_of(distribution)
    except PackageNotFoundError:
        return None
