"""From events to rows: what each event says about transactions, receipts, settlements, terminals and agents.

Pure. An event whose data does not have the documented form (docs/events.md) yields no row; it is kept as received
and can be projected by a version that knows it. Values are read leniently: an outcome that this version has no word
for is kept under its name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from collector.ledger.incoming import Event

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_LARGEST = 1 << 63

Row = dict[str, Any]


class UnreadableError(Exception):
    """The data has not the form it should have."""


@dataclass(slots=True)
class Rows:
    """What a batch of events comes to; at most one row for each transaction, terminal and agent."""

    transactions: dict[str, Row] = field(default_factory=dict)
    receipts: list[Row] = field(default_factory=list)
    settlements: list[Row] = field(default_factory=list)
    terminals: dict[tuple[str, str], Row] = field(default_factory=dict)


def project(event: Event, opened_us: int, rows: Rows) -> bool:
    """Add what the event says; False when this version can't read it. `opened_us`: age of its stream."""
    reader = _READERS.get(event.type)
    if reader is None or event.data is None or not event.time_us:
        return False
    try:
        reader(event, event.data, opened_us, rows)
    except UnreadableError:
        return False
    return True


def microseconds_of(text: object) -> int | None:
    """The time of an RFC 3339 text with offset, None for anything else."""
    if not isinstance(text, str):
        return None
    try:
        return (datetime.fromisoformat(text) - _EPOCH) // _US
    except (ValueError, TypeError, OverflowError):  # TypeError: no offset
        return None


