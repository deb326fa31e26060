"""A lease: for a moment the agent alone speaks with the terminal, and hears it alone.

The cashier application's bytes wait meanwhile, in order. When it speaks, the agent is told, and has `hold_ms` to end;
then the bridge ends the lease itself: it sends the protocol's own abort, where the agent gave one, lets the terminal
finish for `drain_ms`, and passes on what waited. The same happens when the agent dies or the lease grows too old.
What the terminal says to the abort is answered with `reply` (its acknowledgement in that protocol), so that it does
not wait for one that nobody would send, and refuse the application meanwhile.
When the terminal speaks before it was asked anything, its bytes are the cashier application's, and the lease ends.
"""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from agent.bridge.line import Line
    from agent.bridge.loop import Loop

LONGEST_HOLD_MS = 2000
LONGEST_MS = 60_000
LONGEST_WAIT_MS = 60_000
REPLIES = 4  # to an abort; what says more than that is no end of a command
REPLY_AFTER_S = 0.02  # the terminal has said all that it says at once


class Terms:
    """What a client asks for, read and bounded before anything happens: a bad request must not leave a line leased."""

    __slots__ = ("abort", "drain_s", "hold_s", "line", "max_s", "quiet_s", "reply", "wait_s")

    def __init__(self, asked: dict[str, Any]) -> None:
        """Raises KeyError, ValueError, TypeError or OverflowError."""
        self.line = str(asked["line"])
        self.quiet_s = int(asked["quiet_ms"]) / 1000
        self.wait_s = min(int(asked["wait_ms"]), LONGEST_WAIT_MS) / 1000
        self.max_s = min(int(asked["max_ms"]), LONGEST_MS) / 1000
        self.hold_s = min(int(asked["hold_ms"]), LONGEST_HOLD_MS) / 1000
        self.drain_s = min(int(asked["drain_ms"]), LONGEST_HOLD_MS) / 1000
        self.abort = bytes.fromhex(asked.get("abort") or "")
        self.reply = bytes.fromhex(asked.get("reply") or "")


class Lease:
    """One lease of one line, from its grant to its end."""

    __slots__ = (
        "_line",
        "_loop",
        "_notify",
        "_replies",
        "_reply_due",
        "_state",
        "_terms",
        "_waiting_since",
        "_written",
        "id",
    )

    def __init__(
        self, loop: Loop, line: Line, number: int, terms: Terms, notify: Callable[[dict[str, Any]], None]
    ) -> None:
        self.id = number
        self._loop = loop
        self._line = line
        self._notify = notify
        self._terms = terms
        self._state = "active"
        self._written = False
        self._replies = 0
        self._reply_due = False
        self._waiting_since: float | None = None  # when the cashier application spoke
        line.lease = self
        line.tell_lease({"lease": "granted", "id": number})
        loop.later(terms.max_s, lambda: self.end("expired"))

    @property
    def active(self) -> bool:
        """Whether its owner may still write."""
        return self._state == "active"

    def write(self, data: bytes) -> None:
        """Its owner speaks."""
        self._written = True
        self._line.query(data)

    @property
    def asked(self) -> bool:
        """Whether what the terminal says now may be an answer to its owner."""
        return self._written

    def terminal_spoke(self) -> None:
        """It answered: to its owner, or to our abort."""
        if self._state == "draining" and self._terms.reply and not self._reply_due and self._replies < REPLIES:
            self._reply_due = True
            self._replies += 1
            self._loop.later(REPLY_AFTER_S, self._reply)

    def _reply(self) -> None:
        self._reply_due = False
        if self._state == "draining":
            self._line.query(self._terms.reply)

    def cashier_spoke(self) -> None:
        """The application's bytes wait: hurry."""
        if self._waiting_since is None:
            self._waiting_since = time.monotonic()
            self._notify({"lease": "cashier_waiting", "id": self.id})
            self._loop.later(self._terms.hold_s, lambda: self.end("cashier"))

    def release(self) -> None:
        """Its owner has done what it wanted."""
        if self._state == "active":
            self._finish("released")

    def end(self, reason: str) -> None:
        """End it from this side, once. What the terminal still answers to the agent stays with the agent."""
        if reason == "link_down":  # also while draining: what waited must not reach a device that came back meanwhile
            self._finish(reason)
        elif self._state != "active":
            return
        elif not self._written:  # the terminal was asked nothing: there is nothing to abort or to wait for
            self._finish(reason)
        else:
            self._state = "draining"
            if self._terms.abort:
                self._line.query(self._terms.abort)
            self._loop.later(self._terms.drain_s, lambda: self._finish(reason))

    def _finish(self, reason: str) -> None:
        if self._state == "ended":
            return
        self._state = "ended"
        held = 0.0 if self._waiting_since is None else (time.monotonic() - self._waiting_since) * 1000
        ended = {"lease": "ended", "id": self.id, "reason": reason, "held_ms": round(held, 1)}
        self._line.tell_lease(ended)
        self._notify(ended)
        self._line.lease_ended()
