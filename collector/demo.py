"""The demo's yesterday: a cashier PC that is switched off today, what it saw, and the books of that day.

    python -m collector.demo --database sqlite:///… --mqtt mqtt://… --folder DIR

It publishes yesterday's events as that PC's agent would have, writes the hospital's export and the acquirer's file
with one difference of each kind planted in them (`PLANTED`), and reconciles the day like the nightly run does.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from agent import __version__
from agent.events import (
    Call,
    Certainty,
    Draft,
    EventType,
    Reason,
    ResponseText,
    Source,
    TransactionData,
    envelope,
    timestamp,
)
from agent.ids import transaction_id
from collector.ledger import Ledger, microseconds
from collector.ledger.entries import Entry, EntryKind, Side, State
from collector.ledger.views_payments import Wanted, payments
from collector.reconcile import mapping
from collector.reconcile.run import Report, Request, run_day
from collector.reconcile.run import Source as Statement
from collector.reconcile.writers import write_allinpay, write_his_generic
from drivers.cards import MaskedCard
from drivers.observations import Kind, Outcome

SITE, AGENT = "inpatient-2", "cashier-09"
ZONE = ZoneInfo("Asia/Shanghai")
PAYMENTS = 96
_OPENS, _CLOSES = clock_time(8, 5), clock_time(16, 55)
_MERCHANT = "898110280620009"
_TERMINALS = {"pos1": "10010901", "pos2": "10010902"}
_PATIENCE_S = 60.0
_NS = 1_000_000_000

#: category → how many differences of it are planted
PLANTED = {
    "charged_not_booked": 2,  # an answer that the cashier application never took; a doubt that the file proves
    "booked_not_charged": 1,  # typed into the HIS by hand
    "amount_differs": 1,
    "duplicate": 1,  # a second swipe after a doubt
    "in_file_only": 1,  # a terminal that nobody watches
    "unknown": 1,  # a doubt of which no book knows
}


@dataclass(slots=True)
class Day:
    """What the PC saw, and what the two books say."""

    day: date
    seen: list[TransactionData] = field(default_factory=list)
    his: list[Entry] = field(default_factory=list)
    acquirer: list[Entry] = field(default_factory=list)


def play(day: date) -> Day:
    """Make up a day; the same one each time."""
    chance = random.Random(day.isoformat())  # noqa: S311 (amounts of a show)
    begins = datetime.combine(day, _OPENS, ZONE)
    step = (datetime.combine(day, _CLOSES, ZONE) - begins) / PAYMENTS
    played = Day(day)
    for number in range(1, PAYMENTS + 1):
        moment = begins + step * (number - 1) + timedelta(seconds=chance.randrange(60))
        paid = _payment(number, moment, chance)
        _treat(played, number, paid, moment, chance)
    return played


def events_of(played: Day) -> list[Draft]:
    """The events the PC's agent would have published, in their order."""
    drafts = []
    for data in played.seen:
        began = _ns(data.started_at)
        started = replace(
            data, outcome=Outcome.UNKNOWN, charged=Certainty.UNKNOWN, delivered=Certainty.UNKNOWN, final=False,
            reason=None, response_code=None, response_text=None, ended_at=None, call=None,
        )  # fmt: skip
        drafts.append(Draft(EventType.TRANSACTION_STARTED, started, began))
        if data.outcome is Outcome.UNKNOWN:
            drafts.append(Draft(EventType.TRANSACTION_PENDING, replace(data, call=None), began + 75 * _NS))
            drafts.append(Draft(EventType.TRANSACTION_ESCALATED, data, began + 3600 * _NS))
            continue
        ended = _ns(data.ended_at or data.started_at)
        drafts.append(Draft(EventType.TRANSACTION_COMPLETED, replace(data, reason=None), ended))
        if data.delivered is Certainty.NO:
            drafts.append(Draft(EventType.TRANSACTION_UNDELIVERED, data, ended + 3 * _NS))
    return sorted(drafts, key=lambda draft: draft.wall_ns)


