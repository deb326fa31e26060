"""Masks recorded frames by a profile: same length, still decodable, checks as right or as wrong as they were.

Card numbers keep six and four digits, fields that are `never` and bytes that no field describes are blanked, text loses
card numbers. Of a frame that is no message of the profile nothing stays but its length.
"""

from __future__ import annotations

import re

from drivers.cards import luhn_valid, scheme_of
from drivers.masking import LeftOut, Piece, joined
from drivers.observations import Direction
from drivers.profiles import inner
from drivers.profiles.fields import clean
from drivers.profiles.framing import Control, Frame, Framer, Shape, Token
from drivers.profiles.layouts import Value
from drivers.profiles.messages import recognise
from drivers.profiles.schema import Encoding, Fact, Profile

_NOT_BLANK = re.compile(rb"[^ ]")
_NUMBER = re.compile(rb"(?<![\d*])\d{13,19}(?![\d*])")
_DIGIT = re.compile(r"[0-9*]")
_HIDDEN_NIBBLE = "E"
_LONGEST_CARD = 19
_SHORTEST_CARD = 13
_SMALL_NUMBER = 4  # bytes; a longer binary number may be anything
_TEXT = frozenset({Encoding.ASCII, Encoding.GBK, Encoding.UTF8})


class ProfileMasker:
    """Follows a line frame by frame; see drivers.masking.Masker."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._shape = Shape(profile.framing)
        self._framers = {direction: Framer(self._shape) for direction in Direction}

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
            return masked(self._profile, self._shape, direction, token)
        return LeftOut(token.length)


def masked(profile: Profile, shape: Shape, direction: Direction, frame: Frame) -> bytes:
    """The frame without card numbers and secrets, of the same length."""
    out = bytearray(frame.raw)
    reading = recognise(profile, shape, direction, frame)
    if reading is None:
        out[frame.start : frame.end] = bytes(frame.end - frame.start)
    else:
        for value in reading.values:
            if value.raw:
                at = frame.start + value.start
                out[at : at + len(value.raw)] = _value(value)
        layout = profile.layouts.get(reading.message.layout or "")
        if layout is None:
            out[frame.start : frame.end] = _begun(reading.message.begins, frame.payload)
        else:
            # A number may also stand where no value does: in a key, or across fields that are not those of the message.
            # It is looked for in what was said as well: what was blanked beside it may have made it part of another.
            for found in _NUMBER.finditer(frame.payload):
                place = slice(frame.start + found.start(), frame.start + found.end())
                if out[place] == found.group():
                    out[place] = _hidden(found)
            out[frame.start : frame.end] = _NUMBER.sub(_hidden, bytes(out[frame.start : frame.end]))
    _check_as_before(shape, frame, out)
    return bytes(out)


def _hidden(found: re.Match[bytes]) -> bytes:
    digits = found.group().decode("ascii")
    is_card = luhn_valid(digits) and scheme_of(digits) is not None
    return _card(digits, "*").encode("ascii") if is_card else found.group()


def _begun(begins: bytes, payload: bytes) -> bytes:
    """A payload without a layout: only the bytes by which it was recognised stay."""
    at = payload.find(begins) if begins else 0
    return bytes(at) + begins + bytes(len(payload) - at - len(begins))


def _value(value: Value) -> bytes:
    spec, raw = value.field, value.raw
    if spec.never or (spec.encoding in _TEXT and b"\\u" in raw):  # digits may hide behind a JSON escape
        return _blanked(value)
    if spec.encoding in (Encoding.BCD, Encoding.HEX):
        return _digits(value)
    if spec.encoding is Encoding.CUP8583:
        return inner.masked(raw)
    if spec.encoding is Encoding.BINARY:
        return raw if len(raw) <= _SMALL_NUMBER else bytes(len(raw))
    text = raw.decode("latin-1")
    return (_card(text, "*") if spec.fact is Fact.CARD else clean(spec, text)).encode("latin-1")


def _digits(value: Value) -> bytes:
    digits = value.raw.hex().upper()
    if value.field.fact is Fact.CARD:
        return bytes.fromhex(_card(digits.rstrip("F"), _HIDDEN_NIBBLE).ljust(len(digits), "F"))
    return value.raw if clean(value.field, digits) == digits else bytes(len(value.raw))


def _blanked(value: Value) -> bytes:
    if not value.quoted:
        return b"0" * len(value.raw)
    return _NOT_BLANK.sub(b"*", value.raw) if value.field.encoding in _TEXT else bytes(len(value.raw))


def _card(text: str, hidden: str) -> str:
    """A card number in place: its middle hidden, or all but the last four where it is short."""
    places = [found.start() for found in _DIGIT.finditer(text)]
    count = len(places)
    first = 6 if count >= _SHORTEST_CARD else 0
    last = count - 4 if count <= _LONGEST_CARD else count
    out = list(text)
    for place in places[first:last]:
        out[place] = hidden
    return "".join(out)


def _check_as_before(shape: Shape, frame: Frame, out: bytearray) -> None:
    size = frame.end - frame.start
    for number in shape.checks:
        at, part = shape.at(number, size), shape.parts[number]
        right = shape.check_of(number, frame.raw, size)
        wrong = bytes(a ^ b for a, b in zip(right, frame.raw[at : at + part.size], strict=True))
        now = shape.check_of(number, out, size)
        out[at : at + part.size] = bytes(a ^ b for a, b in zip(now, wrong, strict=True))
