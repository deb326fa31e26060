"""The screen's connection to the bridge: records in order, and again from where it was when the bridge was replaced."""

from __future__ import annotations

import select
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

from agent.errors import UnreachableError
from agent.tap import Gap, Record, Tap, Told

#: records that wait to be shown; more than these stay with the bridge until there is room
MOST_WAITING = 20_000


class Feed:
    """A tap that comes back. `waiting` holds what is to be shown: records, gaps, and None where the bridge ended."""

    def __init__(self, run_dir: Path, waiting: int = MOST_WAITING) -> None:
        """Connect. Raises UnreachableError when no bridge answers."""
        self._run_dir = run_dir
        self._most = waiting
        self.waiting: deque[Record | Gap | None] = deque()
        self.status: dict[str, Any] = {}
        self._next: int | None = None
        self._ring = ""
        self._tap: Tap | None = None
        self._connect()

    @property
    def connected(self) -> bool:
        """Whether a bridge answers."""
        return self._tap is not None

    def poll(self) -> None:
        """Take what is there, without waiting; connect again when the bridge has ended."""
        try:
            if self._tap is None:
                self._connect()
            while self._tap is not None and len(self.waiting) < self._most and self._readable(self._tap):
                for message in self._tap.receive():
                    self._take(message)
        except UnreachableError:
            if self._tap is not None:
                self._tap.close()
                self._tap = None
                self.status = {}  # how the lines are now, nobody says
                self.waiting.append(None)

    def ask(self) -> None:
        """Ask how the lines are; the answer comes into `status`."""
        with suppress(UnreachableError):  # `poll` notices it too
            if self._tap is not None:
                self._tap.request("status")

    def close(self) -> None:
        """Leave."""
        if self._tap is not None:
            self._tap.close()

    def _take(self, message: Record | Gap | Told) -> None:
        if isinstance(message, Told):
            self.status = message.body.get("status", self.status)
            return
        self._next = message.end if isinstance(message, Gap) else message.next_offset
        self.waiting.append(message)

    def _connect(self) -> None:
        tap = Tap.connect(self._run_dir)
        goes_on = self._next is not None and tap.hello.ring == self._ring
        self._ring = tap.hello.ring
        tap.request("tap", **{"from": self._next if goes_on else tap.hello.oldest})
        tap.request("status")
        self._tap = tap

    @staticmethod
    def _readable(tap: Tap) -> bool:
        return bool(select.select([tap.fileno()], [], [], 0)[0])
