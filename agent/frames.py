"""What passes on a line, frame by frame: the bytes as they may be shown, and what the decoder makes of them.

Masker and decoder follow the line side by side; both find the end of a frame at the same byte, so what they yield for
the same bytes belongs together. Without a masker, or without a driver, only the number of bytes is told. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drivers.driver import Driver, Framing
from drivers.masking import LeftOut, Piece
from drivers.observations import Ack, Checksum, Direction, Noise, Observation


@dataclass(frozen=True, slots=True)
class Frame:
    """Something one side said; complete at `at`, seconds of any clock. `pieces` may be shown and kept."""

    at: float
    direction: Direction
    observation: Observation | None
    pieces: tuple[Piece, ...]

    @property
    def length(self) -> int:
        """How many bytes it has."""
        return sum(piece.length if isinstance(piece, LeftOut) else len(piece) for piece in self.pieces)


def is_wrong(observation: Observation | None) -> bool:
    """Whether it shows that the line, or who speaks on it, is at fault."""
    if isinstance(observation, Ack):
        return not observation.positive
    return isinstance(observation, Noise) or (observation is not None and observation.checksum is Checksum.BAD)


class Frames:
    """Follows one line. `driver` None: nobody knows what is spoken there."""

    def __init__(self, driver: Driver | None, framing: Framing) -> None:
        self._driver = driver
        self._decoder = driver.decoder(framing) if driver else None
        self._masker = driver.masker(framing) if driver and driver.masker else None
        self._gap_s = driver.byte_gap_s if driver else 0.0
        self._heard: dict[Direction, float] = {}
        self._unread: dict[Direction, int] = dict.fromkeys(Direction, 0)  # bytes without a masker

    def feed(self, at: float, direction: Direction, data: bytes) -> list[Frame]:
        """Take what `direction` sent."""
        frames = self.quiet(at)
        if self._driver is not None and self._driver.silence_ends and direction.opposite in self._heard:
            frames += self._silent(direction.opposite)
        self._heard[direction] = at
        pieces = self._masked(direction, data)
        observations = self._decoder.feed(direction, data) if self._decoder else []
        return frames + self._together(at, direction, pieces, observations)

    def quiet(self, at: float) -> list[Frame]:
        """It is that late: who has paused for too long has ended its frame."""
        late = [direction for direction, before in self._heard.items() if at - before > self._gap_s]
        return [frame for direction in late for frame in self._silent(direction)]

    def cut(self, at: float) -> list[Frame]:
        """The line was cut, or bytes were missed: no frame goes on behind it."""
        frames = [frame for direction in list(self._heard) for frame in self._silent(direction)]
        observations = self._decoder.reset() if self._decoder else []
        return frames + [Frame(at, seen.direction, seen, ()) for seen in observations]

    def finish(self, at: float) -> list[Frame]:
        """There is no more."""
        frames = []
        observations = self._decoder.finish() if self._decoder else []
        for direction in Direction:
            pieces = self._masker.silence(direction) if self._masker else []
            seen = [each for each in observations if each.direction is direction]
            frames += self._together(at, direction, pieces, seen)
        self._heard.clear()
        return frames

    def _silent(self, direction: Direction) -> list[Frame]:
        at = self._heard.pop(direction)
        pieces = self._masker.silence(direction) if self._masker else []
        observations = self._decoder.silence(direction) if self._decoder else []
        return self._together(at, direction, pieces, observations)

    def _masked(self, direction: Direction, data: bytes) -> list[Piece]:
        if self._masker is not None:
            return self._masker.feed(direction, data)
        self._unread[direction] += len(data)
        return []

    def _together(
        self, at: float, direction: Direction, pieces: Sequence[Piece], observations: Sequence[Observation]
    ) -> list[Frame]:
        if (count := self._unread[direction]) and (observations or self._decoder is None):
            self._unread[direction] = 0
            pieces = [LeftOut(count)]
        if len(pieces) == len(observations):
            return [Frame(at, direction, seen, (piece,)) for seen, piece in zip(observations, pieces, strict=True)]
        if not observations:
            return [Frame(at, direction, None, tuple(pieces))]
        first, *others = observations
        return [Frame(at, direction, first, tuple(pieces)), *(Frame(at, direction, seen, ()) for seen in others)]
