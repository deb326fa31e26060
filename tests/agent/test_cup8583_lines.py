"""The recorded UnionPay lines from bytes to outcomes: decoder, watcher and book together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent import tlog
from agent.bridge import wire
from agent.events import Certainty, Draft, EventType, SettlementData, TransactionData
from agent.payments import At, Book
from agent.tlog import Event, Happened
from agent.watch import Seen, Watcher
from drivers.cup8583 import DRIVER
from drivers.observations import Direction
from tests.agent.test_reversals import T

LOGS = Path(__file__).parents[1] / "logs"
SECOND = 1_000_000_000
KINDS = {Direction.CASHIER: wire.CASHIER, Direction.TERMINAL: wire.TERMINAL}
#: the simulated terminals of the recordings wait three quarters of a second for their host
TERMS = replace(T, answer_timeout_ns=SECOND * 75 // 100, device="pty:/tmp/pos")


def watched(name: str) -> list[Draft]:
    """The events of a recording, and of a minute behind it."""
    log = tlog.read(LOGS / f"simulated-cup8583-{name}.tlog")
    watcher = Watcher(TERMS, lambda: DRIVER.decoder(log.header.framing), DRIVER.byte_gap_s, Book())
    drafts: list[Draft] = []
    for offset, record in enumerate(log.records):
        mono = 1_000 * SECOND + int(record.at * SECOND)
        kind, payload = wire.LINK, b'{"link": "down", "reason": "gone"}'
        if isinstance(record, Happened):
            if record.event is Event.PLUGGED:
                payload = b'{"link": "up"}'
        else:
            kind, payload = KINDS[record.direction], record.data
        drafts += watcher.record(Seen(offset, 1_790_000_000 * SECOND + mono, mono, kind, payload, f"log:{offset}"))
    end = mono + 60 * SECOND
    return drafts + watcher.tick(At(1_790_000_000 * SECOND + end, end, "log:end"))


def outcomes(drafts: list[Draft]) -> list[tuple[str, str, str | None]]:
    """What each transaction came to, in the order of their beginning: kind, outcome, how a doubt was settled."""
    last: dict[str, TransactionData] = {}
    for draft in drafts:
        if isinstance(draft.data, TransactionData):
            last[draft.data.transaction] = draft.data
    return [(str(data.kind), str(data.outcome), data.how) for data in last.values()]


SALE = ("purchase", "approved", None)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("approved", [SALE]),
        ("approved-tcp", [SALE]),
        ("slow", [SALE]),
        ("garbage", [SALE]),
        ("declined", [("purchase", "declined", None)]),
        ("unsure", [("purchase", "unknown", None)]),
        ("busy-then-cancelled", []),
        ("silent", [("purchase", "not_executed", "reversal"), SALE]),
        ("lost", [("purchase", "reversed", "reversal"), SALE]),
        ("late", [("purchase", "reversed", "reversal"), SALE]),
        ("broken", [("purchase", "reversed", "reversal"), SALE]),
        ("reboot", [("purchase", "reversed", "reversal"), SALE]),
        ("void", [SALE, ("void", "approved", None)]),
        ("refund", [SALE, ("refund", "approved", None)]),
        ("preauthorised", [("preauthorisation", "approved", None), ("completion", "approved", None)]),
        ("day", [SALE, ("settlement", "approved", None)]),
        ("day-of-doubt", [("purchase", "reversed", "reversal"), ("settlement", "approved", None)]),
        ("others", [("balance", "approved", None)]),
    ],
)
def test_what_each_transaction_came_to(name: str, expected: list[tuple[str, str, str | None]]) -> None:
    assert outcomes(watched(name)) == expected


def test_every_recording_is_looked_at_here() -> None:
    marks = test_what_each_transaction_came_to.pytestmark  # type: ignore[attr-defined]
    named = {name for mark in marks for name, _ in mark.args[1]}
    assert named == {path.stem.removeprefix("simulated-cup8583-") for path in LOGS.glob("simulated-cup8583-*.tlog")}


@pytest.mark.parametrize("name", ["silent", "lost", "late", "broken", "reboot", "day-of-doubt"])
def test_a_doubt_is_told_before_it_is_settled_and_nobody_is_said_to_be_charged(name: str) -> None:
    first = [d for d in watched(name) if isinstance(d.data, TransactionData) and d.data.trace == "000001"]
    assert [d.type for d in first] == [
        EventType.TRANSACTION_STARTED,
        EventType.TRANSACTION_PENDING,
        EventType.TRANSACTION_CONFIRMED,
    ]
    assert [d.data.charged for d in first if isinstance(d.data, TransactionData)] == [
        Certainty.UNKNOWN,
        Certainty.UNKNOWN,
        Certainty.NO,
    ]


def test_a_settlement_says_whether_host_and_terminal_agree() -> None:
    (data,) = [draft.data for draft in watched("day") if isinstance(draft.data, SettlementData)]
    assert data.balanced is True
    assert [(total.name, total.count, total.amount) for total in data.totals] == [("debit", 1, 3550), ("credit", 0, 0)]


def test_no_event_holds_a_card_number() -> None:
    for path in LOGS.glob("simulated-cup8583-*.tlog"):
        shown = repr(watched(path.stem.removeprefix("simulated-cup8583-")))
        assert "4975541234514970" not in shown
