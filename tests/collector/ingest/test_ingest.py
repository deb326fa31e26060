"""The ingest between a real broker and a real database."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.exc import DataError, OperationalError

from agent.events import AgentData, EventType
from collector.hub import Change, Hub
from collector.ingest.connection import IN_FLIGHT
from collector.ingest.ingest import Ingest
from collector.ledger import Ledger, tables
from collector.ledger.incoming import Event
from collector.ledger.project import Rows, project
from tests.broker import Broker
from tests.collector.conftest import FixedClock
from tests.collector.ledger.events import Till, approved, payment
from tests.collector.publishing import Client, publish, settings
from tests.waits import until

T = EventType


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path / "broker", options="max_queued_messages 0") as broker:
        yield broker


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
def ingest(ledger: Ledger, broker: Broker, hub: Hub) -> Iterator[Ingest]:
    ingest = Ingest(ledger, settings(broker), hub)
    ingest.start()
    until(lambda: ingest.health().connected, what="connected")
    yield ingest
    ingest.stop()


def count(ledger: Ledger, table: Any) -> int:
    with ledger.read() as connection:
        return int(connection.scalar(select(func.count()).select_from(table)) or 0)


def messages(till: Till, number: int) -> list[tuple[str, bytes]]:
    return [(till.topic(T.AGENT_STARTED), till.payload(T.AGENT_STARTED, AgentData(version="1"))) for _ in range(number)]


def test_an_event_is_stored_told_and_shown(ledger: Ledger, broker: Broker, hub: Hub, ingest: Ingest) -> None:
    till = Till()
    changes: list[Change] = []
    with Client(broker, f"{till.source.prefix}/stored") as client, hub.listen(changes.extend):
        paid = [(till.topic(T.TRANSACTION_COMPLETED), till.payload(T.TRANSACTION_COMPLETED, approved("01AAA")))]
        client.publish(paid)
        until(lambda: client.heard, what="stored")
        assert json.loads(client.heard[0][1]) == {"epoch": "e1", "sequence": 1}
        assert count(ledger, tables.transactions) == 1
        assert [(c.kind, c.key, c.type) for c in changes] == [("transaction", "01AAA", "transaction.completed")]

        client.publish(paid)  # the agent has not heard of it: it is told again, and nothing is counted twice
        until(lambda: len(client.heard) == 2, what="stored again")
        assert count(ledger, tables.events) == 1
        assert ingest.health().repeated == 1


def test_impostors_are_refused_shown_and_block_nobody(ledger: Ledger, broker: Broker, ingest: Ingest) -> None:
    good, bad = Till("cashier-07"), Till("cashier-08")
    stolen = bad.payload(T.TRANSACTION_COMPLETED, approved("01BAD"))
    publish(broker, [(good.topic(T.TRANSACTION_COMPLETED), stolen)] * 3 + messages(good, 2))
    until(lambda: count(ledger, tables.events) == 2, what="the honest ones")
    assert count(ledger, tables.transactions) == 0
    with ledger.read() as connection:
        refusal = connection.execute(select(tables.refusals)).one()
    assert (refusal.claimed, refusal.why, refusal.count) == ("/outpatient-1/cashier-08/pos1", "source", 3)


def test_what_nobody_can_read_is_kept_and_blocks_nobody(ledger: Ledger, broker: Broker, ingest: Ingest) -> None:
    till = Till()
    strange = [
        (till.topic("x"), b"\x00\xff not json"),
        (till.topic("x"), b"[" * 100_000),
        (till.topic("x"), b'{"sequence": NaN}'),
        (till.topic("x"), b'{"no": "envelope"}'),
        ("tillwatch/2/s/a/events/y", b'{"new": "form"}'),
    ]
    publish(broker, strange + strange + messages(till, 1))
    until(lambda: count(ledger, tables.raw_events) == 5, what="kept")
    until(lambda: count(ledger, tables.events) == 1, what="the good one")


def test_a_message_that_the_database_refuses_is_found_and_set_aside(
    ledger: Ledger, broker: Broker, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    till = Till()
    refused = [till.payload(T.TRANSACTION_COMPLETED, approved(identity)) for identity in ("01ODD", "01BAD")]

    def refuse(events: Sequence[Event], opened_us: Mapping[tuple[str, str], int]) -> Rows:
        for told in events:
            if "01BAD" in told.body or ("01ODD" in told.body and told.data is not None):
                raise DataError("INSERT", None, Exception("number out of range"))
        return project(events, opened_us)

    monkeypatch.setattr("collector.ledger.write.project", refuse)
    topic = till.topic(T.TRANSACTION_COMPLETED)
    publish(broker, [*((topic, body) for body in refused), *messages(till, 20)])
    until(lambda: count(ledger, tables.events) == 21, what="all others")
    with ledger.read() as connection:
        # What it says could not be stored, that it was could; of the other one not even that.
        unread = connection.execute(select(tables.events).where(~tables.events.c.projected)).one()
        assert (unread.sequence, unread.subject) == (1, "01ODD")
        assert "01BAD" in connection.execute(select(tables.raw_events)).one().payload


def test_while_the_database_is_away_nothing_is_acknowledged_or_lost(
    ledger: Ledger, broker: Broker, ingest: Ingest
) -> None:
    away = True

    def fail(*_: Any) -> None:
        if away:
            raise OperationalError("INSERT", None, Exception("the disk is full"))

    event.listen(ledger.engine, "begin", fail)
    publish(broker, messages(Till(), 300))
    until(lambda: not ingest.health().database, what="noticed")
    assert ingest.health().waiting <= IN_FLIGHT
    away = False
    until(lambda: count(ledger, tables.events) == 300, what="stored after all")
    assert ingest.health().database


def test_a_gap_is_asked_for_and_what_never_comes_is_given_up(
    ledger: Ledger, broker: Broker, clock: FixedClock, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.ingest.ingest.GAPS_EVERY_S", 0.05)
    till = Till()
    told = messages(till, 6)
    with Client(broker, f"{till.source.prefix}/commands/+") as client:
        state = {"online": True, "agent": "cashier-07", "site": till.source.site, "epoch": "e1", "sequence": 8}
        publish(broker, [(f"{till.source.prefix}/state", json.dumps(state | {"outbox": 0}).encode())], retain=True)
        client.publish([told[0], told[5]])
        until(lambda: count(ledger, tables.events) == 2, what="two of them")
        clock.advance(seconds=11)
        until(lambda: client.heard, what="asked")
        topic, body = client.heard[0]
        command = json.loads(body)
        assert topic.endswith("/commands/resend")
        assert command["from"] == 2
        assert command["expires"] > clock.now.timestamp()

        client.publish(told[1:5])
        until(lambda: count(ledger, tables.events) == 6, what="the missing ones")
        clock.advance(days=1)
        for asked in range(2, 7):  # 7 and 8 never come
            until(lambda asked=asked: len(client.heard) == asked, what="asked again")
            clock.advance(days=1)

    def stream() -> Any:
        with ledger.read() as connection:
            return connection.execute(select(tables.streams)).one()

    until(lambda: stream().contiguous == 8, what="given up")
    assert stream().lost == [[7, 8]]


def test_it_comes_back_when_the_broker_does(ledger: Ledger, tmp_path: Path) -> None:
    till = Till()
    with Broker(tmp_path / "broker") as broker:
        ingest = Ingest(ledger, settings(broker), Hub())
        ingest.start()
        try:
            until(lambda: ingest.health().connected)
            publish(broker, messages(till, 2))
            until(lambda: count(ledger, tables.events) == 2)
            broker.kill()
            until(lambda: not ingest.health().connected, what="noticed")
            broker.start()
            until(lambda: ingest.health().connected, 40, what="connected again")
            publish(broker, messages(till, 2))
            until(lambda: count(ledger, tables.events) == 4)
        finally:
            ingest.stop()


def test_two_share_what_comes(ledger: Ledger, broker: Broker, ingest: Ingest) -> None:
    other = Ingest(ledger, settings(broker), Hub())
    other.start()
    try:
        until(lambda: other.health().connected)
        tills = [Till(f"cashier-{n:02}") for n in range(5)]
        publish(broker, [message for till in tills for message in messages(till, 40)])
        until(lambda: count(ledger, tables.events) == 200)
        shares = [ingest.health().stored, other.health().stored]
        assert sum(shares) == 200
        assert min(shares) >= 50
    finally:
        other.stop()


@pytest.mark.parametrize("bad", [b"{}", b'{"agent": "cashier-99", "site": "outpatient-1"}', b"null"])
def test_a_state_of_somebody_else_changes_nothing(bad: bytes, ledger: Ledger, broker: Broker, ingest: Ingest) -> None:
    till = Till()
    publish(broker, [(f"{till.source.prefix}/state", bad), *messages(till, 1)])
    until(lambda: count(ledger, tables.events) == 1)
    until(lambda: count(ledger, tables.refusals) + count(ledger, tables.raw_events) == 1)
    with ledger.read() as connection:
        assert connection.scalar(text("SELECT count(*) FROM agents WHERE state IS NOT NULL")) == 0


def test_unknown_payments_are_seen_in_doubt(ledger: Ledger, broker: Broker, ingest: Ingest) -> None:
    till = Till()
    doubt = till.payload(T.TRANSACTION_PENDING, payment("01AAA", reason="link_lost"))
    publish(broker, [(till.topic(T.TRANSACTION_PENDING), doubt)])
    until(lambda: count(ledger, tables.transactions) == 1)
    with ledger.read() as connection:
        assert connection.execute(select(tables.transactions)).one().pending is True
