"""Payments that were taken back: a void or a reversal and its payment are one matter, not two. Pure.

A pair that every side states alike is no difference: both rows, or neither. Where one side keeps the payment but not
its void, the books are wrong there, and that is the difference (category `reversed`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from collector.ledger.entries import Entry, EntryKind, Side, State
from collector.reconcile.calendar import Expect, Terms
from collector.reconcile.groups import Key
from collector.reconcile.judge import Category, Proof, Verdict, judge

#: a void happens on the day of the payment; a switch reverses by the next
UNDONE_WITHIN_US = 36 * 3600 * 1_000_000


@dataclass(frozen=True, slots=True)
class Group:
    """The entries of one payment, or of its taking back."""

    entries: tuple[Entry, ...]
    key: Key

    @property
    def takes_back(self) -> bool:
        """Whether money goes back."""
        return self.entries[0].kind.takes_back

    @property
    def undoes(self) -> bool:
        """Whether it undoes a payment: a void, a reversal, or what only the HIS knows as given back."""
        return self.takes_back and (
            any(entry.kind.undoes for entry in self.entries) or all(entry.side is Side.HIS for entry in self.entries)
        )

    def of(self, side: Side) -> list[Entry]:
        """The rows of one side that state something moved."""
        return [entry for entry in self.entries if entry.side is side and entry.state is not State.NOT_CHARGED]

    @property
    def time_us(self) -> int | None:
        """When, as the best witness has it."""
        return next((entry.time_us for entry in self.entries if entry.time_us is not None), None)


def verdicts(groups: Iterable[Group], terms: Terms) -> list[Verdict]:
    """The verdicts about all groups that have to be looked at; a payment and its void are one."""
    everything = [replace(group, entries=tuple(sorted(group.entries, key=_order))) for group in groups]
    payments: dict[int, list[Group]] = {}
    for group in everything:
        if not group.takes_back:
            payments.setdefault(group.entries[0].amount, []).append(group)
    used: set[int] = set()
    found: list[Verdict] = []
    back = sorted((group for group in everything if group.undoes), key=lambda group: group.time_us or 0)
    for group in back:
        payment = _payment_of(group, [one for one in payments.get(group.entries[0].amount, ()) if id(one) not in used])
        if payment is not None:
            used |= {id(group), id(payment)}
            found.append(_together(payment, group, terms))
    found += [judge(group.entries, group.key, terms) for group in everything if id(group) not in used]
    return found


def _payment_of(back: Group, payments: Sequence[Group]) -> Group | None:
    ranked = [
        (rank, -(one.time_us or 0), at) for at, one in enumerate(payments) if (rank := _rank(back, one)) is not None
    ]
    return payments[min(ranked)[2]] if ranked else None


def _rank(back: Group, payment: Group) -> tuple[int, int] | None:
    """How surely that payment is the one: by number, by order, by nothing but terminal, amount and time; None: not it.

    What only the HIS knows is held against what only the HIS knows, by its order number.
    """
    if not _may_be(back, payment):
        return None
    only_his = all(entry.side is Side.HIS for entry in back.entries)
    if only_his and any(entry.side is not Side.HIS for entry in payment.entries):
        return None
    agrees = 0 if bool(payment.of(Side.HIS)) == bool(back.of(Side.HIS)) else 1
    if _shared(back, payment, "original", ("reference", "channel_order", "trace", "key")):
        return 0, agrees
    for rank, name in enumerate(("reference", "trace", "order"), 1):
        if _shared(back, payment, name, (name,)):
            return rank, agrees
    named = any(entry.original for entry in back.entries)
    return None if only_his or named else (4, agrees)


def _may_be(back: Group, payment: Group) -> bool:
    """Whether terminal, card and time allow it."""
    for entry in back.entries:
        for paid in payment.entries:
            if paid.terminal_id and entry.terminal_id and paid.terminal_id.lstrip("0") != entry.terminal_id.lstrip("0"):
                return False
            if paid.last4 and entry.last4 and paid.last4 != entry.last4:
                return False
    if back.time_us is None or payment.time_us is None:
        return True
    # A file may round to the minute: the void then seems to come before its payment.
    return -60_000_000 <= back.time_us - payment.time_us <= UNDONE_WITHIN_US


def _shared(back: Group, payment: Group, name: str, others: tuple[str, ...]) -> bool:
    wanted = {getattr(entry, name) for entry in back.entries} - {None}
    return any(getattr(paid, other) in wanted for paid in payment.entries for other in others)


def _together(payment: Group, back: Group, terms: Terms) -> Verdict:
    entries = (*payment.entries, *back.entries)
    verdict = Verdict(
        category=Category.REVERSED,
        why="reversed",
        entries=entries,
        amount=payment.entries[0].amount,
        key=max(payment.key, back.key),
        proof=_proof(payment, back),
    )
    moved = [*payment.of(Side.JOURNAL), *payment.of(Side.ACQUIRER)]
    lacking = [side for side in (Side.HIS, Side.ACQUIRER) if payment.of(side) and not back.of(side) and moved]
    sample = replace(back.entries[0], kind=EntryKind.PURCHASE)  # a void stands in the day's own file
    for side, why, transit in (
        (Side.HIS, "void_not_in_his", "transit_his"),
        (Side.ACQUIRER, "void_not_in_file", "transit_acquirer"),
    ):
        expect, due = terms.expects(side, sample, payment.entries[0].day) if side in lacking else (None, None)
        if expect is Expect.NOW:
            return replace(verdict, why=why)
        if expect is Expect.LATER:
            return replace(verdict, category=Category.IN_TRANSIT, why=transit, due_us=due)
    if back.of(Side.ACQUIRER) and not payment.of(Side.ACQUIRER):
        verdict = replace(verdict, why="void_without_payment")
    elif back.of(Side.HIS) and not payment.of(Side.HIS):
        verdict = replace(verdict, why="refund_without_booking")
    return verdict


def _proof(payment: Group, back: Group) -> Proof | None:
    pending = [entry for entry in payment.of(Side.JOURNAL) if entry.state is State.UNKNOWN]
    filed = back.of(Side.ACQUIRER)
    if len(pending) != 1 or not filed or not payment.of(Side.ACQUIRER):
        return None
    return Proof(transaction=pending[0].key, outcome="reversed", row=filed[0])


def _order(entry: Entry) -> tuple[int, int, str, int]:
    return (Side.JOURNAL, Side.ACQUIRER, Side.HIS).index(entry.side), entry.time_us or 0, entry.key, entry.line or 0
