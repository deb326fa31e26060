"""Feeds a recorded log to a decoder, as the agent feeds it the line: pauses and cuts are told as they happened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agent.tlog import Event, Happened, Record
from drivers.driver import Driver, Framing
from drivers.observations import Direction, Observation


@dataclass(frozen=True, slots=True)
class Seen:
    """An observation and when it was complete, in seconds since the recording began."""

    at: float
    observation: Observation


def observe(records: Iterable[Record], driver: Driver, framing: Framing) -> Iterator[Seen]:
    """What the decoder makes of the records."""
    decoder = driver.decoder(framing)
    heard: dict[Direction, float] = {}
    at = 0.0
    for record in records:
        at = record.at
        if isinstance(record, Happened):
            if record.event in (Event.UNPLUGGED, Event.MISSED):
                heard.clear()
                yield from (Seen(at, seen) for seen in decoder.reset())
            continue
        for direction, before in list(heard.items()):
            if at - before > driver.byte_gap_s:
                del heard[direction]
                yield from (Seen(at, seen) for seen in decoder.silence(direction))
        heard[record.direction] = at
        yield from (Seen(at, seen) for seen in decoder.feed(record.direction, record.data))
    yield from (Seen(at, seen) for seen in decoder.finish())
