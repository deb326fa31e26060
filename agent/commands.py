"""Commands that may come over MQTT: a closed list, each with an id and an expiry. None of them moves money."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

ALLOWED = frozenset({"confirm", "diag", "bundle", "log-level", "resend"})
#: those that take long, and run as processes of their own (agent/jobs.py)
JOBS = frozenset({"diag", "bundle"})
MAX_BYTES = 4096
_LATEST_S = 1e11  # seconds since 1970: behind the year 5000 nothing expires


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
    identity, expires = _word(body.get("id")), _moment(body.get("expires"))
    if identity is None or not 1 <= len(identity) <= 128 or expires is None:
        return None
    sequence = body.get("from")
    return Command(
        name,
        identity,
        expires <= now,
        sequence if type(sequence) is int and sequence > 0 else None,
        _word(body.get("level")),
        _word(body.get("transaction")),
        _word(body.get("terminal")),
    )


def _word(value: object) -> str | None:
    """A text of one line that every place takes: a database, a process's argument, a log."""
    return value if isinstance(value, str) and value.isprintable() else None


def _moment(value: object) -> float | None:
    """Seconds since 1970, or an RFC 3339 time. What never ends is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if abs(value) < _LATEST_S else None  # false for NaN, too
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value).timestamp()
        except (ValueError, OverflowError):
            return None
    return None
