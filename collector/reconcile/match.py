"""One day's entries in, verdicts out: fills the staging, links, and judges what has to be looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from collector.ledger.entries import Entry, EntryKind, Side
from collector.reconcile.calendar import Terms
from collector.reconcile.errors import FileError
from collector.reconcile.groups import BIT, SIDES, Groups, Held, Key
from collector.reconcile.judge import Category, Verdict
from collector.reconcile.staging import Staging
from collector.reconcile.twins import see_twins
from collector.reconcile.undone import UNDONE_WITHIN_US, Group, verdicts

#: more entries than this without their counterparts: it is the wrong file, or the wrong format
MOST_ODD = 150_000
_FILES = Held.HIS | Held.ACQUIRER


@dataclass(slots=True)
class Found:
    """What a run found. `counts` and `amounts`: category → payments of the day, and minor units."""

    verdicts: list[Verdict] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    amounts: dict[str, int] = field(default_factory=dict)

    def count(self, category: Category, amount: int) -> None:
        """One more payment of the day."""
        self.counts[category] = self.counts.get(category, 0) + 1
        self.amounts[category] = self.amounts.get(category, 0) + amount


def anchor(entry: Entry) -> str:
    """The name of an entry, the same in every run."""
    return f"journal:{entry.key}" if entry.side is Side.JOURNAL else f"{entry.side}:{entry.day}:{entry.key}"


class Known:
    """Entries about which differences are on record: found again without computing the name of each entry."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        kept = tuple(entries)
        self._anchors = {_unnumbered(anchor(entry)) for entry in kept}
        self._alike = {(entry.amount, entry.time_us) for entry in kept if entry.side is not Side.JOURNAL}

    def __contains__(self, entry: Entry) -> bool:
        if entry.side is not Side.JOURNAL and (entry.amount, entry.time_us) not in self._alike:
            return False
        named = entry if entry.key else replace(entry, key=entry.content_key)
        return _unnumbered(anchor(named)) in self._anchors


def match(staging: Staging, terms: Terms, sides: Iterable[Side], step: Callable[[Key], None]) -> Found:
    """Link what was staged, and judge it. `sides`: those whose rows are there. Raises FileError when nothing fits."""
    wanted = 0
    for side in sides:
        wanted |= BIT[side]
    staging.link(wanted, step)
    _look_at_undone(staging)
    groups, found = staging.groups, Found()
    files = wanted & _FILES
    odd = staging.keep_odd(lambda root: _is_odd(groups.held(root), files))
    if odd > MOST_ODD:
        raise FileError("reconcile.file_nothing_fits", count=odd, of=len(groups))
    _count_plain(groups, files, found)
    given: dict[str, int] = {}
    chosen = [Group(tuple(_named(entries, given)), groups.key(root)) for root, entries in staging.odd_groups()]
    found.verdicts = see_twins(verdicts(chosen, terms), staging)
    for verdict in found.verdicts:
        if verdict.day == terms.day:
            found.count(verdict.category, verdict.amount)
    return found


def _look_at_undone(staging: Staging) -> None:
    """The payments that a void or a reversal may have taken back are looked at with it."""
    for entry in list(staging.undoing()):
        near = staging.with_order(entry.order) if entry.order else []
        if entry.original:
            near += staging.with_number(entry.original)
        if entry.kind is not EntryKind.REFUND:
            near += staging.around(entry, UNDONE_WITHIN_US, 60_000_000)
        for root, _ in near:
            staging.groups.mark_odd(root)


def _is_odd(held: int, files: int) -> bool:
    uncharged_alone = held & SIDES == Held.JOURNAL and held & Held.UNCHARGED and not held & Held.NOT_UNCHARGED
    if uncharged_alone and not held & Held.KNOWN:
        return False
    if held & Held.ODD:
        return True
    if not held & Held.OWN_DAY:
        return False
    return bool(held & Held.OTHER_DAY) or not _whole(held, files)


def _whole(held: int, files: int) -> bool:
    sides = held & SIDES
    return sides & files == files and bool(sides & (sides - 1))


def _count_plain(groups: Groups, files: int, found: Found) -> None:
    """Payments of the day that every side states alike need no look: they are counted where they are."""
    for number in range(len(groups)):
        if groups.root(number) != number:
            continue
        held = groups.held(number)
        if _is_odd(held, files) or not held & Held.OWN_DAY:
            continue
        found.count(Category.MATCHED if held & SIDES != Held.JOURNAL else Category.NOT_CHARGED, groups.amount(number))


def _named(entries: Iterable[Entry], given: dict[str, int]) -> Iterable[Entry]:
    """The rows of the day's files get their names; rows that are alike in everything are numbered."""
    for entry in entries:
        if entry.key:
            yield entry
            continue
        key = entry.content_key
        number = given[key] = given.get(key, 0) + 1
        yield replace(entry, key=key if number == 1 else f"{key}#{number}")


def _unnumbered(anchored: str) -> str:
    return anchored.partition("#")[0]
