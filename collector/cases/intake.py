"""From events to cases: called by ingest with each batch, in the transaction that stores it.

What counts is how the transaction stands after the batch (events come repeated and out of order), so the same events
in any order open and settle the same cases.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from collector.cases.book import open_for, settle
from collector.cases.life import Kind, Reason
from collector.ledger import cases, standing
from collector.ledger.cases import Case
from collector.ledger.incoming import Event
from collector.ledger.standing import Standing

#: events after which a case may have to be opened or settled
WATCHED = frozenset(
    {
        "transaction.completed",
        "transaction.confirmed",
        "transaction.escalated",
        "transaction.undelivered",
        "transaction.warning",
    }
)
_WARNINGS = {
    "possible_double_charge": Kind.DOUBLE_CHARGE,
    "contradiction": Kind.CONTRADICTION,
    "reversal_failed": Kind.REVERSAL_FAILED,
}


def take(connection: Connection, events: Sequence[Event], now_us: int) -> None:
    """Open and settle what these events make necessary. The ledger has them already."""
    touched = {event.subject: None for event in events if event.type in WATCHED and event.subject}
    for event in events:
        if event.type == "transaction.warning" and event.data:
            _warned(connection, event, now_us)
        elif event.type == "settlement.completed" and event.data:
            _settlement(connection, event, now_us)
    stands = standing.of(connection, list(touched))
    for row in stands.values():
        _open(connection, row, now_us)
    for case in cases.cases_of(connection, list(stands)):
        if case.is_open and case.transaction:
            _settle(connection, case, now_us)


def _open(connection: Connection, row: Standing, now_us: int) -> None:
    if row.escalated_us is not None:
        _open_for(connection, Kind.ESCALATED, row, now_us, {"reason": row.reason})
    if row.charged == "yes" and row.delivered == "no":
        _open_for(connection, Kind.UNDELIVERED, row, now_us, {"reason": row.reason, "outcome": row.outcome})


def _warned(connection: Connection, event: Event, now_us: int) -> None:
    assert event.data is not None  # noqa: S101 (looked at by the caller)
    kind = _WARNINGS.get(str(event.data.get("warning")))
    row = standing.of(connection, [event.subject]).get(event.subject) if event.subject else None
    if kind is not None and row is not None:
        related = event.data.get("related")
        _open_for(connection, kind, row, now_us, {}, related=related if isinstance(related, str) else None)


def _open_for(
    connection: Connection,
    kind: Kind,
    row: Standing,
    now_us: int,
    detail: dict[str, object],
    *,
    related: str | None = None,
) -> None:
    open_for(
        connection,
        kind,
        row.id,
        now_us=now_us,
        transaction=row.id,
        related=related,
        site=row.site,
        agent=row.agent,
        terminal=row.terminal,
        amount=row.amount,
        currency=row.currency,
        detail={**detail, "related": related} if related else detail,
    )


def _settlement(connection: Connection, event: Event, now_us: int) -> None:
    data = event.data or {}
    if data.get("matches") is not False and data.get("balanced") is not False:
        return
    open_for(
        connection,
        Kind.SETTLEMENT_MISMATCH,
        f"{event.agent}:{event.epoch}:{event.sequence}",
        now_us=now_us,
        site=event.site,
        agent=event.agent,
        terminal=event.terminal,
        detail={name: data.get(name) for name in ("matches", "balanced", "totals", "journal_count", "journal_amount")},
    )


def _settle(connection: Connection, case: Case, now_us: int) -> None:
    assert case.transaction is not None  # noqa: S101 (looked at by the caller)
    row = standing.of(connection, [case.transaction]).get(case.transaction)
    if row is None or not row.final:
        return
    if case.kind == Kind.DOUBLE_CHARGE:
        _settle_double(connection, case, row, now_us)
    elif case.kind in (Kind.ESCALATED, Kind.UNDELIVERED):
        settle(connection, case.number, row.outcome, nothing_left(row), now_us=now_us, how=row.how)


def nothing_left(row: Standing) -> Reason | None:
    """Why nobody has to do anything about a payment whose outcome is known; None when somebody has to."""
    if row.outcome == "reversed":
        return Reason.REVERSED
    if row.charged == "no":
        return Reason.NOT_CHARGED
    return Reason.SETTLED if row.charged == "yes" and row.delivered == "yes" else None


def _settle_double(connection: Connection, case: Case, row: Standing, now_us: int) -> None:
    other = standing.of(connection, [case.related]).get(case.related) if case.related else None
    if other is None or not other.final:
        return
    charged = [each for each in (row, other) if each.charged == "yes"]
    reason = Reason.PAID_ONCE if len(charged) == 1 else Reason.NOT_CHARGED if not charged else None
    settle(connection, case.number, "charged_twice" if reason is None else reason.value, reason, now_us=now_us)
