"""ISO 8583 on a line: how UnionPay terminals wrap a message. Sans-IO.

    serial   02 | length, 2 bytes of BCD | message | 03 | LRC: XOR of everything from the length to the 03
    binary   length, 2 bytes, high byte first | message
    ASCII    length, 4 digits | message
    bare     message (framing `none` only), as inside other protocols' fields

Rules:
- No length is believed before a message's opening stands behind it: TPDU 60, application class, a known type. So noise
  is passed over byte by byte, and a wrong length never swallows a good frame.
- A whole opening inside a frame means that the frame before was cut there: it becomes Stray, the new one begins.
- A frame without a check is one only if its message fills it.
- A serial frame ends with 03 where its length says, or it is none. A wrong LRC gives a Frame that is not ok.
- Where several wrappings are still possible, more bytes are waited for; the tokens depend on the bytes only.

Cost: a byte is looked at a bounded number of times; at most LONGEST + 5 bytes are held.
Source: LiaoYang_POS Commlib.c (serial), public dumps (binary), hehe02921/qqq (ASCII).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import IntEnum
from functools import reduce
from operator import xor
from typing import Literal

from drivers.iso8583 import OPENING, OPENS, read, whole

STX = 0x02
ETX = 0x03
#: bytes of a message; the longest known (a key download) has some 1100. 0500 and up would begin like a control byte
LONGEST = 0x04FF
_SHORTEST = OPENING + 19  # bitmap, trace number, terminal
_CHECK = 2  # ETX and LRC
#: so many bytes tell for certain whether a frame begins with the first of them
_WINDOW = OPENING + 4


class Byte(IntEnum):
    """Control bytes that stand alone on the line."""

    ENQ = 0x05
    ACK = 0x06
    NAK = 0x15


@dataclass(frozen=True, slots=True)
class Control:
    """A control byte outside any frame."""

    byte: Byte


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole frame. `data` is kept out of the repr: it may hold a card number. `message`: where it stands in `data`.

    `ok`: whether the LRC fits; None where the wrapping has none.
    """

    data: bytes = field(repr=False)
    message: tuple[int, int]
    ok: bool | None


@dataclass(frozen=True, slots=True)
class Stray:
    """Bytes that belong to no whole frame, counted and not kept."""

    length: int
    reason: str


Token = Control | Frame | Stray

#: an opening with a length before it, whatever the length
_ANY_OPENING = re.compile(
    rb"\x02[\x00-\x99]{2}(?=" + OPENS.pattern + rb")"
    rb"|[0-9]{4}(?=" + OPENS.pattern + rb")"
    rb"|[\x00-\x04].(?=" + OPENS.pattern + rb")",
    re.DOTALL,
)
_ANY_START = re.compile(rb"[\x05\x06\x15]|" + _ANY_OPENING.pattern, re.DOTALL)
_ANY_START_BARE = re.compile(_ANY_START.pattern + rb"|(?=" + OPENS.pattern + rb")", re.DOTALL)


def lrc(data: bytes) -> int:
    """XOR of the bytes."""
    return reduce(xor, data, 0)


def serial_frame(message: bytes) -> bytes:
    """A message as it goes on a serial line."""
    body = bytes.fromhex(f"{len(message):04d}") + message + bytes([ETX])
    return bytes((STX, *body, lrc(body)))


def tcp_frame(message: bytes) -> bytes:
    """A message behind its length in binary."""
    return len(message).to_bytes(2, "big") + message


@dataclass(frozen=True, slots=True)
class _Wrapping:
    """A possible frame at a place: where its message begins, and how long it says that is."""

    lead: int
    size: int
    tail: int


