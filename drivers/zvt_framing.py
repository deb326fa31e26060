"""How ZVT messages lie on the line: in serial frames (DLE STX … DLE ETX CRC), or bare on TCP. Sans-IO.

Serial: `10 02` APDU with every `10` doubled, `10 03`, CRC low byte, CRC high byte; between frames `06` and `15`
acknowledge. The CRC (polynomial 1021 reflected, initial 0) covers the undoubled APDU and the byte 03.
Bare: the APDU alone; its own length says where it ends.

APDU: control field 2 bytes, length 1 byte (or FF, low, high), data. Source: PA00P015, ecrterm, Portalum.Zvt.

Bytes that are no frame are counted until something valid comes, so that the count does not depend on how the bytes
were cut. Every byte is looked at a bounded number of times, and no more than MAX_APDU bytes are held.
"""

from __future__ import annotations

from binascii import crc_hqx
from dataclasses import dataclass

from drivers.driver import Framing

DLE, STX, ETX, ACK, NAK = 0x10, 0x02, 0x03, 0x06, 0x15
MAX_APDU = 8192
_MAX_FRAME = 2 * MAX_APDU + 6  # bytes of a serial frame up to its end mark, every byte doubled


@dataclass(frozen=True, slots=True)
class Apdu:
    """One message. `checked`: the frame's CRC was right (True), wrong (False), or there is none (None)."""

    control: bytes
    body: bytes
    checked: bool | None


@dataclass(frozen=True, slots=True)
class LinkAck:
    """The link layer's own acknowledgement of a serial frame."""

    positive: bool


@dataclass(frozen=True, slots=True)
class Broken:
    """A whole serial frame that holds no message: wrong CRC, or a length that does not fit. `apdu` as it came."""

    apdu: bytes
    reason: str
    checked: bool


@dataclass(frozen=True, slots=True)
class Stray:
    """So many bytes that are no frame."""

    length: int
    reason: str


Token = Apdu | LinkAck | Broken | Stray

_STRAY = "no frame"
_CUT = "frame broke off"


_TURNED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
_ETX_BYTE = bytes([ETX])


def crc(apdu: bytes) -> int:
    """The CRC of a serial frame that carries this APDU: CRC-16/KERMIT.

    It is the CRC that the C library's crc_hqx computes, with the bits of each byte, and of the result, turned round.
    """
    turned = crc_hqx((apdu + _ETX_BYTE).translate(_TURNED), 0)
    return _TURNED[turned >> 8] | _TURNED[turned & 0xFF] << 8


def serial_frame(apdu: bytes, wrong: int = 0) -> bytes:
    """The APDU in a serial frame; `wrong` is laid over the CRC (0: a right one)."""
    doubled = apdu.replace(b"\x10", b"\x10\x10")
    return b"\x10\x02" + doubled + b"\x10\x03" + (crc(apdu) ^ wrong).to_bytes(2, "little")


def apdu(control: bytes, body: bytes = b"") -> bytes:
    """The message of this control field and body."""
    size = len(body)
    length = bytes([size]) if size < 0xFF else b"\xff" + size.to_bytes(2, "little")
    return control + length + body


def split_apdu(data: bytes) -> tuple[bytes, bytes] | None:
    """Control field and body, or None when the length does not fit the bytes."""
    if len(data) < 3:
        return None
    size, start = (data[2], 3) if data[2] != 0xFF else (int.from_bytes(data[3:5], "little"), 5)
    return (data[:2], data[start:]) if len(data) == start + size else None


