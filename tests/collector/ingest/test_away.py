"""The database goes away in the middle of a batch, and comes back: nothing is lost, nothing counts twice."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, func, select

from agent.events import EventType
from collector.hub import Hub
from collector.ingest.ingest import Ingest
from collector.ledger import Ledger, tables, views_overview
from tests.broker import Broker
from tests.collector.conftest import FixedClock
from tests.collector.ledger.events import START_NS, Till, approved, payment
from tests.collector.publishing import Client, settings
from tests.postgres import Cluster
from tests.waits import until

PAYMENTS = 200


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path / "broker", options="max_queued_messages 0") as broker:
        yield broker


def told(till: Till, numbers: range) -> list[tuple[str, bytes]]:
    """Payments, each with its beginning and its end."""
    found = []
    for number in numbers:
        identity = f"01PAY{number:05}"
        for kind, data in (
            (EventType.TRANSACTION_STARTED, payment(identity)),
            (EventType.TRANSACTION_COMPLETED, approved(identity)),
        ):
            found.append((till.topic(kind), till.payload(kind, data)))
    return found


def count(ledger: Ledger, table: Any) -> int:
    with ledger.read() as connection:
        return int(connection.scalar(select(func.count()).select_from(table)) or 0)


def assert_each_counts_once(ledger: Ledger) -> None:
    with ledger.read() as connection:
        each = set(connection.execute(select(tables.transactions.c.events)).scalars())
        day = views_overview.day(connection, START_NS // 1000 - 1)
    assert each == {2}
    assert (dict(day.counts), dict(day.taken)) == ({"approved": PAYMENTS}, {"CNY": PAYMENTS * 3550})


def test_a_server_that_crashes_in_mid_batch_costs_nothing(broker: Broker, clock: FixedClock) -> None:
    till = Till()
    with Cluster(settings=()) as cluster:  # as it is installed: what was committed is on the disk
        ledger = Ledger.open(cluster.create(), clock)
        ingest = Ingest(ledger, settings(broker), Hub())
        ingest.start()
        until(lambda: ingest.health().connected, what="connected")
        with Client(broker) as agent:
            agent.publish(told(till, range(PAYMENTS // 2)))
            until(lambda: ingest.health().stored > 0, what="the first batch")
            cluster.stop(signal.SIGQUIT)
            agent.publish(told(till, range(PAYMENTS // 2, PAYMENTS)))
            until(lambda: not ingest.health().database, what="noticed")
            cluster.start()
            until(lambda: count(ledger, tables.events) == 2 * PAYMENTS, what="all of it", seconds=60)
        assert_each_counts_once(ledger)
        ingest.stop()
        ledger.close()


def test_a_full_disk_costs_nothing_and_is_left_again(
    tmp_path: Path, empty_sqlite: Path, broker: Broker, clock: FixedClock
) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(empty_sqlite.read_bytes())
    ledger = Ledger.open(f"sqlite:///{path}", clock)
    pages = 0  # SQLite's own limit: it fails at the same place, with the same error, as on a disk without room

    def limit(connection: Connection) -> None:
        if pages:
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    event.listen(ledger.engine, "begin", limit)
    ingest = Ingest(ledger, settings(broker), Hub())
    ingest.start()
    until(lambda: ingest.health().connected, what="connected")
    till = Till()
    with Client(broker) as agent:
        agent.publish(told(till, range(PAYMENTS // 2)))
        until(lambda: count(ledger, tables.events) == PAYMENTS, what="the first half")
        with ledger.read() as connection:
            pages = int(connection.exec_driver_sql("PRAGMA page_count").scalar_one())
        agent.publish(told(till, range(PAYMENTS // 2, PAYMENTS)))
        until(lambda: not ingest.health().database, what="noticed")
        assert count(ledger, tables.events) < 2 * PAYMENTS
        with ledger.read() as connection:
            assert views_overview.day(connection, 0).total > 0, "pages are shown all the same"
        pages = 1_000_000
        until(lambda: count(ledger, tables.events) == 2 * PAYMENTS, what="all of it", seconds=60)
    assert_each_counts_once(ledger)
    ingest.stop()
    ledger.close()