class LengthFramer:
    """Cuts what one side sent into tokens. `bare`: a message may stand without a length."""

    def __init__(self, bare: bool) -> None:
        self._bare = bare
        self._held = bytearray()
        self._skipped = 0
        self._tokens: list[Token] = []

    @property
    def idle(self) -> bool:
        """Nothing is held: neither a part of a frame nor unreported stray bytes."""
        return not self._held and not self._skipped

    def feed(self, data: bytes) -> list[Token]:
        """Take bytes; return the tokens they complete."""
        self._held += data
        place = 0
        while (place := self._past_noise(place)) < len(self._held) and (end := self._step(place)) is not None:
            place = end
        del self._held[:place]
        return self._taken()

    def give_up(self) -> list[Token]:
        """The sender has stopped: what is held belongs to no whole frame."""
        if self._held:
            self._stray(len(self._held), "frame cut short")
            self._held.clear()
        self._report_skipped()
        return self._taken()

    def _past_noise(self, place: int) -> int:
        """Behind the bytes of which it is certain that nothing begins with them."""
        certain = len(self._held) - _WINDOW + 1
        if place >= certain:
            return place
        found = (_ANY_START_BARE if self._bare else _ANY_START).search(self._held, place)
        begin = min(found.start(), certain) if found else certain
        self._skip(begin - place)
        return begin

    def _step(self, place: int) -> int | None:
        """Take what begins there; where it ends, or None while that can't be told."""
        byte = self._held[place]
        if byte in (Byte.ENQ, Byte.ACK, Byte.NAK):
            self._report_skipped()
            self._tokens.append(Control(Byte(byte)))
            return place + 1
        found = self._wrapping(place)
        if found is None:
            return None
        if found is False:
            self._skip(1)
            return place + 1
        return self._framed(place, found)

    def _wrapping(self, place: int) -> _Wrapping | Literal[False] | None:
        """How a frame that begins there is wrapped; False: none does; None: more bytes will tell."""
        held = bytes(self._held[place : place + _WINDOW])
        for lead, tail, size in (
            (3, _CHECK, _bcd(held)),
            (2, 0, _binary(held)),
            (4, 0, _ascii(held)),
            (0, 0, 0 if self._bare else False),
        ):
            if size is False:
                continue
            opens = _opens(held[lead:]) if size is not None else None
            if opens is None:
                return None
            if opens and size is not None:
                return _Wrapping(lead, size, tail)
        return False

    def _framed(self, place: int, found: _Wrapping) -> int | None:
        begin = place + found.lead
        if not found.lead:
            return self._bare_message(place)
        end = begin + found.size + found.tail
        cut = _ANY_OPENING.search(self._held, begin + 1, min(end, len(self._held)))
        if cut and cut.end() + OPENING <= min(end, len(self._held)):
            self._stray(cut.start() - place, "frame cut short")
            return cut.start()
        if end > len(self._held):
            return None
        data = bytes(self._held[place:end])
        if found.tail and data[-2] != ETX:
            # The 02 may be the end of what was cut before a binary length: what is behind it is looked at anew.
            self._stray(1, "no end where the length says")
            return place + 1
        if not found.tail and not _makes_sense(data, found.lead):
            self._stray(1, "not a message")
            return place + 1
        self._report_skipped()
        ok = lrc(data[1:-1]) == data[-1] if found.tail else None
        self._tokens.append(Frame(data, (found.lead, found.lead + found.size), ok))
        return end

    def _bare_message(self, place: int) -> int | None:
        """Without a length, a message ends where its last field does."""
        held = bytes(self._held[place : place + LONGEST])
        message = read(held)
        short = message is not None and message.stopped is not None and message.stopped.short
        read_to = len(held) if message is None or short else message.end
        if cut := OPENS.search(held, 1, read_to):
            self._stray(cut.start(), "frame cut short")
            return place + cut.start()
        if short and len(held) < LONGEST:
            return None
        if message is None or message.stopped:
            self._stray(1, "not a message")
            return place + 1
        self._report_skipped()
        self._tokens.append(Frame(held[: message.end], (0, message.end), None))
        return place + message.end

    def _stray(self, length: int, reason: str) -> None:
        self._report_skipped()
        self._tokens.append(Stray(length, reason))

    def _skip(self, count: int) -> None:
        self._skipped += count
        while self._skipped > LONGEST:  # a line that never stops must not stay unreported
            self._tokens.append(Stray(LONGEST, "no frame"))
            self._skipped -= LONGEST

    def _report_skipped(self) -> None:
        if self._skipped:
            self._tokens.append(Stray(self._skipped, "no frame"))
            self._skipped = 0

    def _taken(self) -> list[Token]:
        tokens, self._tokens = self._tokens, []
        return tokens


def _makes_sense(data: bytes, lead: int) -> bool:
    """Whether what has no check of its own is a message: bytes that were lost in it would have moved its fields."""
    message = read(data, lead)
    return message is not None and whole(message, len(data))


def _opens(data: bytes) -> bool | None:
    """Whether a message opens there; None while every byte so far may belong to an opening."""
    if len(data) >= OPENING:
        return bool(OPENS.match(data))
    if (data and data[0] != 0x60) or (len(data) > 5 and data[5] not in (0x60, 0x61, 0x62)):
        return False
    return None


def _possible(size: int) -> int | bool:
    return size if _SHORTEST <= size <= LONGEST else False


def _bcd(held: bytes) -> int | bool | None:
    """The length of a serial frame there. False: it is none; None: not told yet. So the other two."""
    if held[0] != STX:
        return False
    digits = held[1:3].hex()
    if digits and not digits.isdecimal():
        return False
    return _possible(int(digits)) if len(digits) == 4 else None


def _binary(held: bytes) -> int | bool | None:
    if held[0] > LONGEST >> 8:
        return False
    return _possible(int.from_bytes(held[:2], "big")) if len(held) >= 2 else None


def _ascii(held: bytes) -> int | bool | None:
    digits = held[:4]
    if not digits.isdigit():
        return False
    return _possible(int(digits)) if len(digits) == 4 else None
