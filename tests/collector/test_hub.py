"""Changes reach everybody who listens, here and (PostgreSQL) in other collectors; duties survive what they raise."""

from __future__ import annotations

import threading
from unittest.mock import Mock

from sqlalchemy.exc import OperationalError

from collector.duty import Duty
from collector.hub import Change, Hub
from collector.ledger import Ledger
from collector.relay import Relay
from tests.collector.conftest import FixedClock
from tests.postgres import Cluster
from tests.waits import until


def test_all_hear_until_they_leave_and_one_that_fails_disturbs_nobody() -> None:
    hub = Hub()
    heard: list[Change] = []
    change = Change("transaction", "01AAA")

    def fail(_: tuple[Change, ...]) -> None:
        raise ValueError("a page that is gone")

    with hub.listen(fail), hub.listen(heard.extend):
        hub.publish([change])
        hub.publish([])
        assert hub.listeners == 2
    hub.publish([change])
    assert heard == [change]
    assert hub.listeners == 0


def test_other_collectors_hear_it_and_nobody_hears_it_twice(cluster: Cluster) -> None:
    url = cluster.create()
    ledgers = [Ledger.open(url, FixedClock()) for _ in range(2)]
    hubs = [Hub(), Hub()]
    relays = [Relay(ledger, hub) for ledger, hub in zip(ledgers, hubs, strict=True)]
    heard: list[list[Change]] = [[], []]
    changes = [Change("transaction", f"01A{n:04}", "transaction.completed", "s", "a", n) for n in range(500)]
    with hubs[0].listen(heard[0].extend), hubs[1].listen(heard[1].extend):
        for relay in relays:
            relay.start()
        until(lambda: hubs[0].listeners == hubs[1].listeners == 2, what="relays listen")
        hubs[0].publish(changes[:499])
        hubs[1].publish([changes[499]])
        until(lambda: len(heard[0]) >= 500 and len(heard[1]) >= 500, what="heard by both")
        for relay in relays:
            relay.stop()
    for one in heard:
        assert sorted(one, key=lambda change: change.time_us) == changes
    for ledger in ledgers:
        ledger.close()


class _Failing(Duty):
    name = "failing"

    def __init__(self, error: Exception | None = None, times: int = 2) -> None:
        super().__init__(0.001)
        self.error = error or RuntimeError("not today")
        self.times = times
        self.turns = 0
        self.well = threading.Event()

    def turn(self) -> None:
        self.turns += 1
        if self.turns <= self.times:
            raise self.error
        self.well.set()


def test_that_the_database_is_away_is_one_line_and_no_traceback() -> None:
    duty = _Failing(OperationalError("SELECT 1", None, Exception("the disk\nis full")), times=9)
    duty.log = log = Mock()
    duty.start()
    assert duty.well.wait(20)
    duty.stop()
    log.warning.assert_called_once_with("duty.database_away", reason="the disk is full", failures=1)
    log.exception.assert_not_called()


def test_a_duty_comes_round_again_whatever_it_raised() -> None:
    duty = _Failing()
    duty.start()
    assert duty.well.wait(20)
    until(lambda: duty.failures == 0)
    duty.stop()
    assert duty.stopping
