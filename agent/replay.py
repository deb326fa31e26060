"""Plays one side of a recorded line at a port and compares what the other side says with the recording.

The other side's bytes are waited for before the next of ours go out, so that a slower or faster peer still fits; our
own pauses are kept, times `speed`. What comes back is compared as observations, not as bytes: the recording's card
numbers are masked, and a live frame must not be shown unmasked.
"""

from __future__ import annotations

import json
import os
import selectors
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from typing import Protocol

from agent.playback import Seen, observe
from agent.tlog import Sent, Tlog
from drivers.driver import Driver, Framing
from drivers.links.base import GONE, LinkError
from drivers.observations import Direction, Observation, as_dict

PATIENCE_S = 3.0  # beyond the recorded pause; then the next bytes go out although the other side's are missing
_DEAF_S = 10.0  # a port that takes no byte for so long never will
_SETTLE_S = 0.2  # what comes behind the last recorded byte still counts
_CHUNK = 4096
#: two sayings go on together where so many in a row are alike; it is looked for no farther than that
_ALIKE, _FARTHEST = 3, 24


class Link(Protocol):
    """An open port; its descriptor does not block."""

    def fileno(self) -> int:
        """The descriptor."""
        ...


@dataclass(frozen=True, slots=True)
class Difference:
    """Where the peer said something else than the recording; None: nothing. `at` as in the recording."""

    at: float
    recorded: Observation | None
    came: Observation | None


class Replay:
    """One playing of a log at a port. `side` is the one that we play; `speed` 0 leaves out all pauses."""

    def __init__(self, log: Tlog, driver: Driver, framing: Framing, side: Direction, link: Link, speed: float) -> None:
        self._log = log
        self._side = side
        self._peer = side.opposite
        self._link = link
        self._speed = speed
        self._decoder = driver.decoder(framing)
        self._recorded = [
            seen for seen in observe(log.records, driver, framing) if seen.observation.direction is self._peer
        ]
        self._came: list[Seen] = []
        self._bytes_came = 0
        self._selector = selectors.DefaultSelector()

    @property
    def expected(self) -> int:
        """How many observations of the other side the recording holds."""
        return len(self._recorded)

    def run(self) -> Iterator[Seen]:
        """Play; yields everything seen on the line as it comes. Raises LinkError when the port goes away."""
        self._selector.register(self._link, selectors.EVENT_READ)
        wanted = 0
        before = 0.0
        try:
            for record in self._log.records:
                pause, before = record.at - before, record.at
                if not isinstance(record, Sent):
                    continue
                if record.direction is self._peer:
                    wanted += len(record.data)
                    yield from self._receive(record.at, self._scaled(pause) + PATIENCE_S, wanted)
                else:
                    yield from self._receive(record.at, self._scaled(pause), None)
                    yield from self._send(record)
            with suppress(LinkError):  # nothing is expected any more: the other side may leave
                yield from self._receive(before, _SETTLE_S, None)
            yield from self._noted(before, self._decoder.finish())
        finally:
            self._selector.close()

    def differences(self) -> list[Difference]:
        """Where what came differs from the recording, in its order. Time grows with the recording only."""
        recorded, came = _keys(self._recorded), _keys(self._came)
        found: list[Difference] = []
        at = here = 0
        while at < len(recorded) or here < len(came):
            if at < len(recorded) and here < len(came) and recorded[at] == came[here]:
                at, here = at + 1, here + 1
                continue
            missing, new = _until_alike(recorded, at, came, here)
            pairs = zip_longest(self._recorded[at : at + missing], self._came[here : here + new])
            found += [_difference(old, other) for old, other in pairs]
            at, here = at + missing, here + new
        return found

    def _scaled(self, pause: float) -> float:
        return pause / self._speed if self._speed else 0.0

    def _send(self, record: Sent) -> Iterator[Seen]:
        left = record.data
        deaf_at = time.monotonic() + _DEAF_S
        while left:
            try:
                left = left[os.write(self._link.fileno(), left) :]
                deaf_at = time.monotonic() + _DEAF_S
            except BlockingIOError:  # the port's buffer is full: it empties at the line's speed, or never
                if time.monotonic() > deaf_at:
                    raise LinkError(GONE, f"it has taken no byte for {_DEAF_S:g} s") from None
                yield from self._receive(record.at, 0.01, None)
            except OSError as error:
                raise LinkError(GONE, error.strerror or str(error)) from error
        yield from self._noted(record.at, self._decoder.feed(self._side, record.data))

    def _receive(self, at: float, patience_s: float, wanted: int | None) -> Iterator[Seen]:
        """Take what comes until `wanted` bytes have come in all, or until the time is over."""
        end = time.monotonic() + patience_s
        while wanted is None or self._bytes_came < wanted:
            if not self._selector.select(max(0.0, end - time.monotonic())):
                return
            data = self._read()
            self._bytes_came += len(data)
            yield from self._noted(at, self._decoder.feed(self._peer, data))

    def _read(self) -> bytes:
        try:
            data = os.read(self._link.fileno(), _CHUNK)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise LinkError(GONE, error.strerror or str(error)) from error
        if not data:
            raise LinkError(GONE, "the other side closed it")
        return data

    def _noted(self, at: float, observations: list[Observation]) -> Iterator[Seen]:
        for observation in observations:
            seen = Seen(at, observation)
            if observation.direction is self._peer:
                self._came.append(seen)
            yield seen


def _difference(recorded: Seen | None, came: Seen | None) -> Difference:
    return Difference(
        at=recorded.at if recorded else came.at if came else 0.0,
        recorded=recorded.observation if recorded else None,
        came=came.observation if came else None,
    )


def _until_alike(recorded: Sequence[str], at: int, came: Sequence[str], here: int) -> tuple[int, int]:
    """How many of either must be left out until both go on together; one of each where nothing near fits."""
    for both in range(1, 2 * _FARTHEST + 1):
        for missing in range(max(0, both - _FARTHEST), min(both, _FARTHEST) + 1):
            new = both - missing
            old, other = at + missing, here + new
            alike = recorded[old : old + _ALIKE] == came[other : other + _ALIKE]
            if alike and old <= len(recorded) and other <= len(came):
                return missing, new
    return min(1, len(recorded) - at), min(1, len(came) - here)


def _keys(seen: Sequence[Seen]) -> list[str]:
    return [json.dumps(as_dict(each.observation), sort_keys=True) for each in seen]
