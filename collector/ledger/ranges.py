"""Which sequence numbers of one stream are stored: pure bookkeeping of what is there and what is missing.

    contiguous ─ everything up to here is there, or was given up
    gaps       ─ missing ranges between contiguous and highest, ascending
    lost       ─ ranges below contiguous that were given up; what still comes of them is taken

Taking the next number costs nothing; any other costs a search among the gaps.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

#: More gaps than this in one stream are a fault or malice. What would make one more is not taken: it lies above
#: `stored`, so that its agent sends it again.
MOST_GAPS = 5_000

Range = tuple[int, int]


class Ranges:
    """The numbers of one stream. `changed` says whether any was taken."""

    def __init__(
        self,
        contiguous: int = 0,
        highest: int = 0,
        gaps: Iterable[Sequence[int]] = (),
        lost: Iterable[Sequence[int]] = (),
    ) -> None:
        self.contiguous = contiguous
        self.highest = highest
        self.gaps: list[Range] = [(first, last) for first, last in gaps]
        self.lost: list[Range] = [(first, last) for first, last in lost]
        self.changed = False

    def take(self, sequence: int) -> bool:
        """Note that this number is there now; False when it was before, or can't be taken (MOST_GAPS)."""
        if sequence == self.highest + 1:
            if self.highest == self.contiguous:
                self.contiguous = sequence
            self.highest = sequence
        elif sequence > self.highest:
            if len(self.gaps) >= MOST_GAPS:
                return False
            self.gaps.append((self.highest + 1, sequence - 1))
            self.highest = sequence
        elif not (_remove(self.gaps, sequence) or _remove(self.lost, sequence)):
            return False
        else:
            self._advance()
        self.changed = True
        return True

    def expect(self, highest: int) -> bool:
        """The agent says that it has sent this number: what is not here up to it is missing. True when that is news."""
        if highest <= self.highest:
            return False
        if self.gaps and self.gaps[-1][1] == self.highest:
            self.gaps[-1] = (self.gaps[-1][0], highest)
        else:
            self.gaps.append((self.highest + 1, highest))
        self.highest = highest
        return True

    def give_up(self) -> None:
        """Count what is missing as lost."""
        self.lost += self.gaps
        self.gaps.clear()
        self.contiguous = self.highest

    def _advance(self) -> None:
        self.contiguous = self.gaps[0][0] - 1 if self.gaps else self.highest


def _remove(ranges: list[Range], sequence: int) -> bool:
    """Take one number out of ascending ranges; False when none holds it."""
    at = bisect_right(ranges, (sequence, float("inf"))) - 1
    if at < 0 or ranges[at][1] < sequence:
        return False
    first, last = ranges[at]
    left = [] if first == sequence else [(first, sequence - 1)]
    right = [] if last == sequence else [(sequence + 1, last)]
    ranges[at : at + 1] = left + right
    return True