class SerialFramer:
    """Cuts one direction of a serial line into tokens."""

    def __init__(self, stray: int = 0) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._stray = stray

    @property
    def idle(self) -> bool:
        """Nothing is held."""
        return not self._buffer and not self._stray

    def feed(self, data: bytes) -> list[Token]:
        """Take bytes; return what they complete."""
        self._buffer += data
        tokens: list[Token] = []
        while self._buffer and self._step(tokens):
            pass
        return tokens

    def give_up(self) -> list[Token]:
        """What is held will not be completed."""
        held = self._stray + len(self._buffer)
        reason = _CUT if self._buffer else _STRAY
        self._buffer.clear()
        self._scanned = self._stray = 0
        return [Stray(held, reason)] if held else []

    def _step(self, tokens: list[Token]) -> bool:
        """Take one thing off the buffer; False when more bytes are needed."""
        buffer = self._buffer
        if buffer[0] in (ACK, NAK):
            self._found(tokens, LinkAck(buffer[0] == ACK), 1)
            return True
        if buffer[0] != DLE:
            self._skip(1)
            return True
        if len(buffer) < 2:
            return False
        if buffer[1] != STX:
            self._skip(1)
            return True
        return self._frame(tokens)

    def _frame(self, tokens: list[Token]) -> bool:
        buffer = self._buffer
        at = buffer.find(DLE, max(2, self._scanned), _MAX_FRAME)
        while at >= 0 and at + 1 < len(buffer):
            if buffer[at + 1] == ETX:
                if len(buffer) < at + 4:
                    self._scanned = at
                    return False
                self._whole(tokens, at)
                return True
            if buffer[at + 1] != DLE:  # a frame begins anew, or the line is broken: what came before is none
                self._skip(at)
                return True
            at = buffer.find(DLE, at + 2, _MAX_FRAME)
        if at < 0 and len(buffer) >= _MAX_FRAME:
            self._skip(_MAX_FRAME)
            return True
        self._scanned = at if at >= 0 else len(buffer)
        return False

    def _whole(self, tokens: list[Token], end: int) -> None:
        content = bytes(self._buffer[2:end]).replace(b"\x10\x10", b"\x10")
        right = int.from_bytes(self._buffer[end + 2 : end + 4], "little") == crc(content)
        parts = split_apdu(content)
        if not right:
            token: Token = Broken(content, "bad CRC", False)
        elif parts is None:
            token = Broken(content, "length does not fit", True)
        else:
            token = Apdu(*parts, checked=True)
        self._found(tokens, token, end + 4)

    def _found(self, tokens: list[Token], token: Token, length: int) -> None:
        if self._stray:
            tokens.append(Stray(self._stray, _STRAY))
            self._stray = 0
        tokens.append(token)
        del self._buffer[:length]
        self._scanned = 0

    def _skip(self, count: int) -> None:
        self._stray += count
        del self._buffer[:count]
        self._scanned = 0


#: second bytes that the protocol knows, by class; used to find a message after bytes that are none
_KNOWN: dict[int, frozenset[int]] = {
    0x04: frozenset({0x01, 0x0D, 0x0E, 0x0F, 0xFF}),
    0x05: frozenset({0x01}),
    0x06: frozenset(
        bytes.fromhex(
            "00 01 02 03 04 09 0A 0B 0C 0F 10 12 18 1A 1B 1E 20 21 22 23 24 25 30 31 50 51 70 79 82 85 86 87 88"
        )
        + bytes.fromhex("90 91 93 94 95 B0 C0 C1 C2 C3 C4 C5 C6 CE D1 D3 D4 D8 D9 DA DB E0 E1 E2 E3 E4 E5 E6 E7")
    ),
    0x08: frozenset({0x01, 0x02, 0x10, 0x11, 0x12, 0x13, 0x14, 0x20, 0x21, 0x22, 0x23, 0x24, 0x30, 0x40, 0x50}),
    0x80: frozenset({0x00}),
}
_ANY = frozenset(range(256))
_SERIAL_PAIRS = frozenset({bytes([DLE, STX]), bytes([ACK, ACK]), bytes([ACK, NAK])})


