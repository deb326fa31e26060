"""Payments as the pages show them: lists, doubts, one payment with all that was told of it, the search at the window.

Reads only; frozen values out. Times are microseconds UTC, amounts minor units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, exists, func, or_, select

from agent.events import TransactionData
from collector.ledger.published import read_json, transaction_of
from collector.ledger.reconcile import proved, proved_as
from collector.ledger.tables import agents, events, in_vain, receipts, transactions
from collector.ledger.tables_reconcile import reconcile_findings

#: a request that got no answer for so long while nobody calls it doubtful: its cashier PC has fallen silent
SILENT_AFTER_US = 5 * 60 * 1_000_000
#: and it is looked for so far back
SILENT_WITHIN_US = 3 * 86_400 * 1_000_000

_AT_ONCE = 500  # SQLite takes a limited number of values in one statement

_columns = transactions.c
_SHOWN = (
    "id", "site", "agent", "terminal", "kind", "amount", "currency", "outcome", "charged", "delivered", "final",
    "escalated", "trace", "reference", "card_masked", "scheme", "order_no", "channel_order", "reason", "how",
    "attempts", "started_us", "ended_us", "pending_us", "escalated_us", "settled_us", "updated_us", "warning",
    "related", "reconciled_as",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One row of a list of payments; the fields are those of the ledger's table.

    `pending` is false of one that a file of the acquirer proved; `proved_as` is what that file says became of it.
    """

    id: str
    site: str
    agent: str
    terminal: str
    kind: str
    amount: int | None
    currency: str | None
    outcome: str
    charged: str
    delivered: str
    final: bool
    pending: bool
    escalated: bool
    trace: str | None
    reference: str | None
    card_masked: str | None
    scheme: str | None
    order_no: str | None
    channel_order: str | None
    reason: str | None
    how: str | None
    attempts: int
    started_us: int
    ended_us: int | None
    pending_us: int | None
    escalated_us: int | None
    settled_us: int | None
    updated_us: int
    warning: str | None
    related: str | None
    reconciled_as: str | None
    proved_as: str | None
    #: why it was in doubt at first; `reason` of an escalated one is why people were called
    doubted_for: str | None = None

    @property
    def state(self) -> str:
        """One word for the tag: the outcome, `open` while it is under way, `undelivered` when charged in vain."""
        if self.proved_as is not None:
            return self.proved_as
        if not self.final and not self.pending:
            return "open"
        if self.outcome != "unknown" and self.charged == "yes" and self.delivered == "no":
            return "undelivered"
        return self.outcome

    @property
    def doubt_since_us(self) -> int:
        """Since when it is in doubt."""
        return self.pending_us or self.started_us

    @property
    def known_us(self) -> int | None:
        """When its outcome became known."""
        return (self.settled_us or self.ended_us) if self.final else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which payments; None means any. `since_us` included, `until_us` not."""

    since_us: int | None = None
    until_us: int | None = None
    site: str | None = None
    agent: str | None = None
    terminal: str | None = None
    state: str | None = None
    last4: str | None = None
    amount: int | None = None
    number: str | None = None  # trace, order, reference or approval code


@dataclass(frozen=True, slots=True)
class Told:
    """One event of a payment: its type, its time, its data as published. Fits `agent.telling`."""

    sequence: int
    type: str
    time: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Receipt:
    """One captured receipt, masked since it was decoded."""

    kind: str | None
    complete: bool
    text: str
    time_us: int


@dataclass(frozen=True, slots=True)
class Whole:
    """One payment with everything that was told of it."""

    payment: Payment
    data: TransactionData
    told: tuple[Told, ...]
    receipts: tuple[Receipt, ...]


def payments(
    connection: Connection, wanted: Wanted, limit: int, before: tuple[int, str] | None = None
) -> list[Payment]:
    """Newest first; `before`: go on after the row that began then and has that id."""
    conditions = _conditions(wanted)
    if before is not None:
        started, last = before
        conditions.append(or_(_columns.started_us < started, and_(_columns.started_us == started, _columns.id < last)))
    query = _rows().where(*conditions).order_by(_columns.started_us.desc(), _columns.id.desc()).limit(limit)
    return [Payment(**row._mapping) for row in connection.execute(query)]


def doubts(connection: Connection, now_us: int, limit: int) -> list[Payment]:
    """Payments in doubt, the oldest first: the pending ones, and those whose cashier PC fell silent in mid-payment."""
    query = _rows().where(in_doubt()).order_by(_columns.started_us, _columns.id).limit(limit)
    found = [Payment(**row._mapping) for row in connection.execute(query)]
    query = _rows().where(*_silent(now_us)).order_by(_columns.started_us, _columns.id).limit(limit)
    found += [replace(Payment(**row._mapping), pending=True) for row in connection.execute(query)]
    first = _first_reasons(connection, [payment.id for payment in found if payment.escalated])
    found = [replace(payment, doubted_for=first.get(payment.id, payment.reason)) for payment in found]
    return sorted(found, key=lambda payment: (payment.doubt_since_us, payment.id))[:limit]


def count_doubts(connection: Connection, now_us: int) -> int:
    """How many payments are in doubt."""
    total = 0
    for conditions in ((in_doubt(),), _silent(now_us)):
        query = select(func.count()).select_from(transactions).where(*conditions)
        total += int(connection.execute(query).scalar_one())
    return total


def undelivered(connection: Connection, since_us: int, limit: int) -> list[Payment]:
    """Charged, but the cashier application did not take the answer, and no books have shown it since; oldest first."""
    query = _rows().where(*_undelivered(since_us)).order_by(_columns.started_us, _columns.id).limit(limit)
    return [Payment(**row._mapping) for row in connection.execute(query)]


def count_undelivered(connection: Connection, since_us: int) -> int:
    """How many there are of those."""
    query = select(func.count()).select_from(transactions).where(*_undelivered(since_us))
    return int(connection.execute(query).scalar_one())


def whole(connection: Connection, transaction: str) -> Whole | None:
    """One payment with its events and receipts; None when nobody told of it."""
    row = connection.execute(_rows(transactions.c.data).where(_columns.id == transaction)).one_or_none()
    if row is None:
        return None
    values = dict(row._mapping)
    data = transaction_of(values.pop("data"))
    query = select(events.c.sequence, events.c.type, events.c.body)
    query = query.where(events.c.subject == transaction, events.c.projected)
    told = []
    for sequence, kind, body in connection.execute(query.order_by(events.c.time_us, events.c.epoch, events.c.sequence)):
        event = read_json(body)
        told.append(Told(sequence, kind, event["time"], event["data"]))
    slips = select(receipts).where(receipts.c.transaction == transaction)
    copies = tuple(
        Receipt(row.receipt_kind, row.complete, row.text, row.time_us)
        for row in connection.execute(slips.order_by(receipts.c.time_us, receipts.c.sequence))
    )
    return Whole(Payment(**values), data, tuple(told), copies)


def by_ids(connection: Connection, ids: Sequence[str]) -> dict[str, Payment]:
    """The payments of these ids that are known."""
    if not ids:
        return {}
    found = connection.execute(_rows().where(_columns.id.in_(list(ids))))
    return {row.id: Payment(**row._mapping) for row in found}


def places(connection: Connection) -> list[tuple[str, str]]:
    """Sites and cashier PCs, for the filters."""
    query = select(agents.c.site, agents.c.agent).order_by(agents.c.site, agents.c.agent)
    return [(site, agent) for site, agent in connection.execute(query)]


def _first_reasons(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    """Why these payments became doubtful, as their first transaction.pending said."""
    reasons: dict[str, str] = {}
    for start in range(0, len(ids), _AT_ONCE):
        query = (
            select(events.c.subject, events.c.body)
            .where(events.c.subject.in_(ids[start : start + _AT_ONCE]), events.c.type == "transaction.pending")
            .where(events.c.projected)
            .order_by(events.c.time_us)
        )
        for subject, body in connection.execute(query):
            if reason := read_json(body)["data"].get("reason"):
                reasons.setdefault(subject, reason)
    return reasons


def _rows(*more: ColumnElement[Any]) -> Any:
    known = (_columns[name] for name in _SHOWN)
    return select(*known, in_doubt().label("pending"), outcome_by_file.label("proved_as"), *more)


#: what a file of the acquirer says became of a payment whose agent does not know; NULL for all others
outcome_by_file = case((_columns.pending, proved_as(_columns.id)), else_=None)


def in_doubt() -> ColumnElement[bool]:
    """Nobody knows its outcome: neither its agent nor a file of the acquirer."""
    return and_(_columns.pending, ~proved(_columns.id))


def _silent(now_us: int) -> tuple[ColumnElement[bool], ...]:
    return (
        ~_columns.final,
        ~_columns.pending,
        _columns.started_us < now_us - SILENT_AFTER_US,
        _columns.started_us >= now_us - SILENT_WITHIN_US,
    )


def _undelivered(since_us: int) -> tuple[ColumnElement[bool], ...]:
    return (
        _columns.started_us >= since_us,
        in_vain,
        or_(_columns.reconciled_as.is_(None), _columns.reconciled_as == "charged_not_booked"),
    )


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    for column, value in (
        (_columns.site, wanted.site),
        (_columns.agent, wanted.agent),
        (_columns.terminal, wanted.terminal),
        (_columns.last4, wanted.last4),
        (_columns.amount, wanted.amount),
    ):
        if value is not None:
            found.append(column == value)
    if wanted.since_us is not None:
        found.append(_columns.started_us >= wanted.since_us)
    if wanted.until_us is not None:
        found.append(_columns.started_us < wanted.until_us)
    if wanted.number is not None:
        found.append(_numbered(wanted.number))
    if wanted.state is not None:
        found.append(_in_state(wanted.state))
    return found


def _numbered(number: str) -> ColumnElement[bool]:
    """A number as it stands on a slip: the trace with or without its leading zeros, an order, a reference."""
    same = [
        column == number
        for column in (
            _columns.trace,
            _columns.order_no,
            _columns.channel_order,
            _columns.reference,
            _columns.approval_code,
        )
    ]
    if number.isdecimal() and len(number) <= 6:
        same.append(_columns.trace == number.zfill(6))
    return or_(*same)


def _in_state(state: str) -> ColumnElement[bool]:
    if state == "doubt":
        return in_doubt()
    if state == "open":
        return and_(~_columns.final, ~_columns.pending)
    if state == "undelivered":
        return in_vain
    by_file = exists().where(reconcile_findings.c.transaction == _columns.id, reconcile_findings.c.outcome == state)
    return or_(and_(_columns.outcome == state, _columns.final), and_(_columns.pending, by_file))
