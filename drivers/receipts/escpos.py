"""Takes the commands of ESC/POS printers out of a byte stream: what is left is text, line feeds and cuts.

What is skipped: initialising, fonts and positions, Kanji mode (1C 26 / 1C 2E), bar codes, QR codes, pictures. That a
picture passed is told, because a slip that is nothing else can't be read. A byte that begins no known command is
dropped alone. Text in ASCII, UTF-8, GBK and code pages has no byte below 20, so nothing of it is taken for a command.

Cost: linear. Held: at most one command's head (260 bytes); data of pictures is counted, not kept.
Source: Epson's ESC/POS command reference as public printer libraries (python-escpos, escpos-php) implement it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

ESC, GS, FS, DLE = 0x1B, 0x1D, 0x1C, 0x10
_LF, _CR, _HT, _FF = 0x0A, 0x0D, 0x09, 0x0C
_PROTOCOL = b"\x01\x02\x03\x04\x05\x06\x15\x16\x17"
_TEXT = re.compile(rb"[^\x00-\x1f]+")
_LONGEST = 260  # bytes of a command's head with its arguments, NUL-terminated bar codes included
_MOST_DATA = 1 << 20  # bytes of one picture: more is no command of a receipt printer


@dataclass(frozen=True, slots=True)
class Text:
    """Printed bytes."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Feed:
    """The line ends, and paper for so many lines goes out."""

    lines: int


@dataclass(frozen=True, slots=True)
class CodePage:
    """The single-byte characters from here on: a number of the printer's table (ESC t); 0 is its own."""

    number: int


class Sign(Enum):
    """What happens to the paper."""

    CUT = auto()
    PICTURE = auto()


Piece = Text | Feed | CodePage | Sign

#: commands of a fixed length: introducer → letter → argument bytes
_FIXED: dict[int, dict[int, int]] = {
    ESC: {
        **dict.fromkeys(b"@2<LS\x0cimO", 0),
        **dict.fromkeys(b"!aEdeJK-MGRt \x33{VrUT=uvfw", 1),
        **dict.fromkeys(b"$\\c", 2),
        **dict.fromkeys(b"p", 3),
        **dict.fromkeys(b"W", 8),
    },
    GS: {
        **dict.fromkeys(b":", 0),
        **dict.fromkeys(b"!BHhwfabrIT/EcgzCQ", 1),
        **dict.fromkeys(b"LWP$\\", 2),
        **dict.fromkeys(b"^", 3),
    },
    FS: {**dict.fromkeys(b"&.", 0), **dict.fromkeys(b"!-WC", 1), **dict.fromkeys(b"Sp", 2), ord("2"): 74},
    DLE: {0x04: 1, 0x05: 1, 0x14: 3},
}
#: commands after which a piece of paper goes off
_CUTS = (bytes([ESC, ord("i")]), bytes([ESC, ord("m")]), bytes([GS, ord("V")]))
_PICTURES = (b"\x1b*", b"\x1dv", b"\x1d*", b"\x1d8", b"\x1d(L", b"\x1cp", b"\x1d/")

#: bytes of the command's head, and of the data behind it; None: more bytes are needed to tell
Extent = tuple[int, int] | None


class Stripper:
    """One printer's stream. `breaks`: control bytes of a line's protocol (STX, ETX, ACK …) end a line of text."""

    def __init__(self, breaks: bool = False) -> None:
        self._breaks = breaks
        self._held = b""
        self._skip = 0
        self._newline = 0  # the last byte, when it was CR or LF: the other one behind it belongs to it
        self.dropped = 0  # bytes that are neither text nor a known command

    @property
    def idle(self) -> bool:
        """Nothing is half read."""
        return not self._held and not self._skip

    @property
    def skipping(self) -> bool:
        """The next byte is data of a bar code or a picture."""
        return self._skip > 0

    def give_up(self) -> None:
        """The stream paused: a command begun goes on no more."""
        self._held, self._skip, self._newline = b"", 0, 0

    def feed(self, data: bytes) -> Iterator[Piece]:
        """What these bytes print, piece by piece; `dropped` has always come as far as the last piece."""
        skipped = min(self._skip, len(data))
        self._skip -= skipped
        data, self._held = self._held + data[skipped:], b""
        place = 0
        while place < len(data):
            if found := _TEXT.match(data, place):
                self._newline = 0
                place = found.end()
                yield Text(found.group())
                continue
            pieces: list[Piece] = []
            taken = self._control(data, place, pieces)
            if taken == 0:
                self._held = data[place:]
                break
            place += taken
            if place > len(data):
                self._skip, place = place - len(data), len(data)
            yield from pieces

    def _control(self, data: bytes, place: int, pieces: list[Piece]) -> int:
        """How many bytes from `place` on are done with; 0: the command is not all there."""
        byte = data[place]
        if byte in (_LF, _CR):
            if self._newline == (_LF ^ _CR ^ byte):
                self._newline = 0
            else:
                self._newline = byte
                pieces.append(Feed(1))
            return 1
        self._newline = 0
        if byte == _HT:
            pieces.append(Text(b"    "))
        elif byte == _FF:
            pieces.append(Sign.CUT)
        elif byte not in _FIXED:
            self.dropped += 1
            if self._breaks and byte in _PROTOCOL:
                pieces.append(Feed(0))
        if byte not in _FIXED:
            return 1
        command = data[place : place + _LONGEST]
        extent = _extent(command)
        if extent is None:
            return 0
        head, rest = extent
        self.dropped += head if head == 1 else 0
        pieces += _meaning(command[:head])
        return head + rest


