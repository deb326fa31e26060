"""Charged twice, booked twice: a payment that lacks its booking may be the second of one that has it.

Twice charged is said only where the order is the same, or the card, at the same terminal within a quarter of an hour:
the same amount alone comes many times a day.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

from collector.ledger.entries import Entry, Side
from collector.reconcile.groups import Held
from collector.reconcile.judge import Category, Verdict

TWICE_WITHIN_US = 15 * 60 * 1_000_000
_MOST = 5


class Around(Protocol):
    """Looks for other entries of the run."""

    def around(self, entry: Entry, before_us: int, after_us: int) -> list[tuple[int, Entry]]:
        """Payments of the same amount at the same terminal near that time."""
        ...

    def with_order(self, order: str) -> list[tuple[int, Entry]]:
        """Payments with that order number."""
        ...

    def sides(self, root: int) -> int:
        """The sides in a group."""
        ...


def see_twins(verdicts: Iterable[Verdict], look: Around) -> list[Verdict]:
    """The verdicts, with those that are the second of a pair called so."""
    return [_seen(verdict, look) for verdict in verdicts]


def _seen(verdict: Verdict, look: Around) -> Verdict:
    sample = verdict.first
    if sample.kind.takes_back:
        return verdict
    if verdict.category in (Category.CHARGED_NOT_BOOKED, Category.IN_FILE_ONLY):
        twins = _charged_twin(verdict, look)
        if twins:
            return replace(verdict, category=Category.DUPLICATE, why="charged_twice", candidates=twins)
        near = [entry for root, entry in look.around(sample, TWICE_WITHIN_US, TWICE_WITHIN_US) if _lone(look, root)]
        return replace(verdict, candidates=_others(verdict, near))
    if verdict.category is Category.BOOKED_NOT_CHARGED and sample.side is Side.HIS:
        booked = [
            entry
            for root, entry in (look.with_order(sample.order) if sample.order else ())
            if entry.side is Side.HIS and look.sides(root) & ~Held.HIS and entry.amount == sample.amount
        ]
        twins = _others(verdict, booked)
        if twins:
            return replace(verdict, category=Category.DUPLICATE, why="booked_twice", candidates=twins)
        near = [
            entry
            for root, entry in look.around(sample, TWICE_WITHIN_US, TWICE_WITHIN_US)
            if not look.sides(root) & Held.HIS
        ]
        return replace(verdict, candidates=_others(verdict, near))
    return verdict


def _charged_twin(verdict: Verdict, look: Around) -> tuple[Entry, ...]:
    found: list[Entry] = []
    orders = {entry.order for entry in verdict.entries if entry.order}
    for order in sorted(orders):
        found += [entry for root, entry in look.with_order(order) if look.sides(root) & Held.HIS]
    last4 = {entry.last4 for entry in verdict.entries if entry.last4}
    for root, entry in look.around(verdict.first, TWICE_WITHIN_US, TWICE_WITHIN_US):
        other_order = orders and entry.order and entry.order not in orders
        if look.sides(root) & Held.HIS and entry.last4 in last4 and not other_order:
            found.append(entry)
    same = [entry for entry in found if entry.amount == verdict.first.amount]
    return _others(verdict, same)


def _lone(look: Around, root: int) -> bool:
    return look.sides(root) == Held.HIS


def _others(verdict: Verdict, found: Iterable[Entry]) -> tuple[Entry, ...]:
    own = {(entry.side, entry.key, entry.line) for entry in verdict.entries}
    kept = {(entry.side, entry.key, entry.line): entry for entry in found}
    return tuple(entry for place, entry in kept.items() if place not in own)[:_MOST]
