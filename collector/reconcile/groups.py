"""Which entries belong to one payment: a union-find over entry numbers, small enough for millions of them.

Fifteen bytes an entry: its group's root, its signed amount, and for a root what the group holds, in bits.
"""

from __future__ import annotations

from array import array
from enum import IntEnum

from collector.ledger.entries import Entry, Side, State


class Held:
    """What a group holds, in bits. Plain integers: `&` of an IntFlag costs a microsecond, and there are millions."""

    JOURNAL = 1
    HIS = 2
    ACQUIRER = 4
    OWN_DAY = 8  # an entry of the day that is reconciled
    OTHER_DAY = 16
    UNCHARGED = 32  # the journal says that nobody was charged
    NOT_UNCHARGED = 64  # the journal says otherwise, or does not know
    ODD = 128  # it has to be looked at even when every side has it
    KNOWN = 256  # a difference about it is on record


SIDES = Held.JOURNAL | Held.HIS | Held.ACQUIRER
BIT = {Side.JOURNAL: Held.JOURNAL, Side.HIS: Held.HIS, Side.ACQUIRER: Held.ACQUIRER}


class Key(IntEnum):
    """Which key joined a group, the weakest of those used. Order of trust: docs/reconcile.md."""

    NONE = 0
    REFERENCE = 1
    TRACE = 2
    CHANNEL_ORDER = 3
    ORDER = 4
    WEAK = 5  # terminal, amount, time ± 5 minutes, card tail; one candidate on both sides
    AMBIGUOUS = 6  # the same, with several candidates: a person must confirm


class Groups:
    """Entries are numbered from 0 in the order they were added."""

    def __init__(self) -> None:
        self._parent = array("i")
        self._amount = array("q")
        self._held = array("H")
        self._key = bytearray()

    def __len__(self) -> int:
        return len(self._parent)

    def add(self, entry: Entry, *, own: bool, known: bool) -> int:
        """A new entry, alone in its group; its number. `known`: a difference about it is on record."""
        number = len(self._parent)
        self._parent.append(number)
        self._amount.append(entry.signed)
        self._key.append(Key.NONE)
        held = BIT[entry.side] | (Held.OWN_DAY if own else Held.OTHER_DAY)
        if entry.side is Side.JOURNAL:
            held |= Held.UNCHARGED if entry.state is State.NOT_CHARGED else Held.NOT_UNCHARGED
        if known:
            held |= Held.KNOWN | Held.ODD
        if entry.kind.undoes or entry.state is not State.CHARGED:
            held |= Held.ODD
        self._held.append(held)
        return number

    def root(self, number: int) -> int:
        """The entry that stands for the group: its lowest number."""
        parent = self._parent
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    def held(self, number: int) -> int:
        """What its group holds, as bits of Held."""
        return self._held[self.root(number)]

    def sides(self, number: int) -> int:
        """The sides in its group."""
        return self._held[self.root(number)] & SIDES

    def amount(self, number: int) -> int:
        """The entry's own amount, negative when money goes back."""
        return self._amount[number]

    def key(self, number: int) -> Key:
        """The weakest key that joined its group."""
        return Key(self._key[self.root(number)])

    def mark_odd(self, number: int) -> None:
        """Its group has to be looked at."""
        self._held[self.root(number)] |= Held.ODD

    def join(self, one: int, other: int, key: Key) -> None:
        """The two belong to one payment, by that key."""
        one, other = self.root(one), self.root(other)
        if one == other:
            return
        one, other = min(one, other), max(one, other)
        held = self._held
        doubled = held[one] & held[other] & SIDES
        joined = held[one] | held[other]
        if doubled or self._amount[one] != self._amount[other] or key is Key.AMBIGUOUS:
            joined |= Held.ODD
        self._parent[other] = one
        held[one] = joined
        self._key[one] = max(self._key[one], self._key[other], key)
