"""One terminal's way from tap records to events: decoder and book, and where reading must begin after a restart.

Pure: what happens depends on the records alone, and on the ticks once the records have been caught up with. So the
records of a crash, read again, give the same events.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from agent.book import advance
from agent.bridge import wire
from agent.doubts import next_call_mono_ns
from agent.events import Draft
from agent.payments import At, Book, LinkDown, LinkUp, Missed, PortClosed, PortRefused, Replied, Terms, Tick, Waited
from drivers.driver import Decoder
from drivers.observations import Direction, Observation
from drivers.queries import Finding

SENDER = {wire.CASHIER: Direction.CASHIER, wire.TERMINAL: Direction.TERMINAL}
_ASKING_SENDER = {wire.QUERY: Direction.CASHIER, wire.REPLY: Direction.TERMINAL}

#: so much later than a byte gap the silence behind the last byte is believed: its next byte may be on the way to us
QUIET_MARGIN_NS = 300_000_000

Read = Callable[[Sequence[Observation]], Finding]


@dataclass(frozen=True, slots=True)
class Seen:
    """A tap record as the watcher needs it. `token` names its place on the line, the same on every replay."""

    offset: int
    wall_ns: int
    mono_ns: int
    kind: int
    payload: bytes
    token: str


class Asked:
    """What the agent and the terminal said to each other under one lease."""

    def __init__(self, decoder: Decoder, read: Read) -> None:
        self._decoder = decoder
        self._read = read
        self._seen: list[Observation] = []
        self._asked = False

    def feed(self, seen: Seen) -> None:
        """Bytes of a query, or of a reply to it."""
        self._asked = self._asked or seen.kind == wire.QUERY
        self._seen += self._decoder.feed(_ASKING_SENDER[seen.kind], seen.payload)

    def finding(self) -> Finding | None:
        """What it brought; None when nothing was asked."""
        return self._read(self._seen + self._decoder.finish()) if self._asked else None


class Watcher:
    """Follows one terminal. `read`: what the replies to its driver's queries mean.

    `silence_ends`: a message ends when the line is quiet (Driver.silence_ends), so its end comes by the clock.
    """

    def __init__(
        self,
        terms: Terms,
        new_decoder: Callable[[], Decoder],
        byte_gap_s: float,
        book: Book,
        read: Read | None = None,
        silence_ends: bool = False,
    ) -> None:
        self.terms = terms
        self.book = book
        self._new_decoder = new_decoder
        self._read = read
        self._asked: Asked | None = None
        self._decoder = new_decoder()
        self._byte_gap_ns = int(byte_gap_s * 1e9)
        self._silence_ends = silence_ends
        self._last: dict[Direction, Seen] = {}
        self._busy_since: int | None = None

    @property
    def protocol(self) -> str:
        """As status shows it."""
        return self.terms.protocol

    @property
    def resume(self) -> int | None:
        """The offset from which the decoder must be fed again after a restart; None when it holds nothing."""
        return self._busy_since

    def deadline_mono_ns(self) -> int | None:
        """When `tick` has something to do."""
        dues = [self.book.deadline_mono_ns, next_call_mono_ns(self.book, self.terms)]
        dues += [at + QUIET_MARGIN_NS for at, _ in self._ends()]
        return min((due for due in dues if due is not None), default=None)

    def rebuild(self, seen: Seen) -> None:
        """Feed a record whose effect is already in the book, for the decoder's sake only."""
        self._quiet(seen.mono_ns)
        self._observe(seen)

    def record(self, seen: Seen) -> list[Draft]:
        """Take a record; return the events that follow."""
        drafts = self._ended(seen.mono_ns) + self._overdue(seen)
        at = At(seen.wall_ns, seen.mono_ns, seen.token)
        asked = self._asked
        for place, observation in enumerate(self._observe(seen)):
            drafts += self._advance(observation, At(seen.wall_ns, seen.mono_ns, f"{seen.token}:{place}"))
        if asked is not None and self._asked is None and (finding := asked.finding()):
            drafts += self._advance(Replied(finding), at)
        if happened := happened_in(seen):
            drafts += self._advance(happened, at)
        return drafts

    def missed(self, at: At) -> list[Draft]:
        """Bytes passed that nobody saw."""
        self._decoder.reset()
        self._last.clear()
        self._asked = None
        self._busy_since = None
        return self._advance(Missed(), at)

    def happened(self, what: object, at: At) -> list[Draft]:
        """Something that no record tells, such as the end of the bridge."""
        return self._advance(what, at)

    def tick(self, at: At) -> list[Draft]:
        """Time has passed, and there is no record from before that we have not read."""
        return self._ended(at.mono_ns - QUIET_MARGIN_NS) + self._advance(Tick(), at)

    def waited(self, at: At) -> list[Draft]:
        """Time has passed, and there may be records from before."""
        return self._advance(Waited(), at)

    def _ends(self) -> list[tuple[int, Direction]]:
        """When each side's message is over if nothing more comes, the first one first."""
        if not self._silence_ends or self._decoder.idle:
            return []
        return sorted((last.mono_ns + self._byte_gap_ns, sender) for sender, last in self._last.items())

    def _quiet(self, mono_ns: int) -> list[tuple[Observation, At]]:
        """The messages that silence has ended until then, each at the moment when it was over."""
        seen: list[tuple[Observation, At]] = []
        for due, sender in self._ends():
            if due > mono_ns:
                continue
            last = self._last.pop(sender)
            for place, observation in enumerate(self._decoder.silence(sender)):
                seen.append((observation, At(last.wall_ns + due - last.mono_ns, due, f"{last.token}:end:{place}")))
        if self._decoder.idle and self._asked is None:
            self._busy_since = None
        return seen

    def _ended(self, mono_ns: int) -> list[Draft]:
        return [draft for observation, at in self._quiet(mono_ns) for draft in self._advance(observation, at)]

    def _overdue(self, seen: Seen) -> list[Draft]:
        """What a deadline before this record has brought, as if we had been there at that moment."""
        due = self.book.deadline_mono_ns
        if due is None or due > seen.mono_ns:
            return []
        return self._advance(Tick(), At(seen.wall_ns - (seen.mono_ns - due), due, seen.token))

    def _observe(self, seen: Seen) -> list[Observation]:
        if seen.kind == wire.LINK and not _link_is_up(seen):
            observations = self._decoder.reset()
            self._last.clear()
        elif seen.kind in SENDER:
            observations = self._feed(SENDER[seen.kind], seen)
        elif seen.kind == wire.LEASE and self._read is not None:
            observations = []
            begins = json.loads(seen.payload)["lease"] == "granted"
            self._asked = Asked(self._new_decoder(), self._read) if begins else None
        elif seen.kind in _ASKING_SENDER and self._asked is not None:
            observations = []
            self._asked.feed(seen)
        else:
            return []
        if self._decoder.idle and self._asked is None:
            self._busy_since = None
        elif self._busy_since is None:
            self._busy_since = seen.offset
        return observations

    def _feed(self, sender: Direction, seen: Seen) -> list[Observation]:
        observations: list[Observation] = []
        last = self._last.get(sender)
        if last is not None and seen.mono_ns - last.mono_ns > self._byte_gap_ns:
            observations += self._decoder.silence(sender)
        self._last[sender] = seen
        return observations + self._decoder.feed(sender, seen.payload)

    def _advance(self, what: Any, at: At) -> list[Draft]:
        self.book, drafts = advance(self.book, what, at, self.terms)
        return list(drafts)


def happened_in(seen: Seen) -> object | None:
    """What a record tells that is no bytes."""
    if seen.kind == wire.LINK:
        told = json.loads(seen.payload)
        return LinkUp() if told["link"] == "up" else LinkDown(told.get("reason") or "failed", _detail(told))
    if seen.kind == wire.PORT:
        told = json.loads(seen.payload)
        if told["port"] == "closed":
            return PortClosed()
        if told["port"] == "settings_refused":
            return PortRefused(told.get("detail") or "")
    return None


def _link_is_up(seen: Seen) -> bool:
    return bool(json.loads(seen.payload)["link"] == "up")


def _detail(told: dict[str, Any]) -> str | None:
    parts = [told.get("detail"), *(f"held by {holder}" for holder in told.get("holder") or [])]
    if told.get("group"):
        parts.append(f"group {told['group']}")
    return "; ".join(str(part) for part in parts if part) or None
