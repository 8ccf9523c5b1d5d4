"""Sent to the host's project Python: which versions of some packages it has, read without importing any of them.

Arguments: distribution names. Prints one JSON object: name to `metadata` (the version the package was installed as) and
what its `version.py` says (`__version__`, `hip`, `cuda`). PyPI's metadata leaves out the local tag that version.py has.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import json
import sys
from pathlib import Path

SAID = ("__version__", "hip", "cuda")


def read_metadata(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def read_version_file(name: str) -> dict[str, str]:
    """Its string constants, parsed and never run."""
    spec = importlib.util.find_spec(name.replace("-", "_"))
    folders = list(spec.submodule_search_locations or ()) if spec else []
    said = {}
    for file in (Path(folder) / "version.py" for folder in folders):
        if not file.is_file():
            continue
        for statement in ast.parse(file.read_text("utf-8", "replace")).body:
            targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
            value = getattr(statement, "value", None)
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                said.update({t.id: value.value for t in targets if isinstance(t, ast.Name) and t.id in SAID})
    return said


if __name__ == "__main__":
    found = {name: {"metadata": read_metadata(name), **read_version_file(name)} for name in sys.argv[1:]}
    sys.stdout.write(json.dumps(found))
