"""Idempotency keys and tombstones, on a real SQLite file."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sir_convert_a_lot.application.ports import IdempotencyEntry, IdempotencyScope
from sir_convert_a_lot.domain.errors import ServiceUnavailable
from sir_convert_a_lot.infrastructure.job_ledger import SqlLedger

SCOPE = IdempotencyScope("owner", "POST", "/v1/convert/jobs", "key")
MINE, OTHERS = IdempotencyEntry("sha256:a", "job_a"), IdempotencyEntry("sha256:b", "job_b")


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_ledger(tmp_path: Path, clock: Clock) -> Callable[[], SqlLedger]:
    def opened() -> SqlLedger:
        ledger = SqlLedger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", clock)
        ledger.prepare()
        return ledger

    return opened


@pytest.fixture
def ledger(open_ledger: Callable[[], SqlLedger]) -> SqlLedger:
    return open_ledger()


def test_the_first_claim_holds(ledger: SqlLedger) -> None:
    assert ledger.find_key(SCOPE) is None
    assert ledger.claim_key(SCOPE, MINE, 60) == MINE
    assert ledger.claim_key(SCOPE, OTHERS, 60) == MINE
    assert ledger.find_key(SCOPE) == MINE


def test_a_key_is_free_after_its_lifetime(ledger: SqlLedger, clock: Clock) -> None:
    ledger.claim_key(SCOPE, MINE, 60)
    clock.now += timedelta(seconds=60)
    assert ledger.find_key(SCOPE) is None
    assert ledger.claim_key(SCOPE, OTHERS, 60) == OTHERS


@pytest.mark.parametrize(
    "other",
    [
        IdempotencyScope("someone", "POST", "/v1/convert/jobs", "key"),
        IdempotencyScope("owner", "PUT", "/v1/convert/jobs", "key"),
        IdempotencyScope("owner", "POST", "/v1/other", "key"),
        IdempotencyScope("owner", "POST", "/v1/convert/jobs", "KEY"),
    ],
)
def test_every_part_of_the_scope_counts(ledger: SqlLedger, other: IdempotencyScope) -> None:
    ledger.claim_key(SCOPE, MINE, 60)
    assert ledger.claim_key(other, OTHERS, 60) == OTHERS


def test_only_the_holder_releases_a_key(ledger: SqlLedger) -> None:
    ledger.claim_key(SCOPE, MINE, 60)
    ledger.release_key(SCOPE, OTHERS.job_id)
    assert ledger.find_key(SCOPE) == MINE
    ledger.release_key(SCOPE, MINE.job_id)
    assert ledger.find_key(SCOPE) is None


def test_of_many_claims_at_once_one_holds_for_all(open_ledger: Callable[[], SqlLedger]) -> None:
    """Ledgers of their own, as several processes have."""

    def claim(number: int) -> IdempotencyEntry:
        return open_ledger().claim_key(SCOPE, IdempotencyEntry("sha256:a", f"job_{number}"), 60)

    with ThreadPoolExecutor(8) as threads:
        held = set(threads.map(claim, range(16)))
    assert len(held) == 1


def test_a_tombstone_tells_expired_from_unknown(ledger: SqlLedger) -> None:
    ledger.bury(["job_a", "job_b"])
    ledger.bury(["job_b", "job_c"])
    assert [ledger.is_buried(name) for name in ("job_a", "job_b", "job_c", "job_d")] == [True, True, True, False]


def test_a_sweep_deletes_what_is_past_its_time_and_nothing_else(ledger: SqlLedger, clock: Clock) -> None:
    other = IdempotencyScope("owner", "POST", "/v1/convert/jobs", "other")
    ledger.claim_key(SCOPE, MINE, 60)
    ledger.bury(["job_old"])
    clock.now += timedelta(days=1)
    ledger.claim_key(other, OTHERS, 60)
    ledger.bury(["job_new"])
    ledger.sweep(clock.now - timedelta(hours=1))
    assert (ledger.find_key(SCOPE), ledger.find_key(other)) == (None, OTHERS)
    assert (ledger.is_buried("job_old"), ledger.is_buried("job_new")) == (False, True)


def test_a_database_that_cannot_be_reached_is_service_unavailable(tmp_path: Path) -> None:
    ledger = SqlLedger(f"sqlite:///{tmp_path / 'no' / 'such' / 'folder.sqlite'}")
    with pytest.raises(ServiceUnavailable):
        ledger.find_key(SCOPE)
