"""STX … ETX LRC framing with control bytes, as Caisse Concert and many cashier protocols use it. Sans-IO.

    line  ENQ   ┆ STX  body …  ETX  LRC ┆  noise  ┆ EOT
    token Control  Frame(body, lrc)        Stray     Control

Rules:
- A frame's length comes from its ETX, never from a constant. The byte after ETX is the LRC whatever its value.
- A body is text. An STX in it means that the frame before was cut: that one becomes Stray, a new one begins.
  Other control bytes stay in the body and let the LRC fail, so that a byte hurt on the line never turns into an
  acknowledgement that nobody sent.
- An STX where a wrong LRC stands is taken for the next frame's beginning: the LRC itself got lost.
- The tokens depend on the bytes only, not on how they are cut.

Cost: each byte is looked at once by a compiled pattern (O(n)); at most MAX_BODY bytes are held.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto

STX = 0x02
ETX = 0x03
#: bytes; the longest body known (Concert E+) has some 300
MAX_BODY = 1024

# Outside a frame: the next byte that means something. Inside: the next one that ends or restarts the frame.
_MEANINGFUL = re.compile(rb"[\x02\x04\x05\x06\x15]")
_BODY_EDGE = re.compile(rb"[\x02\x03]")


class Byte(IntEnum):
    """Control bytes that stand alone on the line."""

    EOT = 0x04
    ENQ = 0x05
    ACK = 0x06
    NAK = 0x15


def lrc(body: bytes) -> int:
    """Longitudinal redundancy check: XOR of the body's bytes and the ETX behind it."""
    folded = int.from_bytes(body, "little")
    size = len(body)
    while size > 1:  # the upper half onto the lower one: some eight steps instead of one a byte
        half = (size + 1) // 2
        folded = (folded >> 8 * half) ^ (folded & ((1 << 8 * half) - 1))
        size = half
    return folded ^ ETX


def frame(body: bytes) -> bytes:
    """The body as it goes on the line: STX, body, ETX, LRC."""
    return bytes((STX, *body, ETX, lrc(body)))


@dataclass(frozen=True, slots=True)
class Control:
    """A control byte outside any frame."""

    byte: Byte


_CONTROLS = {byte.value: Control(byte) for byte in Byte}


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole frame, its LRC as it came. The body is kept out of the repr: it may hold a card number."""

    body: bytes = field(repr=False)
    lrc: int

    @property
    def ok(self) -> bool:
        """Whether the LRC fits the body."""
        return lrc(self.body) == self.lrc

    @property
    def length(self) -> int:
        """Bytes on the line."""
        return len(self.body) + 3


@dataclass(frozen=True, slots=True)
class Stray:
    """Bytes that belong to no whole frame, counted and not kept."""

    length: int
    reason: str


Token = Control | Frame | Stray


class _At(Enum):
    OUTSIDE = auto()
    BODY = auto()
    CHECK = auto()  # the next byte is the LRC


class LrcFramer:
    """Cuts what one side sent into tokens."""

    def __init__(self) -> None:
        self._at = _At.OUTSIDE
        self._body = bytearray()
        self._skipped = 0  # stray bytes not reported yet: they are reported as one run
        self._tokens: list[Token] = []

    @property
    def idle(self) -> bool:
        """Nothing is held: neither a part of a frame nor unreported stray bytes."""
        return self._at is _At.OUTSIDE and not self._skipped

    def feed(self, data: bytes) -> list[Token]:
        """Take bytes; return the tokens they complete."""
        if len(data) == 1 and self._at is _At.OUTSIDE and not self._skipped and (alone := _CONTROLS.get(data[0])):
            return [alone]  # most of what passes is an acknowledgement by itself
        place = 0
        while place < len(data):
            if self._at is _At.OUTSIDE:
                place = self._outside(data, place)
            elif self._at is _At.BODY:
                place = self._in_body(data, place)
            else:
                place = self._check(data, place)
        return self._taken()

    def give_up(self) -> list[Token]:
        """The sender has stopped: what is held belongs to no whole frame."""
        self._abandon("frame cut short")
        self._report_skipped()
        return self._taken()

    def _outside(self, data: bytes, place: int) -> int:
        found = _MEANINGFUL.search(data, place)
        end = found.start() if found else len(data)
        self._skip(end - place)
        if not found:
            return end
        self._report_skipped()
        if data[end] == STX:
            self._at = _At.BODY
        else:
            self._tokens.append(_CONTROLS[data[end]])
        return end + 1

    def _in_body(self, data: bytes, place: int) -> int:
        limit = place + MAX_BODY - len(self._body)
        found = _BODY_EDGE.search(data, place, limit + 1)
        end = found.start() if found else min(limit, len(data))
        self._body += data[place:end]
        if found is None:
            if end == limit and end < len(data):
                self._abandon("frame too long")
            return end
        if data[end] == STX:
            self._abandon("frame cut short")
            self._at = _At.BODY
        else:
            self._at = _At.CHECK
        return end + 1

    def _check(self, data: bytes, place: int) -> int:
        whole = Frame(bytes(self._body), data[place])
        if data[place] == STX and not whole.ok:
            self._abandon("LRC missing")
            return place
        self._tokens.append(whole)
        self._begin()
        return place + 1

    def _abandon(self, reason: str) -> None:
        """Report a frame that never ended."""
        if self._at is not _At.OUTSIDE:
            held = 1 + len(self._body) + (self._at is _At.CHECK)
            self._tokens.append(Stray(held, reason))
        self._begin()

    def _begin(self) -> None:
        self._at = _At.OUTSIDE
        self._body.clear()

    def _skip(self, count: int) -> None:
        self._skipped += count
        while self._skipped > MAX_BODY:  # a line that never stops must not stay unreported
            self._tokens.append(Stray(MAX_BODY, "no frame"))
            self._skipped -= MAX_BODY

    def _report_skipped(self) -> None:
        if self._skipped:
            self._tokens.append(Stray(self._skipped, "no frame"))
            self._skipped = 0

    def _taken(self) -> list[Token]:
        tokens, self._tokens = self._tokens, []
        return tokens
