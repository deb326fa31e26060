"""Storing batches, on both databases: once by number, whatever the order, with everything that follows."""

from __future__ import annotations

import json
import random
import threading
from typing import Any

import pytest
from sqlalchemy import func, select

from agent.events import AgentData, Certainty, EventType, Reason, SettlementData, TerminalData
from collector.ledger import Ledger, tables
from collector.ledger.incoming import Event, Incoming
from collector.ledger.write import Writer
from drivers.observations import Outcome
from tests.collector.conftest import FixedClock
from tests.collector.ledger.events import START_NS, Till, approved, payment, receipt

T = EventType


def rows(ledger: Ledger, table: Any, **equal: Any) -> list[Any]:
    with ledger.read() as connection:
        return list(connection.execute(select(table).filter_by(**equal).order_by(*table.primary_key)))


def one(ledger: Ledger, table: Any, **equal: Any) -> Any:
    found = rows(ledger, table, **equal)
    assert len(found) == 1
    return found[0]


def one_payment(till: Till, identity: str = "01AAA") -> list[Incoming]:
    """Begun, in doubt, called to people, settled after all, and warned of; with its receipt."""
    doubt = {"reason": Reason.LINK_LOST}
    return [
        till.event(T.TRANSACTION_STARTED, payment(identity), 0),
        till.event(T.TRANSACTION_PENDING, payment(identity, **doubt), 5),
        till.event(T.TRANSACTION_ESCALATED, payment(identity, **doubt, attempts=3), 900),
        till.event(T.RECEIPT_CAPTURED, receipt(identity, "持卡人存根", "金额 35.50"), 950),
        till.event(T.TRANSACTION_CONFIRMED, approved(identity, attempts=4, how="last_result"), 960),
    ]


def test_what_was_told_is_there_with_what_follows(ledger: Ledger) -> None:
    till = Till()
    events = one_payment(till)

    stored = Writer(ledger).store(events)

    assert [e.sequence for e in stored.fresh] == [1, 2, 3, 4, 5]
    assert [(m.agent, m.epoch, m.contiguous) for m in stored.marks] == [("cashier-07", "e1", 5)]
    assert [row.sequence for row in rows(ledger, tables.events)] == [1, 2, 3, 4, 5]
    assert json.loads(one(ledger, tables.events, sequence=4).body)["data"]["text"][0] == "持卡人存根"
    found = one(ledger, tables.transactions)
    assert (found.id, found.outcome, found.amount, found.last4) == ("01AAA", "approved", 3550, "1234")
    assert (found.final, found.pending, found.escalated) == (True, False, False)
    assert [found.pending_us, found.escalated_us, found.settled_us] == [
        START_NS // 1000 + seconds * 1_000_000 for seconds in (5, 900, 960)
    ]
    assert (found.events, found.last_sequence) == (4, 5)
    assert found.data["how"] == "last_result"
    assert one(ledger, tables.receipts).text == "持卡人存根\n金额 35.50"


def test_in_doubt_and_escalated_are_seen_until_it_is_final(ledger: Ledger) -> None:
    events = one_payment(Till())
    writer = Writer(ledger)
    seen = []
    for event in events:
        writer.store([event])
        found = one(ledger, tables.transactions)
        seen.append((found.pending, found.escalated))
    assert seen == [(False, False), (True, False), (True, True), (True, True), (False, False)]


@pytest.mark.parametrize("seed", range(6))
def test_any_order_any_repetition_any_batches_come_to_the_same(ledger: Ledger, seed: int) -> None:
    till = Till()
    totals = SettlementData(
        transaction=None, terminal="pos1", totals=(), journal_count=2, journal_amount=7100, matches=True
    )
    up = TerminalData(terminal="pos1", protocol="concert", device="serial:x", link="up")
    events = [
        *one_payment(till, "01AAA"),
        till.event(T.TRANSACTION_WARNING, payment("01BBB", warning="possible_double_charge", related="01AAA")),
        *one_payment(till, "01BBB"),
        till.event(T.SETTLEMENT_COMPLETED, totals),
        till.event(T.TERMINAL_CONNECTED, up),
    ]
    chance = random.Random(seed)
    told = events + chance.choices(events, k=8)
    chance.shuffle(told)
    writer = Writer(ledger)
    fresh = []
    while told:
        size = chance.randint(1, 6)
        fresh += writer.store(told[:size]).fresh
        told = told[size:]

    assert sorted(e.sequence for e in fresh) == list(range(1, 14))
    with ledger.read() as connection:
        assert connection.scalar(select(func.count()).select_from(tables.events)) == 13
    first, second = rows(ledger, tables.transactions)
    assert (first.last_sequence, first.events, first.outcome, first.warning) == (5, 4, "approved", None)
    assert (second.last_sequence, second.events, second.outcome) == (11, 5, "approved")
    assert (second.warning, second.related) == ("possible_double_charge", "01AAA")
    assert second.pending_us == START_NS // 1000 + 5_000_000
    assert len(rows(ledger, tables.receipts)) == 2
    assert one(ledger, tables.settlements).journal_amount == 7100
    stream = one(ledger, tables.streams)
    assert (stream.contiguous, stream.highest, stream.gaps, stream.gap_since_us) == (13, 13, [], None)


