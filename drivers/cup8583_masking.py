"""Masks recorded ISO 8583: same length, still decodable, the LRC as right or as wrong as it was.

Of a card number the first six and last four digits stay, the others become E. Every field that becomes no value
(drivers/iso8583.py) is blanked: card data, keys, balances, EMV data, vendors' own. Of a frame that is not understood
to its end, everything behind that place is blanked.
"""

from __future__ import annotations

from drivers.cards import scrub
from drivers.driver import Framing
from drivers.framing_length import Control, Frame, LengthFramer, Token, lrc
from drivers.iso8583 import FORMATS, KEPT, OPENING, PAN, Message, kept, read
from drivers.masking import LeftOut, Piece, joined
from drivers.observations import Direction

_NUMBERS = (37, 38, 39, 41, 42)
#: the fields behind the PAN that a recording keeps as they are: the message check proves nothing without its key
_AS_THEY_ARE = KEPT | {23, 24, 26, 33, 64, 128}


class Iso8583Masker:
    """Follows a line frame by frame; see drivers.masking.Masker."""

    def __init__(self, framing: Framing) -> None:
        self._framers = {direction: LengthFramer(bare=framing is not Framing.SERIAL) for direction in Direction}

    def feed(self, direction: Direction, data: bytes) -> list[Piece]:
        """Take bytes that `direction` sent; return what they complete, masked."""
        return joined([_piece(token) for token in self._framers[direction].feed(data)])

    def silence(self, direction: Direction) -> list[Piece]:
        """The sender paused within a frame: the frame is left out."""
        return joined([_piece(token) for token in self._framers[direction].give_up()])


def _piece(token: Token) -> Piece:
    if isinstance(token, Control):
        return bytes([token.byte])
    if isinstance(token, Frame):
        return _masked(token)
    return LeftOut(token.length)


def _masked(frame: Frame) -> bytes:
    begin, end = frame.message
    message = read(frame.data[:end], begin)
    out = bytearray(frame.data)
    if message is None or frame.ok is False:
        # What a broken frame holds can't be told: its opening stays, so that it is still seen to be one.
        out[begin + OPENING : end] = bytes(end - begin - OPENING)
    else:
        blank(out, message, end)
    if frame.ok is not None:
        wrong = lrc(frame.data[1:-1]) ^ frame.data[-1]
        out[-1] = lrc(bytes(out[1:-1])) ^ wrong
    return bytes(out)


def blank(out: bytearray, message: Message, end: int) -> None:
    """Blank in place what a recording must not hold of a message that was read from these bytes."""
    for number, (first, behind) in message.spans.items():
        if number == PAN:
            _mask_pan(out, first, behind)
        elif number not in _AS_THEY_ARE or (number in KEPT and not kept(number, message.mti)):
            out[first:behind] = (b" " if FORMATS[number].kind == "a" else b"\x00") * (behind - first)
        elif FORMATS[number].kind == "a" and number not in _NUMBERS:
            text = bytes(out[first:behind]).decode("latin-1")
            out[first:behind] = scrub(text).encode("latin-1")
    if message.stopped:
        known = max((behind for _, behind in message.spans.values()), default=None)
        if known is not None:
            # Two bytes stay: the length of the field that stopped the reading, so that it stops there again.
            out[min(known + 2, end) : end] = bytes(max(0, end - known - 2))


def _mask_pan(out: bytearray, first: int, behind: int) -> None:
    digits = bytes(out[first:behind]).hex()
    count = len(digits) - (digits[-1] in "0f" and len(digits) % 2 == 0 and _odd(out, first))
    shown = digits[:6] + "e" * max(0, count - 10) + digits[max(6, count - 4) :]
    out[first:behind] = bytes.fromhex(shown)


def _odd(out: bytearray, first: int) -> bool:
    """Whether the length before the number is odd, so that its last digit is a pad."""
    return bool(out[first - 1] & 1)
