"""Masks card numbers in recorded printer bytes, line by line; every piece keeps its length.

A line is written when it is whole. Bar codes, QR codes and pictures may hold anything: their bytes are left out.
"""

from __future__ import annotations

import re

from drivers.masking import LeftOut, Piece, joined
from drivers.observations import Direction
from drivers.receipts.escpos import Stripper
from drivers.receipts.text import holds_card, masked

_LINE_ENDS = re.compile(rb"[\n\r\x0c]")
_MOST_HELD = 4096
#: labels whose numbers are longer than a card's and are none: a wallet's or a merchant's order
_ORDERS = tuple(
    word.encode(encoding) for word in ("订单号", "交易号", "单号", "ORDER NO") for encoding in ("gbk", "utf-8")
)
_NUMBER = re.compile(r"\d{12,64}")


class PaperMasker:
    """Follows both directions, as the decoder does."""

    def __init__(self) -> None:
        self._sides = {direction: _Side() for direction in Direction}

    def feed(self, direction: Direction, data: bytes) -> list[Piece]:
        """Take bytes that `direction` sent; return the lines that they complete, masked."""
        return self._sides[direction].feed(data)

    def silence(self, direction: Direction) -> list[Piece]:
        """The printer paused: what is held goes out, masked as well."""
        return self._sides[direction].flush()


class _Side:
    def __init__(self) -> None:
        self._stripper = Stripper()
        self._held = bytearray()
        self._order_above = False

    def feed(self, data: bytes) -> list[Piece]:
        pieces: list[Piece] = []
        for byte in data:
            inside = self._stripper.skipping
            for _ in self._stripper.feed(bytes([byte])):
                pass
            if inside:
                pieces += [*self._line(), LeftOut(1)]
                continue
            self._held.append(byte)
            if self._stripper.idle and (_LINE_ENDS.match(bytes([byte])) or len(self._held) >= _MOST_HELD):
                pieces += self._line()
        return _joined(pieces)

    def flush(self) -> list[Piece]:
        self._stripper.give_up()
        self._order_above = False
        return self._line()

    def _is_none(self, number: str, is_order: bool) -> bool:
        """Whether a number is no card's: by its prefix or its check digit, or a long one because it is an order's."""
        return not holds_card(number) if len(number) < 20 else is_order or self._order_above

    def _line(self) -> list[Piece]:
        if not self._held:
            return []
        line, self._held = bytes(self._held), bytearray()
        is_order = any(word in line for word in _ORDERS)
        text = line.decode("latin-1")
        known = [number for number in _NUMBER.findall(text) if self._is_none(number, is_order)]
        self._order_above = is_order or (self._order_above and not line.strip())
        return [masked(text, known).encode("latin-1")]


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Neighbours of one kind as one."""
    out: list[Piece] = []
    for piece in joined(pieces):
        if out and isinstance(piece, LeftOut) and isinstance(last := out[-1], LeftOut):
            out[-1] = LeftOut(last.length + piece.length)
        else:
            out.append(piece)
    return out
