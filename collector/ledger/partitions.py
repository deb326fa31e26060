"""The monthly partitions of `events` on PostgreSQL: made ahead, found out, dropped.

A month is `events_yYYYYmMM`; whatever lies outside all months (an agent whose clock is wrong by years) goes to
`events_default`. SQLite has none of this.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, text

AHEAD = 3  # months, beside this one and the last
_LOCK = 0x7411_7A7D


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """One calendar month, UTC."""

    year: int
    number: int

    @classmethod
    def of(cls, us: int) -> Month:
        """The month of a time in microseconds."""
        at = datetime.fromtimestamp(us // 1_000_000, UTC)
        return cls(at.year, at.month)

    @property
    def next(self) -> Month:
        """The month after it."""
        return Month(self.year + self.number // 12, self.number % 12 + 1)

    @property
    def previous(self) -> Month:
        """The month before it."""
        return Month(self.year - (self.number == 1), (self.number - 2) % 12 + 1)

    @property
    def start_us(self) -> int:
        """Its first microsecond."""
        return int(datetime(self.year, self.number, 1, tzinfo=UTC).timestamp()) * 1_000_000

    @property
    def table(self) -> str:
        """The name of its partition."""
        return f"events_y{self.year:04}m{self.number:02}"


def prepare(connection: Connection, now_us: int) -> None:
    """Make the partitions from last month on that are missing."""
    month = Month.of(now_us).previous
    months = []
    for _ in range(AHEAD + 2):
        months.append(month)
        month = month.next
    ensure(connection, months)


def present(connection: Connection) -> tuple[Month, ...]:
    """The months that have a partition, oldest first."""
    rows = connection.execute(
        text(
            "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid"
            " WHERE inhparent = 'events'::regclass AND child.relname ~ '^events_y[0-9]{4}m[0-9]{2}$'"
        )
    )
    return tuple(sorted(Month(int(name[8:12]), int(name[13:15])) for (name,) in rows))


def ensure(connection: Connection, months: Iterable[Month]) -> None:
    """Make the partitions of those months that are missing. Events of them that wait in the default one move over."""
    wanted = set(months)
    if not wanted - set(present(connection)):
        return
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    for month in sorted(wanted - set(present(connection))):
        _make(connection, month)


def _make(connection: Connection, month: Month) -> None:
    bounds = {"first": month.start_us, "end": month.next.start_us}
    run = connection.exec_driver_sql
    run(f"CREATE TABLE {month.table} (LIKE events INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
    connection.execute(
        text(
            "WITH moved AS (DELETE FROM events_default WHERE time_us >= :first AND time_us < :end RETURNING *)"  # noqa: S608 (a name of our own making)
            f" INSERT INTO {month.table} SELECT * FROM moved"
        ),
        bounds,
    )
    run(f"ALTER TABLE events ATTACH PARTITION {month.table} FOR VALUES FROM ({bounds['first']}) TO ({bounds['end']})")
