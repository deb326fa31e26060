"""What a group of entries means: one table of rules. Pure: entries and terms in, a verdict out.

Everything that decides a category lives here and in undone.py (payments taken back) and twins.py (charged or booked
twice). Each side is one of: THERE; MISSING, though every file that may hold it was read; LATER, a file to come may
hold it; NOT_ASKED. The journal is one of: nothing, charged, unknown, uncharged, reversed. The first rule
that fits counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from collector.ledger.entries import Entry, Side, State
from collector.reconcile.calendar import Expect, Terms
from collector.reconcile.groups import Key


class Category(StrEnum):
    """What became of a payment between the books."""

    MATCHED = "matched"
    CHARGED_NOT_BOOKED = "charged_not_booked"  # 单边账, 长款
    BOOKED_NOT_CHARGED = "booked_not_charged"  # 短款
    AMOUNT_DIFFERS = "amount_differs"
    DUPLICATE = "duplicate"
    REVERSED = "reversed"
    IN_FILE_ONLY = "in_file_only"
    UNKNOWN = "unknown"
    IN_TRANSIT = "in_transit"
    NOT_CHARGED = "not_charged"  # declined, and nobody says otherwise


THERE, MISSING, LATER, NOT_ASKED = "there", "missing", "later", "not asked"
_SEEN_AS = {Expect.NOW: MISSING, Expect.LATER: LATER, Expect.NOT_ASKED: NOT_ASKED}
NOTHING = "nothing"
CHARGED, UNKNOWN, UNCHARGED, REVERSED = State.CHARGED, State.UNKNOWN, State.NOT_CHARGED, State.REVERSED
_ANY_J = (NOTHING, CHARGED, UNKNOWN, UNCHARGED, REVERSED)
_ANY = (THERE, MISSING, LATER, NOT_ASKED)
_ABSENT = (MISSING, LATER, NOT_ASKED)

#: journal, acquirer's file, HIS → category, why
RULES: tuple[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], Category, str], ...] = (
    ((CHARGED, UNKNOWN, NOTHING), (THERE,), (THERE,), Category.MATCHED, "matched"),
    ((UNCHARGED, REVERSED), (THERE,), (THERE,), Category.MATCHED, "file_says_charged"),
    (_ANY_J, (THERE,), (LATER,), Category.IN_TRANSIT, "transit_his"),
    ((NOTHING,), (THERE,), (MISSING,), Category.IN_FILE_ONLY, "not_seen_not_booked"),
    ((NOTHING,), (THERE,), (NOT_ASKED,), Category.IN_FILE_ONLY, "not_seen"),
    ((CHARGED,), (THERE,), (MISSING,), Category.CHARGED_NOT_BOOKED, "not_booked"),
    ((UNKNOWN,), (THERE,), (MISSING,), Category.CHARGED_NOT_BOOKED, "proved_not_booked"),
    ((UNCHARGED,), (THERE,), (MISSING, NOT_ASKED), Category.CHARGED_NOT_BOOKED, "declined_but_charged"),
    ((REVERSED,), (THERE,), (MISSING, NOT_ASKED), Category.CHARGED_NOT_BOOKED, "reversed_but_charged"),
    ((CHARGED, UNKNOWN), (THERE,), (NOT_ASKED,), Category.MATCHED, "matched"),
    ((UNCHARGED,), _ABSENT, (THERE,), Category.BOOKED_NOT_CHARGED, "declined_but_booked"),
    ((UNCHARGED,), _ABSENT, _ABSENT, Category.NOT_CHARGED, "declined"),
    ((REVERSED,), _ABSENT, (THERE,), Category.REVERSED, "reversed_but_booked"),
    ((REVERSED,), _ABSENT, _ABSENT, Category.REVERSED, "reversed"),
    ((CHARGED,), (LATER, NOT_ASKED), (MISSING,), Category.CHARGED_NOT_BOOKED, "not_booked"),
    ((CHARGED,), (LATER,), (THERE, LATER, NOT_ASKED), Category.IN_TRANSIT, "transit_acquirer"),
    ((CHARGED,), (NOT_ASKED,), (LATER,), Category.IN_TRANSIT, "transit_his"),
    ((CHARGED,), (NOT_ASKED,), (THERE, NOT_ASKED), Category.MATCHED, "matched"),
    ((CHARGED,), (MISSING,), (THERE,), Category.BOOKED_NOT_CHARGED, "approved_not_in_file"),
    ((CHARGED,), (MISSING,), (MISSING,), Category.CHARGED_NOT_BOOKED, "approved_nowhere"),
    ((CHARGED,), (MISSING,), (LATER, NOT_ASKED), Category.UNKNOWN, "approved_not_in_file"),
    ((UNKNOWN,), (MISSING,), (THERE,), Category.BOOKED_NOT_CHARGED, "unknown_but_booked"),
    ((UNKNOWN,), (LATER,), (THERE,), Category.IN_TRANSIT, "transit_acquirer"),
    ((UNKNOWN,), (NOT_ASKED,), (THERE,), Category.UNKNOWN, "unknown_booked"),
    ((UNKNOWN,), (MISSING,), _ABSENT, Category.UNKNOWN, "unknown_not_in_file"),
    ((UNKNOWN,), (LATER, NOT_ASKED), _ABSENT, Category.UNKNOWN, "unknown_still"),
    ((NOTHING,), (LATER,), (THERE,), Category.IN_TRANSIT, "transit_acquirer"),
    ((NOTHING,), (MISSING, NOT_ASKED), (THERE,), Category.BOOKED_NOT_CHARGED, "booked_nothing_seen"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a row of the acquirer's file proves about a payment that the journal does not know the outcome of."""

    transaction: str
    outcome: str
    row: Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a group means. `amount`: minor units in question. `agrees`: nobody has to do anything."""

    category: Category
    why: str
    entries: tuple[Entry, ...]
    amount: int
    key: Key = Key.NONE
    due_us: int | None = None
    candidates: tuple[Entry, ...] = ()
    proof: Proof | None = None

    @property
    def confirm(self) -> bool:
        """Whether only an ambiguous key joins the rows, so that a person must look."""
        return self.key is Key.AMBIGUOUS

    @property
    def agrees(self) -> bool:
        """Whether the books agree about it, without a doubt."""
        settled = self.category in (Category.MATCHED, Category.NOT_CHARGED) or self.why == "reversed"
        return settled and not self.confirm

    @property
    def day(self) -> str:
        """The day it belongs to: the journal's where it was seen, else that of the file."""
        return self.first.day

    @property
    def first(self) -> Entry:
        """The entry that stands for it: the journal's, else the file's, else the HIS's."""
        return min(self.entries, key=_standing)


