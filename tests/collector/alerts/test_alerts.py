"""Alerts: told once when something begins, once when it is over, whatever the receiver does meanwhile."""

from __future__ import annotations

import hmac
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from collector.alerts.courier import Courier
from collector.alerts.rules import Rule, Webhook, When
from collector.alerts.watch import Watch
from collector.cases import Kind, open_for
from collector.ledger import Ledger, alerts, tables
from collector.ledger.tables_alerts import alert_incidents, webhook_outbox
from collector.ledger.tables_cases import cases as cases_table
from tests import waits
from tests.collector import planted
from tests.collector.alerts.receiver import Receiver
from tests.collector.conftest import FixedClock
from tests.collector.planted import MINUTE_US, NOW_US, change, plant

UNKNOWN = {"outcome": "unknown", "charged": "unknown", "delivered": "unknown", "final": False, "reason": "link_lost"}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def courier(ledger: Ledger, clock: FixedClock) -> Iterator[Callable[..., Courier]]:
    with ExitStack() as stack:

        def made(receiver: Receiver | str, name: str = "ops", **more: Any) -> Courier:
            url = receiver if isinstance(receiver, str) else receiver.url
            courier = Courier(ledger, Webhook(name=name, url=url, **more), clock, every_s=0.02)
            stack.callback(courier.stop)
            return courier

        yield made


def rule(when: When, after_s: float = 300, **more: Any) -> Rule:
    return Rule(name=f"my-{when}", when=when, after_s=after_s, **more)


def watch(ledger: Ledger, clock: FixedClock, *rules: Rule, webhooks: tuple[str, ...] = ("ops",), **more: Any) -> Watch:
    hooks = [Webhook(name=name, url="http://127.0.0.1:9/") for name in webhooks]
    return Watch(ledger, rules, hooks, clock=clock, **more)


def going_on(ledger: Ledger, name: str) -> list[str]:
    with ledger.read() as connection:
        return sorted(alerts.open_incidents(connection, name))


def test_a_doubt_is_told_once_and_so_is_its_end(
    ledger: Ledger, clock: FixedClock, receiver: Receiver, courier: Callable[..., Courier]
) -> None:
    payment = plant(ledger, **UNKNOWN, pending_us=NOW_US - 4 * MINUTE_US)
    watcher, ops = watch(ledger, clock, rule(When.PENDING), public_url="https://till.example"), courier(receiver)

    def turn() -> None:
        watcher.turn()
        ops.turn()

    turn()
    assert receiver.taken == [], "not yet five minutes"
    clock.advance(minutes=1)
    for _ in range(3):
        turn()
    (firing,) = receiver.taken
    assert (firing["state"], firing["rule"], firing["subject"]) == ("firing", "my-pending", payment)
    assert firing["summary"]["en"] == "A payment of 35.50 CNY at east/cashier-01/pos1 has been in doubt for 5 min."
    assert "结果不明已 5 分钟" in firing["summary"]["zh-CN"]
    assert firing["url"] == f"https://till.example/transactions/{payment}"
    assert firing["since"] == "2026-03-05T09:26:00.000+00:00"
    change(ledger, payment, pending=False, final=True)
    for _ in range(3):
        turn()
    assert [message["state"] for message in receiver.taken] == ["firing", "resolved"]
    assert receiver.taken[1]["incident"] == firing["incident"]
    change(ledger, payment, pending=True, final=False)
    turn()
    assert receiver.taken[2]["incident"] != firing["incident"], "the next time is another incident"


