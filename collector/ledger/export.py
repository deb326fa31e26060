"""The ledger's payments and events as plain rows, oldest first, however many: for files (cli/export.py)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from collector.ledger import moment, tables
from collector.ledger.views_payments import in_doubt, outcome_by_file

_AT_A_TIME = 2_000

#: what → (table, the column of time, the columns in their order)
_TRANSACTIONS = (
    "id", "site", "agent", "terminal", "kind", "amount", "currency", "outcome", "charged", "delivered", "final",
    "pending", "escalated", "reason", "how", "attempts", "response_code", "trace", "batch", "reference",
    "approval_code", "terminal_id", "merchant_id", "card_masked", "scheme", "order_no", "channel_order", "started_us",
    "ended_us", "terminal_time", "pending_us", "escalated_us", "settled_us", "warning", "related", "reconciled_as",
    "proved_as",
)  # fmt: skip
_EVENTS = ("agent", "epoch", "sequence", "time_us", "received_us", "site", "terminal", "type", "subject", "body")
WHAT = {
    "transactions": (tables.transactions, "started_us", _TRANSACTIONS),
    "events": (tables.events, "time_us", _EVENTS),
}
#: as pages and API tell it: what a file of the acquirer proved is in doubt no more
_JUDGED: dict[str, ColumnElement[Any]] = {
    "pending": in_doubt().label("pending"),
    "proved_as": outcome_by_file.label("proved_as"),
}


def columns(what: str) -> list[str]:
    """The names of a row's values; those of times end in `_at`: RFC 3339 texts in UTC."""
    return [f"{name.removesuffix('_us')}_at" if name.endswith("_us") else name for name in WHAT[what][2]]


def rows(connection: Connection, what: str, since_us: int, until_us: int) -> Iterator[dict[str, Any]]:
    """The rows from `since_us` up to, without, `until_us`. They are never all in memory."""
    table, by, names = WHAT[what]
    statement = (
        select(*(_JUDGED[name] if name in _JUDGED else table.c[name] for name in names))
        .where(table.c[by] >= since_us, table.c[by] < until_us)
        .order_by(table.c[by], *table.primary_key)
    )
    streamed = connection.execution_options(stream_results=True, yield_per=_AT_A_TIME).execute(statement)
    out = columns(what)
    times = [name.endswith("_us") for name in names]
    for row in streamed:
        yield {
            name: moment(value).isoformat(timespec="milliseconds") if is_time and value is not None else value
            for name, is_time, value in zip(out, times, row, strict=True)
        }