def write_books(played: Day, folder: Path) -> tuple[Statement, Statement]:
    """The hospital's export and the acquirer's file."""
    folder.mkdir(parents=True, exist_ok=True)
    his, acquirer = folder / f"his-{played.day}.csv", folder / f"allinpay-{played.day}.csv"
    write_his_generic(his, sorted(played.his, key=lambda entry: entry.time_us or 0))
    write_allinpay(acquirer, sorted(played.acquirer, key=lambda entry: entry.time_us or 0))
    return Statement(his, mapping.load("his-generic")), Statement(acquirer, mapping.load("allinpay"))


def reconcile(ledger: Ledger, played: Day, folder: Path) -> Report:
    """What the nightly run does, with these two files."""
    request = Request(
        day=played.day.isoformat(),
        files=write_books(played, folder),
        as_of_us=microseconds(ledger.clock()),
        by="nightly",
        close=True,
        zone=ZONE,
    )
    return run_day(ledger, request)


def publish(drafts: Sequence[Draft], host: str, port: int) -> None:
    """As the agent of that PC; it is switched off now. Raises OSError, ValueError, RuntimeError of the client."""
    source = Source(SITE, AGENT, epoch="demo-yesterday")
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=AGENT)
    client.connect(host, port)
    client.loop_start()
    try:
        sent = [
            client.publish(f"{source.prefix}/events/{draft.type}", envelope(draft, source, number), 1)
            for number, draft in enumerate(drafts, 1)
        ]
        sent.append(client.publish(f"{source.prefix}/state", _state(drafts), 1, retain=True))
        for message in sent:
            message.wait_for_publish(_PATIENCE_S)
    finally:
        client.disconnect()
        client.loop_stop()


