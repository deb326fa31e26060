"""HID reports as a byte link, sans-IO: what the report descriptor says, and how bytes are laid into reports.

There is no standard for bytes in reports. Two ways are known here; config/devices.toml says which one a device uses:
- whole: every byte of a report counts, the zeros behind the data too (a framing on top of it tells them apart);
- length: the first byte says how many of those behind it count.

Source: Device Class Definition for Human Interface Devices 1.11, 5.6 and 6.2.2 (items of a report descriptor).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Fill = Literal["whole", "length"]

_LONG_ITEM = 0xFE
_MAIN, _GLOBAL = 0, 1
_INPUT, _OUTPUT = 8, 9
_REPORT_SIZE, _REPORT_ID, _REPORT_COUNT, _PUSH, _POP = 7, 8, 9, 10, 11
_MOST_BITS = 8 * 65535  # a transfer's length has 16 bits; more is no report
_MOST_PUSHED = 32


@dataclass(frozen=True, slots=True)
class Report:
    """One report. `id` 0: the device does not number its reports. `size` in bytes, without the number."""

    id: int
    size: int


@dataclass(frozen=True, slots=True)
class Reports:
    """The reports that carry bytes: the largest one in each direction. `numbered`: each begins with its number."""

    input: Report | None
    output: Report | None
    numbered: bool


def reports(descriptor: bytes) -> Reports:
    """What a report descriptor declares. Whatever is no descriptor declares nothing."""
    bits: dict[tuple[int, int], int] = {}
    size = count = number = 0
    pushed: list[tuple[int, int, int]] = []
    numbered = False
    for kind, tag, value in _items(descriptor):
        if kind == _MAIN and tag in (_INPUT, _OUTPUT):
            bits[tag, number] = min(bits.get((tag, number), 0) + size * count, _MOST_BITS)
        elif kind == _GLOBAL and tag == _REPORT_SIZE:
            size = value
        elif kind == _GLOBAL and tag == _REPORT_COUNT:
            count = value
        elif kind == _GLOBAL and tag == _REPORT_ID:
            number, numbered = value & 0xFF, True
        elif kind == _GLOBAL and tag == _PUSH and len(pushed) < _MOST_PUSHED:
            pushed.append((size, count, number))
        elif kind == _GLOBAL and tag == _POP and pushed:
            size, count, number = pushed.pop()
    return Reports(_largest(bits, _INPUT), _largest(bits, _OUTPUT), numbered)


def _items(descriptor: bytes) -> list[tuple[int, int, int]]:
    """Type, tag and value of each short item; long ones are skipped, a cut one ends it."""
    found = []
    at = 0
    while at < len(descriptor):
        head = descriptor[at]
        if head == _LONG_ITEM:
            at += 3 + (descriptor[at + 1] if at + 1 < len(descriptor) else 0)
            continue
        length = (0, 1, 2, 4)[head & 3]
        data = descriptor[at + 1 : at + 1 + length]
        if len(data) < length:
            break
        found.append(((head >> 2) & 3, head >> 4, int.from_bytes(data, "little")))
        at += 1 + length
    return found


def _largest(bits: dict[tuple[int, int], int], tag: int) -> Report | None:
    sizes = [(total, -number) for (of, number), total in bits.items() if of == tag and total >= 8]
    return Report(-max(sizes)[1], max(sizes)[0] // 8) if sizes else None


def unpack(report: bytes, layout: Reports, fill: Fill) -> bytes:
    """The bytes that a report carries; nothing when it is another one than that which carries bytes."""
    if layout.numbered:
        if layout.input is None or report[:1] != bytes([layout.input.id]):
            return b""
        report = report[1:]
    if fill == "whole":
        return report
    return report[1 : 1 + report[0]] if report else b""


def pack(data: bytes, size: int, number: int | None, fill: Fill) -> list[bytes]:
    """Bytes laid into reports of `size`, the number before each where there is one, zeros behind the data."""
    room = size if fill == "whole" else min(size - 1, 255)
    head = b"" if number is None else bytes([number])
    packed = []
    for at in range(0, len(data), room):
        piece = data[at : at + room]
        body = piece if fill == "whole" else bytes([len(piece)]) + piece
        packed.append(head + body.ljust(size, b"\0"))
    return packed
