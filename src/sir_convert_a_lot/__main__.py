"""The console script `convert-a-lot`, and `python -m sir_convert_a_lot`.

Owns the way in. Refuses to import anything before `main` is called: spawned worker processes import this module again.
"""

from __future__ import annotations

INTERRUPTED = 130  # `domain.errors.ExitCode`, which may not have been imported yet


def main() -> None:
    try:
        from sir_convert_a_lot.interfaces.cli.app import run

        raise SystemExit(run())
    except KeyboardInterrupt:  # while it still imports: `run` tells of later ones itself
        raise SystemExit(INTERRUPTED) from None


if __name__ == "__main__":
    main()
