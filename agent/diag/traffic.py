"""What has passed on one line, as a diagnosis needs it: whole and broken frames, refusals, pauses, losses. Pure.

Fed with the tap's records in their order; counts the last `WINDOW_S` before the present only, so that a mended cable is
not blamed for what it did an hour ago. No byte is kept.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from agent.bridge import wire
from agent.diag.garble import Parity, ParityEar, stripped
from agent.tap import Record
from drivers.detection import Detector
from drivers.driver import Decoder
from drivers.observations import Ack, Checksum, Direction, Noise, Observation, Progress, Request

WINDOW_S = 3600.0
_SIDE = {
    wire.CASHIER: Direction.CASHIER,
    wire.QUERY: Direction.CASHIER,
    wire.TERMINAL: Direction.TERMINAL,
    wire.REPLY: Direction.TERMINAL,
}
_MOST = 500  # observations and answer times that are kept
_MOST_DETECTED = 65536  # bytes in which every known protocol is looked for: some twenty decoders hear them


@dataclass(frozen=True, slots=True)
class Loss:
    """The device was away: since when (wall clock, ns), and for how long; `seconds` None: it still is."""

    wall_ns: int
    reason: str
    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one side said: whole frames, broken ones, bytes that were none, its refusals of the other's frames, and
    frames that it said again before the other one said any.
    """

    bytes: int = 0
    whole: int = 0
    broken: int = 0
    refused: int = 0
    repeated: int = 0
    parity: Parity | None = None
    whole_stripped: int = 0  # frames that are whole once bit 7 is taken away

    @property
    def broken_share(self) -> float:
        """Of its frames, 0 to 1."""
        return self.broken / max(1, self.whole + self.broken)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What was heard. Times in seconds; `answer_s`: from the cashier's last byte to the terminal's first."""

    cashier: Side
    terminal: Side
    answer_s: tuple[float, ...]
    requests: int
    dropped: int
    losses: tuple[Loss, ...]
    port: str | None
    detected: str | None


@dataclass(slots=True)
class _Tally:
    """One side, while it is listened to."""

    bytes: int = 0
    seen: deque[str] = field(default_factory=lambda: deque(maxlen=_MOST))
    parity: ParityEar = field(default_factory=ParityEar)
    whole_stripped: int = 0

    def side(self) -> Side:
        return Side(
            bytes=self.bytes,
            whole=self.seen.count("whole") + self.seen.count("again"),
            broken=self.seen.count("broken"),
            refused=self.seen.count("refused"),
            repeated=self.seen.count("again"),
            parity=self.parity.heard,
            whole_stripped=self.whole_stripped,
        )


class Listener:
    """Follows one line. `new`: a decoder of its protocol, None where that is not known; `candidates`: of all others."""

    def __init__(
        self,
        line: str,
        new: Callable[[], Decoder] | None,
        byte_gap_s: float,
        candidates: Mapping[str, Callable[[], Decoder]],
        since_wall_ns: int,
    ) -> None:
        self._line = line
        self._decoder = new() if new else None
        self._shadow = new() if new else None
        self._byte_gap_ns = int(byte_gap_s * 1e9)
        self._detector = Detector(candidates)
        self._since = since_wall_ns
        self._tallies = {direction: _Tally() for direction in Direction}
        self._last: dict[Direction, int] = {}
        self._spoke_last: Direction | None = None
        self._answers: deque[float] = deque(maxlen=_MOST)
        self._losses: list[Loss] = []
        self._requests = self._dropped = 0
        self._frame: Observation | None = None  # the last whole one of either side
        self._port: str | None = None

    def record(self, record: Record) -> None:
        """Take a record; those of other lines are left out."""
        if record.line != self._line:
            return
        if side := _SIDE.get(record.kind):
            self._bytes(side, record)
        elif record.kind == wire.LINK:
            self._link(record)
        elif record.kind == wire.PORT:
            self._port = str(json.loads(record.payload)["port"])
        elif record.kind == wire.DROPPED and record.wall_ns >= self._since:
            self._dropped += int(json.loads(record.payload)["bytes"])

    def traffic(self) -> Traffic:
        """What was heard so far."""
        standing = self._detector.standing
        return Traffic(
            cashier=self._tallies[Direction.CASHIER].side(),
            terminal=self._tallies[Direction.TERMINAL].side(),
            answer_s=tuple(self._answers),
            requests=self._requests,
            dropped=self._dropped,
            losses=tuple(loss for loss in self._losses if loss.wall_ns >= self._since),
            port=self._port,
            detected=standing.clear,
        )

    def _bytes(self, side: Direction, record: Record) -> None:
        if record.wall_ns < self._since:
            return
        tally = self._tallies[side]
        tally.bytes += len(record.payload)
        tally.parity.feed(record.payload)
        before = self._last.get(side)
        paused = before is not None and record.mono_ns - before > self._byte_gap_ns
        if side is Direction.TERMINAL and self._spoke_last is Direction.CASHIER:
            self._answers.append((record.mono_ns - self._last[Direction.CASHIER]) / 1e9)
        self._last[side], self._spoke_last = record.mono_ns, side
        for decoder, data, count in (
            (self._decoder, record.payload, self._count),
            (self._shadow, stripped(record.payload), self._count_stripped),
        ):
            if decoder is not None:
                for each in [*(decoder.silence(side) if paused else ()), *decoder.feed(side, data)]:
                    count(each)
        if self._detector.bytes_heard < _MOST_DETECTED:
            if paused:
                self._detector.silence(side)
            self._detector.feed(side, record.payload)

    def _count(self, seen: Observation) -> None:
        tally = self._tallies[seen.direction]
        if isinstance(seen, Noise) and seen.checksum is Checksum.OK:
            tally.seen.append("whole")  # a frame that came well, and that this decoder does not know
        elif isinstance(seen, Noise) or seen.checksum is Checksum.BAD:
            tally.seen.append("broken")
        elif isinstance(seen, Ack):
            if not seen.positive and seen.facts.response_code is None:
                tally.seen.append("refused")
        elif not isinstance(seen, Progress) or seen.checksum is Checksum.OK:
            tally.seen.append("again" if seen.checksum is Checksum.OK and seen == self._frame else "whole")
            self._requests += isinstance(seen, Request)
            self._frame = seen

    def _count_stripped(self, seen: Observation) -> None:
        if seen.checksum is Checksum.OK and not isinstance(seen, Ack | Noise):
            self._tallies[seen.direction].whole_stripped += 1

    def _link(self, record: Record) -> None:
        told = json.loads(record.payload)
        if told["link"] == "up":
            if self._losses and self._losses[-1].seconds is None:
                lost = self._losses[-1]
                self._losses[-1] = Loss(lost.wall_ns, lost.reason, max(0.0, (record.wall_ns - lost.wall_ns) / 1e9))
            return
        if not self._losses or self._losses[-1].seconds is not None:
            self._losses.append(Loss(record.wall_ns, str(told.get("reason") or "failed"), None))
        for decoder in (self._decoder, self._shadow):
            if decoder is not None:
                decoder.reset()
        self._detector.reset()
        self._last.clear()
        self._spoke_last = None
