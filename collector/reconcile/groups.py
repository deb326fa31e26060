"""Which entries belong to one payment: a union-find over entry numbers, small enough for millions of them.

Nine bytes an entry: its group's root, its amount is kept in staging. For each root, which sides it holds.
"""

from __future__ import annotations

from array import array

from collector.ledger.entries import Side

#: a bit for each side, as masks hold them
BIT = {Side.JOURNAL: 1, Side.HIS: 2, Side.ACQUIRER: 4}


class Groups:
    """Entries are numbered from 0 in the order they were added."""

    def __init__(self) -> None:
        self._parent = array("l")
        self._mask = bytearray()  # of a root: the sides in its group
        self._odd = bytearray()  # of a root: 1 when it is more than one plain entry a side with one amount

    def __len__(self) -> int:
        return len(self._parent)

    def add(self, bit: int, *, odd: bool) -> int:
        """A new entry, alone in its group; its number. `odd`: it needs to be looked at even when it is matched."""
        number = len(self._parent)
        self._parent.append(number)
        self._mask.append(bit)
        self._odd.append(odd)
        return number

    def root(self, number: int) -> int:
        """The entry that stands for the group: its lowest number."""
        parent = self._parent
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    def sides(self, number: int) -> int:
        """The sides in the group, as bits."""
        return self._mask[self.root(number)]

    def is_odd(self, number: int) -> bool:
        """Whether the group needs to be looked at."""
        return bool(self._odd[self.root(number)])

    def mark_odd(self, number: int) -> None:
        """The group needs to be looked at."""
        self._odd[self.root(number)] = 1

    def join(self, one: int, other: int, *, same_amount: bool = True) -> None:
        """The two belong to one payment."""
        one, other = self.root(one), self.root(other)
        if one == other:
            return
        one, other = min(one, other), max(one, other)
        doubled = self._mask[one] & self._mask[other]
        self._parent[other] = one
        self._mask[one] |= self._mask[other]
        self._odd[one] |= self._odd[other] | (doubled != 0) | (not same_amount)
