"""Masks card numbers in recorded printer bytes, line by line; every piece keeps its length.

A line is written when it is whole. Bar codes, QR codes and pictures may hold anything: their bytes are left out.
"""

from __future__ import annotations

import re

from drivers.masking import LeftOut, Piece, joined
from drivers.observations import Direction
from drivers.receipts.escpos import Stripper
from drivers.receipts.text import card_hidden, holds_card, is_card_like, masked

_LINE_ENDS = re.compile(rb"[\n\r\x0c]")
_MOST_HELD = 4096


def _written(*words: str) -> tuple[bytes, ...]:
    return tuple(word.encode(encoding) for word in words for encoding in ("gbk", "utf-8"))


#: labels of numbers that are no card's; those of orders may be longer than a card's
_ORDERS = _written("订单号", "交易号", "单号", "ORDER NO")
_OTHERS = _written("商户", "终端", "参考号", "MERCHANT", "TERMINAL", "REF. NO", "REFER NO", "RRN")
_CARDS = re.compile(b"|".join(re.escape(word) for word in _written("卡号", "CARD NO", "CARD NUMBER")), re.IGNORECASE)
_LONGEST_CARD, _LONGEST_OTHER = 19, 15  # digits; merchants have 15, references 12, terminals 8
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
        self._above = False, False
        self._card_above = self._so_far = 0  # a card's label without its number; digits of a number that may go on

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
        piece = self._line()
        self._above = False, False
        self._card_above = self._so_far = 0
        return piece

    def _line(self) -> list[Piece]:
        if not self._held:
            return []
        line, self._held = bytes(self._held), bytearray()
        labels = any(word in line for word in _ORDERS), any(word in line for word in _OTHERS)
        order, other = (here or above for here, above in zip(labels, self._above, strict=True))
        text = self._card(line).decode("latin-1")
        known = [number for number in _NUMBER.findall(text) if _is_none(number, order, other)]
        if line.strip() or any(labels):
            self._above = labels
        return [masked(text, known).encode("latin-1")]

    def _card(self, line: bytes) -> bytes:
        """The line without the number that a label calls a card's, and without the rest of the one above."""
        label = _CARDS.search(line)
        begin = label.end() if label else 0
        goes_on = self._so_far if label is None and re.match(rb"\s*[\d*]", line) else 0
        wanted = label is not None or goes_on or self._card_above
        self._card_above = 0
        if not wanted:
            self._so_far = 0 if line.strip() else self._so_far
            return line
        hidden, self._so_far = card_hidden(line[begin:].decode("latin-1"), goes_on)
        self._card_above = int(label is not None and not re.search(rb"\d", line[begin:]))
        return line[:begin] + hidden.encode("latin-1")


def _is_none(number: str, order: bool, other: bool) -> bool:
    """Whether a number is no card's: by its prefix and check digit; without a label, by those of its parts too."""
    if len(number) > _LONGEST_CARD:
        return order
    vouched = order or (other and len(number) <= _LONGEST_OTHER)
    return not (is_card_like(number) if vouched else holds_card(number))


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Neighbours of one kind as one."""
    out: list[Piece] = []
    for piece in joined(pieces):
        if out and isinstance(piece, LeftOut) and isinstance(last := out[-1], LeftOut):
            out[-1] = LeftOut(last.length + piece.length)
        else:
            out.append(piece)
    return out
