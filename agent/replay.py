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
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Protocol

from agent.playback import Seen, observe
from agent.tlog import Sent, Tlog
from drivers.driver import Driver, Framing
from drivers.links.base import GONE, LinkError
from drivers.observations import Direction, Observation, as_dict

PATIENCE_S = 3.0  # beyond the recorded pause; then the next bytes go out although the other side's are missing
_SETTLE_S = 0.2  # what comes behind the last recorded byte still counts
_CHUNK = 4096


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
        """Where what came differs from the recording, in its order."""
        recorded, came = self._recorded, self._came
        matcher = SequenceMatcher(None, _keys(recorded), _keys(came), autojunk=False)
        found = []
        for what, a, b, c, d in matcher.get_opcodes():
            if what != "equal":
                found += [_difference(old, new) for old, new in zip_longest(recorded[a:b], came[c:d])]
        return found

    def _scaled(self, pause: float) -> float:
        return pause / self._speed if self._speed else 0.0

    def _send(self, record: Sent) -> Iterator[Seen]:
        left = record.data
        while left:
            try:
                left = left[os.write(self._link.fileno(), left) :]
            except BlockingIOError:
                time.sleep(0.01)  # the port's buffer is full: it empties at the line's speed
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


def _keys(seen: Sequence[Seen]) -> list[str]:
    return [json.dumps(as_dict(each.observation), sort_keys=True) for each in seen]