@pytest.mark.parametrize("when", list(When))
def test_every_kind_of_rule_begins_at_its_time_and_ends(ledger: Ledger, clock: FixedClock, when: When) -> None:
    def sql(statement: Any) -> None:
        with ledger.write() as connection:
            connection.execute(statement)

    key: str
    mend: Any
    if when is When.PENDING:
        key = plant(ledger, **UNKNOWN, pending_us=NOW_US)
        mend = update(tables.transactions).values(pending=False)
    elif when in (When.UNDELIVERED, When.CASE_OVERDUE):
        with ledger.write() as connection:
            number, _ = open_for(connection, Kind.UNDELIVERED, "x", now_us=NOW_US, due_us=NOW_US, site="east")
        key, mend = f"case-{number}", update(cases_table).values(status="closed")
    elif when is When.AGENT_STALE:
        planted.agent(ledger, "a1")
        key, mend = "a1", update(tables.agents).values(last_seen_us=NOW_US + 6 * MINUTE_US)
    elif when is When.AGENT_OFFLINE:
        planted.agent(ledger, "a1", online=False)
        key, mend = "a1", update(tables.agents).values(online=True)
    elif when is When.TERMINAL_DOWN:
        planted.agent(ledger, "a1", last_seen_us=NOW_US + 6 * MINUTE_US)
        sql(update(tables.terminals).values(link="down", since_us=NOW_US))
        key, mend = "a1/pos1", update(tables.terminals).values(link="up")
    elif when is When.REFUSALS:
        row = {"first_us": NOW_US, "last_us": NOW_US + 6 * MINUTE_US, "count": 2, "topic": "t", "claimed": "c"}
        sql(insert(tables.refusals).values(**row, why="source", payload=""))
        key, mend = "t|c|source", delete(tables.refusals)
    elif when is When.FILE_MISSING:
        with ledger.write() as connection:
            noted = alerts.Trouble("2026-03-04", NOW_US, {"day": "2026-03-04", "formats": ["allinpay"], "why": None})
            alerts.begin(connection, alerts.FILE_MISSING, noted, NOW_US)
        key, mend = "files/2026-03-04", update(alert_incidents).values(resolved_us=NOW_US)
    else:
        planted.agent(ledger, "a1", gaps=[[11, 12]])
        key, mend = "a1/e1", update(tables.streams).values(gaps=[], gap_since_us=None)
    everywhere, elsewhere = rule(when), Rule(name="west", when=when, after_s=300, site="west")
    watcher = watch(ledger, clock, everywhere, elsewhere)
    clock.advance(seconds=299)
    watcher.turn()
    assert going_on(ledger, everywhere.name) == ([key] if when is When.REFUSALS else [])
    clock.advance(seconds=1)
    watcher.turn()
    assert going_on(ledger, everywhere.name) == [key]
    if when not in (When.REFUSALS, When.FILE_MISSING):  # these are of no site
        assert going_on(ledger, "west") == []
    sql(mend)
    watcher.turn()
    assert going_on(ledger, everywhere.name) == []


def test_a_silent_agents_terminals_are_not_said_to_be_down(ledger: Ledger, clock: FixedClock) -> None:
    planted.agent(ledger, "a1", last_seen_us=NOW_US - 60 * MINUTE_US)
    with ledger.write() as connection:
        connection.execute(update(tables.terminals).values(link="down", since_us=NOW_US - 90 * MINUTE_US))
    watch(ledger, clock, rule(When.TERMINAL_DOWN)).turn()
    assert going_on(ledger, "my-terminal_down") == []