def main() -> int:
    """Play it once."""
    parser = argparse.ArgumentParser(prog="python -m collector.demo", description=__doc__)
    parser.add_argument("--database", required=True)
    parser.add_argument("--mqtt", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--day", type=date.fromisoformat, help="the day to play; yesterday when none is given")
    args = parser.parse_args()
    broker = urlsplit(args.mqtt)
    played = play(args.day or datetime.now(ZONE).date() - timedelta(days=1))
    publish(events_of(played), broker.hostname or "127.0.0.1", broker.port or 1883)
    ledger = Ledger.open(args.database)
    try:
        if not _stored(ledger, len(played.seen)):
            print("the collector did not store yesterday's payments in time", file=sys.stderr)  # noqa: T201
            return 1
        reconcile(ledger, played, args.folder)
    finally:
        ledger.close()
    return 0


def _stored(ledger: Ledger, wanted: int) -> bool:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        with ledger.read() as connection:
            if len(payments(connection, Wanted(agent=AGENT), wanted + 1)) >= wanted:
                return True
        time.sleep(0.2)
    return False


def _treat(played: Day, number: int, paid: TransactionData, moment: datetime, chance: random.Random) -> None:
    """What the three sides know of the payment: the same, except where a difference is planted."""
    row = _entry(paid, moment)
    unknown = replace(
        paid, outcome=Outcome.UNKNOWN, charged=Certainty.UNKNOWN, delivered=Certainty.UNKNOWN, final=False,
        response_code=None, response_text=None, reference=None, approval_code=None, ended_at=None,
        reason=Reason.ANSWER_TIMEOUT, attempts=6, call=Call.FINAL,
    )  # fmt: skip
    seen, his, acquirer = [paid], [row], [row]
    if number == 17:
        seen, his = [replace(paid, delivered=Certainty.NO, reason=Reason.CASHIER_CLOSED)], []
    elif number == 29:
        seen, his = [unknown], []
    elif number == 38:
        seen, his, acquirer = [unknown], [], []
    elif number == 44:
        his = [replace(row, amount=row.amount + 9000)]
    elif number == 57:
        again = _payment(PAYMENTS + 1, moment + timedelta(minutes=3), chance)
        again = replace(
            again, amount=paid.amount, order=paid.order, card=paid.card, terminal=paid.terminal,
            terminal_id=paid.terminal_id,
        )  # fmt: skip
        seen, acquirer = [paid, again], [row, _entry(again, moment + timedelta(minutes=3))]
    elif number == 66:
        typed = _entry(_payment(PAYMENTS + 2, moment, chance), moment)
        his.append(replace(typed, reference=None, trace=None, batch=None, terminal_id=None, card=None))
    elif number == 75:
        other = _entry(_payment(PAYMENTS + 3, moment, chance), moment)
        acquirer.append(replace(other, terminal_id="10019999", order=None))
    elif number % 19 == 4:
        declined = ResponseText("Insufficient funds", "余额不足")
        seen, his, acquirer = [], [], []
        seen.append(
            replace(
                paid, outcome=Outcome.DECLINED, charged=Certainty.NO, response_code="51", response_text=declined,
                reference=None, approval_code=None,
            )
        )  # fmt: skip
    played.seen += seen
    played.his += [replace(entry, side=Side.HIS, fee=None) for entry in his]
    played.acquirer += [replace(entry, side=Side.ACQUIRER) for entry in acquirer]


def _payment(number: int, moment: datetime, chance: random.Random) -> TransactionData:
    terminal = ("pos1", "pos2")[number % 2]
    began = round(moment.timestamp()) * _NS
    return TransactionData(
        transaction=transaction_id(began, f"{AGENT}/{terminal}/{number}"),
        terminal=terminal,
        kind=Kind.PURCHASE,
        amount=chance.choice((2500, 5000, 6000, 30000, 50000)) + chance.randrange(0, 20000),
        currency="CNY",
        outcome=Outcome.APPROVED,
        charged=Certainty.YES,
        delivered=Certainty.YES,
        final=True,
        response_code="00",
        response_text=ResponseText("Approved", "交易成功"),
        trace=f"{number:06d}",
        batch="000217",
        reference=f"{moment:%y%m%d}{number:06d}",
        approval_code=f"{chance.randrange(10**6):06d}",
        terminal_id=_TERMINALS[terminal],
        merchant_id=_MERCHANT,
        card=MaskedCard(masked=f"622000******{chance.randrange(10**4):04d}", scheme="UnionPay"),
        order=f"ZY{moment:%Y%m%d}{number:05d}",
        channel_order=None,
        started_at=timestamp(began),
        ended_at=timestamp(began + chance.randrange(3, 9) * _NS),
        terminal_time=f"{moment:%Y-%m-%d %H:%M:%S}",
        reason=None,
        attempts=0,
    )


def _entry(paid: TransactionData, moment: datetime) -> Entry:
    return Entry(
        side=Side.ACQUIRER,
        key=paid.transaction,
        day=moment.date().isoformat(),
        kind=EntryKind.PURCHASE,
        state=State.CHARGED,
        amount=paid.amount or 0,
        time_us=round(moment.timestamp()) * 1_000_000,
        currency=paid.currency,
        terminal_id=paid.terminal_id,
        merchant_id=paid.merchant_id,
        reference=paid.reference,
        trace=paid.trace,
        batch=paid.batch,
        order=paid.order,
        card=paid.card.masked if paid.card else None,
        fee=(paid.amount or 0) * 38 // 10000,
    )


def _state(drafts: Sequence[Draft]) -> str:
    """The retained state of a PC that was switched off in the evening."""
    last = drafts[-1].wall_ns
    terminals = {
        name: {"link": "up", "reason": None, "protocol": "ing-tlv", "last_frame_at": timestamp(last)}
        for name in _TERMINALS
    }
    state = {
        "online": False, "agent": AGENT, "site": SITE, "version": __version__, "since": timestamp(drafts[0].wall_ns),
        "terminals": terminals, "pending": 2, "outbox": 0, "sequence": len(drafts),
    }  # fmt: skip
    return json.dumps(state)


def _ns(text: str) -> int:
    return round(datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1000) * 1_000_000


if __name__ == "__main__":
    sys.exit(main())