def compact(value: object) -> str:
    """JSON without blanks, as the ledger holds it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# -- transactions -------------------------------------------------------------------------------------------

#: columns of text that may be missing → the field of the data
_PLAIN = {
    "currency": "currency",
    "response_code": "response_code",
    "trace": "trace",
    "batch": "batch",
    "reference": "reference",
    "approval_code": "approval_code",
    "terminal_id": "terminal_id",
    "merchant_id": "merchant_id",
    "order_no": "order",
    "channel_order": "channel_order",
    "reason": "reason",
    "how": "how",
    "terminal_time": "terminal_time",
}
_WORDS = ("terminal", "kind", "outcome", "charged", "delivered")
#: event type → the column that keeps when the first of this type was
_MARKS = {
    "transaction.pending": "pending_us",
    "transaction.escalated": "escalated_us",
    "transaction.confirmed": "settled_us",
}
MARKS = tuple(_MARKS.values())


def _transaction(event: Event, data: Mapping[str, Any], opened_us: int, rows: Rows) -> None:
    identity = _word(data.get("transaction"))
    if event.subject not in (None, identity):
        raise UnreadableError
    warning = (_text(data.get("warning")), _text(data.get("related")))
    before = rows.transactions.get(identity)
    if before is not None and (before["opened_us"], before["last_sequence"]) > (opened_us, event.sequence):
        row = before  # an older event of the same payment, later in the batch
    else:
        row = _transaction_row(event, data, identity, opened_us)
        if before is not None:
            for name in (*MARKS, "warning", "related"):
                row[name] = before[name]
            row["events"] = before["events"]
        rows.transactions[identity] = row
    row["events"] += 1
    mark = _MARKS.get(event.type)
    if mark is not None:
        row[mark] = event.time_us if row[mark] is None else min(row[mark], event.time_us)
    row["escalated"] = row["escalated_us"] is not None and not row["final"]
    if event.type == "transaction.warning":
        row["warning"], row["related"] = warning


def _transaction_row(event: Event, data: Mapping[str, Any], identity: str, opened_us: int) -> Row:
    card = data.get("card")
    masked = _text(card.get("masked")) if isinstance(card, Mapping) else None
    final = data.get("final")
    if not isinstance(final, bool):
        raise UnreadableError
    get = data.get
    row: Row = {name: _text(get(source)) for name, source in _PLAIN.items()}
    for name in _WORDS:
        row[name] = _word(get(name))
    started_us = microseconds_of(get("started_at"))
    row |= {
        "id": identity,
        "site": event.site,
        "agent": event.agent,
        "amount": _number(get("amount")),
        "final": final,
        "pending": row["reason"] is not None and not final,
        "card_masked": masked,
        "last4": masked[-4:] if masked and masked[-4:].isdigit() else None,
        "scheme": _text(card.get("scheme")) if isinstance(card, Mapping) else None,
        "attempts": min(_number(get("attempts")) or 0, (1 << 31) - 1),
        "started_us": event.time_us if started_us is None else started_us,
        "ended_us": microseconds_of(get("ended_at")),
        "updated_us": event.time_us,
        "pending_us": None,
        "escalated_us": None,
        "settled_us": None,
        "warning": None,
        "related": None,
        "opened_us": opened_us,
        "epoch": event.epoch,
        "last_sequence": event.sequence,
        "events": 0,
        "data": data,
    }
    return row


# -- the others ---------------------------------------------------------------------------------------------


def _receipt(event: Event, data: Mapping[str, Any], _opened_us: int, rows: Rows) -> None:
    lines = data.get("text")
    if not isinstance(lines, list) or not isinstance(data.get("complete"), bool):
        raise UnreadableError
    rows.receipts.append(
        _key(event)
        | {
            "terminal": _word(data.get("terminal")),
            "transaction": _text(data.get("transaction")),
            "receipt_kind": _text(data.get("receipt_kind")),
            "complete": data["complete"],
            "text": "\n".join(_line(line) for line in lines),
        }
    )


def _settlement(event: Event, data: Mapping[str, Any], _opened_us: int, rows: Rows) -> None:
    count, amount = _number(data.get("journal_count")), _number(data.get("journal_amount"))
    totals = data.get("totals")
    if not isinstance(totals, list) or count is None or amount is None:
        raise UnreadableError
    rows.settlements.append(
        _key(event)
        | {
            "terminal": _word(data.get("terminal")),
            "transaction": _text(data.get("transaction")),
            "totals": totals,
            "journal_count": count,
            "journal_amount": amount,
            "matches": _flag(data.get("matches")),
            "balanced": _flag(data.get("balanced")),
        }
    )


def _terminal(event: Event, data: Mapping[str, Any], _opened_us: int, rows: Rows) -> None:
    name = _word(data.get("terminal"))
    before = rows.terminals.get((event.agent, name))
    if before is not None and before["told_us"] > event.time_us:
        return
    rows.terminals[event.agent, name] = {
        "agent": event.agent,
        "terminal": name,
        "site": event.site,
        "protocol": _text(data.get("protocol")),
        "device": _text(data.get("device")),
        "link": _text(data.get("link")),
        "reason": _text(data.get("reason")),
        "detail": _text(data.get("detail")),
        "since_us": event.time_us,
        "told_us": event.time_us,
    }


def _agent(_event: Event, data: Mapping[str, Any], _opened_us: int, _rows: Rows) -> None:
    _word(data.get("version"))  # what an agent is like comes with its state; its events are history


def _key(event: Event) -> Row:
    return {
        "agent": event.agent,
        "epoch": event.epoch,
        "sequence": event.sequence,
        "site": event.site,
        "time_us": event.time_us,
    }


def _word(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise UnreadableError
    return value


def _line(value: object) -> str:
    if not isinstance(value, str):
        raise UnreadableError
    return value


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise UnreadableError


def _flag(value: object) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise UnreadableError


def _number(value: object) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not -_LARGEST <= value < _LARGEST:
        raise UnreadableError
    return value


_READERS: dict[str, Callable[[Event, Mapping[str, Any], int, Rows], None]] = {
    **{
        f"transaction.{name}": _transaction
        for name in ("started", "completed", "pending", "confirmed", "undelivered", "escalated", "warning")
    },
    "receipt.captured": _receipt,
    "settlement.completed": _settlement,
    **{f"terminal.{name}": _terminal for name in ("connected", "disconnected", "degraded", "fault")},
    **{f"agent.{name}": _agent for name in ("started", "stopped", "fault")},
}