def test_two_collectors_tell_of_it_once(
    ledger: Ledger, clock: FixedClock, receiver: Receiver, courier: Callable[..., Courier]
) -> None:
    for number in range(5):
        plant(ledger, number, **UNKNOWN, pending_us=NOW_US - 10 * MINUTE_US)
    watchers = [watch(ledger, clock, rule(When.PENDING)) for _ in range(2)]
    couriers = [courier(receiver) for _ in range(2)]

    def all_at_once(*acts: Callable[[], None]) -> None:
        threads = [threading.Thread(target=act) for act in acts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    all_at_once(*(watcher.turn for watcher in watchers))
    all_at_once(*(each.turn for each in couriers))
    for each in couriers:
        each.turn()
    assert len(receiver.taken) == 5
    assert len({message["incident"] for message in receiver.taken}) == 5


def test_a_receiver_that_fails_and_comes_back_gets_everything_in_order(
    ledger: Ledger, clock: FixedClock, receiver: Receiver, courier: Callable[..., Courier]
) -> None:
    payment = plant(ledger, **UNKNOWN, pending_us=NOW_US - 10 * MINUTE_US)
    watcher, ops = watch(ledger, clock, rule(When.PENDING)), courier(receiver)
    receiver.status = 503
    watcher.turn()
    ops.turn()
    ops.turn()
    assert len(receiver.requests) == 1, "it waits before it tries again"
    change(ledger, payment, pending=False)
    watcher.turn()
    for _ in range(4):
        clock.advance(minutes=11)
        ops.turn()
    assert len(receiver.requests) == 5
    receiver.status = 200
    clock.advance(minutes=11)
    ops.turn()
    ops.turn()
    assert [message["state"] for message in receiver.taken] == ["firing", "resolved"]


def test_waits_grow_and_have_a_bound(
    ledger: Ledger, clock: FixedClock, receiver: Receiver, courier: Callable[..., Courier]
) -> None:
    plant(ledger, **UNKNOWN, pending_us=NOW_US - 10 * MINUTE_US)
    watch(ledger, clock, rule(When.PENDING)).turn()
    receiver.status = 500
    ops = courier(receiver)
    waited = []
    for attempt in range(12):
        ops.turn()
        assert len(receiver.requests) == attempt + 1
        with ledger.read() as connection:
            (due_us,) = connection.execute(select(webhook_outbox.c.due_us)).one()
        seconds = due_us // 1_000_000 - int(clock.now.timestamp())
        waited.append(seconds)
        clock.advance(seconds=seconds - 1)
        ops.turn()
        assert len(receiver.requests) == attempt + 1, "not a second earlier"
        clock.advance(seconds=1)
    assert waited[:5] == [2, 4, 8, 16, 32]
    assert max(waited) == 600


def test_a_dead_receiver_keeps_nobody_waiting(
    ledger: Ledger, clock: FixedClock, receiver: Receiver, courier: Callable[..., Courier]
) -> None:
    plant(ledger, **UNKNOWN, pending_us=NOW_US - 10 * MINUTE_US)
    watch(ledger, clock, rule(When.PENDING), webhooks=("dead", "hangs", "good")).turn()
    with Receiver() as hanging:
        hanging.status = 0
        for each in (
            courier("http://127.0.0.1:1/", "dead"),
            courier(hanging, "hangs", timeout_s=30.0),
            courier(receiver, "good"),
        ):
            each.start()
        waits.until(lambda: hanging.requests, what="the hanging receiver was asked")
        waits.until(lambda: receiver.taken, what="the good one got its message")
        hanging._over.set()


def test_a_receiver_that_hangs_is_left_and_tried_again(
    ledger: Ledger, clock: FixedClock, receiver: Receiver, courier: Callable[..., Courier]
) -> None:
    plant(ledger, **UNKNOWN, pending_us=NOW_US - 10 * MINUTE_US)
    watch(ledger, clock, rule(When.PENDING)).turn()
    receiver.status = 0
    ops = courier(receiver, timeout_s=0.2)
    ops.turn()
    receiver.status = 200
    clock.advance(minutes=5)
    ops.turn()
    assert [status for _, _, status in receiver.requests] == [0, 200]


def test_a_message_that_is_not_wanted_does_not_keep_back_the_next(
    ledger: Ledger, clock: FixedClock, receiver: Receiver, courier: Callable[..., Courier]
) -> None:
    for number in range(2):
        plant(ledger, number, **UNKNOWN, pending_us=NOW_US - 10 * MINUTE_US)
    watch(ledger, clock, rule(When.PENDING)).turn()
    receiver.status = 400
    ops = courier(receiver)
    for _ in range(4):
        ops.turn()
        clock.advance(minutes=11)
    assert len({body for _, body, _ in receiver.requests}) == 1
    ops.turn()
    receiver.status = 200
    clock.advance(minutes=11)
    ops.turn()
    assert len(receiver.taken) == 1
    with ledger.read() as connection:
        assert alerts.waiting(connection) == {}


def test_what_waits_survives_a_restart(ledger: Ledger, database: str, clock: FixedClock, receiver: Receiver) -> None:
    plant(ledger, **UNKNOWN, pending_us=NOW_US - 10 * MINUTE_US)
    watch(ledger, clock, rule(When.PENDING)).turn()
    ledger.close()
    again = Ledger.open(database, clock)
    ops = Courier(again, Webhook(name="ops", url=receiver.url), clock)
    try:
        watch(again, clock, rule(When.PENDING)).turn()
        ops.turn()
        assert len(receiver.taken) == 1
    finally:
        ops.stop()
        again.close()


def test_a_message_can_be_verified(
    ledger: Ledger, clock: FixedClock, receiver: Receiver, courier: Callable[..., Courier], tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("very secret\n")
    plant(ledger, **UNKNOWN, pending_us=NOW_US - 10 * MINUTE_US)
    watch(ledger, clock, rule(When.PENDING)).turn()
    courier(receiver, secret_file=secret).turn()
    ((headers, body, _),) = receiver.requests
    stamp, made = (part.split("=", 1)[1] for part in headers["Tillwatch-Signature"].split(","))
    assert int(stamp) == NOW_US // 1_000_000
    assert hmac.new(b"very secret", f"{stamp}.{body}".encode(), sha256).hexdigest() == made
    assert headers["Tillwatch-Event"] == "firing"
    assert headers["Tillwatch-Delivery"].endswith("/firing")
    assert headers["Content-Type"] == "application/json"


def test_a_rule_may_choose_its_webhooks_and_one_taken_out_ends_quietly(
    ledger: Ledger, clock: FixedClock, receiver: Receiver, courier: Callable[..., Courier]
) -> None:
    plant(ledger, **UNKNOWN, pending_us=NOW_US - 10 * MINUTE_US)
    only = rule(When.PENDING, webhooks=("finance",))
    watch(ledger, clock, only, webhooks=("ops", "finance")).turn()
    with ledger.read() as connection:
        assert alerts.waiting(connection) == {"finance": 1}
    watch(ledger, clock, webhooks=("ops", "finance")).turn()
    with ledger.read() as connection:
        assert alerts.waiting(connection) == {"finance": 1}
        assert alerts.count_open(connection) == {}


def test_what_waits_for_a_webhook_that_was_taken_out_is_dropped_some_day(ledger: Ledger, clock: FixedClock) -> None:
    with ledger.write() as connection:
        alerts.put(connection, "gone", "x/1/1", "firing", "{}", NOW_US)
    watcher = watch(ledger, clock, webhooks=())
    for days, waiting in ((29, {"gone": 1}), (2, {})):
        clock.advance(days=days)
        watcher.turn()
        with ledger.read() as connection:
            assert alerts.waiting(connection) == waiting


def test_a_trouble_that_comes_back_months_later_is_no_repetition(ledger: Ledger, clock: FixedClock) -> None:
    def turn(online: bool) -> list[str]:
        with ledger.write() as connection:
            connection.execute(update(tables.agents).values(online=online))
        watcher.turn()
        with ledger.read() as connection:
            return list(connection.execute(select(webhook_outbox.c.incident).distinct()).scalars())

    planted.agent(ledger, "a1")
    watcher = watch(ledger, clock, rule(When.AGENT_OFFLINE, after_s=0))
    first = turn(online=False)
    assert turn(online=True) == first
    clock.advance(days=60)
    assert turn(online=True) == [], "messages are not kept for ever"
    again = turn(online=False)
    assert len(again) == 1
    assert again != first
