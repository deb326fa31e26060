"""Entries on the way through a run: in a temporary SQLite file, so that sorting millions of them needs no memory.

The file is private to the process, holds masked cards only, and is gone when the run ends. Nothing here decides
anything: it gives out entries in the order that linking, judging and looking around ask for.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

from collector.ledger.entries import Entry, EntryKind, Side, State
from collector.reconcile import linking
from collector.reconcile.groups import Groups, Key
from collector.reconcile.linking import Item

_FIELDS = Entry.__slots__
_CACHE_KIB = 8 * 1024
_BATCH = 2000
_TERMINAL = "ltrim(terminal_id, '0')"
_BACK = "(kind <> 'purchase')"
#: what makes two entries meet, key by key; NULL: the entry has no such key. The weak key first looks at one terminal
#: at a time, then at what states no terminal.
_PASSES = (
    (Key.REFERENCE, f"{_BACK} || ltrim(reference, '0')"),
    (Key.TRACE, f"{_BACK} || {_TERMINAL} || '/' || ltrim(trace, '0')"),
    (Key.CHANNEL_ORDER, f"{_BACK} || channel_order"),
    (Key.ORDER, f'{_BACK} || "order"'),
    (Key.WEAK, f"{_BACK} || '/' || amount || '/' || {_TERMINAL}"),
    (Key.WEAK, f"{_BACK} || '/' || amount"),
)
_ITEM = (
    f"number, amount, {_BACK}, time_us, {_TERMINAL}, ltrim(merchant_id, '0'), ltrim(batch, '0'),"
    " CASE WHEN substr(card, -4) GLOB '[0-9][0-9][0-9][0-9]' THEN substr(card, -4) END"
)


class Staging:
    """Use as a context manager. Add all entries first, then `link`, then read groups."""

    def __init__(self) -> None:
        self.groups = Groups()
        self._folder = TemporaryDirectory(prefix="tillwatch-reconcile-")
        self._db = sqlite3.connect(Path(self._folder.name) / "staging.sqlite", isolation_level=None)
        columns = ", ".join(f'"{name}"' for name in _FIELDS)
        self._db.executescript(
            f"""PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = FILE;
            PRAGMA cache_size = -{_CACHE_KIB}; PRAGMA locking_mode = EXCLUSIVE;
            CREATE TABLE entry (number INTEGER PRIMARY KEY, own INTEGER, {columns});
            CREATE TABLE todo (number INTEGER PRIMARY KEY);
            CREATE TABLE odd (number INTEGER PRIMARY KEY, root INTEGER);
            BEGIN"""
        )
        self._insert = f"INSERT INTO entry VALUES ({', '.join('?' * (len(_FIELDS) + 2))})"  # noqa: S608 (fixed parts)
        self._waiting: list[tuple[Any, ...]] = []
        self._indexed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._db.close()
        self._folder.cleanup()

    def add(self, entry: Entry, *, own: bool, known: bool = False) -> None:
        """One more entry. `own`: of the day that is reconciled; `known`: a difference about it is on record."""
        number = self.groups.add(entry, own=own, known=known)
        self._waiting.append((number, own, *[getattr(entry, name) for name in _FIELDS]))
        if len(self._waiting) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        self._db.executemany(self._insert, self._waiting)
        self._waiting.clear()

    def link(self, wanted: int, step: Callable[[Key], None] = lambda _key: None) -> None:
        """Bring together what belongs together. `wanted`: the sides that are held against each other."""
        self._flush()
        for key, expression in _PASSES:
            step(key)
            self._leave_only_incomplete(wanted)
            for bucket in self._buckets(key, expression):
                if key is Key.WEAK:
                    linking.weak(bucket, self.groups, wanted)
                elif key is Key.ORDER:
                    linking.same_order(bucket, self.groups)
                else:
                    linking.same_number(bucket, self.groups, key)

    def _leave_only_incomplete(self, wanted: int) -> None:
        groups = self.groups
        rows = ((number,) for number in range(len(groups)) if groups.sides(number) & wanted != wanted)
        self._db.execute("DELETE FROM todo")
        self._db.executemany("INSERT INTO todo VALUES (?)", rows)

    def _buckets(self, key: Key, expression: str) -> Iterator[list[Item]]:
        timed = "AND time_us IS NOT NULL" if key is Key.WEAK else ""
        query = (
            f"SELECT {expression} AS k, {_ITEM} FROM todo JOIN entry USING (number)"  # noqa: S608 (fixed parts)
            f" WHERE k IS NOT NULL {timed} ORDER BY k, time_us, number"
        )
        for _, rows in groupby(self._db.execute(query), key=itemgetter(0)):
            items = (Item(*row[1:]) for row in rows)
            # A fee may come a hundred thousand times a day: only what is near in time is held at once.
            for bucket in linking.clusters(items) if key is Key.WEAK else (list(items),):
                if len(bucket) > 1:
                    yield bucket

    def sides(self, root: int) -> int:
        """The sides in a group, as bits."""
        return self.groups.sides(root)

    def undoing(self) -> Iterator[Entry]:
        """Voids and reversals, and what the HIS gave back."""
        query = (
            f"SELECT {_columns('entry')} FROM entry WHERE kind IN ('void', 'reversal')"  # noqa: S608 (fixed parts)
            " OR kind = 'refund' AND side = 'his' ORDER BY number"
        )
        for row in self._db.execute(query).fetchall():
            yield _entry(row)

    def keep_odd(self, is_odd: Callable[[int], bool]) -> int:
        """Choose groups to look at, by their root; how many entries they hold."""
        groups = self.groups
        chosen = bytearray(len(groups))
        for number in range(len(groups)):
            if groups.root(number) == number:
                chosen[number] = is_odd(number)
        rows = ((number, groups.root(number)) for number in range(len(groups)) if chosen[groups.root(number)])
        self._db.executemany("INSERT INTO odd VALUES (?, ?)", rows)
        return int(self._db.execute("SELECT count(*) FROM odd").fetchone()[0])

    def odd_groups(self) -> Iterator[tuple[int, list[Entry]]]:
        """The chosen groups: root, and entries in the order they were added."""
        query = f"SELECT root, {_columns('entry')} FROM odd JOIN entry USING (number) ORDER BY root, number"  # noqa: S608
        for root, rows in groupby(self._db.execute(query), key=itemgetter(0)):
            yield root, [_entry(row[1:]) for row in rows]

    def around(self, entry: Entry, before_us: int, after_us: int) -> list[tuple[int, Entry]]:
        """Payments of the same amount at the same terminal (or at an unknown one) near that time: (root, entry)."""
        if entry.time_us is None:
            return []
        since, until = entry.time_us - before_us, entry.time_us + after_us
        return self._find(
            "kind = 'purchase' AND amount = ? AND time_us BETWEEN ? AND ?"
            f" AND (terminal_id IS NULL OR ? IS NULL OR {_TERMINAL} = ltrim(?, '0'))",
            (entry.amount, since, until, entry.terminal_id, entry.terminal_id),
        )

    def with_order(self, order: str) -> list[tuple[int, Entry]]:
        """Payments with that order number: (root, entry)."""
        return self._find("kind = 'purchase' AND \"order\" = ?", (order,))

    def with_number(self, number: str) -> list[tuple[int, Entry]]:
        """Payments whose reference, channel's order or own key is that number: (root, entry)."""
        found: dict[int, tuple[int, Entry]] = {}
        for column in ("reference", "channel_order", "key"):
            for root, entry in self._find(f"kind = 'purchase' AND {column} = ?", (number,)):
                found[id(entry)] = (root, entry)
        return list(found.values())

    def _find(self, condition: str, values: tuple[Any, ...]) -> list[tuple[int, Entry]]:
        if not self._indexed:
            for name, columns in (
                ("amount", "amount, time_us"),
                ("order", '"order"'),
                ("reference", "reference"),
                ("channel", "channel_order"),
                ("key", "key"),
            ):
                self._db.execute(f'CREATE INDEX "by_{name}" ON entry ({columns})')
            self._indexed = True
        query = f"SELECT number, {_columns('entry')} FROM entry WHERE {condition} ORDER BY number LIMIT 500"  # noqa: S608
        return [(self.groups.root(row[0]), _entry(row[1:])) for row in self._db.execute(query, values)]


def _columns(table: str) -> str:
    return ", ".join(f'{table}."{name}"' for name in _FIELDS)


def _entry(row: tuple[Any, ...]) -> Entry:
    values = dict(zip(_FIELDS, row, strict=True))
    values["side"], values["kind"] = Side(values["side"]), EntryKind(values["kind"])
    values["state"] = State(values["state"])
    return Entry(**values)
