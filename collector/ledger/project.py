"""From events to rows: what each event says about transactions, receipts, settlements, terminals and agents.

Pure. An event whose data does not have the documented form (docs/events.md) yields no row; it is kept as received
and can be projected by a version that knows it. Values are read leniently: an outcome that this version has no word
for is kept under its name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from collector.ledger.incoming import Event

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
LATEST_US = (datetime(9999, 1, 1, tzinfo=UTC) - _EPOCH) // _US
_LARGEST = 1 << 63
_LARGEST_AMOUNT = 10**15  # minor units; sums of a year's fit in 64 bits, and a browser counts exactly up to there
LONGEST_NAME = 128  # of what rows are found by: an index takes no longer ones

Row = dict[str, Any]


class UnreadableError(Exception):
    """The data has not the form it should have."""


@dataclass(slots=True)
class Rows:
    """What a batch of events comes to; at most one row for each transaction and terminal.

    Receipts and settlements are new rows, each of one event. `unreadable`: places in the batch.
    """

    transactions: list[Row] = field(default_factory=list)
    receipts: list[Row] = field(default_factory=list)
    settlements: list[Row] = field(default_factory=list)
    terminals: dict[tuple[str, str], Row] = field(default_factory=dict)
    unreadable: set[int] = field(default_factory=set)


def project(events: Sequence[Event], opened_us: Mapping[tuple[str, str], int]) -> Rows:
    """What the events say. `opened_us`: (agent, epoch) → age of the stream."""
    rows = Rows()
    payments: dict[str, list[tuple[tuple[int, int], int]]] = {}
    for place, event in enumerate(events):
        data = event.data
        if data is None or not event.time_us:
            rows.unreadable.add(place)
        elif event.type in _TRANSACTION_TYPES:
            identity = data.get("transaction")
            if isinstance(identity, str) and 0 < len(identity) <= LONGEST_NAME and event.subject in (None, identity):
                order = (opened_us[event.agent, event.epoch], event.sequence)
                payments.setdefault(identity, []).append((order, place))
            else:
                rows.unreadable.add(place)
        else:
            _other(event, data, place, rows)
    for identity, told in payments.items():
        _payment(events, identity, told, rows)
    return rows


def _other(event: Event, data: Mapping[str, Any], place: int, rows: Rows) -> None:
    reader = _READERS.get(event.type)
    try:
        if reader is None:
            raise UnreadableError
        reader(event, data, rows)
    except UnreadableError:
        rows.unreadable.add(place)


def microseconds_of(text: object) -> int | None:
    """The time of an RFC 3339 text with offset; None for anything else, and before 1970 or after 9998.

    Those are no times of an agent, and no clock of a reader's own zone could show all of them.
    """
    if not isinstance(text, str):
        return None
    try:
        found = (datetime.fromisoformat(text) - _EPOCH) // _US
    except (ValueError, TypeError, OverflowError):  # TypeError: no offset
        return None
    return found if 0 <= found < LATEST_US else None


def compact(value: object) -> str:
    """JSON without blanks, as the ledger holds it."""
    if value == []:
        return "[]"  # the gaps of nearly every stream
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


_TRANSACTION_TYPES = frozenset(
    f"transaction.{name}"
    for name in ("started", "completed", "pending", "confirmed", "undelivered", "escalated", "warning")
)


def _payment(events: Sequence[Event], identity: str, told: list[tuple[tuple[int, int], int]], rows: Rows) -> None:
    """One row of all that a batch tells of one payment: the newest event that can be read says how it stands.

    `told`: (order, place) of each. Only that one is taken apart: the others are superseded before anybody saw them.
    """
    if len(told) > 1:
        told.sort(reverse=True)
    row: Row | None = None
    for (opened_us, _), place in told:
        event = events[place]
        try:
            warning = _warning(event)
            if row is None:
                row = _transaction_row(event, identity, opened_us)
        except UnreadableError:
            rows.unreadable.add(place)
            continue
        row["events"] += 1
        mark = _MARKS.get(event.type)
        if mark is not None:
            row[mark] = event.time_us if row[mark] is None else min(row[mark], event.time_us)
        if warning is not None and row["warning"] is None:
            row["warning"], row["related"] = warning
    if row is not None:
        row["escalated"] = row["escalated_us"] is not None and not row["final"]
        rows.transactions.append(row)


def _warning(event: Event) -> tuple[str | None, str | None] | None:
    """(what of, the other payment), of a warning."""
    if event.type != "transaction.warning" or event.data is None:
        return None
    return _text(event.data.get("warning")), _name(event.data.get("related"))


def _transaction_row(event: Event, identity: str, opened_us: int) -> Row:
    data = event.data or {}
    card = data.get("card")
    masked = _text(card.get("masked")) if isinstance(card, Mapping) else None
    final = data.get("final")
    if not isinstance(final, bool):
        raise UnreadableError
    get = data.get
    row: Row = {name: _text(get(source)) for name, source in _PLAIN.items()}
    for name in _WORDS:
        row[name] = _name(_word(get(name)))
    started_us = microseconds_of(get("started_at"))
    row |= {
        "id": identity,
        "site": event.site,
        "agent": event.agent,
        "amount": _amount(get("amount")),
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


def _receipt(event: Event, data: Mapping[str, Any], rows: Rows) -> None:
    lines = data.get("text")
    if not isinstance(lines, list) or not isinstance(data.get("complete"), bool):
        raise UnreadableError
    rows.receipts.append(
        _key(event)
        | {
            "terminal": _name(_word(data.get("terminal"))),
            "transaction": _name(data.get("transaction")),
            "receipt_kind": _text(data.get("receipt_kind")),
            "complete": data["complete"],
            "text": "\n".join(_line(line) for line in lines),
        }
    )


def _settlement(event: Event, data: Mapping[str, Any], rows: Rows) -> None:
    count, amount = _number(data.get("journal_count")), _amount(data.get("journal_amount"))
    totals = data.get("totals")
    if not isinstance(totals, list) or count is None or amount is None:
        raise UnreadableError
    rows.settlements.append(
        _key(event)
        | {
            "terminal": _name(_word(data.get("terminal"))),
            "transaction": _name(data.get("transaction")),
            "totals": totals,
            "journal_count": count,
            "journal_amount": amount,
            "matches": _flag(data.get("matches")),
            "balanced": _flag(data.get("balanced")),
        }
    )


def _terminal(event: Event, data: Mapping[str, Any], rows: Rows) -> None:
    name = _word(data.get("terminal"))
    _name(name)
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


def _agent(_event: Event, data: Mapping[str, Any], _rows: Rows) -> None:
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


def _name(value: object) -> str | None:
    if isinstance(value, str) and len(value) > LONGEST_NAME:
        raise UnreadableError
    return _text(value)


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


def _amount(value: object) -> int | None:
    number = _number(value)
    if number is not None and abs(number) > _LARGEST_AMOUNT:
        raise UnreadableError
    return number


_READERS: dict[str, Callable[[Event, Mapping[str, Any], Rows], None]] = {
    "receipt.captured": _receipt,
    "settlement.completed": _settlement,
    **{f"terminal.{name}": _terminal for name in ("connected", "disconnected", "degraded", "fault")},
    **{f"agent.{name}": _agent for name in ("started", "stopped", "fault")},
}
