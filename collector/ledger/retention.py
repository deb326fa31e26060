"""What is old is let go: whole months of events on PostgreSQL, rows elsewhere, a few thousand at a time.

Payments that are in doubt, that have an open case, or (where reconciliation is in use) that moved money and were not
reconciled stay, with their events, whatever their age.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, exists, or_, select, tuple_

from collector.ledger import Ledger, partitions, tables
from collector.ledger.tables_cases import cases

_AT_A_TIME = 5_000
_NO_CLOCK_US = 1825 * 86_400_000_000  # so much older than old is a clock that was never set, not an old payment

#: asked between two steps: whether to leave the rest for the next time
Stopping = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """What is older goes: microseconds."""

    events_us: int
    transactions_us: int
    metrics_us: int


def apply(ledger: Ledger, cutoffs: Cutoffs, stopping: Stopping = lambda: False) -> dict[str, int]:
    """Let go what is old; returns how many rows of which table (whole partitions count as one)."""
    with ledger.read() as connection:
        reconciled = connection.scalar(select(exists().where(tables.transactions.c.reconciled_us.is_not(None))))
    kept = _kept(bool(reconciled), cutoffs.transactions_us)
    gone: dict[str, int] = {}
    if ledger.is_postgresql:
        gone["partitions"] = _drop_months(ledger, cutoffs.events_us, kept, stopping)
    t = tables
    old_payment = and_(t.transactions.c.started_us < cutoffs.transactions_us, ~kept)
    kept_ids = select(t.transactions.c.id).where(kept)
    old_events = and_(
        t.events.c.time_us < cutoffs.events_us,
        t.events.c.received_us < cutoffs.events_us,  # the clock of its cashier PC may stand in another century
        or_(t.events.c.subject.is_(None), t.events.c.subject.not_in(kept_ids)),
    )
    old_slips = and_(
        t.receipts.c.time_us < cutoffs.transactions_us,
        or_(t.receipts.c.transaction.is_(None), t.receipts.c.transaction.not_in(kept_ids)),
    )
    for table, old in (
        (t.events, old_events),
        (t.receipts, old_slips),
        (t.settlements, t.settlements.c.time_us < cutoffs.transactions_us),
        (t.transactions, old_payment),
        (t.metrics, t.metrics.c.time_us < cutoffs.metrics_us),
        (t.raw_events, t.raw_events.c.received_us < cutoffs.events_us),
        (t.refusals, t.refusals.c.last_us < cutoffs.events_us),
    ):
        gone[table.name] = _delete(ledger, table, old, stopping)
    return {name: count for name, count in gone.items() if count}


def _kept(reconciliation: bool, before_us: int) -> ColumnElement[bool]:
    """The payments that stay. `before_us`: one older than that is old, if its time can be believed."""
    t, e = tables.transactions.c, tables.events.c
    reasons = [
        ~t.final,
        and_(t.started_us < before_us - _NO_CLOCK_US, exists().where(e.subject == t.id, e.received_us >= before_us)),
        exists().where(cases.c.transaction == t.id, cases.c.status != "closed"),
    ]
    if reconciliation:
        reasons.append(and_(t.reconciled_us.is_(None), t.charged != "no"))
    return or_(*reasons)


def _delete(ledger: Ledger, table: Table, old: ColumnElement[bool], stopping: Stopping) -> int:
    keys = list(table.primary_key)
    total = 0
    while not stopping():
        some = select(*keys).where(old).limit(_AT_A_TIME)
        with ledger.write() as connection:
            count = connection.execute(delete(table).where(tuple_(*keys).in_(some))).rowcount
        total += count
        if count < _AT_A_TIME:
            break
    return total


def _drop_months(ledger: Ledger, before_us: int, kept: ColumnElement[bool], stopping: Stopping) -> int:
    with ledger.read() as connection:
        old = [month for month in partitions.present(connection) if month.next.start_us <= before_us]
    dropped = 0
    for month in old:
        if stopping():
            break
        with ledger.write() as connection:
            _drop(connection, month, kept)
        dropped += 1
    return dropped


def _drop(connection: Connection, month: partitions.Month, kept: ColumnElement[bool]) -> None:
    """Drop a month; what has to stay of it moves to the default partition."""
    connection.exec_driver_sql(f"ALTER TABLE events DETACH PARTITION {month.table}")
    leaving = tables.events.to_metadata(tables.events.metadata.__class__(), name=month.table)
    staying = select(leaving).where(leaving.c.subject.in_(select(tables.transactions.c.id).where(kept)))
    names = [column.name for column in tables.events.columns]
    connection.execute(tables.events.insert().from_select(names, staying))
    connection.exec_driver_sql(f"DROP TABLE {month.table}")