def judge(entries: Sequence[Entry], key: Key, terms: Terms) -> Verdict:
    """The verdict about one group, apart from payments that were taken back or made twice."""
    ordered = tuple(sorted(entries, key=_standing))
    sides = {side: [entry for entry in ordered if entry.side is side] for side in Side}
    journal = _journal_state(sides[Side.JOURNAL])
    filed = [entry for entry in sides[Side.ACQUIRER] if entry.state is not State.NOT_CHARGED]
    booked = [entry for entry in sides[Side.HIS] if entry.state is not State.NOT_CHARGED]
    seen_acquirer, due_acquirer = _seen(Side.ACQUIRER, filed, ordered[0], terms)
    seen_his, due_his = _seen(Side.HIS, booked, ordered[0], terms)
    proof = _proof(sides[Side.JOURNAL], filed)
    category, why = _rule(journal, seen_acquirer, seen_his)
    due = {"transit_acquirer": due_acquirer, "transit_his": due_his}.get(why)
    verdict = Verdict(
        category=category, why=why, entries=ordered, amount=ordered[0].signed, key=key, due_us=due, proof=proof
    )
    moved = [entry for entry in sides[Side.JOURNAL] if entry.state in (CHARGED, UNKNOWN)]
    return _amounts(verdict, moved, filed, booked) or verdict


def _rule(journal: str, acquirer: str, his: str) -> tuple[Category, str]:
    for journals, acquirers, books, category, why in RULES:
        if journal in journals and acquirer in acquirers and his in books:
            return category, why
    return Category.NOT_CHARGED, "declined"  # only rows that state no charge at all


def _journal_state(entries: Sequence[Entry]) -> str:
    states = {entry.state for entry in entries}
    return next((state for state in (CHARGED, UNKNOWN, REVERSED, UNCHARGED) if state in states), NOTHING)


def _seen(side: Side, rows: Sequence[Entry], sample: Entry, terms: Terms) -> tuple[str, int | None]:
    if rows:
        return THERE, None
    expect, due = terms.expects(side, sample, sample.day)
    return _SEEN_AS[expect], due


def _proof(journal: Sequence[Entry], filed: Sequence[Entry]) -> Proof | None:
    pending = [entry for entry in journal if entry.state is UNKNOWN]
    if len(pending) != 1 or len(filed) != 1 or pending[0].amount != filed[0].amount:
        return None
    return Proof(transaction=pending[0].key, outcome="approved", row=filed[0])


def _amounts(
    verdict: Verdict, journal: Sequence[Entry], filed: Sequence[Entry], booked: Sequence[Entry]
) -> Verdict | None:
    """The verdict when the sides state different amounts or different numbers of rows; None when they agree."""
    money = filed or journal
    if verdict.category not in (Category.MATCHED, Category.IN_TRANSIT) or not money or not (booked or filed):
        return _twice_alone(verdict, booked, money)
    paid, stated, seen = (sum(entry.signed for entry in rows) for rows in (money, booked or money, journal or money))
    if paid == stated == seen:
        return None
    amounts = {entry.amount for entry in (*money, *booked)}
    if len(amounts) == 1 and booked and len(money) != len(booked):
        why = "booked_twice" if len(booked) > len(money) else "twice_in_file" if _repeated(filed) else "charged_twice"
        return _changed(verdict, Category.DUPLICATE, why, abs(paid - stated))
    if len(amounts) == 1 and not booked and _repeated(filed):
        return _changed(verdict, Category.DUPLICATE, "twice_in_file", abs(paid - seen))
    return _changed(verdict, Category.AMOUNT_DIFFERS, "amount_differs", paid - stated or paid - seen)


def _twice_alone(verdict: Verdict, booked: Sequence[Entry], money: Sequence[Entry]) -> Verdict | None:
    rows = booked or money
    if len(rows) > 1 and _repeated(rows):
        why = "booked_twice" if booked else "twice_in_file"
        return _changed(verdict, Category.DUPLICATE, why, abs(rows[0].signed) * (len(rows) - 1))
    return None


def _repeated(rows: Sequence[Entry]) -> bool:
    return len(rows) > 1 and len({(row.reference, row.trace, row.channel_order) for row in rows}) == 1


def _changed(verdict: Verdict, category: Category, why: str, amount: int) -> Verdict:
    return Verdict(
        category=category, why=why, entries=verdict.entries, amount=amount, key=verdict.key, proof=verdict.proof
    )


def _standing(entry: Entry) -> tuple[int, int, int, str]:
    order = (Side.JOURNAL, Side.ACQUIRER, Side.HIS).index(entry.side)
    worth = (CHARGED, UNKNOWN, REVERSED, UNCHARGED).index(entry.state)
    return order, worth, entry.time_us or 0, f"{entry.key}{entry.line or 0:09d}"
