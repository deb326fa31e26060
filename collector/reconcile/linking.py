"""Brings together the entries of one payment. Pure: buckets of items with an equal key in, joins of groups out.

Keys in order of trust: reference number; terminal, batch and trace; the channel's order number; the HIS's order
number; and last the weak one: amount, terminal and time within five minutes, card tail alike. A stronger key is tried
on everything before a weaker one sees what is left. A bucket that is too large tells nothing apart and is left alone.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from collector.reconcile.groups import SIDES, Groups, Held, Key

_MINUTE = 60_000_000
#: the same reference or trace within so long is the same payment; later it has been given out again
SAME_NUMBER_US = 3 * 24 * 60 * _MINUTE
#: refunds are posted up to seven working days later
SAME_REFUND_US = 16 * 24 * 60 * _MINUTE
WEAK_US = 5 * _MINUTE
_BUCKET_MOST = 64
_CLUSTER_MOST = 20_000


class Item(NamedTuple):
    """What linking needs of an entry. Terminal and merchant without leading zeros, which exports lose."""

    number: int
    amount: int
    takes_back: bool
    time_us: int | None
    terminal: str | None
    merchant: str | None
    batch: str | None
    last4: str | None


def same_number(bucket: Sequence[Item], groups: Groups, key: Key) -> None:
    """Join items with the same reference, terminal and trace, or channel's order, where nothing speaks against it."""
    if len(bucket) > _BUCKET_MOST:
        return
    heads: list[Item] = []
    for item in bucket:
        head = next((head for head in heads if _alike(head, item, key)), None)
        if head is None:
            heads.append(item)
        else:
            groups.join(head.number, item.number, key)


def _alike(one: Item, other: Item, key: Key) -> bool:
    if not (_same(one.terminal, other.terminal) and _same(one.merchant, other.merchant)):
        return False
    if one.time_us is not None and other.time_us is not None:
        limit = SAME_REFUND_US if one.takes_back else SAME_NUMBER_US
        if abs(one.time_us - other.time_us) > limit:
            return False
    if key is Key.TRACE:
        # A trace alone comes again in the next batch: without the batch, the amount must speak for it too.
        if one.batch is None or other.batch is None:
            return one.amount == other.amount
        return one.batch == other.batch
    return True


def _same(one: str | None, other: str | None) -> bool:
    return one is None or other is None or one == other


def same_order(bucket: Sequence[Item], groups: Groups) -> None:
    """Join what bears the same order number: one charge with its booking, or a booking paid in several parts.

    A second charge of the same amount stays alone: whether the patient paid twice is for the judge.
    """
    if len(bucket) > _BUCKET_MOST:
        return
    by_root = {groups.root(item.number): item for item in bucket}
    unbooked = [item for item in by_root.values() if not groups.sides(item.number) & Held.HIS]
    charges = [item for item in unbooked if _may_be_charge(item, groups)]
    declined = [item for item in unbooked if not _may_be_charge(item, groups)]
    bookings = [item for item in by_root.values() if groups.sides(item.number) == Held.HIS]
    filed = [item for item in by_root.values() if groups.sides(item.number) & (SIDES & ~Held.HIS) == Held.ACQUIRER]
    _join_charges(charges, filed, groups)
    for booking in bookings:
        free = {groups.root(item.number): item for item in charges if not groups.sides(item.number) & Held.HIS}
        equal = [item for item in free.values() if item.amount == booking.amount]
        if equal:
            best = min(equal, key=lambda item: (_rank(item, groups), item.time_us or 0, item.number))
            groups.join(best.number, booking.number, Key.ORDER)
        elif free and (len(free) == 1 or sum(item.amount for item in free.values()) == booking.amount):
            for item in free.values():
                groups.join(item.number, booking.number, Key.ORDER)
        elif not free and declined:
            # Booked though the terminal declined it: the last attempt is the one that was booked.
            groups.join(max(declined, key=_time).number, booking.number, Key.ORDER)


