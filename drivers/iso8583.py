"""ISO 8583:1987 as UnionPay terminals pack it: TPDU, header, message type, bitmap, fields. Sans-IO; never raises.

    60 0003 0000 | 60 31 00 31 01 00 | 02 00 | bitmap, 8 or 16 bytes | fields in the order of the bitmap
    TPDU         | header            | type

n  digits, two a byte, padded with 0 on the left (field 22: on the right)     LL   one byte of BCD before it
z  digits and the separator D, as n                                           LLL  two bytes of BCD before it
an, ans  ASCII, Chinese text as GBK        b  bytes as they are
The length before n and z counts digits, before everything else bytes; an odd number of digits is padded on the right.

`read` is tolerant, because a listener meets vendors' own fields: what it understood before it had to stop is
returned, with the field that stopped it. Only the fields in KEPT are ever turned into values. Card data (2 is masked;
14, 35, 36, 45, 52, 55), keys (62), balances (54) and vendors' fields stay bytes in the frame: no value of this file
holds them, only where they stand.

Source: LiaoYang_POS (terminal), hehe02921/qqq (PC side), public dumps; cross-checked with pyiso8583 4.0.1 in the tests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from drivers.cards import MaskedCard, mask, scrub

TPDU = 5
HEAD = 6
#: bytes from the TPDU to the end of the message type
OPENING = TPDU + HEAD + 2
#: message types that UnionPay terminals and their hosts use
TYPES = frozenset(
    f"0{group}{step}"
    for group, steps in (
        ("1", ("00", "10")),
        ("2", ("00", "10", "20", "30")),
        ("3", ("20", "30")),
        ("4", ("00", "10", "20", "30")),
        ("5", ("00", "10", "20", "30")),
        ("6", ("20", "30")),
        ("8", ("00", "10", "20", "30")),
        ("9", ("20", "30")),
    )
    for step in steps
)
#: how a message begins: a TPDU of id 60, a header of application class 60 to 62, a known type
OPENS = re.compile(
    rb"\x60.{4}[\x60-\x62].{5}(?:" + b"|".join(re.escape(bytes.fromhex(mti)) for mti in sorted(TYPES)) + rb")",
    re.DOTALL,
)

PAN = 2
#: fields that become values; every other one is only counted
KEPT = frozenset({3, 4, 11, 12, 13, 15, 22, 25, 32, 37, 38, 39, 41, 42, 44, 48, 49, 60, 61, 63})
#: fields of KEPT whose content is a card number or the like in these message types
_NOT_IN = {48: ("01", "02", "03", "04", "08", "09")}  # batch details hold card numbers; totals stand in 05 alone

_FORMATS = (
    "2 n..19, 3 n6, 4 n12, 5 n12, 6 n12, 7 n10, 8 n8, 9 n8, 10 n8, 11 n6, 12 n6, 13 n4, 14 n4, 15 n4, 16 n4, 17 n4, "
    "18 n4, 19 n3, 20 n3, 21 n3, 22 n3, 23 n3, 24 n3, 25 n2, 26 n2, 27 n1, 28 n8, 29 n8, 30 n8, 31 n8, 32 n..11, "
    "33 n..11, 34 n..28, 35 z..37, 36 z...104, 37 a12, 38 a6, 39 a2, 40 a3, 41 a8, 42 a15, 43 a40, 44 a..25, 45 a..76, "
    "46 a...999, 47 a...999, 48 n...322, 49 a3, 50 a3, 51 a3, 52 b8, 53 n16, 54 a...120, 55 b...255, 56 a...999, "
    "57 a...999, 58 a...100, 59 a...999, 60 n...100, 61 n...50, 62 b...999, 63 a...163, 64 b8, 66 n1, 67 n2, 68 n3, "
    "69 n3, 70 n3, 71 n4, 72 n4, 73 n6, 74 n10, 75 n10, 76 n10, 77 n10, 78 n10, 79 n10, 80 n10, 81 n10, 82 n12, "
    "83 n12, 84 n12, 85 n12, 86 n16, 87 n16, 88 n16, 89 n16, 90 n42, 91 a1, 92 a2, 93 a5, 94 a7, 95 a42, 96 b8, "
    "97 b9, 98 a25, 99 n..11, 100 n..11, 101 a..17, 102 a..28, 103 a..28, 104 a...100, 128 b8"
)


@dataclass(frozen=True, slots=True)
class Format:
    """How a field is packed: `kind` n, z, a or b; `size` in digits or bytes, the most where a length comes first."""

    kind: str
    size: int
    prefix: int  # bytes of BCD length before it: 0, 1 (LL), 2 (LLL)

    def bytes_of(self, count: int) -> int:
        """How many bytes `count` digits or characters take."""
        return (count + 1) // 2 if self.kind in "nz" else count


def _format(text: str) -> tuple[int, Format]:
    number, form = text.split()
    kind, dots, size = re.fullmatch(r"([nzab])(\.*)(\d+)", form).groups()  # type: ignore[union-attr]
    return int(number), Format(kind, int(size), max(0, len(dots) - 1))


FORMATS: Mapping[int, Format] = dict(_format(text) for text in _FORMATS.split(", "))
_LEFT_ALIGNED = frozenset({22})
_NUMBERS = frozenset({37, 38, 39, 41, 42})  # of a fixed width: a merchant number may pass a card's check digit


@dataclass(frozen=True, slots=True)
class Stopped:
    """Reading ended before the message did: at this field, because it is not possible, or the bytes ended in it."""

    field: int
    short: bool


@dataclass(frozen=True, slots=True)
class Message:
    """A message as far as it was understood. `values` by field number, text stripped, digits as digits.

    `spans`: where each field's content stands in the bytes that were read; `end`: behind the last one, or behind what
    stopped the reading.
    """

    tpdu: str
    head: str
    mti: str
    values: Mapping[int, str]
    card: MaskedCard | None
    spans: Mapping[int, tuple[int, int]]
    end: int
    stopped: Stopped | None = None


#: a message that stops making sense behind this field has said what became of the payment
_ENOUGH = 42


def whole(message: Message, end: int) -> bool:
    """Whether it fills its frame up to `end`; where it stops making sense, whether it has said enough before."""
    if message.stopped is None:
        return message.end == end
    return not message.stopped.short and message.stopped.field > _ENOUGH


def read(data: bytes, start: int = 0) -> Message | None:
    """The message that begins at `start`; None where none does, or too little is there to tell."""
    if not OPENS.match(data, start):
        return None
    place = start + OPENING
    mti = data[place - 2 : place].hex()
    values: dict[int, str] = {}
    spans: dict[int, tuple[int, int]] = {}
    card: MaskedCard | None = None
    stopped: Stopped | None = None
    present, place = _bitmap(data, place)
    if present is None:
        present, stopped = (), Stopped(1, short=True)
    for number in present:
        form = FORMATS.get(number)
        if form is None:
            stopped = Stopped(number, short=False)
            break
        count, begin = _count(data, place, form)
        place = begin if count < 0 else begin + form.bytes_of(count)
        if place > len(data) or count < 0:
            stopped = Stopped(number, short=place > len(data))
            break
        value = _value(number, mti, data[begin:place], count)
        if value is None:
            stopped = Stopped(number, short=False)
            break
        spans[number] = (begin, place)
        if number == PAN:
            card = mask(value)
        elif value:
            values[number] = value
    tpdu, head = data[start : start + TPDU].hex(), data[start + TPDU : start + TPDU + HEAD].hex()
    return Message(tpdu, head, mti, values, card, spans, place, stopped)


def _bitmap(data: bytes, place: int) -> tuple[tuple[int, ...] | None, int]:
    """The fields that are there, and where the first one begins."""
    size = 16 if place < len(data) and data[place] & 0x80 else 8
    if len(data) - place < size:
        return None, place
    bits = int.from_bytes(data[place : place + size], "big")
    last = size * 8
    # Bit 1 says that there is a second half; bit 65 that there is a third, which nobody uses.
    return tuple(n for n in range(2, last + 1) if bits >> (last - n) & 1), place + size


def _count(data: bytes, place: int, form: Format) -> tuple[int, int]:
    """How many digits or bytes the field there has, and where they begin; a count of -1 is not possible."""
    begin = place + form.prefix
    if not form.prefix or begin > len(data):
        return form.size, begin
    digits = data[place:begin].hex()
    count = int(digits) if digits.isdecimal() else -1
    return (count if count <= form.size else -1), begin


def _value(number: int, mti: str, raw: bytes, count: int) -> str | None:
    """The field's value; empty where it is none of our business; None where it is not possible."""
    if number == PAN:
        digits = raw.hex().upper()[:count]
        # In a recording the hidden digits are E.
        return digits if re.fullmatch(r"[0-9E]+", digits) else None
    value: str | None = ""
    if FORMATS[number].kind == "n":
        value = _digits(number, raw.hex(), count)
    elif kept(number, mti):
        value = _text(number, raw)
    return value if value is None or kept(number, mti) else ""


def _digits(number: int, digits: str, count: int) -> str | None:
    if not digits.isdecimal() and digits:
        return None
    if number == 4 and not digits.startswith("00"):
        return None  # nobody pays a hundred million at a window: these bytes are something else
    left = FORMATS[number].prefix or number in _LEFT_ALIGNED
    return digits[:count] if left else digits[len(digits) - count :]


def _text(number: int, raw: bytes) -> str | None:
    if number in _NUMBERS:
        return raw.decode("ascii").strip() if raw.isascii() and raw.decode("ascii").isprintable() else None
    text = raw.decode("gb18030", "replace")
    return scrub("".join(char if char.isprintable() else " " for char in text)).strip()


def kept(number: int, mti: str) -> bool:
    """Whether the field becomes a value in a message of this type."""
    return number in KEPT and not mti.startswith(_NOT_IN.get(number, ()))
