"""A lease: for a moment the agent alone speaks with the terminal, and hears it alone.

The cashier application's bytes wait meanwhile, in order. When it speaks, the agent is told, and has `hold_ms` to end;
then the bridge ends the lease itself: it sends the protocol's own abort, where the agent gave one, lets the terminal
finish for `drain_ms`, and passes on what waited. The same happens when the agent dies or the lease grows too old.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from agent.bridge.line import Line
    from agent.bridge.loop import Loop

LONGEST_HOLD_MS = 2000
LONGEST_MS = 60_000


class Lease:
    """One lease of one line, from its grant to its end."""

    __slots__ = ("_abort", "_drain_s", "_hold_s", "_line", "_loop", "_notify", "_state", "_told", "id")

    def __init__(
        self, loop: Loop, line: Line, number: int, asked: dict[str, Any], notify: Callable[[dict[str, Any]], None]
    ) -> None:
        """`asked` has max_ms, hold_ms, drain_ms and abort (hex). Raises KeyError, ValueError or TypeError."""
        self.id = number
        self._loop = loop
        self._line = line
        self._notify = notify
        self._hold_s = min(int(asked["hold_ms"]), LONGEST_HOLD_MS) / 1000
        self._drain_s = min(int(asked["drain_ms"]), LONGEST_HOLD_MS) / 1000
        self._abort = bytes.fromhex(asked["abort"])
        self._state = "active"
        self._told = False
        line.lease = self
        line.tell_lease({"lease": "granted", "id": number})
        loop.later(min(int(asked["max_ms"]), LONGEST_MS) / 1000, lambda: self.end("expired"))

    @property
    def active(self) -> bool:
        """Whether its owner may still write."""
        return self._state == "active"

    def write(self, data: bytes) -> None:
        """Its owner speaks."""
        self._line.query(data)

    def cashier_spoke(self) -> None:
        """The application's bytes wait: hurry."""
        if not self._told:
            self._told = True
            self._notify({"lease": "cashier_waiting", "id": self.id})
            self._loop.later(self._hold_s, lambda: self.end("cashier"))

    def release(self) -> None:
        """Its owner has done what it wanted."""
        if self._state == "active":
            self._finish("released")

    def end(self, reason: str) -> None:
        """End it from this side, once."""
        if self._state != "active":
            return
        if reason == "link_down" or not self._abort:
            self._finish(reason)
            return
        self._state = "draining"
        self._line.query(self._abort)
        self._loop.later(self._drain_s, lambda: self._finish(reason))

    def _finish(self, reason: str) -> None:
        if self._state == "ended":
            return
        self._state = "ended"
        self._line.tell_lease({"lease": "ended", "id": self.id, "reason": reason})
        self._notify({"lease": "ended", "id": self.id, "reason": reason})
        self._line.lease_ended()
