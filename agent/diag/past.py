"""What the journal remembers of one terminal of late: payments, their ends, losses of its line. Only read."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from agent.errors import JournalError
from agent.journal import FILE_NAME, connect_read_only

#: payments that are looked at, and how far back
MOST = 50
DAYS = 7
#: losses of the line that still say something about today
HOURS = 24
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """What a diagnosis wants of a transaction; times as published, None where nobody knows."""

    outcome: str
    delivered: str
    charged: str
    reason: str | None
    code: str | None
    started_at: str
    ended_at: str | None
    terminal_time: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """The line was lost, at that wall-clock second; `away_s` None: it did not come back yet."""

    at_s: float
    reason: str | None
    away_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """The newest payments first; losses of the line, oldest first."""

    heard: str | None
    payments: tuple[Payment, ...]
    losses: tuple[Loss, ...]
    sequence: int
    acknowledged: int
    stored: int | None


def past_of(state_dir: Path, terminal: str, now_ns: int) -> Past | None:
    """What is remembered; None when there is no journal, or it can't be read."""
    try:
        db = connect_read_only(state_dir / FILE_NAME)
    except JournalError:
        return None
    try:
        with closing(db):
            return _read(db, terminal, now_ns)
    except (sqlite3.Error, ValueError, KeyError, TypeError):
        return None


def _read(db: sqlite3.Connection, terminal: str, now_ns: int) -> Past:
    since = now_ns - DAYS * 86_400 * _NS
    rows = db.execute(
        "SELECT data FROM transactions WHERE terminal = ? AND started_ns >= ? ORDER BY started_ns DESC LIMIT ?",
        (terminal, since, MOST),
    )
    payments = tuple(_payment(json.loads(data)) for (data,) in rows)
    about = db.execute(
        "SELECT type, body FROM events WHERE wall_ns >= ? AND type LIKE 'terminal.%' ORDER BY sequence",
        (now_ns - HOURS * 3600 * _NS,),
    )
    events = [(kind, body) for kind, text in about if (body := json.loads(text))["data"].get("terminal") == terminal]
    book = db.execute("SELECT state FROM books WHERE terminal = ?", (terminal,)).fetchone()
    outbox = db.execute("SELECT acknowledged, stored FROM outbox").fetchone()
    return Past(
        heard=json.loads(book[0]).get("heard") if book else None,
        payments=payments,
        losses=tuple(_losses(events)),
        sequence=db.execute("SELECT coalesce(max(sequence), 0) FROM events").fetchone()[0],
        acknowledged=outbox[0],
        stored=outbox[1],
    )


def _payment(data: dict[str, Any]) -> Payment:
    return Payment(
        outcome=data["outcome"],
        delivered=data["delivered"],
        charged=data["charged"],
        reason=data.get("reason"),
        code=data.get("response_code"),
        started_at=data["started_at"],
        ended_at=data.get("ended_at"),
        terminal_time=data.get("terminal_time"),
    )


def _losses(events: list[tuple[str, dict[str, Any]]]) -> list[Loss]:
    found: list[Loss] = []
    for kind, body in events:
        at = datetime.fromisoformat(body["time"]).timestamp()
        if kind == "terminal.disconnected":
            found.append(Loss(at_s=at, reason=body["data"].get("reason"), away_s=None))
        elif kind == "terminal.connected" and found and found[-1].away_s is None:
            found[-1] = Loss(at_s=found[-1].at_s, reason=found[-1].reason, away_s=max(0.0, at - found[-1].at_s))
    return found
