"""Masks card numbers in recorded bytes, so that a recording can still be decoded and replayed. Sans-IO.

A masker follows a line as a decoder does and gives the bytes back frame by frame: of the same length, every card
number without its middle, track data and the like blanked, the checksum as right or as wrong as it was. Bytes that
belong to no frame may be a part of a card number: only their count comes out. Each protocol brings its own masker
(`Driver.masker`), because only the protocol knows where in a frame a card number can stand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from drivers.framing_lrc import ETX, STX, Control, Frame, LrcFramer, Token, lrc
from drivers.observations import Direction


@dataclass(frozen=True, slots=True)
class LeftOut:
    """So many bytes that were no frame."""

    length: int


Piece = bytes | LeftOut


class Masker(Protocol):
    """Takes the bytes of a line in both directions; what comes out may be kept."""

    def feed(self, direction: Direction, data: bytes) -> list[Piece]:
        """Take bytes that `direction` sent; return what they complete, masked."""
        ...

    def silence(self, direction: Direction) -> list[Piece]:
        """The sender paused within a frame: the frame is left out."""
        ...


class LrcMasker:
    """Masks STX … ETX LRC frames. `mask_body` is told the sender, the body, and whether its LRC was right."""

    def __init__(self, mask_body: Callable[[Direction, bytes, bool], bytes]) -> None:
        self._mask_body = mask_body
        self._framers = {direction: LrcFramer() for direction in Direction}

    def feed(self, direction: Direction, data: bytes) -> list[Piece]:
        """Take bytes that `direction` sent; return what they complete, masked."""
        return joined([self._piece(direction, token) for token in self._framers[direction].feed(data)])

    def silence(self, direction: Direction) -> list[Piece]:
        """The sender paused within a frame: the frame is left out."""
        return joined([self._piece(direction, token) for token in self._framers[direction].give_up()])

    def _piece(self, direction: Direction, token: Token) -> Piece:
        if isinstance(token, Control):
            return bytes([token.byte])
        if isinstance(token, Frame):
            body = self._mask_body(direction, token.body, token.ok)
            wrong = token.lrc ^ lrc(token.body)  # 0 where the LRC was right: it stays right, or as wrong as before
            return bytes((STX, *body, ETX, lrc(body) ^ wrong))
        return LeftOut(token.length)


def joined(pieces: list[Piece]) -> list[Piece]:
    """The pieces, neighbouring bytes in one."""
    out: list[Piece] = []
    for piece in pieces:
        if out and isinstance(piece, bytes) and isinstance(last := out[-1], bytes):
            out[-1] = last + piece
        else:
            out.append(piece)
    return out
