"""Which protocol is spoken on a line: every candidate's decoder hears the same bytes, and what each understands counts.

Pure, and it never asks a terminal anything. It decides only when the line leaves no doubt:
- somebody asked and got the final answer, both understood by the same candidate;
- its score is at least CLEAR, and LEAD times that of every other one.

    understood with a checksum that fits   +3     without one   +1     an acknowledgement   0
    an answer to a request that it saw     +3     a whole receipt  +2
    no frame of it, or a broken one        -1

Candidates that read the same frames (an STX … ETX LRC can belong to many protocols) differ in what they understand:
a frame whose layout is unknown to a decoder is noise to it.

FALLBACK is what hears a line that nobody understands: one on which much has passed, or a whole slip was printed, and
of which no candidate has understood a frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from drivers.driver import Decoder, Driver, LineDefaults
from drivers.observations import (
    Ack,
    Answer,
    Checksum,
    Direction,
    Noise,
    Observation,
    Outcome,
    Progress,
    Receipt,
    Request,
)

AUTO = "auto"  # the word in the configuration
FALLBACK = "sniffer"

CLEAR = 9
LEAD = 3
#: so many bytes that no candidate understands, and FALLBACK listens until one does
UNKNOWN_BYTES = 2048
_A_FRAME = 3  # one good frame; what has no checksum may be understood by chance
_LOWEST = -60  # noise of a bad start is forgiven after a few exchanges


@dataclass(slots=True)
class _Candidate:
    """One protocol's decoder and what it made of the line."""

    decoder: Decoder
    score: int = 0
    asked: bool = False  # a request that its final answer has not followed yet
    matched: int = 0  # exchanges understood from the request to the final answer

    def heard(self, seen: list[Observation]) -> None:
        """Count what was observed."""
        for observation in seen:
            self.score = max(_LOWEST, self.score + self._worth(observation))

    def _worth(self, seen: Observation) -> int:
        if isinstance(seen, Noise) or seen.checksum is Checksum.BAD:
            return -1
        worth = 3 if seen.checksum is Checksum.OK else 1
        match seen:
            case Ack():
                worth = 0
            case Request():
                self.asked = True
            case Answer(final=True) if self.asked:
                self.asked = False
                self.matched += 1
                worth += 3
            case Answer() if seen.outcome in (None, Outcome.UNKNOWN) and seen.facts.response_code is None:
                worth = 0  # a frame that says nothing, of an exchange whose beginning nobody saw
            case Receipt():
                worth = 2 if seen.complete else 0
            case Progress() if not self.asked:
                worth = 0
        return worth


@dataclass(frozen=True, slots=True)
class Standing:
    """How the candidates stand, the best first: (name, score, exchanges understood)."""

    rows: tuple[tuple[str, int, int], ...]

    @property
    def clear(self) -> str | None:
        """The protocol, when there is no doubt."""
        fit = [row for row in self.rows if row[2] and row[1] >= CLEAR]
        if not fit:
            return None
        name, score, _ = fit[0]
        others = (other for other, value, _ in self.rows if other != name and value * LEAD > score)
        return None if any(True for _ in others) else name


@dataclass(slots=True)
class _Ear:
    """Listens for slips alone."""

    decoder: Decoder
    printed: bool = False

    def heard(self, seen: list[Observation]) -> None:
        """Whether a slip was among it that says how a transaction ended."""
        self.printed = self.printed or any(map(_is_slip, seen))


def _is_slip(seen: Observation) -> bool:
    slip = seen.slip if isinstance(seen, Receipt) and seen.complete else None
    return slip is not None and slip.kind is not None and slip.outcome is not None


@dataclass(slots=True)
class Detector:
    """Hears one line in both directions. `decoders`: a new decoder of each candidate, by the protocol's name.

    `ear`: a new decoder that listens for printed slips, the fallback's.
    """

    decoders: Mapping[str, Callable[[], Decoder]]
    ear: Callable[[], Decoder] | None = None
    bytes_heard: int = 0
    _candidates: dict[str, _Candidate] = field(default_factory=dict)
    _ear: _Ear | None = None

    def __post_init__(self) -> None:
        self._candidates = {name: _Candidate(new()) for name, new in self.decoders.items()}
        self._ear = _Ear(self.ear()) if self.ear else None

    def feed(self, direction: Direction, data: bytes) -> None:
        """Take bytes that `direction` sent."""
        self.bytes_heard += len(data)
        for listener in self._listeners:
            listener.heard(listener.decoder.feed(direction, data))

    def silence(self, direction: Direction) -> None:
        """The sender has paused for longer than any frame does."""
        for listener in self._listeners:
            listener.heard(listener.decoder.silence(direction))

    def reset(self) -> None:
        """The line was cut: partial frames and exchanges end, what was learned stays."""
        for listener in self._listeners:
            listener.heard(listener.decoder.reset())
        for candidate in self._candidates.values():
            candidate.asked = False

    def deaf(self) -> None:
        """Whoever is to hear of slips hears the line itself now."""
        self._ear = None

    @property
    def _listeners(self) -> list[_Candidate | _Ear]:
        return [*self._candidates.values(), *([self._ear] if self._ear else [])]

    @property
    def printing(self) -> bool:
        """Whether something is being printed that silence would end."""
        return self._ear is not None and not self._ear.decoder.idle

    @property
    def idle(self) -> bool:
        """No candidate that has understood anything holds a part of a frame or an exchange."""
        return all(one.decoder.idle for one in self._candidates.values() if one.score > 0)

    @property
    def standing(self) -> Standing:
        """How the candidates stand."""
        rows = ((name, one.score, one.matched) for name, one in self._candidates.items())
        return Standing(tuple(sorted(rows, key=lambda row: (-row[1], row[0]))))

    @property
    def unknown(self) -> bool:
        """Much was heard, or a slip, and nobody has understood any of it."""
        enough = self.bytes_heard >= UNKNOWN_BYTES or (self._ear is not None and self._ear.printed)
        return enough and all(one.score < _A_FRAME and not one.matched for one in self._candidates.values())


def line_of(protocol: str, get: Callable[[str], Driver]) -> LineDefaults:
    """The usual line of a protocol; of one that is to be heard first, the usual one of most."""
    return LineDefaults() if protocol == AUTO else get(protocol).line


def is_candidate(driver: Driver) -> bool:
    """Whether a line can be recognised as this protocol's: one that only listens for receipts takes anything."""
    return driver.name != FALLBACK and not driver.listens_only
