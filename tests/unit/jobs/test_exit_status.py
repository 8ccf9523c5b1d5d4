"""Exit codes in words."""

from __future__ import annotations

import signal

import pytest

from sir_convert_a_lot.infrastructure.workers.exit_status import describe_exit


@pytest.mark.parametrize(
    ("code", "reason", "name"),
    [
        (7, "exit", None),
        (0, "exit", None),
        (None, "exit", None),
        (-signal.SIGSEGV, "signal", "SIGSEGV"),
        (-signal.SIGKILL, "signal", "SIGKILL"),
        (-200, "signal", "200"),
    ],
)
def test_an_exit_code_is_decoded(code: int | None, reason: str, name: str | None) -> None:
    told = describe_exit(code)
    assert (told["reason"], told["exit_code"], told["signal"]) == (reason, code, name)


def test_a_kill_from_outside_names_the_likely_reason() -> None:
    assert "memory" in describe_exit(-signal.SIGKILL)["hint"]