def _join_charges(charges: Sequence[Item], filed: Sequence[Item], groups: Groups) -> None:
    """A journal's payment and a file's row of the same order and amount, where each is the only one of its kind."""
    for amount in sorted({item.amount for item in filed}):
        rows = [item for item in filed if item.amount == amount]
        seen = [item for item in charges if item.amount == amount and groups.sides(item.number) == Held.JOURNAL]
        if len(seen) == 1 and len(rows) == 1 and _same(seen[0].terminal, rows[0].terminal):
            groups.join(seen[0].number, rows[0].number, Key.ORDER)


def _may_be_charge(item: Item, groups: Groups) -> bool:
    held = groups.held(item.number)
    return bool(held & Held.ACQUIRER or held & Held.NOT_UNCHARGED)


def _rank(item: Item, groups: Groups) -> int:
    """Which of several equal charges the booking most likely means: one that journal and file both know."""
    sides = groups.sides(item.number)
    return 0 if sides == Held.JOURNAL | Held.ACQUIRER else 1 if sides & Held.JOURNAL else 2


def weak(bucket: Sequence[Item], groups: Groups, wanted: int) -> None:
    """Join what has the same amount, within five minutes, at the same terminal, with a card that may be the same.

    `bucket` is in order of time; `wanted`: the sides there are. Where each has one candidate only, they are joined;
    where there are several, they are joined in order of time and marked: a person must confirm.
    """
    for cluster in clusters(bucket):
        if len(cluster) > 1:
            _weak_cluster(cluster, groups, wanted)


def clusters(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Items in order of time, cut where nothing happened for longer than the weak key reaches."""
    cluster: list[Item] = []
    for item in items:
        if cluster and (_time(item) - _time(cluster[-1]) > WEAK_US or len(cluster) == _CLUSTER_MOST):
            yield cluster
            cluster = []
        cluster.append(item)
    if cluster:
        yield cluster


def _weak_cluster(cluster: Sequence[Item], groups: Groups, wanted: int) -> None:
    for one_side, other_side in ((Held.JOURNAL, Held.ACQUIRER), (Held.JOURNAL, Held.HIS), (Held.ACQUIRER, Held.HIS)):
        if not (wanted & one_side and wanted & other_side):
            continue
        ones = [item for item in cluster if _has(item, groups, one_side, other_side)]
        others = [item for item in cluster if _has(item, groups, other_side, one_side)]
        _pair(ones, others, groups)


def _has(item: Item, groups: Groups, side: int, lacks: int) -> bool:
    held = groups.held(item.number)
    if not held & side or held & lacks:
        return False
    # A declined attempt is no candidate for a booking of the same amount: the payment that followed it is.
    return not (held & SIDES == Held.JOURNAL and held & Held.UNCHARGED)


def _pair(ones: list[Item], others: list[Item], groups: Groups) -> None:
    ones = list({groups.root(item.number): item for item in ones}.values())
    others = sorted({groups.root(item.number): item for item in others}.values(), key=_time)
    times = [_time(other) for other in others]
    fits = {one.number: _candidates(one, others, times) for one in ones}
    wanted_by: dict[int, int] = {}
    for candidates in fits.values():
        for other in candidates:
            wanted_by[other.number] = wanted_by.get(other.number, 0) + 1
    taken: set[int] = set()
    for one in ones:
        free = [other for other in fits[one.number] if other.number not in taken]
        if not free:
            continue
        best = min(free, key=lambda other: (abs(_time(one) - _time(other)), other.number))
        alone = len(fits[one.number]) == 1 and wanted_by[best.number] == 1
        taken.add(best.number)
        groups.join(one.number, best.number, Key.WEAK if alone else Key.AMBIGUOUS)


def _candidates(one: Item, others: Sequence[Item], times: Sequence[int]) -> list[Item]:
    first, end = bisect_left(times, _time(one) - WEAK_US), bisect_right(times, _time(one) + WEAK_US)
    if end - first > _BUCKET_MOST:
        return []
    return [other for other in others[first:end] if _near(one, other)]


def _near(one: Item, other: Item) -> bool:
    return (
        abs(_time(one) - _time(other)) <= WEAK_US
        and _same(one.terminal, other.terminal)
        and _same(one.last4, other.last4)
    )


def _time(item: Item) -> int:
    return item.time_us if item.time_us is not None else 0
