"""Which limit of requests holds where, when nobody set one and when somebody did."""

from __future__ import annotations

import pytest

from sir_convert_a_lot.interfaces.http_api.server import _effective_rate
from sir_convert_a_lot.settings import load_settings

RATES = ("requests_per_minute", "status_reads_per_minute")


@pytest.mark.parametrize("name", RATES)
@pytest.mark.parametrize(
    ("host", "rate"),
    [
        ("127.0.0.1", 0),
        ("127.8.8.8", 0),
        ("::1", 0),
        ("localhost", 0),
        ("0.0.0.0", 6_000),  # noqa: S104 - nothing is bound
        ("::", 6_000),
        ("192.168.1.5", 6_000),
        ("converter.example", 6_000),
    ],
)
def test_the_default_limit_holds_wherever_others_can_call(name: str, host: str, rate: int) -> None:
    assert _effective_rate(load_settings(overrides={"host": host}, environ={}), name) == rate


@pytest.mark.parametrize("name", RATES)
@pytest.mark.parametrize("host", ["127.0.0.1", "192.168.1.5"])
@pytest.mark.parametrize("rate", [0, 7, 6_000])
def test_a_limit_that_somebody_set_holds_everywhere(name: str, host: str, rate: int) -> None:
    environ = {f"SIR_CONVERT_A_LOT_{name.upper()}": str(rate)}
    assert _effective_rate(load_settings(overrides={"host": host}, environ=environ), name) == rate
