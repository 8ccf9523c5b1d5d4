"""Refuses an environment whose torch builds a sync has undone: PDM runs it after every `pdm install` and `pdm sync`.

python scripts/guard_torch_set.py                 exits 0 where all is as expected, and where nothing is expected
python scripts/guard_torch_set.py --expect rocm   first writes down that this environment is to hold the project's set
                                                  for ROCm (or cuda): for images, which are made without a repair

Owns the way from a shell to `sir_convert_a_lot.infrastructure.torch_guard`, which the service asks too when it starts.
"""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Refuse an environment whose torch builds were undone.")
    parser.add_argument("--expect", choices=["rocm", "cuda"])
    expected = parser.parse_args(arguments).expect
    if find_spec("sir_convert_a_lot") is None:
        print("torch builds not looked at: the project itself is not installed (--no-self)", file=sys.stderr)
        return 0
    return guard(expected)


def guard(expected: str | None) -> int:
    from sir_convert_a_lot.bootstrap_hosts import expect_torch_set, guard_torch_set
    from sir_convert_a_lot.domain.errors import SirConvertError
    from sir_convert_a_lot.domain.gpu_facts import RuntimeKind

    try:
        if expected is not None:
            expect_torch_set(RuntimeKind(expected), PYPROJECT)
        guard_torch_set()
    except SirConvertError as error:
        print(f"{error.message}:", file=sys.stderr)
        for line in (*error.details.get("evidence", ()), *error.details.get("remediation", ())):
            print(f"  {line}", file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
