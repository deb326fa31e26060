"""Asks terminals about payments in doubt: when, over which line, in which words. What an answer proves is decided
elsewhere: question and answer pass the tap like everything else, and the book reads them there (watch.py, doubts.py).
So a crash at any moment loses no answer that reached this machine, and asks nothing twice that was answered.

A payment gets its time to be asked (tenacity: the first delay, then exponential with full jitter under a cap), which
the journal keeps. When it has come, and no exchange is under way, the line is leased: the bridge grants that only
after `quiet`, and takes the line back the moment the cashier application has waited for half of its patience. Nothing
but the words of a driver's table is ever written (drivers/queries.py).

No thread and no socket of its own: the daemon's loop calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import tenacity

from agent.engine import Engine
from agent.log import Logger
from agent.payments import At, Book, Link, Payment, Scheduled
from agent.schedule import wait_of
from drivers.queries import Asking, Conversation, Policy, Query, QueryLine, Word

#: of the time that the cashier application may be held, so much is kept for the terminal to fall silent
_DRAIN_SHARE = 0.2
#: a lease that was not granted is asked for again after that part of `quiet`, and not sooner than this
_AGAIN_SHARE, _AGAIN_LEAST_S = 0.25, 0.1


class Request(Protocol):
    """Sends a request to the bridge; raises UnreachableError when it has gone."""

    def __call__(self, op: str, **values: Any) -> None:
        """See agent.tap.Tap.request."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """How one terminal is asked. Times in seconds."""

    terminal: str
    asking: Asking
    line: QueryLine
    policy: Policy
    quiet_s: float
    first_delay_s: float
    max_delay_s: float

    @property
    def words(self) -> Mapping[Word, bytes]:
        """All that can be said on this line."""
        return self.asking.words(self.line)

    def schedule(self) -> tenacity.wait.wait_base:
        """The pauses between questions: the first one as configured, then doubling, each anywhere below its cap."""
        later = tenacity.wait_random_exponential(multiplier=self.first_delay_s, max=self.max_delay_s)
        return tenacity.wait_chain(tenacity.wait_fixed(self.first_delay_s), later)

    def lease_terms(self) -> dict[str, Any]:
        """What is asked of the bridge."""
        bound_ms = self.asking.patience_s * 1000 / 2
        drain_ms = bound_ms * _DRAIN_SHARE
        words = self.words
        return {
            "line": self.terminal,
            "quiet_ms": int(self.quiet_s * 1000),
            "wait_ms": 0,
            "max_ms": int(self.asking.longest_s * 1000),
            "hold_ms": int(bound_ms - drain_ms),
            "drain_ms": int(drain_ms),
            "abort": (words.get(Word.ABORT) or words.get(Word.END) or b"").hex(),
            "reply": _acknowledgement(words).hex() if Word.ABORT in words else "",
        }


@dataclass(slots=True)
class _Line:
    """Where asking one terminal stands."""

    asker: Asker
    requested: bool = False
    query: Query | None = None
    lease: int | None = None
    conversation: Conversation | None = None
    not_before_ns: int = 0
    released: bool = False

    @property
    def idle(self) -> bool:
        """Whether nothing is being asked."""
        return not self.requested and self.lease is None


class Confirmer:
    """All terminals of this agent. `engine` gives the engine of the moment: a disk that failed brings a new one."""

    def __init__(self, askers: Iterable[Asker], engine: Callable[[], Engine], log: Logger) -> None:
        self._lines = {asker.terminal: _Line(asker) for asker in askers}
        self._engine = engine
        self._log = log
        self._request: Request | None = None

    def add(self, asker: Asker) -> None:
        """A terminal can be asked from now on: its protocol has been heard."""
        self._lines[asker.terminal] = _Line(asker)

    def connected(self, request: Request) -> None:
        """The bridge is there."""
        self.disconnected()
        self._request = request

    def disconnected(self) -> None:
        """The bridge has gone, and with it every lease."""
        self._request = None
        for line in self._lines.values():
            _forget(line)

    @property
    def idle(self) -> bool:
        """Whether no terminal is being asked."""
        return all(line.idle for line in self._lines.values())

    def poll(self, at: At) -> None:
        """Decide when to ask, and ask what is due. Raises JournalError."""
        for name, line in self._lines.items():
            self._plan(name, line, at)
            due = self._due_ns(line)
            if due is not None and due <= at.mono_ns and line.idle:
                self._ask_for_lease(line)

    def deadline_mono_ns(self) -> int | None:
        """When `poll` has something to do."""
        dues = [self._due_ns(line) for line in self._lines.values() if line.idle]
        return min((due for due in dues if due is not None), default=None)

    def ask_now(self, transaction: str, at: At, anyway: bool = False) -> str:
        """A person wants it to be asked: `asking`, or why not. `anyway`: also where the policy is to watch only."""
        for name, watcher in self._engine().watchers.items():
            if all(payment.id != transaction for payment in watcher.book.unknown):
                continue
            line = self._lines.get(name)
            if line is None:
                return "no_query"
            if line.asker.policy is Policy.WATCH and not anyway:
                return "watch_only"
            if watcher.book.link is Link.DOWN:
                return "link_down"
            self._engine().schedule(name, Scheduled(transaction, at.mono_ns, line.asker.asking.queries), at)
            line.not_before_ns = 0
            return "asking"
        return "not_pending"

    def told(self, body: dict[str, Any], at: At) -> None:
        """A notice of the bridge about a lease."""
        notice = body.get("lease")
        line = self._lines.get(body.get("line", "")) if body.get("line") else self._line_of(body.get("id"))
        if line is None:
            return
        if notice == "granted":
            self._begin(line, body["id"])
        elif notice == "cashier_waiting" and line.conversation is not None:
            self._say(line, line.conversation.interrupt())
        elif notice in ("ended", "denied"):
            self._log.debug("confirm.lease", terminal=line.asker.terminal, **body)
            _forget(line)
            again_s = max(_AGAIN_LEAST_S, line.asker.quiet_s * _AGAIN_SHARE)
            line.not_before_ns = at.mono_ns + int(again_s * 1e9)

    def heard(self, terminal: str, data: bytes) -> None:
        """The terminal answers."""
        line = self._lines.get(terminal)
        if line is not None and line.conversation is not None:
            self._say(line, line.conversation.hear(data))

    # --- the parts ---

    def _book(self, line: _Line) -> Book:
        return self._engine().watchers[line.asker.terminal].book

    def _plan(self, name: str, line: _Line, at: At) -> None:
        """Give each payment in doubt that has none its time to be asked."""
        for payment in self._book(line).unknown:
            if _askable(payment) and payment.doubt and payment.doubt.due_mono_ns is None and line.idle:
                wait_s = wait_of(line.asker.schedule(), payment.attempts + 1)
                due = at.mono_ns + int(wait_s * 1e9)
                self._engine().schedule(name, Scheduled(payment.id, due), at)

    def _due_ns(self, line: _Line) -> int | None:
        """When this terminal is to be asked, if it can be asked at all now."""
        book = self._book(line)
        if self._request is None or book.busy or book.link is Link.DOWN:
            return None
        dues = [p.doubt.due_mono_ns for p in book.unknown if p.doubt and _askable(p)]
        known = [due for due in dues if due is not None]
        return max(min(known), line.not_before_ns) if known else None

    def _ask_for_lease(self, line: _Line) -> None:
        payments = [p for p in self._book(line).unknown if _askable(p)]
        queries = [query for payment in payments if payment.doubt for query in payment.doubt.asks_left if query.proves]
        if self._request is not None and queries:
            line.requested = True
            line.query = queries[0]
            self._request("lease", **line.asker.lease_terms())

    def _begin(self, line: _Line, lease: int) -> None:
        line.requested, line.lease = False, lease
        if line.query is None or self._book(line).busy:
            self._release(line)
            return
        self._log.info("confirm.asking", terminal=line.asker.terminal, query=str(line.query))
        line.conversation = line.asker.asking.converse(line.query, line.asker.line)
        self._say(line, line.conversation.begin())

    def _say(self, line: _Line, words: Iterable[Word]) -> None:
        for word in words:
            if self._request is not None and line.lease is not None:
                self._request("write", id=line.lease, hex=line.asker.words[word].hex())
        if line.conversation is not None and line.conversation.done:
            self._release(line)

    def _release(self, line: _Line) -> None:
        if self._request is not None and not line.released:
            line.released = True
            self._request("release", id=line.lease)

    def _line_of(self, lease: object) -> _Line | None:
        return next((line for line in self._lines.values() if lease is not None and line.lease == lease), None)


def _acknowledgement(words: Mapping[Word, bytes]) -> bytes:
    """What a terminal waits for when it says that a command was ended."""
    return words.get(Word.LINK_ACK, b"") + words.get(Word.ACKNOWLEDGE, b"")


def _askable(payment: Payment) -> bool:
    return payment.doubt is not None and any(query.proves for query in payment.doubt.asks_left)


def _forget(line: _Line) -> None:
    line.requested = line.released = False
    line.query = line.lease = line.conversation = None
