"""Prints the pinned torch builds as a requirements file for pip: `python scripts/list_torch_set.py rocm|cuda`.

Owns the way from `[tool.sir_convert_a_lot.<kind>_runtime]` to a shell, for an image that is built before the project is
installed in it; so it imports the standard library alone. A repair of a host does not need it.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
KINDS = ("rocm", "cuda")


def write_requirements(table: dict[str, Any]) -> str:
    """Where the set has an index of its own, no other is asked."""
    index = [f"--index-url {table['index']}"] if "index" in table else []
    return "\n".join([*index, *(f"{name}=={version}" for name, version in table["packages"].items())]) + "\n"


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in KINDS:
        print(f"usage: list_torch_set.py {'|'.join(KINDS)}", file=sys.stderr)
        return 64
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))
    print(write_requirements(project["tool"]["sir_convert_a_lot"][f"{arguments[0]}_runtime"]), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
