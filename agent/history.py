"""Reads the journal for people: transactions by filter, one transaction with all its events. Never writes."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from agent.errors import NothingFoundError, UsageError
from agent.events import TransactionData
from agent.frozen import from_plain
from agent.journal import connect_read_only
from agent.payments import Book, Payment
from drivers.detection import AUTO
from drivers.observations import Outcome

_UNITS = {"m": 60, "h": 3600, "d": 86400}
_LARGEST = 2**63 - 1  # what SQLite can hold
_LATEST = 500
_ONE_PAYMENT_NS = 600 * 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which transactions; None means any. Times are wall-clock nanoseconds, amount is minor units."""

    since_ns: int | None = None
    until_ns: int | None = None
    amount: int | None = None
    last4: str | None = None
    trace: str | None = None
    outcome: Outcome | None = None
    pending: bool = False
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Told:
    """One event of a transaction: its type, its time, its data as published."""

    sequence: int
    type: str
    time: str
    data: dict[str, Any]


class History:
    """A journal, read only. Raises JournalError when it can't be read."""

    def __init__(self, path: Path) -> None:
        self._db: sqlite3.Connection = connect_read_only(path)

    def __enter__(self) -> History:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def transactions(self, wanted: Filter) -> Iterator[TransactionData]:
        """Newest first."""
        conditions: list[str] = []
        values: list[object] = []
        trace = None if wanted.trace is None else _plain(wanted.trace)
        for condition, value in (
            ("started_ns >= ?", wanted.since_ns),
            ("started_ns < ?", wanted.until_ns),
            ("amount = ?", wanted.amount),
            ("last4 = ?", None if wanted.last4 is None else _plain(wanted.last4)),
            ("ltrim(trace, '0') = ltrim(?, '0')", trace),  # people leave out its leading zeros
            ("outcome = ?", None if wanted.outcome is None else str(wanted.outcome)),
            ("pending = ?", 1 if wanted.pending else None),
        ):
            if value is not None:
                conditions.append(condition)
                values.append(value)
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        query = f"SELECT data FROM transactions {where} ORDER BY started_ns DESC LIMIT ?"  # noqa: S608 (fixed parts)
        for (data,) in self._db.execute(query, [*values, wanted.limit]):
            yield from_plain(TransactionData, json.loads(data))

    def transaction(self, wanted: str) -> TransactionData:
        """The transaction of that id, or of the only one that begins like it; in doubt, with all questions so far."""
        rows = self._db.execute(
            "SELECT data FROM transactions WHERE id >= ?1 AND id < ?1 || '~' LIMIT 2", (_plain(wanted).upper(),)
        ).fetchall()
        if len(rows) != 1:
            raise NothingFoundError("history.ambiguous" if rows else "history.not_found", id=wanted)
        data = from_plain(TransactionData, json.loads(rows[0][0]))
        payment = self.payment(data.transaction)
        if payment is None or not payment.in_doubt:
            return data
        # Why people were called is in the event; why nobody knows stays with the payment.
        return replace(data, attempts=payment.attempts, asked=payment.asked_data, reason=payment.reason)

    def recorded_twice(self, terminal: str) -> tuple[str, str] | None:
        """Of the last transactions, one of this terminal that another terminal recorded too: the other one, the trace.

        The same amount and trace number within a few minutes are one payment, heard in two places.
        """
        row = self._db.execute(
            """
            WITH latest AS (SELECT terminal, amount, ltrim(trace, '0') AS number, started_ns FROM transactions
                            ORDER BY started_ns DESC LIMIT ?2)
            SELECT other.terminal, one.number FROM latest AS one JOIN latest AS other
            ON other.amount = one.amount AND other.number = one.number AND other.terminal <> one.terminal
            AND abs(other.started_ns - one.started_ns) < ?3
            WHERE one.terminal = ?1 AND one.number <> '' ORDER BY one.started_ns DESC LIMIT 1
            """,
            (terminal, _LATEST, _ONE_PAYMENT_NS),
        ).fetchone()
        return (row[0], row[1]) if row else None

    def protocol(self, terminal: str, configured: str) -> str:
        """The protocol of a terminal: as configured, or as it was heard where that is "auto"."""
        row = self._db.execute("SELECT state FROM books WHERE terminal = ?", (terminal,)).fetchone()
        heard = json.loads(row[0]).get("heard") if row else None
        return heard if configured == AUTO and heard else configured

    def payment(self, transaction: str) -> Payment | None:
        """The payment as its terminal's book has it now, with how often it was asked about; None when it has left it.

        Books hold what events tell only later: every question, and when the next one is due.
        """
        for (state,) in self._db.execute("SELECT state FROM books"):
            book = from_plain(Book, json.loads(state))
            for payment in (*book.pending, *([book.current] if book.current else [])):
                if payment.id == transaction:
                    return payment
        return None

    def events(self, transaction: str) -> list[Told]:
        """Everything told about a transaction, oldest first."""
        rows = self._db.execute(
            "SELECT sequence, type, body FROM events WHERE subject = ? ORDER BY sequence", (transaction,)
        )
        bodies = [(sequence, kind, json.loads(body)) for sequence, kind, body in rows]
        return [Told(sequence, kind, body["time"], body["data"]) for sequence, kind, body in bodies]


def parse_moment(text: str, now_s: float | None = None) -> int:
    """A time as people write it, in wall-clock nanoseconds: `today`, `yesterday`, `90m`, `2h`, `7d`, ISO 8601.

    Times that the journal's numbers don't reach are its first or last. Raises UsageError when it is none of these.
    """
    now = datetime.fromtimestamp(time.time() if now_s is None else now_s).astimezone()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if text == "today":
        moment = midnight
    elif text == "yesterday":
        moment = midnight - timedelta(days=1)
    else:
        try:
            ago = re.fullmatch(r"(\d{1,6})([mhd])", text)
            since = timedelta(seconds=int(ago[1]) * _UNITS[ago[2]]) if ago else None
            moment = datetime.fromisoformat(text).astimezone() if since is None else now - since
        except (ValueError, OverflowError):
            raise UsageError("history.bad_moment", text=text) from None
    return max(-_LARGEST, min(int(moment.timestamp() * 1_000_000_000), _LARGEST))


def parse_amount(text: str) -> int:
    """An amount as people write it (`35.50`, `35`), in minor units of two decimals. Raises UsageError."""
    found = re.fullmatch(r"(\d{1,12})(?:[.,](\d{1,2}))?", text.strip())
    if found is None:
        raise UsageError("history.bad_amount", text=text)
    return int(found[1]) * 100 + int((found[2] or "0").ljust(2, "0"))


def _plain(text: str) -> str:
    """As SQLite takes it: bytes that are no UTF-8 can stand in an argument, and in no journal."""
    return text.encode("utf-8", "replace").decode()
