"""The checks that frames end with, by the names a profile uses. Each is O(n), in C wherever the bytes may be many."""

from __future__ import annotations

import binascii
import zlib
from collections.abc import Callable
from functools import cache


def xor(data: bytes) -> int:
    """All bytes XORed: what most makers call LRC. Folds one big number in halves: a loop would be 50 times slower."""
    value, size = int.from_bytes(data, "little"), len(data)
    while size > 1:
        half = (size + 1) // 2
        value = (value >> (8 * half)) ^ (value & ((1 << (8 * half)) - 1))
        size = half
    return value


def sum8(data: bytes) -> int:
    """The sum of all bytes, its low byte."""
    return sum(data) & 0xFF


def lrc8(data: bytes) -> int:
    """The two's complement of the sum, as Modbus ASCII has it."""
    return -sum(data) & 0xFF


@cache
def _modbus_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (0xA001 if value & 1 else 0)
        table.append(value)
    return tuple(table)


def crc16_modbus(data: bytes) -> int:
    """Polynomial 8005 reflected, from FFFF."""
    table, value = _modbus_table(), 0xFFFF
    for byte in data:
        value = (value >> 8) ^ table[(value ^ byte) & 0xFF]
    return value


def crc16_xmodem(data: bytes) -> int:
    """Polynomial 1021, from 0."""
    return binascii.crc_hqx(data, 0)


def crc16_ccitt(data: bytes) -> int:
    """Polynomial 1021, from FFFF (CCITT-FALSE)."""
    return binascii.crc_hqx(data, 0xFFFF)


#: name in a profile → (bytes that it takes on the line, how it is computed)
ALGORITHMS: dict[str, tuple[int, Callable[[bytes], int]]] = {
    "xor": (1, xor),
    "sum8": (1, sum8),
    "lrc8": (1, lrc8),
    "crc16-xmodem": (2, crc16_xmodem),
    "crc16-ccitt": (2, crc16_ccitt),
    "crc16-modbus": (2, crc16_modbus),
    "crc32": (4, zlib.crc32),
}


def computed(algorithm: str, data: bytes, little: bool) -> bytes:
    """The check of the data as it stands on the line."""
    size, compute = ALGORITHMS[algorithm]
    return compute(data).to_bytes(size, "little" if little else "big")
