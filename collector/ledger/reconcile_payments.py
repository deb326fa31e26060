"""The journal's payments as entries of the books, and the marks that reconciliation leaves on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, select, update

from collector.ledger.entries import Entry, EntryKind, Side, State
from collector.ledger.tables import transactions

_NAMES = (
    "id", "site", "agent", "terminal", "kind", "amount", "currency", "outcome", "charged", "trace", "batch",
    "reference", "terminal_id", "merchant_id", "card_masked", "order_no", "channel_order", "started_us",
)  # fmt: skip
_KINDS = {
    "purchase": EntryKind.PURCHASE,
    "completion": EntryKind.PURCHASE,
    "other": EntryKind.PURCHASE,  # an answer to a request that nobody saw
    "refund": EntryKind.REFUND,
    "void": EntryKind.VOID,
}
_BACK = ("refund", "void")


@dataclass(frozen=True, slots=True)
class Naming:
    """What a payment is called in the books: its business day, and the number of a terminal that states none."""

    day_of: Callable[[int], str]
    terminal_of: Callable[[str, str], str | None]


_AT_ONCE = 500  # SQLite takes a limited number of values in one statement
_FETCHED = 5000


def payments(
    connection: Connection, since_us: int, until_us: int, naming: Naming, *, only_back: bool = False
) -> Iterator[Entry]:
    """The payments begun in the span; `only_back`: refunds and voids alone."""
    table = transactions
    kinds = _BACK if only_back else tuple(_KINDS)
    span = and_(table.c.started_us >= since_us, table.c.started_us < until_us, table.c.kind.in_(kinds))
    yield from _entries(connection, span, naming)


def payments_by_id(connection: Connection, ids: Sequence[str], naming: Naming) -> Iterator[Entry]:
    """Those payments, wherever in time they are."""
    for start in range(0, len(ids), _AT_ONCE):
        yield from _entries(connection, transactions.c.id.in_(list(ids[start : start + _AT_ONCE])), naming)


def mark_agreed(connection: Connection, since_us: int, until_us: int, at_us: int) -> None:
    """All charged payments of the span count as matched; what is not is marked after this."""
    table = transactions
    connection.execute(
        update(table)
        .where(
            table.c.started_us >= since_us,
            table.c.started_us < until_us,
            table.c.kind.in_(tuple(_KINDS)),
            table.c.charged == "yes",
            table.c.reconciled_as.is_(None) | (table.c.reconciled_as != "matched"),
        )
        .values(reconciled_us=at_us, reconciled_as="matched")
    )


def mark(connection: Connection, categories: Mapping[str, str], at_us: int) -> None:
    """Payment → its category."""
    by_category: dict[str, list[str]] = {}
    for transaction, category in categories.items():
        by_category.setdefault(category, []).append(transaction)
    for category, ids in by_category.items():
        for start in range(0, len(ids), _AT_ONCE):
            wanted = transactions.c.id.in_(ids[start : start + _AT_ONCE])
            connection.execute(update(transactions).where(wanted).values(reconciled_us=at_us, reconciled_as=category))


def _entries(connection: Connection, condition: ColumnElement[bool], naming: Naming) -> Iterator[Entry]:
    query = select(*(transactions.c[name] for name in _NAMES)).where(condition, transactions.c.amount > 0)
    streamed = connection.execution_options(yield_per=_FETCHED)
    for row in streamed.execute(query):
        kind = _KINDS.get(row.kind)
        if kind is None or (row.kind == "other" and row.outcome != "approved"):
            continue
        yield Entry(
            side=Side.JOURNAL,
            key=row.id,
            day=naming.day_of(row.started_us),
            kind=kind,
            state=_state(row.charged, row.outcome),
            amount=row.amount,
            time_us=row.started_us,
            currency=row.currency,
            terminal_id=row.terminal_id or naming.terminal_of(row.agent, row.terminal),
            merchant_id=row.merchant_id,
            reference=_number(row.reference),
            trace=_number(row.trace),
            batch=_number(row.batch),
            channel_order=row.channel_order,
            order=row.order_no,
            card=row.card_masked,
            site=row.site,
            agent=row.agent,
            terminal=row.terminal,
        )


def _state(charged: str, outcome: str) -> State:
    if outcome == "reversed":
        return State.REVERSED
    if outcome == "approved" or charged == "yes":
        return State.CHARGED
    return State.UNKNOWN if charged == "unknown" else State.NOT_CHARGED


def _number(text: str | None) -> str | None:
    return text if text and text.strip("0 ") else None