class BareFramer:
    """Cuts one direction of a TCP line into tokens. At a clean boundary any message of a known class is taken."""

    def __init__(self, stray: int = 0) -> None:
        self._buffer = bytearray()
        self._stray = stray

    @property
    def idle(self) -> bool:
        """Nothing is held."""
        return not self._buffer and not self._stray

    def feed(self, data: bytes) -> list[Token]:
        """Take bytes; return what they complete."""
        self._buffer += data
        tokens: list[Token] = []
        at = 0
        while (length := self._next(at)) is not None:
            if length == 0:
                self._stray += 1
                at += 1
                continue
            if self._stray:
                tokens.append(Stray(self._stray, _STRAY))
                self._stray = 0
            parts = split_apdu(bytes(self._buffer[at : at + length]))
            if parts:
                tokens.append(Apdu(*parts, checked=None))
            at += length
        del self._buffer[:at]
        return tokens

    def give_up(self) -> list[Token]:
        """What is held will not be completed."""
        held = self._stray + len(self._buffer)
        reason = _CUT if self._buffer else _STRAY
        self._buffer.clear()
        self._stray = 0
        return [Stray(held, reason)] if held else []

    def _next(self, at: int) -> int | None:
        """The length of the message there; 0 when there is none, None when more bytes are needed."""
        head = bytes(self._buffer[at : at + 5])
        if head and not self._may_begin(head):
            return 0
        if len(head) < 3 or (head[2] == 0xFF and len(head) < 5):
            return None
        size = head[2] + 3 if head[2] != 0xFF else int.from_bytes(head[3:], "little") + 5
        if size > MAX_APDU or (head[0] in (0x80, 0x84) and size > 64):
            return 0
        return size if len(self._buffer) - at >= size else None

    def _may_begin(self, head: bytes) -> bool:
        if head[0] == 0x84:
            return True
        known = _KNOWN.get(head[0])
        if known is None or len(head) < 2 or head[1] in known:
            return known is not None
        return self._stray == 0 and head[0] != 0x80


class AutoFramer:
    """Finds out from the first bytes that begin something which framing is used, and stays with it."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._stray = 0
        self._chosen: SerialFramer | BareFramer | None = None

    @property
    def idle(self) -> bool:
        """Nothing is held."""
        return not self._held and not self._stray and (self._chosen is None or self._chosen.idle)

    def feed(self, data: bytes) -> list[Token]:
        """Take bytes; return what they complete."""
        if self._chosen is not None:
            return self._chosen.feed(data)
        self._held += data
        at = 0
        while at < len(self._held) and (framing := _framing_at(bytes(self._held[at : at + 3]))) is not None:
            if framing is not Framing.AUTO:
                self._chosen = SerialFramer(self._stray) if framing is Framing.SERIAL else BareFramer(self._stray)
                held, self._held, self._stray = bytes(self._held[at:]), bytearray(), 0
                return self._chosen.feed(held)
            self._stray += 1
            at += 1
        del self._held[:at]
        return []

    def give_up(self) -> list[Token]:
        """What is held will not be completed; a lone ACK or NAK byte was one."""
        if self._chosen is not None:
            return self._chosen.give_up()
        framer = SerialFramer(self._stray)
        tokens = framer.feed(bytes(self._held)) + framer.give_up()
        self._held.clear()
        self._stray = 0
        return tokens


def _framing_at(head: bytes) -> Framing | None:
    """What begins there: a serial line, a bare one, neither (AUTO); None when more of up to three bytes is needed."""
    first, more = head[0], head[1:]
    if first == NAK or head[:2] in _SERIAL_PAIRS:
        return Framing.SERIAL
    known = _KNOWN.get(first, _ANY if first == 0x84 else frozenset())
    if not more:
        return None if known or first == DLE else Framing.AUTO
    if head[:2] == bytes([ACK, DLE]):  # an acknowledgement before a frame, or the command 06 10
        return None if len(more) < 2 else Framing.SERIAL if more[1] == STX else Framing.NONE
    return Framing.NONE if more[0] in known else Framing.AUTO


Framer = SerialFramer | BareFramer | AutoFramer


def framer_of(framing: Framing) -> Framer:
    """A framer for one direction of a line."""
    if framing is Framing.SERIAL:
        return SerialFramer()
    return BareFramer() if framing is Framing.NONE else AutoFramer()
