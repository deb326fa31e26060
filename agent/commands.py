"""Commands that may come over MQTT: a closed list, each with an id and an expiry. None of them moves money."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

ALLOWED = frozenset({"confirm", "diag", "bundle", "log-level", "resend"})
#: those that take long, and run as processes of their own (agent/jobs.py)
JOBS = frozenset({"diag", "bundle"})
MAX_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Command:
    """A request to the agent. `expired`: it came too late and must not be executed."""

    name: str
    id: str
    expired: bool
    sequence: int | None = None
    level: str | None = None
    transaction: str | None = None
    terminal: str | None = None


def parse_command(name: str, payload: bytes, now: float) -> Command | None:
    """The command, or None when it is not on the list, or no command at all. `now`: wall clock, seconds."""
    if name not in ALLOWED or len(payload) > MAX_BYTES:
        return None
    try:
        body = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    identity, expires = body.get("id"), _moment(body.get("expires"))
    if not isinstance(identity, str) or not 1 <= len(identity) <= 128 or expires is None:
        return None
    sequence, level, transaction = body.get("from"), body.get("level"), body.get("transaction")
    terminal = body.get("terminal")
    return Command(
        name,
        identity,
        expires <= now,
        sequence if type(sequence) is int and sequence > 0 else None,
        level if isinstance(level, str) else None,
        transaction if isinstance(transaction, str) else None,
        terminal if isinstance(terminal, str) else None,
    )


def _moment(value: object) -> float | None:
    """Seconds since 1970, or an RFC 3339 time."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value).timestamp()
        except (ValueError, OverflowError):
            return None
    return None
