"""Carries changes between the collectors on one PostgreSQL: pages of one hear at once what the other took in.

PostgreSQL's NOTIFY is the carrier, on a connection of its own. It is a hint like everything of the hub: what is lost
while the database is away is seen at the next look.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections import deque
from collections.abc import Iterator
from dataclasses import astuple
from typing import Any

import psycopg

from collector.duty import Duty
from collector.hub import Change, Hub
from collector.ledger import Ledger

_CHANNEL = "tillwatch"
_LARGEST = 7_000  # bytes a NOTIFY may carry: 8000
_MOST = 2_000  # changes that wait; pages look again in any case
_TURN_S = 0.25


class Relay(Duty):
    """Tells the other collectors, and hears them."""

    name = "relay"

    def __init__(self, ledger: Ledger, hub: Hub) -> None:
        super().__init__(0.0)
        self._ledger = ledger
        self._hub = hub
        self._me = uuid.uuid4().hex[:8]
        self._out: deque[Change] = deque(maxlen=_MOST)

    def turn(self) -> None:
        """Carry until the connection ends or the collector does."""
        if self.failures:
            self._stopping.wait(min(30.0, 0.5 * 2**self.failures))
        connection = self._ledger.engine.raw_connection()
        try:
            driver: Any = connection.driver_connection
            connection.detach()  # it is ours now: the pool must never hand it out listening
            driver.autocommit = True
            driver.execute(f"LISTEN {_CHANNEL}")
            with self._hub.listen(self._say):
                while not self.stopping:
                    self._tell(driver)
                    for note in driver.notifies(timeout=_TURN_S):
                        self._hear(note.payload)
                        if self.stopping or self._out:
                            break
        finally:
            connection.close()

    def _say(self, changes: tuple[Change, ...]) -> None:
        if threading.current_thread() is not self._thread:  # else it is what we just heard
            self._out.extend(changes)

    def _tell(self, driver: psycopg.Connection[Any]) -> None:
        for payload in _packed(self._me, self._out):
            driver.execute("SELECT pg_notify(%s, %s)", (_CHANNEL, payload))

    def _hear(self, payload: str) -> None:
        try:
            sender, *rows = json.loads(payload)
            changes = [Change(*row) for row in rows]
        except (ValueError, TypeError):
            return
        if sender == self._me:
            return
        self._hub.publish(changes)


def _packed(sender: str, waiting: deque[Change]) -> Iterator[str]:
    """All that waits, in as few messages as it fits into."""
    rows: list[list[Any]] = []
    size = 0
    while waiting:
        row = list(astuple(waiting.popleft()))
        length = len(json.dumps(row)) + 2
        if rows and size + length > _LARGEST:
            yield json.dumps([sender, *rows])
            rows, size = [], 0
        rows.append(row)
        size += length
    if rows:
        yield json.dumps([sender, *rows])
