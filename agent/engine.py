"""From tap records to durable events: the terminals' watchers, and the journal they write to together.

Everything a batch of records brings is committed with the position behind it, so a crash repeats a batch or it does
not; it never repeats half of one. No socket, no thread; the daemon feeds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from agent.events import Draft
from agent.journal import Journal, TapPosition
from agent.payments import At, Book, Booted, Link, LinkDown, Scheduled
from agent.tap import Record
from agent.watch import Seen, Watcher

#: records that change nothing are not worth a flush each; the position behind them is kept at least this often
POSITION_EVERY_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Reading:
    """Where the tap is read: of which bridge process, and what was consumed of it."""

    ring: str
    consumed: int
    resume: Mapping[str, int]


class Engine:
    """All terminals of this agent. Raises JournalError when the disk refuses; build a new one then."""

    def __init__(
        self, journal: Journal, watchers: Mapping[str, Watcher], committed: Callable[[list[Draft]], None]
    ) -> None:
        self.journal = journal
        self.watchers = watchers
        self._committed = committed
        self._durable: dict[str, Book] = {name: watcher.book for name, watcher in watchers.items()}
        self._reading: Reading | None = None
        self._position_kept = 0

    @property
    def ring(self) -> str | None:
        """The bridge process whose records are read."""
        return self._reading.ring if self._reading else None

    @property
    def consumed(self) -> int:
        """How far they were read."""
        return self._reading.consumed if self._reading else 0

    @property
    def unknown(self) -> int:
        """How many payments are in doubt."""
        return sum(len(watcher.book.unknown) for watcher in self.watchers.values())

    def begin(self, ring: str, oldest: int, at: At) -> int:
        """A bridge was connected that holds records from `oldest` on. Returns where to read from."""
        position = self.journal.tap_position()
        if position is None or position.ring != ring:
            self._reading = Reading(ring, oldest, {})
            self._lines_unknown()
            self._missed(at)
            return oldest
        self._reading = Reading(ring, max(position.consumed, oldest), dict(position.resume))
        if position.consumed < oldest:
            self._missed(at)
        return max(position.oldest_needed, oldest)

    def gap(self, resumed_at: int, at: At) -> None:
        """The bridge's ring overran before we had read it; records go on at `resumed_at`."""
        if self._reading is not None and resumed_at > self._reading.consumed:
            self._reading = replace(self._reading, consumed=resumed_at)
            self._missed(at)

    def take(self, records: Iterable[Record]) -> None:
        """Let the terminals see these records, and make durable what follows."""
        reading = self._reading
        if reading is None:
            raise AssertionError("records before a bridge was connected")
        drafts: list[Draft] = []
        consumed = reading.consumed
        for record in records:
            watcher = self.watchers.get(record.line)
            seen = _seen(record, reading.ring)
            if record.offset >= reading.consumed:
                consumed = record.next_offset
                drafts += watcher.record(seen) if watcher else []
            elif watcher and record.offset >= reading.resume.get(record.line, reading.consumed):
                watcher.rebuild(seen)
        self._reading = replace(reading, consumed=consumed)
        self._commit(drafts)

    def tick(self, at: At) -> None:
        """Time has passed and all records were read."""
        self._commit([draft for watcher in self.watchers.values() for draft in watcher.tick(at)])

    def waited(self, at: At) -> None:
        """Time has passed, and records may be unread."""
        self._commit([draft for watcher in self.watchers.values() for draft in watcher.waited(at)])

    def booted(self, boot: str, at: At) -> None:
        """The agent has begun to run, on a machine that was started when `boot` says."""
        self._commit([draft for watcher in self.watchers.values() for draft in watcher.happened(Booted(boot), at)])

    def schedule(self, terminal: str, what: Scheduled, at: At) -> None:
        """Make durable when the terminal is to be asked next about a payment."""
        self._commit(self.watchers[terminal].happened(what, at))

    def bridge_lost(self, at: At) -> None:
        """The bridge has ended: nobody carries bytes until another one is there."""
        drafts: list[Draft] = []
        for watcher in self.watchers.values():
            drafts += watcher.missed(at)
            drafts += watcher.happened(LinkDown("bridge_lost"), at)
        self._commit(drafts)

    def tell(self, drafts: list[Draft]) -> None:
        """Journal events that do not come from a line."""
        self._commit(drafts)

    def deadline_mono_ns(self) -> int | None:
        """When `tick` has something to do."""
        deadlines = [watcher.deadline_mono_ns() for watcher in self.watchers.values()]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def _missed(self, at: At) -> None:
        self._commit([draft for watcher in self.watchers.values() for draft in watcher.missed(at)])

    def _lines_unknown(self) -> None:
        """A bridge that we do not know tells anew which lines are up."""
        for watcher in self.watchers.values():
            watcher.book = replace(watcher.book, link=Link.DOWN, link_reason=None)

    def _commit(self, drafts: list[Draft]) -> None:
        position = self._position()
        far = position is not None and position.consumed - self._position_kept > POSITION_EVERY_BYTES
        if not drafts and not far and not any(self._must_keep(name) for name in self.watchers):
            return
        changed = {name: w.book for name, w in self.watchers.items() if w.book is not self._durable[name]}
        self.journal.commit(drafts, changed, position)
        self._durable |= changed
        self._position_kept = position.consumed if position else 0
        if drafts:
            self._committed(drafts)

    def _must_keep(self, name: str) -> bool:
        """Whether a terminal's book has changed in what nobody could tell again if the bridge died now.

        The rest (how long to wait, when the line was heard) comes back when the same records are read again: it is
        kept with the next change that counts, because a flush for each step would delay the events.
        """
        return _essence(self.watchers[name].book) != _essence(self._durable[name])

    def _position(self) -> TapPosition | None:
        if self._reading is None:
            return None
        held = {name: w.resume for name, w in self.watchers.items()}
        resume = tuple((name, offset) for name, offset in held.items() if offset is not None)
        return TapPosition(self._reading.ring, self._reading.consumed, resume)


def _seen(record: Record, ring: str) -> Seen:
    place = f"{ring}:{record.offset}"
    return Seen(record.offset, record.wall_ns, record.mono_ns, record.kind, record.payload, place)


def _essence(book: Book) -> tuple[object, ...]:
    payment = book.current
    what = payment and (payment.id, payment.state, payment.outcome, payment.stated, payment.facts, payment.reason)
    doubt = payment and (payment.doubt, payment.attempts)
    return what, doubt, book.pending, book.tally, book.link, book.boot
