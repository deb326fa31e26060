"""How payments stand, for deciding whether somebody has to act."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from collector.ledger.tables import transactions

_NAMES = (
    "id", "site", "agent", "terminal", "amount", "currency", "outcome", "charged", "delivered", "final", "pending",
    "reason", "how", "escalated_us",
)  # fmt: skip
_AT_ONCE = 500  # SQLite takes a limited number of values in one statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A payment's outcome so far; the fields are those of the ledger's table."""

    id: str
    site: str
    agent: str
    terminal: str
    amount: int | None
    currency: str | None
    outcome: str
    charged: str
    delivered: str
    final: bool
    pending: bool
    reason: str | None
    how: str | None
    escalated_us: int | None


def of(connection: Connection, ids: Sequence[str]) -> dict[str, Standing]:
    """Those of these payments that the ledger knows."""
    found: dict[str, Standing] = {}
    for start in range(0, len(ids), _AT_ONCE):
        query = select(*(transactions.c[name] for name in _NAMES))
        for row in connection.execute(query.where(transactions.c.id.in_(list(ids[start : start + _AT_ONCE])))):
            found[row.id] = Standing(**row._mapping)
    return found
