"""Cuts what one side sent into frames, by the parts that a profile names. Sans-IO.

Rules:
- A place where a frame could begin is tried as soon as its bytes are there: constants, length, checks of the head.
  What can't be one is given up for *one* byte only, so that a frame which begins behind it is found.
- Where constants and length fit and the check does not, the frame is taken as a broken one, if a constant ends it:
  its end stands where it should. Without one, the length itself may be the broken part, and one byte is given up.
- Behind a place that was given up, single control bytes count nothing until a frame came whole or the sender paused:
  they are most likely a part of what was hurt, and an acknowledgement that nobody sent is worse than a missed one.
- The tokens depend on the bytes only, not on how they are cut.

Cost: O(n). At most `longest` bytes and the frame's own are held; a place is tried once for each chunk that comes
while it is the oldest, and a try reads the head only until all is there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate

from drivers.framing_lrc import Stray
from drivers.profiles.checks import computed
from drivers.profiles.schema import Encoding, Framing, Part, PartKind, Style

_REPORT = 1024  # stray bytes are reported in runs of at most so many


@dataclass(frozen=True, slots=True)
class Control:
    """A control byte outside any frame, by its meaning."""

    name: str
    byte: int


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole frame. `ok` None: it carries no check. `start`, `end`: where in `raw` the payload lies."""

    raw: bytes = field(repr=False)
    start: int
    end: int
    ok: bool | None

    @property
    def payload(self) -> bytes:
        """What the frame carries."""
        return self.raw[self.start : self.end]


Token = Control | Frame | Stray


class Shape:
    """What can be worked out once of a profile's parts."""

    def __init__(self, framing: Framing) -> None:
        self.framing = framing
        self.parts = framing.parts
        self.payload = next((n for n, part in enumerate(self.parts) if part.kind is PartKind.PAYLOAD), 0)
        sizes = [part.size for part in self.parts]
        self.head = sum(sizes[: self.payload])
        self.tail = sum(sizes[self.payload + 1 :])
        before = [0, *accumulate(sizes[: self.payload])]
        behind = [0, *accumulate(sizes[self.payload + 1 :])]
        #: offset of each part: from the frame's start, or from the payload's end for those behind it
        self.offsets = [before[n] if n <= self.payload else behind[n - self.payload - 1] for n in range(len(sizes))]
        self.start = self.parts[0].value if self.parts and self.parts[0].kind is PartKind.BYTES else b""
        self.length = next((n for n, part in enumerate(self.parts) if part.kind is PartKind.LENGTH), None)
        self.fixed = self.parts[self.payload].size if self.parts else 0
        behind_parts = self.parts[self.payload + 1 :]
        self.terminator = behind_parts[0].value if behind_parts else b""
        self.closed = any(part.kind is PartKind.BYTES for part in behind_parts)
        self.checks = [n for n, part in enumerate(self.parts) if part.kind is PartKind.CHECK]
        counted = self.parts[self.length].counts if self.length is not None else ()
        self.counted = sum(
            part.size for part in self.parts if part.name in counted and part.kind is not PartKind.PAYLOAD
        )
        self.names = {part.name: n for n, part in enumerate(self.parts)}
        first = {self.start[0]} if self.start else set()
        meaningful = b"".join(re.escape(bytes([byte])) for byte in sorted(first | set(framing.control)))
        self.meaningful = re.compile(b"[" + meaningful + b"]") if self.start else None

    def at(self, part: int, payload_size: int) -> int:
        """Where a part begins, counted from the frame's start."""
        return self.offsets[part] + (self.head + payload_size if part > self.payload else 0)

    def end_of(self, part: int, payload_size: int) -> int:
        """Where a part ends."""
        size = payload_size if part == self.payload else self.parts[part].size
        return self.at(part, payload_size) + size

    def check_fits(self, part: int, raw: bytes | bytearray, payload_size: int) -> bool:
        """Whether a check is right."""
        at = self.at(part, payload_size)
        return bytes(raw[at : at + self.parts[part].size]) == self.check_of(part, raw, payload_size)

    def check_of(self, part: int, raw: bytes | bytearray, payload_size: int) -> bytes:
        """What a check has to be."""
        spec = self.parts[part]
        first, last = self.names[spec.first], self.names[spec.last]
        covered = bytes(raw[self.at(first, payload_size) : self.end_of(last, payload_size)])
        return computed(spec.algorithm, covered, spec.little)

    def build(self, payload: bytes, fields: Mapping[str, bytes]) -> bytes:
        """A frame around a payload; `fields` are the head's own by name, others are zeros."""
        raw = bytearray() if self.parts else bytearray(payload)
        for part in self.parts:
            if part.kind is PartKind.PAYLOAD:
                raw += payload
            elif part.kind is PartKind.BYTES:
                raw += part.value
            elif part.kind is PartKind.LENGTH:
                raw += _written(part, len(payload) + self.counted)
            elif part.kind is PartKind.FIELD:
                raw += fields.get(part.name, b"").rjust(part.size, b"\0")[: part.size]
            else:
                raw += bytes(part.size)
                at = len(raw) - part.size
                raw[at:] = self.check_of(self.names[part.name], raw, len(payload))
        return bytes(raw)


