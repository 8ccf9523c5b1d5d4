"""The console script `convert-a-lot`, and `python -m sir_convert_a_lot`.

Owns the way in. Refuses to import anything before `main` is called: spawned worker processes import this module again.
"""

from __future__ import annotations


def main() -> None:
    from sir_convert_a_lot.interfaces.cli.app import run

    raise SystemExit(run())


if __name__ == "__main__":
    main()
