"""The paper of one printer: bytes in, receipts out.

A slip ends where the paper is cut, behind five empty lines, at a form feed, at the word CUTPAPER that some PC programs
print, or when the printer falls silent. Two slips without an end between them are told apart by their titles: where a
title comes again behind labelled values, another slip begins.

Of a slip that was torn off, the line that had no end is left out. Bounds: 64 KiB or 2000 lines of one slip; what is
longer ends there, incomplete.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from drivers.observations import Direction, Facts, Kind, Noise, Observation, Receipt, Settlement
from drivers.receipts.escpos import CodePage, Feed, Piece, Sign, Stripper, Text
from drivers.receipts.labels import has_label
from drivers.receipts.slip import Read, is_mark, is_title, read
from drivers.receipts.text import decoded

BLANK_LINES_END = 5
MOST_BYTES = 65536
MOST_LINES = 2000
#: a line longer than any paper: it is broken there, so that no line costs more than its share
_WIDEST = 1024
#: a number at its end goes on in the next piece: half of a card's number is not seen to be one
_DIGITS = re.compile(rb"\d[\d -]{0,62}\Z")
_CUT_WORD = re.compile(rb"\s*CUT[ _]?PAPER\s*", re.IGNORECASE)
_MARKS_ABOVE = 4  # lines above a title that may belong to it
_VALUES_OF_A_SLIP = 4  # lines with labels; some slips have the merchant's above their title


class Paper:
    """What one side prints. `breaks`: as in Stripper, for lines that carry more than a printer's bytes."""

    def __init__(self, direction: Direction, breaks: bool = False) -> None:
        self._direction = direction
        self._stripper = Stripper(breaks)
        self._begin()

    def _begin(self) -> None:
        self._lines: list[bytes] = []
        self._line = bytearray()
        self._blank = self._size = 0
        self._page = 0
        self._picture = False
        self._stripper.dropped = 0

    @property
    def in_command(self) -> bool:
        """The next byte belongs to a command of the printer."""
        return not self._stripper.idle

    @property
    def idle(self) -> bool:
        """Nothing is held."""
        return self._stripper.idle and not (self._lines or self._line or self._picture or self._stripper.dropped)

    def feed(self, data: bytes) -> list[Observation]:
        """The slips that these bytes end."""
        return [seen for piece in self._stripper.feed(data) for seen in self._piece(piece)]

    def end(self, complete: bool = True) -> list[Observation]:
        """The slip that is held ends here."""
        self._stripper.give_up()
        return self._cut(complete)

    def _piece(self, piece: Piece) -> list[Observation]:
        if isinstance(piece, Text):
            return self._text(piece.data)
        if isinstance(piece, Feed):
            return self._fed(piece.lines)
        if isinstance(piece, CodePage):
            self._page = piece.number
        elif piece is Sign.PICTURE:
            self._picture = True
        elif piece is Sign.CUT:
            return self._cut()
        return []

    def _text(self, data: bytes) -> list[Observation]:
        seen: list[Observation] = []
        place = 0
        while place < len(data):
            room = min(_WIDEST - len(self._line), MOST_BYTES - self._size)
            self._line += data[place : place + room]
            self._size += len(data[place : place + room])
            place += room
            if self._size >= MOST_BYTES:
                line, self._line = self._line, bytearray()
                seen += self._cut(complete=False)
                self._line, self._size = line, len(line)
            elif len(self._line) >= _WIDEST:
                goes_on = _DIGITS.search(self._line)
                kept = self._line[goes_on.start() :] if goes_on else bytearray()
                del self._line[len(self._line) - len(kept) :]
                seen += self._fed(1)
                self._line = kept
        return seen

    def _fed(self, lines: int) -> list[Observation]:
        line, self._line = bytes(self._line), bytearray()
        if _CUT_WORD.fullmatch(line):
            return self._cut()
        if line.strip():
            self._lines += [b""] * (self._blank if self._lines else 0)
            self._lines.append(line)
            self._blank = max(0, lines - 1)
        elif self._lines:
            self._blank += lines
        if self._lines and self._blank >= BLANK_LINES_END:
            return self._cut()
        return self._cut(complete=False) if len(self._lines) >= MOST_LINES else []

    def _cut(self, complete: bool = True) -> list[Observation]:
        torn = 0 if complete else len(self._line)  # half a line says nothing certain: a number in it may go on
        lines = [*self._lines, *([] if torn else [bytes(self._line)])]
        picture, dropped = self._picture, self._stripper.dropped
        text = decoded(lines, self._page)
        self._begin()
        if any(line.strip() for line in text):
            return [seen for slip in slips(text) for seen in _told(self._direction, read(slip, complete), complete)]
        if picture:
            image = Facts(extra=(("image", 1),))
            return [Receipt(direction=self._direction, receipt_kind=None, complete=complete, facts=image)]
        length = dropped + torn
        return [Noise(direction=self._direction, length=length, reason="nothing printed")] if length else []


def slips(lines: list[str]) -> Iterator[list[str]]:
    """The lines of each slip: a title behind a whole slip begins another one, with the marks right above it."""
    begin, values = 0, 0
    for place, line in enumerate(lines):
        if values >= _VALUES_OF_A_SLIP and is_title(line):
            first = place
            while first > max(begin + 1, place - _MARKS_ABOVE) and is_mark(lines[first - 1]):
                first -= 1
            yield _trimmed(lines[begin:first])
            begin, values = first, 0
        values += has_label(line)
    yield _trimmed(lines[begin:])


def _trimmed(lines: list[str]) -> list[str]:
    """Without the empty lines at both ends."""
    printed = [place for place, line in enumerate(lines) if line.strip()]
    return lines[printed[0] : printed[-1] + 1] if printed else []


def _told(direction: Direction, slip: Read, complete: bool) -> Iterator[Observation]:
    """A slip as observations: a settlement's totals, then the receipt itself."""
    closes = slip.slip is not None and slip.slip.kind is Kind.SETTLEMENT
    if closes and complete and slip.slip and not (slip.slip.reprint or slip.slip.test):
        yield Settlement(direction=direction, facts=slip.facts, totals=slip.totals, balanced=slip.balanced)
    yield Receipt(
        direction=direction,
        receipt_kind=slip.copy,
        complete=complete,
        slip=slip.slip,
        facts=slip.facts,
        text=slip.text,
    )
