"""The journal: what was observed, durable before anybody is told of it.

One SQLite file in WAL mode with synchronous=FULL. One database transaction holds the events that follow from what
the tap delivered, the books' new states, and the tap position consumed. So a crash at any instruction is followed
by reading the same bytes again, or none of them: each event exists once, with one sequence number.

The publisher's cursor lives here too, but is written without a flush of its own (agent/outbox.py): losing it costs
a repetition that every consumer recognises by its sequence number.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.errors import JournalError
from agent.events import Draft, Source, TransactionData, envelope
from agent.frozen import from_plain, to_plain
from agent.payments import Book

FILE_NAME = "journal.sqlite"
SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE events (
    sequence INTEGER PRIMARY KEY, type TEXT NOT NULL, subject TEXT, wall_ns INTEGER NOT NULL, body TEXT NOT NULL);
CREATE INDEX events_by_subject ON events (subject) WHERE subject IS NOT NULL;
CREATE TABLE transactions (
    id TEXT PRIMARY KEY, terminal TEXT NOT NULL, started_ns INTEGER NOT NULL, amount INTEGER, last4 TEXT, trace TEXT,
    outcome TEXT NOT NULL, pending INTEGER NOT NULL, data TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX transactions_by_time ON transactions (started_ns);
CREATE INDEX transactions_pending ON transactions (pending) WHERE pending = 1;
CREATE TABLE books (terminal TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE tap (one INTEGER PRIMARY KEY CHECK (one = 1), position TEXT NOT NULL);
CREATE TABLE outbox (one INTEGER PRIMARY KEY CHECK (one = 1), acknowledged INTEGER NOT NULL, stored INTEGER);
CREATE TABLE commands (id TEXT PRIMARY KEY, result TEXT NOT NULL, wall_ns INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO outbox VALUES (1, 0, NULL);
"""


@dataclass(frozen=True, slots=True)
class TapPosition:
    """How far the tap of one bridge process was read.

    Everything before `consumed` has had its effect. A terminal whose exchange was under way is read again from its
    offset in `resume`, so that its decoder has the beginning; what that yields before `consumed` is left out.
    """

    ring: str
    consumed: int
    resume: tuple[tuple[str, int], ...] = ()

    @property
    def oldest_needed(self) -> int:
        """Where reading has to begin."""
        return min((offset for _, offset in self.resume), default=self.consumed)


