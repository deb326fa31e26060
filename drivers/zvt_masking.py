"""Masks recorded ZVT messages: same length, still decodable, checksums as right or as wrong as they were."""

from __future__ import annotations

from drivers.cards import scrub
from drivers.driver import Framing
from drivers.masking import LeftOut, Piece, joined
from drivers.observations import Direction
from drivers.zvt import COMMANDS, PASSWORD
from drivers.zvt_fields import SECRET_BMPS, SECRET_TAGS, bmps, tlv
from drivers.zvt_framing import ACK, NAK, Apdu, Broken, LinkAck, Token, apdu, framer_of, serial_frame

_WITH_FIELDS = frozenset({b"\x04\x0f", b"\x06\x0f", b"\x06\xd3"})
_TEXT = frozenset({b"\x06\xd1", b"\x06\xd8", b"\x06\xd9"})
_WITHOUT_SECRETS = frozenset({b"\x80\x00", b"\x04\xff", b"\x06\x1e"})
_MASKED_NIBBLE = "E"


class ZvtMasker:
    """Follows a line frame by frame; see drivers.masking.Masker."""

    def __init__(self, framing: Framing) -> None:
        self._framers = {direction: framer_of(framing) for direction in Direction}

    def feed(self, direction: Direction, data: bytes) -> list[Piece]:
        """Take bytes that `direction` sent; return what they complete, masked."""
        return joined([_piece(token) for token in self._framers[direction].feed(data)])

    def silence(self, direction: Direction) -> list[Piece]:
        """The sender paused within a frame: the frame is left out."""
        return joined([_piece(token) for token in self._framers[direction].give_up()])


def _piece(token: Token) -> Piece:
    if isinstance(token, LinkAck):
        return bytes([ACK if token.positive else NAK])
    if isinstance(token, Apdu):
        whole = apdu(token.control, masked_body(token.control, token.body))
        return whole if token.checked is None else serial_frame(whole)
    if isinstance(token, Broken):
        # What it holds can't be told, so nothing of it stays but its length and how wrong it was. FF fits no length.
        return serial_frame(b"\xff" * len(token.apdu), wrong=0 if token.checked else 1)
    return LeftOut(token.length)


def masked_body(control: bytes, body: bytes) -> bytes:
    """The data of a message without card secrets, of the same length."""
    if control in _WITHOUT_SECRETS or control[0] == 0x84:
        return body
    if control in _TEXT:
        return body[:1] + _scrubbed(body[1:])
    if control not in _WITH_FIELDS and control not in COMMANDS:
        return bytes(len(body))  # nobody reads it, and it may hold anything
    skipped = 0 if control in _WITH_FIELDS else COMMANDS[control][2]
    fields = bmps(body[skipped:])
    # Without a field the first byte is a status, as at the end of a status enquiry.
    read = max((field.start + len(field.value) for field in fields), default=1 if control in _WITH_FIELDS else 0)
    masked = bytearray(body[: skipped + read]) + bytes(max(0, len(body) - skipped - read))
    if skipped >= PASSWORD:
        masked[:PASSWORD] = bytes(PASSWORD)
    for field in fields:
        at = skipped + field.start
        masked[at : at + len(field.value)] = _masked_value(field.tag, field.value)
    return bytes(masked[: len(body)])


def _masked_value(bmp: int, value: bytes) -> bytes:
    if bmp == 0x22:
        return _masked_pan(value)
    if bmp in SECRET_BMPS:
        return bytes(len(value))
    if bmp == 0x06:
        # Element by element: a length may look like one more digit of the number behind it.
        container, read = bytearray(value), 0
        for element in tlv(value):
            end = element.start + len(element.value)
            hidden = bytes(len(element.value)) if element.tag in SECRET_TAGS else _scrubbed(element.value)
            container[element.start : end] = hidden
            read = max(read, end)
        container[read:] = bytes(len(value) - read)
        return bytes(container)
    return _scrubbed(value)


def _masked_pan(value: bytes) -> bytes:
    number = value.hex().upper()
    digits = number.rstrip("F")
    if len(digits) < 13:
        masked = _MASKED_NIBBLE * max(0, len(digits) - 4) + digits[-4:]
    else:
        masked = digits[:6] + _MASKED_NIBBLE * (len(digits) - 10) + digits[-4:]
    return bytes.fromhex(masked + number[len(digits) :])


def _scrubbed(value: bytes) -> bytes:
    """Text with the card numbers in it masked; other bytes stay as they are."""
    return scrub(value.decode("latin-1")).encode("latin-1")
