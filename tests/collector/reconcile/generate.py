"""A hospital's day with planted differences: journal, HIS bookings, acquirer rows, and what must be found.

Everything follows from the seed. `expected` names each difference by what stands for it: a transaction's id, or the
reference or order of a row that the journal does not know.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import insert

from agent.ids import transaction_id
from collector.ledger import Ledger
from collector.ledger.entries import Entry, EntryKind, Side, State
from collector.ledger.tables import transactions
from collector.reconcile.writers import write_allinpay, write_his_generic

ZONE = ZoneInfo("Asia/Shanghai")
DAY = "2026-11-24"  # a Tuesday
MERCHANT = "898310073992501"
TERMINALS = tuple(f"1234567{n}" for n in range(1, 6))
FEES = (1000, 500, 2500)


@dataclass(slots=True)
class Hospital:
    """Days of a hospital. Files by (side, day)."""

    seed: int
    day: str = DAY
    journal: list[dict[str, Any]] = field(default_factory=list)
    rows: dict[tuple[Side, str], list[Entry]] = field(default_factory=dict)
    expected: dict[str, tuple[str, str]] = field(default_factory=dict)  # what stands for it → category, why
    proved: dict[str, str] = field(default_factory=dict)  # transaction → outcome
    matched: int = 0
    _count: int = 0
    random: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        self.random.seed(self.seed)

    def payment(self, at: str | None = None, day: str | None = None, **values: Any) -> Entry:
        """One payment as it really was; the sides get copies of it."""
        self._count += 1
        number = self._count
        clock = at or self._clock()
        amount = self.random.choice(FEES) if self.random.random() < 0.3 else 10_000 + number * 7
        plain: dict[str, Any] = {
            "side": Side.JOURNAL, "key": "", "day": day or self.day, "kind": EntryKind.PURCHASE, "state": State.CHARGED,
            "amount": amount, "time_us": moment(day or self.day, clock), "currency": "CNY",
            "terminal_id": self.random.choice(TERMINALS), "merchant_id": MERCHANT,
            "reference": f"{240607000000 + self.seed % 1000 * 10000 + number}", "trace": f"{number:06d}",
            "batch": f"{int((day or self.day)[-2:]):06d}", "order": f"MZ{self.seed:04d}{number:06d}",
            "card": f"622202******{number % 10000:04d}", **values,
        }  # fmt: skip
        return Entry(**plain)

    def _clock(self) -> str:
        second = self.random.randrange(8 * 3600, 17 * 3600 + 1800)
        return f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"

    def seen(self, payment: Entry, outcome: str = "approved", **columns: Any) -> str:
        """The agent saw it; gives the transaction's id."""
        time_us = payment.time_us or 0
        identity = transaction_id(time_us * 1000, f"{self.seed}/{payment.order}/{payment.kind}/{len(self.journal)}")
        charged = {"approved": "yes", "unknown": "unknown"}.get(outcome, "no")
        known = {} if outcome == "approved" else {"reference": None, "trace": None, "batch": None}
        row = {
            "id": identity, "site": "east", "agent": "cashier-01", "terminal": "pos1", "kind": str(payment.kind),
            "amount": payment.amount, "currency": "CNY", "outcome": outcome, "charged": charged, "delivered": "yes",
            "final": outcome != "unknown", "pending": outcome == "unknown", "escalated": False, "response_code": None,
            "trace": payment.trace, "batch": payment.batch, "reference": payment.reference, "approval_code": None,
            "terminal_id": payment.terminal_id, "merchant_id": payment.merchant_id, "card_masked": payment.card,
            "last4": payment.last4, "scheme": None, "order_no": payment.order, "channel_order": payment.channel_order,
            "reason": "link_lost" if outcome == "unknown" else None, "how": None, "attempts": 0, "started_us": time_us,
            "ended_us": time_us + 4_000_000, "terminal_time": None, "updated_us": time_us + 4_000_000,
            "opened_us": time_us, "epoch": "e1", "last_sequence": len(self.journal) + 1, "events": 2,
            "data": {"transaction": identity}, **known, **columns,
        }  # fmt: skip
        self.journal.append(row)
        return identity

    def filed(self, payment: Entry, day: str | None = None, **values: Any) -> None:
        """The acquirer has it; the host's clock is some seconds off."""
        off = self.random.randrange(1, 20) * 1_000_000
        entry = replace(payment, side=Side.ACQUIRER, time_us=(payment.time_us or 0) + off, **values)
        self.rows.setdefault((Side.ACQUIRER, day or self.day), []).append(entry)

    def booked(self, payment: Entry, day: str | None = None, **values: Any) -> None:
        """The HIS has it, half a minute later, not always with the reference number."""
        known: dict[str, Any] = {"merchant_id": None}
        if self.random.random() < 0.3:
            known |= {"reference": None, "trace": None, "batch": None}
        entry = replace(payment, side=Side.HIS, time_us=(payment.time_us or 0) + 30_000_000, **{**known, **values})
        self.rows.setdefault((Side.HIS, day or self.day), []).append(entry)

    def expect(self, name: str | None, category: str, why: str) -> None:
        assert name is not None
        self.expected[name] = (category, why)

    # -- what is planted

    def ordinary(self, count: int) -> None:
        for _ in range(count):
            payment = self.payment()
            self.seen(payment)
            self.filed(payment)
            self.booked(payment)
            self.matched += 1

    def only_weak(self) -> None:
        payment = self.payment(amount=700_000 + self._count)
        self.seen(payment)
        self.filed(payment)
        self.booked(payment, reference=None, trace=None, batch=None, order=None)
        self.matched += 1

    def not_booked(self) -> None:
        payment = self.payment()
        identity = self.seen(payment, delivered="no")
        self.filed(payment)
        self.expect(identity, "charged_not_booked", "not_booked")

    def pending_proved(self) -> None:
        payment = self.payment()
        identity = self.seen(payment, "unknown")
        self.filed(payment)
        self.proved[identity] = "approved"
        self.expect(identity, "charged_not_booked", "proved_not_booked")

    def pending_booked(self) -> None:
        payment = self.payment()
        identity = self.seen(payment, "unknown")
        self.filed(payment)
        self.booked(payment)
        self.proved[identity] = "approved"
        self.matched += 1

    def pending_nowhere(self) -> None:
        identity = self.seen(self.payment(), "unknown")
        self.expect(identity, "unknown", "unknown_not_in_file")

    def pending_reversed(self) -> None:
        payment = self.payment()
        identity = self.seen(payment, "unknown")
        self.filed(payment)
        self.filed(later(payment, 60, kind=EntryKind.REVERSAL))
        self.proved[identity] = "reversed"

    def booked_by_hand(self) -> None:
        payment = self.payment(reference=None, trace=None, batch=None, card=None)
        self.booked(payment)
        self.expect(payment.order, "booked_not_charged", "booked_nothing_seen")

    def approved_not_filed(self) -> None:
        payment = self.payment()
        identity = self.seen(payment)
        self.booked(payment)
        self.expect(identity, "booked_not_charged", "approved_not_in_file")

    def wrong_amount(self) -> None:
        payment = self.payment()
        identity = self.seen(payment)
        self.filed(payment)
        self.booked(payment, amount=payment.amount + 900)
        self.expect(identity, "amount_differs", "amount_differs")

    def swiped_twice(self) -> None:
        first = self.payment(at="10:00:00")
        second = later(first, 240, reference=f"9{(first.reference or '')[1:]}", trace=f"9{(first.trace or '')[1:]}")
        identity = self.seen(first, "unknown")
        self.seen(second)
        self.filed(first)
        self.filed(second)
        self.booked(second, reference=second.reference)
        self.proved[identity] = "approved"
        self.matched += 1
        self.expect(identity, "duplicate", "charged_twice")

    def booked_two_times(self) -> None:
        payment = self.payment()
        identity = self.seen(payment)
        self.filed(payment)
        for _ in range(2):
            self.booked(payment, reference=payment.reference)
        self.expect(identity, "duplicate", "booked_twice")

    def filed_two_times(self) -> None:
        payment = self.payment()
        identity = self.seen(payment)
        self.filed(payment)
        self.rows[(Side.ACQUIRER, self.day)].append(self.rows[(Side.ACQUIRER, self.day)][-1])
        self.booked(payment)
        self.expect(identity, "duplicate", "twice_in_file")

    def voided(self, *, file: bool = True, his: bool = True, his_void: bool = True) -> None:
        payment = self.payment()
        void = later(payment, 300, kind=EntryKind.VOID, reference=f"8{(payment.reference or '')[1:]}",
                     trace=f"8{(payment.trace or '')[1:]}")  # fmt: skip
        identity = self.seen(payment)
        self.seen(void)
        if file:
            self.filed(payment)
            self.filed(void, original=payment.reference)
        if his:
            self.booked(payment)
        if his and his_void:
            self.booked(replace(void, kind=EntryKind.REFUND))
        if his and not his_void:
            self.expect(identity, "reversed", "void_not_in_his")

    def reversed_by_terminal(self, *, booked: bool) -> None:
        payment = self.payment()
        identity = self.seen(payment, "reversed")
        if booked:
            self.booked(payment)
            self.expect(identity, "reversed", "reversed_but_booked")

    def only_filed(self) -> None:
        payment = self.payment()
        self.filed(payment)
        self.expect(payment.reference, "in_file_only", "not_seen_not_booked")

    def declined_then_paid(self) -> None:
        payment = self.payment()
        self.seen(later(payment, -60), "declined")
        self.seen(payment)
        self.filed(payment)
        self.booked(payment)
        self.matched += 1

    def declined_but_booked(self) -> None:
        payment = self.payment()
        identity = self.seen(payment, "declined")
        self.booked(payment, reference=None, trace=None, batch=None)
        self.expect(identity, "booked_not_charged", "declined_but_booked")

    def many_alike(self, count: int = 20) -> None:
        """The same fee again and again at one terminal; one of them was not booked."""
        lost = self.random.randrange(count)
        for number in range(count):
            clock = f"{9 + number // 20:02d}:{number % 20 * 3:02d}:10"
            payment = self.payment(at=clock, amount=1000, terminal_id=TERMINALS[0])
            identity = self.seen(payment)
            self.filed(payment)
            if number == lost:
                self.expect(identity, "charged_not_booked", "not_booked")
            else:
                self.booked(payment)
                self.matched += 1

    def paid_in_parts(self) -> None:
        first = self.payment(amount=3000)
        second = later(first, 90, amount=2000, reference=f"7{(first.reference or '')[1:]}",
                       trace=f"7{(first.trace or '')[1:]}")  # fmt: skip
        for part in (first, second):
            self.seen(part)
            self.filed(part)
        self.booked(first, amount=5000, reference=None, trace=None, batch=None)
        self.matched += 1

    def everything(self) -> None:
        """One of each, among ordinary payments."""
        plants = [
            self.only_weak, self.not_booked, self.pending_proved, self.pending_booked, self.pending_nowhere,
            self.pending_reversed, self.booked_by_hand, self.approved_not_filed, self.wrong_amount, self.swiped_twice,
            self.booked_two_times, self.filed_two_times, self.voided, lambda: self.voided(his=False),
            lambda: self.voided(file=False), lambda: self.voided(his_void=False), self.only_filed,
            lambda: self.reversed_by_terminal(booked=False), lambda: self.reversed_by_terminal(booked=True),
            self.declined_then_paid, self.declined_but_booked, self.many_alike, self.paid_in_parts,
            lambda: self.ordinary(10), lambda: self.ordinary(10),
        ]  # fmt: skip
        self.random.shuffle(plants)
        for plant in plants:
            plant()

    # -- files and ledger

    def store(self, ledger: Ledger) -> None:
        with ledger.write() as connection:
            for row in self.journal:
                connection.execute(insert(transactions).values(**row))

    def write(self, folder: Path, day: str | None = None) -> tuple[Path, Path]:
        """HIS export and acquirer's file of a day; rows in no particular order."""
        day = day or self.day
        his, acquirer = folder / f"his-{day}.csv", folder / f"allinpay-{day}.csv"
        for side in (Side.HIS, Side.ACQUIRER):
            rows = self.rows.setdefault((side, day), [])
            self.random.shuffle(rows)
        write_his_generic(his, self.rows[(Side.HIS, day)])
        write_allinpay(acquirer, self.rows[(Side.ACQUIRER, day)])
        return his, acquirer


def moment(day: str, clock: str) -> int:
    """Microseconds UTC of a time of day in Shanghai."""
    local = datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=ZONE)
    return int(local.timestamp()) * 1_000_000


def later(payment: Entry, seconds: int, **values: Any) -> Entry:
    """The same payment some seconds later, otherwise changed as said."""
    return replace(payment, time_us=(payment.time_us or 0) + seconds * 1_000_000, **values)


def after(day: str, days: int) -> str:
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()
