"""The one small table beside the job engine: idempotency keys and tombstones of expired jobs.

Owns what must outlive or precede a job: a key before its job is durable, a tombstone after it was deleted. Holds no job
state. SQLAlchemy Core, so the same code runs on SQLite and PostgreSQL.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from sir_convert_a_lot.application.ports import IdempotencyEntry, IdempotencyScope
from sir_convert_a_lot.domain.errors import ServiceCannotStart, ServiceUnavailable

_metadata = sa.MetaData()
_keys = sa.Table(
    "idempotency_keys",
    _metadata,
    sa.Column("owner", sa.String(64), primary_key=True),
    sa.Column("method", sa.String(8), primary_key=True),
    sa.Column("path", sa.String(200), primary_key=True),
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("fingerprint", sa.String(80), nullable=False),
    sa.Column("job_id", sa.String(64), nullable=False),
    sa.Column("expires_at", sa.Float, nullable=False, index=True),  # seconds since the epoch
)
_tombstones = sa.Table(
    "tombstones",
    _metadata,
    sa.Column("job_id", sa.String(64), primary_key=True),
    sa.Column("buried_at", sa.Float, nullable=False, index=True),
)


class SqlLedger:
    """`application.ports.JobLedger`. Blocking; safe from several threads and processes."""

    def __init__(self, url: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._engine = sa.create_engine(url)
        self._now = now
        if self._engine.dialect.name == "sqlite":
            sa.event.listen(self._engine, "connect", _tune_sqlite)
            sa.event.listen(self._engine, "begin", _begin_as_writer)

    def prepare(self) -> None:
        """Make the tables. Raises `ServiceCannotStart` when the database cannot be opened."""
        try:
            with self._engine.begin() as connection:
                _metadata.create_all(connection)
        except SQLAlchemyError as error:
            raise ServiceCannotStart(
                f"cannot open the ledger of idempotency keys: {getattr(error, 'orig', None) or error}",
                details={
                    "reason": "database",
                    "remediation": [
                        "Bring ledger.sqlite back from a backup, or move it, -wal and -shm away and lose its keys.",
                        "Or name another root with CONVERTER_STORAGE_ROOT.",
                    ],
                },
            ) from error

    def close(self) -> None:
        self._engine.dispose()

    def find_key(self, scope: IdempotencyScope) -> IdempotencyEntry | None:
        with self._transaction() as connection:
            return self._find(connection, scope)

    def claim_key(self, scope: IdempotencyScope, entry: IdempotencyEntry, ttl_s: int) -> IdempotencyEntry:
        row = {
            "owner": scope.owner,
            "method": scope.method,
            "path": scope.path,
            "key": scope.key,
            "fingerprint": entry.fingerprint,
            "job_id": entry.job_id,
            "expires_at": self._seconds() + ttl_s,
        }
        with self._transaction() as connection:
            connection.execute(_keys.delete().where(_is(scope), _keys.c.expires_at <= self._seconds()))
            try:
                with connection.begin_nested():
                    connection.execute(_keys.insert().values(**row))
            except IntegrityError:
                holder = self._find(connection, scope)
                return holder if holder is not None else entry
        return entry

    def release_key(self, scope: IdempotencyScope, job_id: str) -> None:
        with self._transaction() as connection:
            connection.execute(_keys.delete().where(_is(scope), _keys.c.job_id == job_id))

    def bury(self, job_ids: Sequence[str]) -> None:
        with self._transaction() as connection:
            buried = set(connection.scalars(sa.select(_tombstones.c.job_id).where(_tombstones.c.job_id.in_(job_ids))))
            rows = [{"job_id": job_id, "buried_at": self._seconds()} for job_id in job_ids if job_id not in buried]
            if rows:
                connection.execute(_tombstones.insert(), rows)

    def is_buried(self, job_id: str) -> bool:
        with self._transaction() as connection:
            query = sa.select(_tombstones.c.job_id).where(_tombstones.c.job_id == job_id)
            return connection.scalar(query) is not None

    def sweep(self, tombstones_older_than: datetime) -> None:
        with self._transaction() as connection:
            connection.execute(_keys.delete().where(_keys.c.expires_at <= self._seconds()))
            connection.execute(_tombstones.delete().where(_tombstones.c.buried_at < tombstones_older_than.timestamp()))

    def _find(self, connection: sa.Connection, scope: IdempotencyScope) -> IdempotencyEntry | None:
        query = sa.select(_keys.c.fingerprint, _keys.c.job_id).where(_is(scope), _keys.c.expires_at > self._seconds())
        row = connection.execute(query).first()
        return None if row is None else IdempotencyEntry(row.fingerprint, row.job_id)

    def _seconds(self) -> float:
        return self._now().timestamp()

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise ServiceUnavailable(
                "the ledger of idempotency keys cannot be reached", details={"reason": "ledger"}, retry_after_s=5
            ) from error


def _is(scope: IdempotencyScope) -> sa.ColumnElement[bool]:
    return sa.and_(
        _keys.c.owner == scope.owner,
        _keys.c.method == scope.method,
        _keys.c.path == scope.path,
        _keys.c.key == scope.key,
    )


def _tune_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    """A writer waits for another instead of failing, readers wait for none, and a commit is on the disk."""
    connection.isolation_level = None  # transactions are begun by `_begin_as_writer`, not by the driver
    for pragma in ("busy_timeout=30000", "journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_as_writer(connection: sa.Connection) -> None:
    """SQLite refuses at once to make a writer of a reader whose view is old; so every transaction begins as one."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
