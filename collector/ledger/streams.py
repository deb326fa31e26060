"""The streams: of each agent's journal (epoch), which numbers are stored and which are missing. One row each, locked
while a batch of it is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, text, tuple_

from collector.ledger import tables
from collector.ledger.bulk import Merge
from collector.ledger.incoming import Event
from collector.ledger.ranges import Ranges

Key = tuple[str, str]
_COLUMNS = [column.name for column in tables.streams.columns]
_AT_A_TIME = 400  # keys in one SQLite statement


@dataclass(slots=True)
class Stream:
    """One stream while it is locked."""

    agent: str
    epoch: str
    site: str
    opened_us: int
    ranges: Ranges
    gap_since_us: int | None
    progress_us: int
    asked_us: int | None
    asks: int
    changed: bool = False

    @classmethod
    def new(cls, agent: str, epoch: str, site: str, now_us: int) -> Stream:
        """A stream that nothing is known of."""
        return cls(agent, epoch, site, now_us, Ranges(), None, now_us, None, 0)

    def take(self, event: Event, now_us: int) -> bool:
        """Note the event; False when it was there before."""
        if not self.ranges.take(event.sequence):
            return False
        self.site = event.site
        self._progressed(now_us)
        return True

    def expect(self, highest: int, now_us: int) -> None:
        """The agent has sent everything up to this number."""
        if self.ranges.expect(highest):
            self.changed = True
            if self.gap_since_us is None:
                self.gap_since_us = now_us

    def give_up(self) -> None:
        """What is missing will not come."""
        self.ranges.give_up()
        self.changed = True
        self.gap_since_us, self.asked_us, self.asks = None, None, 0

    def _progressed(self, now_us: int) -> None:
        self.changed = True
        self.progress_us, self.asks, self.asked_us = now_us, 0, None
        if not self.ranges.gaps:
            self.gap_since_us = None
        elif self.gap_since_us is None:
            self.gap_since_us = now_us

    def row(self) -> dict[str, Any]:
        """As the table holds it."""
        ranges = self.ranges
        return {
            "agent": self.agent,
            "epoch": self.epoch,
            "site": self.site,
            "opened_us": self.opened_us,
            "contiguous": ranges.contiguous,
            "highest": ranges.highest,
            "gaps": ranges.gaps,
            "lost": ranges.lost,
            "gap_since_us": self.gap_since_us,
            "progress_us": self.progress_us,
            "asked_us": self.asked_us,
            "asks": self.asks,
        }


_INSERT = Merge(tables.streams, _COLUMNS)
_SAVE = Merge(
    tables.streams,
    _COLUMNS,
    lambda _old, new: {name: new[name] for name in _COLUMNS if name not in ("agent", "epoch", "opened_us")},
)


def lock(connection: Connection, wanted: Mapping[Key, Stream]) -> dict[Key, Stream]:
    """The streams as they are now, and nobody changes them before our commit; those that are new are made."""
    found = lock_known(connection, list(wanted))
    missing = {key: stream for key, stream in wanted.items() if key not in found}
    if missing:
        _INSERT(connection, [stream.row() for stream in missing.values()])
        found |= lock_known(connection, list(missing))
    return found


def save(connection: Connection, streams: Iterable[Stream]) -> None:
    """Write back what changed."""
    _SAVE(connection, [stream.row() for stream in streams if stream.changed])


#: One statement whatever the number of keys.
_LOCK = text(
    "SELECT agent, epoch, site, opened_us, contiguous, highest,"
    # nearly all are empty: nothing to take apart then
    " CASE WHEN CAST(gaps AS text) <> '[]' THEN gaps END AS gaps,"
    " CASE WHEN CAST(lost AS text) <> '[]' THEN lost END AS lost,"
    " gap_since_us, progress_us, asked_us, asks FROM streams WHERE (agent, epoch) IN"
    " (SELECT * FROM unnest(CAST(:agents AS text[]), CAST(:epochs AS text[])))"
    " ORDER BY agent, epoch FOR UPDATE"
).columns(*tables.streams.columns)


def lock_known(connection: Connection, keys: list[Key]) -> dict[Key, Stream]:
    """Those of the streams that there are, as they are now; nobody changes them before our commit."""
    if connection.dialect.name == "postgresql":
        given = {"agents": [agent for agent, _ in keys], "epochs": [epoch for _, epoch in keys]}
        return {(row.agent, row.epoch): stream_of(row) for row in connection.execute(_LOCK, given)}
    table = tables.streams
    found: dict[Key, Stream] = {}
    for at in range(0, len(keys), _AT_A_TIME):
        part = select(table).where(tuple_(table.c.agent, table.c.epoch).in_(keys[at : at + _AT_A_TIME]))
        found |= {(row.agent, row.epoch): stream_of(row) for row in connection.execute(part)}
    return found


def stream_of(row: Any) -> Stream:
    """The stream of a row."""
    return Stream(
        row.agent,
        row.epoch,
        row.site,
        row.opened_us,
        Ranges(row.contiguous, row.highest, row.gaps or (), row.lost or ()),
        row.gap_since_us,
        row.progress_us,
        row.asked_us,
        row.asks,
    )
