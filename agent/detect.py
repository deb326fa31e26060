"""A terminal whose protocol nobody has named: what passes is kept until it is clear, then followed from its beginning.

Until then the terminal is never asked anything, and its lines' ups and downs are told as always. Everything that
passes is held in memory and its first offset in the ring is the `resume` of the tap, so a restarted agent hears it
again. When the protocol is clear (drivers/detection.py), what was held goes through that protocol's watcher as if it
had been there from the start: the same records, the same times, the same events. The book keeps the protocol.

A line that nobody understands is given to the fallback driver, and is still listened to: a protocol that becomes
clear later takes over.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from agent.book import advance
from agent.bridge import wire
from agent.events import Draft, EventType, TerminalData
from agent.evidence import SECOND
from agent.payments import At, Book, Link, LinkDown, Terms
from agent.watch import QUIET_MARGIN_NS, SENDER, Seen, Watcher, happened_in
from drivers.detection import AUTO, FALLBACK, Detector
from drivers.driver import Decoder
from drivers.observations import Direction

#: bytes that are held for one terminal; a payment has some 2 KiB, with its receipts 10
MOST_HELD = 256 * 1024
#: a frame of none of the candidates pauses for that long
_GAP_NS = 2 * SECOND
_ABOUT_LINK = (EventType.TERMINAL_CONNECTED, EventType.TERMINAL_DISCONNECTED, EventType.TERMINAL_FAULT)

_A_RECORD = 64  # bytes that a record costs beside its payload

NewWatcher = Callable[[str, Book], Watcher]
Decided = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class _Missed:
    """Held in the place of bytes that nobody saw."""

    at: At


@dataclass(frozen=True, slots=True)
class _Down:
    """Held in the place of a line that went with the bridge."""

    what: LinkDown
    at: At


_Held = Seen | _Missed | _Down


class DetectingWatcher(Watcher):
    """Follows one terminal whose protocol is "auto".

    `candidates`: a new decoder of each protocol that may be spoken. `watcher_of`: the watcher of a protocol.
    `decided(terminal, protocol)` is called when it is clear, before what was held has its effect. `fallback`: the
    protocol that hears a line which nobody understands, None where there is none; `ear`: a new decoder of it.
    """

    def __init__(
        self,
        terms: Terms,
        book: Book,
        candidates: Mapping[str, Callable[[], Decoder]],
        watcher_of: NewWatcher,
        decided: Decided,
        fallback: str | None = FALLBACK,
        ear: Callable[[], Decoder] | None = None,
    ) -> None:
        self._terms = terms
        self._book = book
        self._candidates = candidates
        self._watcher_of = watcher_of
        self._decided = decided
        self._fallback = fallback
        self._detector = Detector(candidates, ear)
        self._held: deque[_Held] = deque()
        self._held_bytes = 0
        self._oldest: Seen | None = None  # of those that the ring of today still has
        self._heard_mono_ns: dict[Direction, int] = {}
        self._inner: Watcher | None = None
        if book.heard in candidates or (fallback is not None and book.heard == fallback):
            assert book.heard is not None  # noqa: S101  it is one of them
            self._inner = watcher_of(book.heard, book)
            self._detector.deaf()

    # --- what others see ---

    @property
    def terms(self) -> Terms:  # type: ignore[override]
        """Those of the protocol, once it is known."""
        return self._inner.terms if self._inner else self._terms

    @property
    def book(self) -> Book:
        """The terminal's book."""
        return self._inner.book if self._inner else self._book

    @book.setter
    def book(self, book: Book) -> None:
        if self._inner:
            self._inner.book = book
        else:
            self._book = book

    @property
    def protocol(self) -> str:
        """As status shows it."""
        return f"{AUTO} → {self.terms.protocol}" if self._inner else AUTO

    @property
    def resume(self) -> int | None:
        """What was held must be heard again after a restart."""
        if self._inner:
            return self._inner.resume
        return self._oldest.offset if self._oldest else None

    def deadline_mono_ns(self) -> int | None:
        """When `tick` has something to do."""
        if self._inner:
            return self._inner.deadline_mono_ns()
        if not self._detector.printing or not self._heard_mono_ns:
            return None
        return min(self._heard_mono_ns.values()) + _GAP_NS + QUIET_MARGIN_NS

    # --- what happens ---

    def rebuild(self, seen: Seen) -> None:
        """A record whose effect is in the book: of an undecided line, only that its link's news were told."""
        if self._inner:
            self._inner.rebuild(seen)
        else:
            self._hold(seen)
            self._hear(seen)

    def record(self, seen: Seen) -> list[Draft]:
        """Take a record; return the events that follow."""
        if self._inner and not self._provisional:
            return self._inner.record(seen)
        drafts = self._inner.record(seen) if self._inner else self._undecided(seen)
        self._hear(seen)
        protocol = self._heard_now()
        return drafts + self._decide(protocol, seen.wall_ns) if protocol is not None else drafts

    def missed(self, at: At) -> list[Draft]:
        """Bytes passed that nobody saw."""
        self._detector.reset()
        if self._inner:
            return self._inner.missed(at)
        if self._held:
            self._held.append(_Missed(at))
            self._oldest = None
        return []

    def happened(self, what: object, at: At) -> list[Draft]:
        """Something that no record tells, such as the end of the bridge."""
        if self._inner:
            return self._inner.happened(what, at)
        if isinstance(what, LinkDown) and self._held:
            self._held.append(_Down(what, at))
        return self._advance(what, at)

    def tick(self, at: At) -> list[Draft]:
        """Time has passed."""
        drafts = [] if self._inner else self._fell_silent(at)
        return drafts + self._inner.tick(at) if self._inner else drafts

    def waited(self, at: At) -> list[Draft]:
        """Time has passed, and there may be records from before."""
        return self._inner.waited(at) if self._inner else []

    # --- undecided ---

    @property
    def _provisional(self) -> bool:
        return self.book.heard is not None and self.book.heard == self._fallback

    def _undecided(self, seen: Seen) -> list[Draft]:
        self._hold(seen)
        happened = happened_in(seen)
        return self._advance(happened, At(seen.wall_ns, seen.mono_ns, seen.token)) if happened else []

    def _hold(self, seen: Seen) -> None:
        if not self._held and seen.kind not in SENDER:
            return  # nothing that it could end
        self._held.append(seen)
        self._held_bytes += len(seen.payload) + _A_RECORD
        self._oldest = self._oldest or seen
        while self._held_bytes > MOST_HELD:
            gone = self._held.popleft()
            self._held_bytes -= len(gone.payload) + _A_RECORD if isinstance(gone, Seen) else 0
            if gone is self._oldest:
                self._oldest = next((held for held in self._held if isinstance(held, Seen)), None)

    def _hear(self, seen: Seen) -> None:
        sender = SENDER.get(seen.kind)
        if sender is not None:
            last = self._heard_mono_ns.get(sender)
            if last is not None and seen.mono_ns - last > _GAP_NS:
                self._detector.silence(sender)
            self._heard_mono_ns[sender] = seen.mono_ns
            self._detector.feed(sender, seen.payload)
        elif seen.kind == wire.LINK and json.loads(seen.payload)["link"] != "up":
            self._detector.reset()

    def _fell_silent(self, at: At) -> list[Draft]:
        """A slip that nobody cuts ends when the printer is quiet: perhaps it is the first thing that can be read."""
        for sender, last in list(self._heard_mono_ns.items()):
            if last + _GAP_NS + QUIET_MARGIN_NS <= at.mono_ns:
                del self._heard_mono_ns[sender]
                self._detector.silence(sender)
        protocol = self._heard_now()
        return self._decide(protocol, at.wall_ns) if protocol is not None else []

    def _advance(self, what: object, at: At) -> list[Draft]:
        self._book, drafts = advance(self._book, what, at, self._terms)
        return list(drafts)

    # --- the decision ---

    def _heard_now(self) -> str | None:
        """The protocol that the line is to be followed with from now on; None while nothing has changed."""
        protocol = self._detector.standing.clear
        if protocol is None and self._inner is None and self._detector.unknown:
            protocol = self._fallback
        return protocol if protocol != self.book.heard else None

    def _decide(self, protocol: str, wall_ns: int) -> list[Draft]:
        """From here on the line is this protocol's; what was held has its effect now."""
        now = self.book
        link = now.link, now.link_reason
        start = replace(now, heard=protocol)
        if self._held:  # it was up when the first of these bytes passed
            start = replace(start, link=Link.UP, link_reason=None)
        inner = self._watcher_of(protocol, start)
        drafts = [draft for what in self._held for draft in _replayed(inner, what)]
        self._held.clear()
        self._held_bytes, self._oldest = 0, None
        if (inner.book.link is Link.DOWN) is not (link[0] is Link.DOWN):  # what told of it was too old to be held
            inner.book = replace(inner.book, link=link[0], link_reason=link[1])
        self._inner = inner
        self._detector.deaf()
        if not self._provisional:
            self._detector = Detector({})
        self._decided(self._terms.terminal, protocol)
        return [_told(inner, wall_ns), *drafts]


def _replayed(inner: Watcher, what: _Held) -> list[Draft]:
    """The events of something that was held; what it said of the link itself was told when it happened."""
    if isinstance(what, _Missed):
        drafts = inner.missed(what.at)
    elif isinstance(what, _Down):
        drafts = inner.happened(what.what, what.at)
    else:
        drafts = inner.record(what)
    return [draft for draft in drafts if not _was_told(draft)]


def _was_told(draft: Draft) -> bool:
    return draft.type in _ABOUT_LINK or getattr(draft.data, "reason", None) == "settings_refused"


def _told(inner: Watcher, wall_ns: int) -> Draft:
    """The event that names the protocol from now on."""
    data = TerminalData(
        terminal=inner.terms.terminal,
        protocol=inner.terms.protocol,
        device=inner.terms.device,
        link=str(inner.book.link),
        reason="protocol_detected",
        detail=inner.terms.protocol,
    )
    kind = EventType.TERMINAL_DISCONNECTED if inner.book.link is Link.DOWN else EventType.TERMINAL_CONNECTED
    return Draft(kind, data, wall_ns)
