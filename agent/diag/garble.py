"""What wrong serial settings do to bytes. Pure.

A sender of 7 data bits and parity, heard with 8 data bits and none, shows its parity in bit 7: every byte then has an
even (7E1) or odd (7O1) number of ones, and text that is 7-bit loses its meaning. The reverse holds for sending, so such
a terminal can be asked over a line of 8 data bits by setting bit 7 accordingly.
"""

from __future__ import annotations

from enum import StrEnum

#: fewer bytes with the parity right by chance alone (1 in 2^12) prove nothing
LEAST = 12
_LOW = bytes(value & 0x7F for value in range(256))


class Parity(StrEnum):
    """Of 7 data bits; the letter is that of the configuration."""

    EVEN = "E"
    ODD = "O"


def _coded(parity: Parity) -> bytes:
    odd = parity is Parity.ODD
    return bytes((value & 0x7F) | (0x80 if ((value & 0x7F).bit_count() % 2 == 1) ^ odd else 0) for value in range(256))


_CODED = {parity: _coded(parity) for parity in Parity}


def coded(data: bytes, parity: Parity) -> bytes:
    """As a line of 7 data bits and that parity sends it, in the eyes of one of 8 data bits."""
    return data.translate(_CODED[parity])


def stripped(data: bytes) -> bytes:
    """Without bit 7."""
    return data.translate(_LOW)


def is_seven_bit(data: bytes) -> bool:
    """Whether a line of 7 data bits can carry it."""
    return data == stripped(data)


class ParityEar:
    """Listens whether bit 7 of what a side says is the parity of the others. Feed it everything that side says."""

    def __init__(self) -> None:
        self.bytes = 0
        self._high = 0
        self._fitting = dict.fromkeys(Parity, 0)

    def feed(self, data: bytes) -> None:
        """More bytes."""
        self.bytes += len(data)
        self._high += sum(byte >> 7 for byte in data)
        for parity in Parity:
            self._fitting[parity] += sum(a == b for a, b in zip(data, coded(data, parity), strict=True))

    @property
    def heard(self) -> Parity | None:
        """The parity that all of it bears; None when it bears none, or too little was heard."""
        if self.bytes < LEAST or not self._high:
            return None
        return next((parity for parity in Parity if self._fitting[parity] == self.bytes), None)
