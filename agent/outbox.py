"""The publisher's view of the journal: which events are to be sent, which the broker or the collector has.

Read and written by the publisher's thread over a connection of its own. Its commits are not flushed one by one
(a lost cursor means a repeated event, recognised by its sequence number), so they cost the agent nothing. For the same
reason publishing goes on when they can't be written: what waits leaves a machine whose disk is full, too.
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from agent.journal import connect


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event to be published: `type` is the end of its topic, `body` its JSON."""

    sequence: int
    type: str
    body: str


class Outbox:
    """The cursor over the journal's events. Use it in one thread."""

    def __init__(self, path: Path) -> None:
        self._db = connect(path, durable=False)
        row = self._db.execute("SELECT acknowledged, stored FROM outbox").fetchone()
        self.acknowledged: int = row[0]
        self.stored: int | None = row[1]
        self._written = (self.acknowledged, self.stored)

    @property
    def resend_from(self) -> int:
        """What must be sent again after a reconnect begins here.

        A collector that has ever said what it stored is believed more than the broker, whose acknowledgement
        proves nothing durable.
        """
        return (self.acknowledged if self.stored is None else min(self.stored, self.acknowledged)) + 1

    def after(self, sequence: int, limit: int) -> list[Waiting]:
        """The next events behind that one, oldest first."""
        rows = self._db.execute(
            "SELECT sequence, type, body FROM events WHERE sequence > ? ORDER BY sequence LIMIT ?", (sequence, limit)
        )
        return [Waiting(*row) for row in rows]

    def acknowledge(self, sequence: int) -> None:
        """The broker has acknowledged everything up to that event."""
        self.acknowledged = max(sequence, self.acknowledged)
        self._write_cursors()

    def store(self, sequence: int) -> None:
        """A collector has durably stored everything up to that event."""
        if self.stored is None or sequence > self.stored:
            self.stored = sequence
            self._write_cursors()

    def command_result(self, command: str) -> str | None:
        """The stored answer to a command that was executed before."""
        row = self._db.execute("SELECT result FROM commands WHERE id = ?", (command,)).fetchone()
        return row[0] if row else None

    def keep_command_result(self, command: str, result: str, wall_ns: int) -> None:
        """Remember the answer, so that a repeated command gets it again; on a full disk it is executed again."""
        with contextlib.suppress(sqlite3.OperationalError):
            self._db.execute("INSERT OR REPLACE INTO commands VALUES (?, ?, ?)", (command, result, wall_ns))

    def _write_cursors(self) -> None:
        """As soon as the disk takes them: called often, and repeated until then."""
        if (now := (self.acknowledged, self.stored)) != self._written:
            with contextlib.suppress(sqlite3.OperationalError):
                self._db.execute("UPDATE outbox SET acknowledged = ?, stored = ?", now)
                self._written = now

    def close(self) -> None:
        """Close the connection."""
        self._db.close()
