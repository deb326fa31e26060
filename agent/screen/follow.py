"""From the bridge's records of one line to rows of the screen. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from agent.analyser import printable, said
from agent.bridge import wire
from agent.frames import Frame, Frames, is_wrong
from agent.recording import SENDERS, event_of
from agent.screen.entry import Entry
from agent.tap import Record
from agent.texts import Texts
from agent.tlog import Event
from drivers.driver import Driver, Framing

_OF_AGENT = frozenset({wire.QUERY, wire.REPLY})
_BAD_EVENTS = frozenset({Event.UNPLUGGED, Event.MISSED})


@dataclass(frozen=True, slots=True)
class Clock:
    """When something was: wall clock in ns for people, monotonic in ns for intervals."""

    wall_ns: int
    mono_ns: int

    @property
    def at(self) -> float:
        """Monotonic seconds."""
        return self.mono_ns / 1e9


class Follower:
    """Follows one line. `driver` None: nobody knows what is spoken, so only lengths are shown."""

    def __init__(self, driver: Driver | None, framing: Framing, texts: Texts) -> None:
        self._new: Callable[[], Frames] = lambda: Frames(driver, framing)
        self._passing = self._new()
        self._asking: Frames | None = None  # the agent speaks: a conversation of its own
        self._texts = texts
        self._last = Clock(0, 0)
        self._number = 0

    def record(self, record: Record) -> list[Entry]:
        """The rows that follow from a record of this line."""
        now = self._last = Clock(record.wall_ns, record.mono_ns)
        if sender := SENDERS.get(record.kind):
            if record.kind in _OF_AGENT:
                self._asking = self._asking or self._new()
                return list(self._rows(self._asking.feed(now.at, sender, record.payload), asked=True))
            return list(self._rows(self._passing.feed(now.at, sender, record.payload)))
        return list(self._happened(record, now))

    def quiet(self, mono_ns: int) -> list[Entry]:
        """Nothing was heard until then: frames that stopped in the middle have ended."""
        return list(self._rows(self._passing.quiet(mono_ns / 1e9)))

    def missed(self, now: Clock) -> list[Entry]:
        """Records were lost to us."""
        self._last = now
        rows = list(self._rows(self._passing.cut(now.at)))
        return [*rows, self._event(now, "missed", Event.MISSED)]

    def note(self, now: Clock, word: str, event: Event | None = None, wrong: bool = False, **values: object) -> Entry:
        """Something that the bridge's records do not tell: its end, a mark."""
        return self._event(now, word, event, wrong, **values)

    def _happened(self, record: Record, now: Clock) -> Iterator[Entry]:
        told = json.loads(record.payload)
        if record.kind == wire.LEASE:
            if self._asking is not None:
                yield from self._rows(self._asking.finish(now.at), asked=True)
                self._asking = None
            return
        event = event_of(record)
        if event in _BAD_EVENTS:
            yield from self._rows(self._passing.cut(now.at))
        if event is not None:
            yield self._event(now, event.name.lower(), event)
        elif record.kind == wire.DROPPED:
            yield self._event(now, "dropped", wrong=True, count=told.get("bytes", "?"))
        elif record.kind == wire.PORT:
            yield self._event(now, "port_refused", wrong=True)

    def _event(self, now: Clock, word: str, event: Event | None = None, wrong: bool = False, **values: object) -> Entry:
        self._number += 1
        return Entry(
            number=self._number,
            wall_ns=now.wall_ns,
            at=now.at,
            direction=None,
            kind="event",
            summary=self._texts.say(f"screen.event_{word}", **values),
            wrong=wrong or event in _BAD_EVENTS,
            event=event,
        )

    def _rows(self, frames: Iterable[Frame], asked: bool = False) -> Iterator[Entry]:
        for frame in frames:
            if frame.observation is None and not frame.pieces:
                continue
            self._number += 1
            seen = frame.observation
            counted = self._texts.say("screen.bytes", count=frame.length)
            yield Entry(
                number=self._number,
                wall_ns=self._last.wall_ns,
                at=frame.at,
                direction=frame.direction,
                kind=type(seen).__name__.lower() if seen else "bytes",
                summary=said(seen) if seen else counted,
                text=tuple(printable(line) for line in seen.text) if seen else (),
                pieces=frame.pieces,
                wrong=is_wrong(seen),
                asked=asked,
                observation=seen,
            )
