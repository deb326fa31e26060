"""What is old goes, what people still need stays, on both databases."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select, update

from agent.events import Certainty, EventType, Reason
from collector.ledger import Ledger, microseconds, partitions, retention, tables
from collector.ledger.retention import Cutoffs
from collector.ledger.write import Writer
from drivers.observations import Outcome
from tests.collector.conftest import NOW, FixedClock
from tests.collector.ledger.events import Till, approved, payment, receipt

T = EventType
DAY = 86_400
DAY_US = DAY * 1_000_000
NOW_US = microseconds(NOW)


def count(ledger: Ledger, table: Any, *where: Any) -> int:
    with ledger.read() as connection:
        return int(connection.scalar(select(func.count()).select_from(table).where(*where)) or 0)


def months(ledger: Ledger) -> list[str]:
    with ledger.read() as connection:
        return [month.table for month in partitions.present(connection)]


def told(ledger: Ledger, *ages_d: int) -> None:
    """Of each age one payment that went well, one in doubt, and one that moved no money; each with a receipt."""
    till = Till()
    events = []
    for age in ages_d:
        at = -age * DAY
        start = {"started_at": NOW.fromtimestamp(NOW.timestamp() + at, NOW.tzinfo).isoformat()}
        for identity, data in (
            (f"GOOD{age}", approved(f"GOOD{age}", **start)),
            (f"DOUBT{age}", payment(f"DOUBT{age}", reason=Reason.LINK_LOST, **start)),
            (f"NOT{age}", approved(f"NOT{age}", outcome=Outcome.DECLINED, charged=Certainty.NO, **start)),
        ):
            kind = T.TRANSACTION_PENDING if identity.startswith("DOUBT") else T.TRANSACTION_COMPLETED
            received_us = NOW_US + at * 1_000_000
            events.append(till.event(kind, data, at, received_us))
            events.append(till.event(T.RECEIPT_CAPTURED, receipt(identity, "x"), at, received_us))
    Writer(ledger).store(events)


def cutoffs(events_d: int, transactions_d: int) -> Cutoffs:
    return Cutoffs(NOW_US - events_d * DAY_US, NOW_US - transactions_d * DAY_US, NOW_US - 35 * DAY_US)


def subjects(ledger: Ledger) -> set[str]:
    with ledger.read() as connection:
        return set(connection.scalars(select(tables.events.c.subject)))


def test_old_events_go_those_of_a_payment_in_doubt_stay(ledger: Ledger) -> None:
    told(ledger, 1, 500)
    retention.apply(ledger, cutoffs(400, 4000))
    assert subjects(ledger) == {"GOOD1", "DOUBT1", "NOT1", "DOUBT500"}
    assert count(ledger, tables.transactions) == 6
    assert count(ledger, tables.receipts) == 6


def test_old_payments_go_except_those_in_doubt(ledger: Ledger) -> None:
    told(ledger, 1, 2000)
    retention.apply(ledger, cutoffs(400, 1825))
    with ledger.read() as connection:
        left = set(connection.scalars(select(tables.transactions.c.id)))
    assert left == {"GOOD1", "DOUBT1", "NOT1", "DOUBT2000"}
    assert count(ledger, tables.receipts) == 4


def test_where_reconciliation_is_used_what_is_not_reconciled_stays(ledger: Ledger) -> None:
    told(ledger, 1, 2000, 2001)
    with ledger.write() as connection:
        done = update(tables.transactions).where(tables.transactions.c.id == "GOOD2001")
        connection.execute(done.values(reconciled_us=NOW_US, reconciled_as="matched"))
    retention.apply(ledger, cutoffs(400, 1825))
    with ledger.read() as connection:
        left = set(connection.scalars(select(tables.transactions.c.id)))
    assert left == {"GOOD1", "DOUBT1", "NOT1", "GOOD2000", "DOUBT2000", "DOUBT2001"}


def test_it_can_be_done_again_and_what_comes_late_is_taken(ledger: Ledger) -> None:
    told(ledger, 500)
    for _ in range(2):
        retention.apply(ledger, cutoffs(400, 4000))
    assert subjects(ledger) == {"DOUBT500"}
    late = Till("cashier-08")
    Writer(ledger).store([late.event(T.TRANSACTION_COMPLETED, approved("LATE"), -500 * DAY)])
    assert subjects(ledger) == {"DOUBT500", "LATE"}


def test_months_are_made_ahead_and_dropped_whole(ledger: Ledger, clock: FixedClock) -> None:
    if not ledger.is_postgresql:
        return  # SQLite has no partitions
    made = ["events_y2026m02", "events_y2026m03", "events_y2026m04", "events_y2026m05", "events_y2026m06"]
    assert months(ledger) == made
    told(ledger, 500)
    assert months(ledger) == ["events_y2024m10", *made]
    assert retention.apply(ledger, cutoffs(400, 4000))["partitions"] == 1
    assert months(ledger) == made
    clock.advance(days=31)
    ledger.prepare_months()
    assert months(ledger) == [*made, "events_y2026m07"]


def test_what_came_lately_stays_whatever_the_clock_of_its_cashier_pc_says(ledger: Ledger) -> None:
    till = Till()
    y2000 = -26 * 365 * DAY
    start = NOW.fromtimestamp(NOW.timestamp() + y2000, NOW.tzinfo).isoformat()
    unreadable = till.event(T.TRANSACTION_COMPLETED, approved("ODD"))._replace(time_us=0, data=None)  # type: ignore[call-arg]
    Writer(ledger).store(
        [
            till.event(T.TRANSACTION_COMPLETED, approved("Y2K", started_at=start), y2000),
            till.event(T.RECEIPT_CAPTURED, receipt("Y2K", "x"), y2000),
            unreadable,
        ]
    )
    assert retention.apply(ledger, cutoffs(400, 1825)) == {}
    assert (count(ledger, tables.events), count(ledger, tables.transactions), count(ledger, tables.receipts)) == (
        3,
        1,
        1,
    )
    later = Cutoffs(*(NOW_US + 2 * DAY_US,) * 3)
    retention.apply(ledger, later)
    assert (count(ledger, tables.events), count(ledger, tables.transactions), count(ledger, tables.receipts)) == (
        0,
        0,
        0,
    )


def test_a_clock_that_is_wrong_by_years_has_a_place_too(ledger: Ledger) -> None:
    till = Till()
    events = [till.event(T.TRANSACTION_COMPLETED, approved(f"P{years}"), years * 365 * DAY) for years in (-40, 0, 30)]
    Writer(ledger).store(events)
    Writer(ledger).store(events)
    assert count(ledger, tables.events) == 3
    if ledger.is_postgresql:
        assert not [name for name in months(ledger) if "y1986" in name or "y2056" in name]