class Journal:
    """The one writer of the journal. Raises JournalError when the file can't be used; OS and disk errors too."""

    def __init__(self, folder: Path, site: str, agent: str) -> None:
        self.path = folder / FILE_NAME
        self._lock = _lock(folder)
        try:
            self._db = connect(self.path)
            self._prepare()
            epoch = self._meta("epoch")
            self.sequence = int(self._one("SELECT coalesce(max(sequence), 0) FROM events"))
        except sqlite3.Error as error:
            os.close(self._lock)
            raise JournalError("journal.unusable", path=self.path, detail=error) from error
        except BaseException:
            os.close(self._lock)
            raise
        self.sequence = max(self.sequence, int(self._meta("pruned", "0")))
        self.source = Source(site, agent, epoch)

    def commit(
        self, drafts: Sequence[Draft], books: Mapping[str, Book] | None = None, tap: TapPosition | None = None
    ) -> int:
        """Make all of it durable in one database transaction; returns the last sequence number.

        Raises JournalError when the disk refuses; nothing of it has happened then.
        """
        sequence = self.sequence
        try:
            with self._transaction():
                for draft in drafts:
                    sequence += 1
                    self._insert(draft, sequence)
                for terminal, book in (books or {}).items():
                    state = json.dumps(to_plain(book), ensure_ascii=False, separators=(",", ":"))
                    self._db.execute("INSERT OR REPLACE INTO books VALUES (?, ?)", (terminal, state))
                if tap is not None:
                    self._db.execute("INSERT OR REPLACE INTO tap VALUES (1, ?)", (json.dumps(to_plain(tap)),))
        except sqlite3.Error as error:
            raise JournalError("journal.write_failed", path=self.path, detail=error) from error
        self.sequence = sequence
        return sequence

    def books(self) -> dict[str, Book]:
        """The last durable book of each terminal."""
        with self._reading():
            rows = self._db.execute("SELECT terminal, state FROM books").fetchall()
        return {terminal: from_plain(Book, json.loads(state)) for terminal, state in rows}

    def tap_position(self) -> TapPosition | None:
        """How far the tap was read, None in a new journal."""
        with self._reading():
            row = self._db.execute("SELECT position FROM tap").fetchone()
        return from_plain(TapPosition, json.loads(row[0])) if row else None

    def prune(self, before_wall_ns: int, keep: int = 0) -> int:
        """Forget events older than that which everybody has; returns how many. Unpublished ones always stay.

        The last `keep` events stay whatever their age: a clock that has jumped by years must not empty the journal.
        Raises JournalError when the disk refuses.
        """
        try:
            return self._prune(before_wall_ns, keep)
        except sqlite3.Error as error:
            raise JournalError("journal.write_failed", path=self.path, detail=error) from error

    def close(self) -> None:
        """Close the file; another agent may open it."""
        if self._lock >= 0:
            self._db.close()
            os.close(self._lock)
            self._lock = -1

    def _prune(self, before_wall_ns: int, keep: int) -> int:
        with self._transaction():
            row = self._db.execute("SELECT acknowledged, stored FROM outbox").fetchone()
            published = min(row[0] if row[1] is None else min(row), self.sequence - keep)
            kept = self._db.execute("SELECT min(wall_ns) FROM events WHERE sequence > ?", (published,)).fetchone()[0]
            before = before_wall_ns if kept is None else min(before_wall_ns, kept)
            gone = self._db.execute(
                "DELETE FROM events WHERE sequence <= ? AND wall_ns < ?", (published, before_wall_ns)
            ).rowcount
            self._db.execute("DELETE FROM transactions WHERE started_ns < ? AND pending = 0", (before,))
            self._db.execute("DELETE FROM commands WHERE wall_ns < ?", (before_wall_ns,))  # no command lives so long
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('pruned', ?)", (str(self.sequence),))
            return gone

    def _insert(self, draft: Draft, sequence: int) -> None:
        body = envelope(draft, self.source, sequence)
        row = (sequence, str(draft.type), draft.subject, draft.wall_ns, body)
        self._db.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?)", row)
        if isinstance(draft.data, TransactionData):
            self._upsert(draft.data, draft.wall_ns)

    def _upsert(self, data: TransactionData, wall_ns: int) -> None:
        last4 = data.card.last4 if data.card else None
        self._db.execute(
            "INSERT INTO transactions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET amount="
            "excluded.amount, last4=excluded.last4, trace=excluded.trace, outcome=excluded.outcome,"
            " pending=excluded.pending, data=excluded.data",
            (
                data.transaction,
                data.terminal,
                wall_ns,
                data.amount,
                last4,
                data.trace,
                str(data.outcome),
                data.reason is not None and not data.final,
                json.dumps(to_plain(data), ensure_ascii=False, separators=(",", ":")),
            ),
        )

    def _prepare(self) -> None:
        version = int(self._one("PRAGMA user_version"))
        if version > SCHEMA_VERSION:
            raise JournalError("journal.too_new", path=self.path, version=version, known=SCHEMA_VERSION)
        if version == 0:
            with self._transaction():
                for statement in _SCHEMA.split(";\n"):
                    self._db.execute(statement)
                self._db.execute("INSERT INTO meta VALUES ('epoch', ?)", (uuid.uuid4().hex[:16],))
                self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _meta(self, key: str, default: str | None = None) -> str:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        if row is None and default is None:
            raise JournalError("journal.unusable", path=self.path, detail=f"no {key} in it")
        return str(row[0]) if row else str(default)

    def _one(self, query: str) -> Any:
        return self._db.execute(query).fetchone()[0]

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise JournalError("journal.unusable", path=self.path, detail=error) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise


def connect(path: Path, durable: bool = True) -> sqlite3.Connection:
    """A connection to the journal file. `durable`: each commit is flushed to the disk before it returns."""
    db = sqlite3.connect(path, isolation_level=None, timeout=10, check_same_thread=False)
    os.chmod(path, 0o640)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    db.execute("PRAGMA cache_size = -1024")
    return db


def connect_read_only(path: Path) -> sqlite3.Connection:
    """A connection that can only read, for the command line; works while the agent runs and when it does not."""
    try:
        path.stat()
    except FileNotFoundError:
        raise JournalError("journal.missing", path=path) from None
    except OSError as error:  # a folder that only the agent's group may enter
        raise JournalError("journal.unreadable", path=path, detail=error.strerror) from error
    db = None
    try:
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
        db.execute("SELECT 1 FROM meta").fetchone()
    except sqlite3.Error as error:
        if db is not None:
            db.close()
        raise JournalError("journal.unreadable", path=path, detail=error) from error
    return db


def _lock(folder: Path) -> int:
    """Only one agent writes a journal. The kernel drops the lock with the process, however that ends."""
    path = folder / "journal.lock"
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise JournalError("journal.folder", path=folder, detail=error.strerror) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise JournalError("journal.locked", path=path) from None
    return descriptor
