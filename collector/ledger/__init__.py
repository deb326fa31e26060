"""The ledger: everything agents told, in SQLite or PostgreSQL. `Ledger` is the one door to it.

    ledger = Ledger.open("sqlite:////var/lib/tillwatch/ledger.sqlite")
    with ledger.read() as connection:
        page = transactions.find(connection, …)

Queries are functions in this package that take a connection and return frozen values. Nobody else writes SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from collector.errors import LedgerError
from collector.ledger import migrations, partitions
from collector.ledger.engine import engine_of, reason_of, shown_url

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The wall clock; tests give another."""
    return datetime.now(UTC)


def microseconds(moment: datetime) -> int:
    """Whole microseconds since 1970, as the ledger holds times."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def moment(us: int) -> datetime:
    """The time of the ledger's microseconds, in UTC."""
    return datetime.fromtimestamp(us // 1_000_000, UTC).replace(microsecond=us % 1_000_000)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Ledger:
    """A database whose schema is that of this version. Safe to use from several threads."""

    def __init__(self, engine: Engine, clock: Clock = utc_now) -> None:
        self.engine = engine
        self.clock = clock
        self.where = shown_url(engine.url)

    @classmethod
    def open(cls, url: str, clock: Clock = utc_now) -> Ledger:
        """Connect, and bring the schema up to date under a lock.

        `url`: sqlite:///FILE or postgresql://USER@HOST/NAME. Raises CollectorUsageError for an address that is none,
        LedgerError when the database is away, is no ledger, or was written by a newer version.
        """
        ledger = cls(engine_of(url), clock)
        try:
            with ledger.write() as connection:
                migrations.upgrade(connection, ledger.where)
            ledger.prepare_months()
        except DBAPIError as error:
            ledger.close()
            raise LedgerError("ledger.unreachable", where=ledger.where, reason=reason_of(error)) from error
        except BaseException:
            ledger.close()
            raise
        return ledger

    @property
    def is_postgresql(self) -> bool:
        """Whether this is PostgreSQL; otherwise it is SQLite."""
        return self.engine.dialect.name == "postgresql"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection in a transaction for reading: what it sees does not change under it on SQLite."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self, patience_s: float | None = None) -> Iterator[Connection]:
        """A connection in a transaction for writing, committed and durable when the block ends well.

        `patience_s`: how long to wait for another writer (SQLite); as long as it is reasonable when not given.
        """
        options = {
            "tillwatch_writes": True,
            "tillwatch_patience_ms": None if patience_s is None else round(patience_s * 1000),
        }
        with self.engine.connect().execution_options(**options) as connection, connection.begin():
            yield connection

    def prepare_months(self) -> None:
        """Make the partitions of this month and the next ones (PostgreSQL)."""
        if self.is_postgresql:
            with self.write() as connection:
                partitions.prepare(connection, microseconds(self.clock()))

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()