def test_a_gap_is_seen_and_closes(ledger: Ledger) -> None:
    till = Till()
    events = [till.event(T.AGENT_STARTED, AgentData(version="1")) for _ in range(6)]
    writer = Writer(ledger)
    assert writer.store([events[0], events[4]]).marks[0].contiguous == 1
    assert one(ledger, tables.streams).gaps == [[2, 4]]
    assert one(ledger, tables.streams).gap_since_us is not None
    assert writer.store([events[2]]).marks[0].contiguous == 1
    assert writer.store([events[1], events[3], events[5]]).marks[0].contiguous == 6
    assert one(ledger, tables.streams).gap_since_us is None


def test_what_the_agent_has_sent_and_is_not_here_is_a_gap(ledger: Ledger) -> None:
    till = Till()
    first = till.event(T.AGENT_STARTED, AgentData(version="1"))
    till.sequence = 9
    writer = Writer(ledger)
    writer.store([first, till.state(outbox=2)])
    stream = one(ledger, tables.streams)
    assert (stream.contiguous, stream.highest, stream.gaps) == (1, 7, [[2, 7]])


def test_the_journal_that_came_later_wins(ledger: Ledger, clock: FixedClock) -> None:
    old, new = Till(epoch="e1"), Till(epoch="e2")
    writer = Writer(ledger)
    writer.store([old.event(T.TRANSACTION_STARTED, payment("01AAA"))])
    late = [old.event(T.TRANSACTION_PENDING, payment("01AAA", reason=Reason.LINK_LOST), 3)]
    clock.advance(minutes=1)
    writer.store([new.event(T.TRANSACTION_COMPLETED, approved("01AAA"), 2)])
    writer.store(late)
    found = one(ledger, tables.transactions)
    assert (found.outcome, found.epoch, found.pending) == ("approved", "e2", False)


def test_nobody_changes_the_payment_of_another(ledger: Ledger) -> None:
    writer = Writer(ledger)
    writer.store([Till("cashier-07").event(T.TRANSACTION_COMPLETED, approved("01AAA"))])
    other = Till("cashier-08")
    writer.store([other.event(T.TRANSACTION_STARTED, payment("01BBB"))])
    writer.store(
        [other.event(T.TRANSACTION_COMPLETED, approved("01AAA", outcome=Outcome.DECLINED, charged=Certainty.NO))]
    )
    assert one(ledger, tables.transactions, id="01AAA").outcome == "approved"


def test_what_this_version_does_not_know_is_kept_as_it_came(ledger: Ledger) -> None:
    till = Till()
    known = till.event(T.AGENT_STARTED, AgentData(version="1"))
    assert isinstance(known, Event)
    strange = [
        known._replace(sequence=2, type="transaction.teleported", body='{"a": 1}'),
        known._replace(sequence=3, data=None, body='{"specversion": "9"}'),
        known._replace(sequence=4, type="transaction.completed", data={"transaction": "x", "final": "perhaps"}),
        known._replace(sequence=5, time_us=0),
    ]
    stored = Writer(ledger).store([known, *strange])
    assert (stored.unreadable, stored.marks[0].contiguous) == (4, 5)
    kept = rows(ledger, tables.events)
    assert [row.projected for row in kept] == [True, False, False, False, False]
    assert kept[1].body == '{"a": 1}'


def test_state_and_link_are_as_told_last(ledger: Ledger) -> None:
    till = Till()
    writer = Writer(ledger)
    at = START_NS // 1000
    writer.store([till.state(at)])
    down = TerminalData(terminal="pos1", protocol="concert", device="serial:x", link="down", reason="gone")
    writer.store([till.event(T.TERMINAL_DISCONNECTED, down, -60)])  # resent, and older than the state
    assert one(ledger, tables.terminals).link == "up"
    writer.store([till.event(T.TERMINAL_DISCONNECTED, down, 60)])
    found = one(ledger, tables.terminals)
    assert (found.link, found.reason, found.since_us, found.device) == ("down", "gone", at + 60_000_000, "serial:x")
    writer.store([till.state(at + 90_000_000, online=False)])
    agent = one(ledger, tables.agents)
    assert (agent.online, agent.version, agent.last_seen_us, agent.epoch) == (False, "1.2.3", at + 90_000_000, "e1")
    assert one(ledger, tables.terminals).link == "up"


def test_two_writers_at_once_count_each_event_once(ledger: Ledger) -> None:
    tills = [Till(f"cashier-{n:02}") for n in range(4)]
    events = [event for n, till in enumerate(tills) for k in range(12) for event in one_payment(till, f"01T{n}P{k:02}")]
    failures: list[BaseException] = []

    def write(seed: int) -> None:
        told = list(events)
        random.Random(seed).shuffle(told)
        writer = Writer(ledger)
        try:
            for at in range(0, len(told), 16):
                writer.store(told[at : at + 16])
        except BaseException as error:  # noqa: BLE001 (shown by the assertion)
            failures.append(error)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(rows(ledger, tables.events)) == len(events)
    found = rows(ledger, tables.transactions)
    assert [(row.outcome, row.events) for row in found] == [("approved", 4)] * 48
    assert [(s.contiguous, s.gaps) for s in rows(ledger, tables.streams)] == [(60, [])] * 4