def _meaning(command: bytes) -> list[Piece]:
    if command[:2] == b"\x1bd":
        return [Feed(command[2])]
    if command[:2] in (b"\x1bJ", b"\x1bK"):
        return [Feed(1)]
    if command[:2] == b"\x1bt":
        return [CodePage(command[2])]
    if command[:2] == b"\x1b@":
        return [CodePage(0)]
    if command[:2] in _CUTS:
        return [Sign.CUT]
    return [Sign.PICTURE] if command.startswith(_PICTURES) else []


def _extent(command: bytes) -> Extent:
    """How long a command is. It depends on the bytes alone, never on how they came."""
    if len(command) < 2:
        return None
    arguments = _FIXED[command[0]].get(command[1])
    if arguments is not None:
        return (2 + arguments, 0) if len(command) >= 2 + arguments else None
    if special := _SPECIAL.get(command[:2]):
        return special(command)
    # An unknown command: its letter is dropped with it, unless it begins something else.
    return (2 if command[0] == ESC and command[1] >= 0x20 else 1, 0)


def _bits(command: bytes) -> Extent:
    """ESC * m nL nH: a picture of n columns, one byte each, or three in the fine modes."""
    if len(command) < 5:
        return None
    return 5, (command[3] | command[4] << 8) * (3 if command[2] >= 32 else 1)


def _until_nul(head: int, longest: int) -> Callable[[bytes], Extent]:
    def extent(command: bytes) -> Extent:
        end = command.find(0, head, head + longest)
        if end >= 0:
            return end + 1, 0
        return None if len(command) < head + longest else (head, 0)

    return extent


def _cut(command: bytes) -> Extent:
    """GS V m, and n where m feeds paper first."""
    if len(command) < 3:
        return None
    length = 4 if command[2] in (65, 66, 97, 98, 103, 104) else 3
    return (length, 0) if len(command) >= length else None


def _bar_code(command: bytes) -> Extent:
    """GS k m d… NUL, or GS k m n d…"""
    if len(command) < 4:
        return None
    return (4, command[3]) if command[2] >= 65 else _until_nul(3, 255)(command)


def _counted(command: bytes) -> Extent:
    """GS ( x pL pH d…: QR codes, pictures, settings."""
    return (5, command[3] | command[4] << 8) if len(command) >= 5 else None


def _large(command: bytes) -> Extent:
    """GS 8 L p1 … p4 d…"""
    return _within(7, int.from_bytes(command[3:7], "little")) if len(command) >= 7 else None


def _raster(command: bytes) -> Extent:
    """GS v 0 m xL xH yL yH d…"""
    if len(command) < 8:
        return None
    return _within(8, int.from_bytes(command[4:6], "little") * int.from_bytes(command[6:8], "little"))


def _stored_picture(command: bytes) -> Extent:
    """GS * x y d…"""
    return (4, command[2] * command[3] * 8) if len(command) >= 4 else None


def _within(head: int, size: int) -> Extent:
    return head, size if size <= _MOST_DATA else 0


_SPECIAL: dict[bytes, Callable[[bytes], Extent]] = {
    b"\x1b*": _bits,
    b"\x1bD": _until_nul(2, 33),
    b"\x1bB": _until_nul(2, 33),
    b"\x1dV": _cut,
    b"\x1dk": _bar_code,
    b"\x1d(": _counted,
    b"\x1c(": _counted,
    b"\x1d8": _large,
    b"\x1dv": _raster,
    b"\x1d*": _stored_picture,
}
