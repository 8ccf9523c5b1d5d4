"""Runs every gate but the tests, and shows all that failed at the end: `make check`, `pdm run check`.

Owns the list of gates. Each is a command that a person can type alone; none stops the others.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

GATES: dict[str, list[str]] = {
    "lint": [str(BIN / "ruff"), "check", "."],
    "format": [str(BIN / "ruff"), "format", "--check", "."],
    "types": [str(BIN / "mypy"), "--strict"],
    "layers": [str(BIN / "lint-imports"), "--no-logo"],
    "documents": [sys.executable, "scripts/check_docs.py"],
}


def run_gate(command: list[str]) -> tuple[bool, float, str]:
    """Whether the gate passed, the seconds it took, and all it said."""
    started = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    return done.returncode == 0, time.monotonic() - started, done.stdout + done.stderr


def main() -> int:
    failed: dict[str, str] = {}
    for name, command in GATES.items():
        passed, seconds, said = run_gate(command)
        print(f"{'ok    ' if passed else 'FAILED'} {name:<10} {seconds:5.1f} s", flush=True)
        if not passed:
            failed[name] = said
    for name, said in failed.items():
        print(f"\n--- {name}: {' '.join(GATES[name])}\n{said}")
    if failed:
        print(f"{len(failed)} of {len(GATES)} gates failed: {', '.join(failed)}")
    else:
        print(f"All {len(GATES)} gates passed.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