class Framer:
    """Follows what one side sends."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._call = shape.framing.style is Style.CALL
        self._held = bytearray()
        self._at = 0  # up to here of what is held has been told
        self._skipped = 0
        self._reason = ""
        self._hurt = False  # control bytes count nothing
        self._tokens: list[Token] = []

    @property
    def idle(self) -> bool:
        """Nothing is held, and nothing is left to tell."""
        return not self._held and not self._skipped and not self._hurt

    def feed(self, data: bytes) -> list[Token]:
        """Take bytes; return the tokens they complete."""
        self._held += data
        if self._call:
            self._overlong()
        else:
            self._scan(ended=False)
        return self._taken()

    def give_up(self) -> list[Token]:
        """The sender has stopped: what is held is whole, or no frame."""
        if self._call:
            if self._held:
                self._tokens.append(Frame(bytes(self._held), 0, len(self._held), None))
                self._held.clear()
        else:
            self._scan(ended=True)
        self._report()
        self._hurt = False
        return self._taken()

    def _overlong(self) -> None:
        """What is too long for a message is none to its end: what is left of it could look like another one."""
        if self._hurt or len(self._held) > self._shape.framing.longest:
            self._hurt = True
            self._skip(len(self._held), "message too long")
            self._held.clear()

    def _scan(self, ended: bool) -> None:
        held, size = self._held, len(self._held)
        self._at = 0
        while self._at < size and self._step(held, size, ended):
            pass
        del held[: self._at]

    def _step(self, held: bytearray, size: int, ended: bool) -> bool:
        """One token or some stray bytes; False when more bytes have to come first."""
        shape = self._shape
        if shape.meaningful is not None:
            found = shape.meaningful.search(held, self._at)
            at = found.start() if found else size
            self._skip(at - self._at)
            self._at = at
            if found is None:
                return False
        name = shape.framing.control.get(held[self._at])
        if name is not None:
            self._control(name, held[self._at])
            return True
        fate = self._try(held, self._at, size)
        if fate is None and not ended:
            return False
        if isinstance(fate, Frame):
            self._report()
            self._tokens.append(fate)
            self._hurt = self._hurt and fate.ok is False
            self._at += len(fate.raw)
        else:
            self._give_up_one(fate or "frame cut short")
        return True

    def _control(self, name: str, byte: int) -> None:
        if self._hurt:
            self._skip(1)
        else:
            self._report()
            self._tokens.append(Control(name, byte))
        self._at += 1

    def _give_up_one(self, reason: str) -> None:
        self._skip(1, reason)
        self._at += 1
        self._hurt = True

    def _try(self, held: bytearray, at: int, size: int) -> Frame | str | None:
        """The frame that begins here; why there is none; or None: more bytes are needed to tell."""
        shape = self._shape
        have = size - at
        for number in range(shape.payload):
            part = shape.parts[number]
            if part.kind is PartKind.BYTES:
                place = at + shape.offsets[number]
                seen = held[place : place + part.size]
                if not part.value.startswith(seen):
                    return "no frame"
        if have < shape.head:
            return None
        length = self._payload_size(held, at, size)
        if length is None or isinstance(length, str):
            return length
        if length < 0 or length > shape.framing.longest:
            return "bad length"
        return self._whole(held, at, have, length)

    def _whole(self, held: bytearray, at: int, have: int, length: int) -> Frame | str | None:
        shape = self._shape
        for number in shape.checks:
            if number < shape.payload and not shape.check_fits(number, held[at : at + shape.head], 0):
                return "bad check of the head"
        total = shape.head + length + shape.tail
        for number in range(shape.payload + 1, len(shape.parts)):
            part = shape.parts[number]
            if part.kind is PartKind.BYTES:
                place = at + shape.at(number, length)
                if not part.value.startswith(held[place : place + part.size]):
                    return "no end where the length says"
        if have < total:
            return None
        raw = bytes(held[at : at + total])
        ok = all(shape.check_fits(number, raw, length) for number in shape.checks) if shape.checks else None
        if ok is False and not shape.closed:
            return "bad check"
        return Frame(raw, shape.head, shape.head + length, ok)

    def _payload_size(self, held: bytearray, at: int, size: int) -> int | str | None:
        shape = self._shape
        if shape.length is not None:
            place = at + shape.offsets[shape.length]
            part = shape.parts[shape.length]
            number = _number(part, bytes(held[place : place + part.size]))
            return "bad length" if number is None else number - shape.counted
        if shape.fixed:
            return shape.fixed
        begin = at + shape.head
        limit = begin + shape.framing.longest
        end = held.find(shape.terminator, begin, limit + len(shape.terminator))
        if end < 0:
            return "frame too long" if size >= limit + len(shape.terminator) else None
        if shape.start and held.find(shape.start, at + 1, end) >= 0:
            return "frame cut short"
        return end - begin

    def _skip(self, count: int, reason: str = "") -> None:
        self._reason = reason if reason and self._reason in ("", "no frame") else self._reason
        self._skipped += count
        while self._skipped > _REPORT:
            self._tokens.append(Stray(_REPORT, self._reason or "no frame"))
            self._skipped -= _REPORT

    def _report(self) -> None:
        if self._skipped:
            self._tokens.append(Stray(self._skipped, self._reason or "no frame"))
        self._skipped = 0
        self._reason = ""

    def _taken(self) -> list[Token]:
        tokens, self._tokens = self._tokens, []
        return tokens


def _number(part: Part, data: bytes) -> int | None:
    """A length as it stands on the line; None where it is none."""
    if part.encoding is Encoding.BINARY:
        return int.from_bytes(data, "little" if part.little else "big")
    text = data.hex() if part.encoding is Encoding.BCD else data.decode("latin-1")
    return int(text) if text.isascii() and text.isdigit() else None


def _written(part: Part, value: int) -> bytes:
    if part.encoding is Encoding.BINARY:
        return value.to_bytes(part.size, "little" if part.little else "big")
    if part.encoding is Encoding.BCD:
        return bytes.fromhex(f"{value:0{2 * part.size}d}")
    return f"{value:0{part.size}d}".encode("ascii")
