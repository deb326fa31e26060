"""A line that nobody understands: says what it heard, and claims an outcome only where a receipt was printed.

Heard are
- receipts, as text for a printer or inside a frame (drivers/receipts/);
- STX … ETX frames with a check byte behind them that fits: their length and how the check is made, not their content;
- ISO 8583 messages, framed or not: type, trace number and amount, nothing else of them;
- ENQ, ACK, NAK and EOT where they stand alone.
Everything else is counted.

Per direction at most 4 KiB are held: of a frame that has begun, and of bytes that belong to none. A frame that does not
close within that, or before the line falls silent, was none: its bytes are heard as the others are. Cost: linear.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from drivers.driver import Decoder, Driver, Framing, LineDefaults, Maturity
from drivers.iso8583 import OPENS, read
from drivers.observations import Checksum, Direction, Facts, Noise, Observation, Progress, Receipt
from drivers.receipts.labels import has_label
from drivers.receipts.paper import Paper
from drivers.receipts.slip import CODES, is_title

_STX, _ETX = 0x02, 0x03
_CONTROLS = {0x05: "ENQ", 0x06: "ACK", 0x15: "NAK", 0x04: "EOT"}
_SPECIAL = re.compile(rb"[\x02\x04\x05\x06\x15]")
MOST_HELD = 4096
_FIELD_ENDS = re.compile(rb"[\x1c-\x1f|]|\r\n?")


class SnifferDecoder:
    """One ear a direction."""

    def __init__(self) -> None:
        self._ears = {direction: _Ear(direction) for direction in Direction}

    @property
    def idle(self) -> bool:
        """Nothing is held."""
        return all(ear.idle for ear in self._ears.values())

    def feed(self, direction: Direction, data: bytes) -> list[Observation]:
        """Take bytes that `direction` sent; return what was heard in them."""
        return list(self._ears[direction].feed(data))

    def silence(self, direction: Direction) -> list[Observation]:
        """The sender has paused: whatever it said is said."""
        return self._ears[direction].end(complete=True)

    def reset(self) -> list[Observation]:
        """The line was cut."""
        return [seen for ear in self._ears.values() for seen in ear.end(complete=False)]

    def finish(self) -> list[Observation]:
        """The input has ended."""
        return [seen for direction in Direction for seen in self.silence(direction)]


class _Ear:
    """What one side says. `_rest`: nothing unknown was heard since the last frame, control byte or silence."""

    def __init__(self, direction: Direction) -> None:
        self._direction = direction
        self._paper = Paper(direction, breaks=True)
        self._rest = True
        self._printed = False  # since the last silence
        self._loose = bytearray()  # bytes outside of frames, searched for ISO 8583 when they end
        self._frame = bytearray()
        self._check = 0  # XOR of the frame's bytes behind STX

    @property
    def idle(self) -> bool:
        return not (self._frame or self._loose) and self._paper.idle

    def feed(self, data: bytes) -> Iterator[Observation]:
        place = 0
        while place < len(data):
            if self._frame:
                yield from self._framed(data[place])
                place += 1
                continue
            found = _SPECIAL.search(data, place)
            begin = found.start() if found else len(data)
            if begin > place:
                yield from self._unframed(data[place:begin])
                place = begin
            if found:
                yield from self._special(data[place])
                place += 1

    def end(self, complete: bool) -> list[Observation]:
        """Nothing more belongs to what was said so far."""
        seen = list(self._given_up()) if self._frame else []
        length, messages = len(self._loose), self._messages(bytes(self._loose))
        printed = [each for each in map(_receipts_only, self._paper.end(complete)) if each is not None]
        if length and not (messages or printed or self._printed):
            messages = [Noise(direction=self._direction, length=length, reason="no framing known")]
        self._loose.clear()
        self._rest, self._printed = True, False
        return seen + messages + printed

    def _special(self, byte: int) -> Iterator[Observation]:
        if self._paper.in_command:
            yield from self._unframed(bytes([byte]))
        elif byte == _STX:
            self._frame.append(byte)
            self._check = 0
        elif self._rest:
            yield Progress(direction=self._direction, message=_CONTROLS[byte])
        else:
            yield from self._unframed(bytes([byte]))

    def _framed(self, byte: int) -> Iterator[Observation]:
        """The frame goes on; behind an ETX the byte may be its check."""
        kind = self._kind_of_check(byte) if self._frame[-1] == _ETX and len(self._frame) > 2 else None
        self._frame.append(byte)
        self._check ^= byte
        if kind is not None:
            frame = bytes(self._frame)
            self._frame.clear()
            self._rest = True
            yield from self._whole(frame, kind)
        elif len(self._frame) >= MOST_HELD:
            yield from self._given_up()

    def _kind_of_check(self, byte: int) -> str | None:
        """How the check is made, if the byte is one: from STX or behind it, with or without ETX."""
        if byte == self._check:
            return "xor to ETX"
        return {self._check ^ _STX: "xor from STX to ETX", self._check ^ _ETX: "xor to text"}.get(byte)

    def _whole(self, frame: bytes, kind: str) -> Iterator[Observation]:
        body = frame[1:-2]
        facts = Facts(extra=(("length", len(body)), ("check", kind)))
        heard = Progress(direction=self._direction, checksum=Checksum.OK, message="frame STX … ETX", facts=facts)
        yield heard
        yield from self._messages(body)
        page = Paper(self._direction)
        inside = [*page.feed(_FIELD_ENDS.sub(b"\n", body)), *page.end()]
        yield from (each for each in map(_receipts_only, inside) if each is not None)

    def _given_up(self) -> Iterator[Observation]:
        held = bytes(self._frame)
        self._frame.clear()
        yield from self._unframed(held)

    def _unframed(self, data: bytes) -> Iterator[Observation]:
        self._rest = False
        while data:
            piece, data = data[: MOST_HELD - len(self._loose)], data[MOST_HELD - len(self._loose) :]
            self._loose += piece
            for seen in self._paper.feed(piece):
                if (heard := _receipts_only(seen)) is not None:
                    self._printed = True
                    yield heard
            if len(self._loose) >= MOST_HELD:
                whole = bytes(self._loose)
                self._loose.clear()
                yield from self._messages(whole)

    def _messages(self, data: bytes) -> list[Observation]:
        """The ISO 8583 messages in these bytes."""
        seen: list[Observation] = []
        place = 0
        while found := OPENS.search(data, place):
            message = read(data, found.start())
            place = found.end()
            if message is None or (message.stopped and message.stopped.field <= 11):
                continue
            amount = message.values.get(4)
            facts = Facts(trace=message.values.get(11), amount=int(amount) if amount else None)
            seen.append(Progress(direction=self._direction, message=f"ISO 8583 {message.mti}", facts=facts))
            place = max(place, min(message.end, len(data)))
        return seen


def _receipts_only(seen: Observation) -> Observation | None:
    """A slip that was read as one, from its title or first label on; other text is nothing that was understood."""
    if not isinstance(seen, Receipt):
        return None if isinstance(seen, Noise) else seen
    if seen.slip is None:
        return seen if dict(seen.facts.extra).get("image") else None
    begin = next((place for place, line in enumerate(seen.text) if is_title(line) or has_label(line)), 0)
    return replace(seen, text=tuple(line for line in seen.text[begin:] if "\ufffd" not in line))


def _decoder(framing: Framing) -> Decoder:  # noqa: ARG001  it knows none
    return SnifferDecoder()


DRIVER = Driver(
    name="sniffer",
    title="Unknown line: receipts, frames and control bytes as they are heard",
    maturity=Maturity.EXPERIMENTAL,
    source="control bytes of ISO 1745, drivers/iso8583.py, drivers/receipts/",
    line=LineDefaults(baudrate=9600, bytesize=8, parity="N", stopbits=1),
    framings=(Framing.NONE,),
    answer_timeout_s=120.0,  # never waited for: no request is understood
    delivery_timeout_s=1.0,  # likewise
    byte_gap_s=2.0,  # as for receipts: they are what it must not cut in two
    decoder=_decoder,
    simulated=None,
    codes=CODES,
    listens_only=True,
    silence_ends=True,
)
