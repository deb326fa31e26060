"""Who is asked to send again, when, by whom, and when that ends."""

from __future__ import annotations

from agent.events import AgentData, EventType
from collector.ledger import Ledger, gaps
from collector.ledger.gaps import Ask
from collector.ledger.incoming import Incoming
from collector.ledger.write import Writer
from tests.collector.conftest import FixedClock
from tests.collector.ledger.events import Till

NOTE = (EventType.AGENT_STARTED, AgentData(version="1"))


def events(till: Till, count: int) -> list[Incoming]:
    return [till.event(*NOTE) for _ in range(count)]


def test_what_is_merely_late_is_not_asked_for(ledger: Ledger, clock: FixedClock) -> None:
    till = Till()
    told = events(till, 5)
    Writer(ledger).store([till.state(), told[0], told[4]])
    clock.advance(seconds=9)
    assert gaps.due(ledger) == []
    clock.advance(seconds=2)
    assert gaps.due(ledger) == [Ask("outpatient-1", "cashier-07", 2)]


def test_one_collector_asks_not_both_and_not_again_at_once(ledger: Ledger, clock: FixedClock) -> None:
    till = Till()
    told = events(till, 5)
    writer = Writer(ledger)
    writer.store([till.state(), told[0], told[4]])
    clock.advance(seconds=11)
    assert len(gaps.due(ledger)) == 1
    assert gaps.due(ledger) == []
    clock.advance(seconds=31)
    assert gaps.due(ledger) == []  # the pause doubles
    clock.advance(seconds=30)
    assert len(gaps.due(ledger)) == 1
    writer.store([told[1]])  # it goes on: no reason to ask
    assert gaps.due(ledger) == []
    clock.advance(seconds=11)
    assert gaps.due(ledger) == [Ask("outpatient-1", "cashier-07", 3)]


def test_who_is_away_is_not_asked(ledger: Ledger, clock: FixedClock) -> None:
    till = Till()
    told = events(till, 5)
    writer = Writer(ledger)
    writer.store([told[0], told[4], till.state(online=False)])
    clock.advance(hours=30)
    assert gaps.due(ledger) == []
    writer.store([till.state()])
    assert len(gaps.due(ledger)) == 1


def test_a_journal_that_is_no_more_is_not_asked_for(ledger: Ledger, clock: FixedClock) -> None:
    old, new = Till(epoch="e1"), Till(epoch="e2")
    told = events(old, 5)
    writer = Writer(ledger)
    writer.store([told[0], told[4]])
    writer.store([*events(new, 2), new.state()])
    clock.advance(minutes=30)
    assert gaps.due(ledger) == []
    clock.advance(hours=1)
    assert gaps.due(ledger) == []
    assert [mark.contiguous for mark in writer.store([told[4]]).marks] == [5]  # given up
    assert [event.sequence for event in writer.store(told).fresh] == [2, 3, 4]  # and still taken when it comes
