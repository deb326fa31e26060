"""Receipts as evidence: what a printed slip says of a payment, with a protocol beside it or alone. Part of the book.

Two ways:
- **alone** (`Terms.listens_only`): nothing but the printer is heard, so a slip begins and ends a transaction by itself.
  Each copy of a slip belongs to the one transaction; a reprint never makes one; a test slip and one that says nothing
  certain make none. An alarm (冲正不成功: a payment that could not be taken back) calls people at once;
- **beside a protocol**: a slip fills in what the frames did not say, never against them, and settles the payment in
  doubt that it is the receipt of.

The same rules as in book.py hold: no I/O, no clock, never a guess.
"""

from __future__ import annotations

from dataclasses import fields, replace

from agent.doubts import double_charge, doubt, forget, warning
from agent.events import Draft, EventType, Reason, ReceiptData, WarningKind
from agent.evidence import Verdict, mark_of, same
from agent.ids import transaction_id
from agent.payments import PRINTS_KEPT, At, Book, Payment, Print, State, Step, Terms, draft
from agent.settling import begun, counted, proof_of, settle, with_payment
from drivers.observations import Alarm, Facts, Kind, Outcome, Receipt, Settlement, Slip
from drivers.receipts.slip import read

#: facts that a slip and a frame must agree on before the one may complete the other
_AGREE = ("trace", "batch", "reference", "approval_code", "terminal_id", "merchant_id")


def captured(transaction: str | None, receipt: Receipt, at: At, terms: Terms) -> Draft:
    """The receipt's text as an event."""
    data = ReceiptData(
        transaction=transaction,
        terminal=terms.terminal,
        receipt_kind=receipt.receipt_kind,
        complete=receipt.complete,
        text=receipt.text,
    )
    return Draft(EventType.RECEIPT_CAPTURED, data, at.wall_ns)


# --- a slip alone ---------------------------------------------------------------------------------------------------


def alone(book: Book, receipt: Receipt, at: At, terms: Terms) -> Step:
    """A slip where nothing else is heard: perhaps a transaction, perhaps the second copy of one."""
    slip, facts = receipt.slip, _unsigned(receipt.facts)
    owner: str | None = None
    drafts: tuple[Draft, ...] = ()
    if slip is not None and slip.kind not in (None, Kind.SETTLEMENT) and not slip.test and slip.outcome is not None:
        known = _known(book, slip.name, facts)
        if known is not None:
            owner = known.transaction
            book, drafts = _again(book, known, slip, facts, at, terms)
        elif slip.reprint:
            book, drafts, owner = proven(book, slip, facts, at, terms)
        else:
            book, drafts = _new(book, receipt, slip, facts, at, terms)
            owner = book.current.id if book.current else None
    return book, (*drafts, captured(owner, receipt, at, terms))


def settlement_again(book: Book, settlement: Settlement) -> tuple[Book, bool]:
    """Whether these totals were printed before: the second copy of a settlement slip closes no second batch."""
    if _known(book, Kind.SETTLEMENT, settlement.facts):
        return book, True
    return _kept(book, None, Kind.SETTLEMENT, settlement.facts), False


def _new(book: Book, receipt: Receipt, slip: Slip, facts: Facts, at: At, terms: Terms) -> Step:
    """The first copy of a slip: the transaction began and ended before it was printed."""
    payment = Payment(
        id=transaction_id(at.wall_ns, f"{terms.terminal}:{at.token}"),
        state=State.OPEN,
        kind=slip.kind or Kind.OTHER,
        message="receipt",
        facts=facts,
        started_wall_ns=at.wall_ns,
        deadline_mono_ns=at.mono_ns,
        before=book.last,
    )
    book = _kept(begun(book, payment), payment.id, slip.name, facts)
    book, forgotten = forget(book, at, terms)
    drafts = (*forgotten, draft(EventType.TRANSACTION_STARTED, payment, at, terms), *double_charge(book, at, terms))
    if slip.outcome in (None, Outcome.UNKNOWN):
        book, doubts = doubt(book, _why(receipt, slip), at, terms)
        alarm = _alarm(payment, slip, book, at, terms)
        return book, (*drafts, *doubts, *alarm)
    closed = replace(payment, state=State.DELIVERED, outcome=slip.outcome, ended_wall_ns=at.wall_ns)
    told = draft(EventType.TRANSACTION_COMPLETED, closed, at, terms)
    last = mark_of(facts, at.wall_ns) or book.last
    return replace(book, current=closed, last=last, tally=counted(book.tally, closed)), (*drafts, told)


def _why(receipt: Receipt, slip: Slip) -> Reason:
    if slip.alarm is not None:
        return Reason.HOST_TIMEOUT
    return Reason.CODE_AMBIGUOUS if receipt.complete else Reason.LINK_LOST


def _again(book: Book, known: Print, slip: Slip, facts: Facts, at: At, terms: Terms) -> Step:
    """Another copy of a slip: it settles what the first left open, or calls people when it is an alarm."""
    payment = next((p for p in book.unknown if p.id == known.transaction), None)
    if payment is not None and slip.outcome not in (None, Outcome.UNKNOWN):
        return settle(book, payment, slip.outcome, facts, _how(slip), at, terms)
    current = book.current
    if current is None or current.id != known.transaction:
        return book, ()
    if slip.alarm is not None and not current.in_doubt:
        return book, _alarm(current, slip, book, at, terms)
    if {slip.outcome, current.outcome} == {Outcome.APPROVED, Outcome.DECLINED}:
        return book, (warning(current, WarningKind.CONTRADICTION, current, at, terms),)
    return book, ()


def _alarm(payment: Payment, slip: Slip, book: Book, at: At, terms: Terms) -> tuple[Draft, ...]:
    if slip.alarm is not Alarm.REVERSAL_FAILED:
        return ()
    now = book.current if book.current and book.current.id == payment.id else payment
    return (warning(now, WarningKind.REVERSAL_FAILED, None, at, terms),)


# --- a slip beside a protocol -----------------------------------------------------------------------------------------


def beside(book: Book, receipt: Receipt, at: At, terms: Terms) -> Step:
    """A slip of a terminal whose frames are understood: its text completes the current payment's facts."""
    payment = book.current if book.inquiry is None else None
    owner = payment.id if payment is not None else None
    drafts: tuple[Draft, ...] = ()
    read_here = read(receipt.text, receipt.complete) if receipt.slip is None else None
    slip = read_here.slip if read_here else receipt.slip
    facts = _unsigned(read_here.facts if read_here else receipt.facts)
    if slip is not None and slip.kind not in (None, Kind.SETTLEMENT) and not slip.test and receipt.complete:
        if payment is not None and not slip.reprint and _is_of(payment, facts, at):
            book = with_payment(book, replace(payment, facts=replace(facts, extra=()).merged(payment.facts)))
        owner = None if payment is None or _is_anothers(payment, slip, facts) else owner
        if slip.outcome not in (None, Outcome.UNKNOWN):
            book, drafts, settled = proven(book, slip, facts, at, terms)
            owner = settled or owner
    return book, (*drafts, captured(owner, receipt, at, terms))


def proven(book: Book, slip: Slip, facts: Facts, at: At, terms: Terms) -> tuple[Book, tuple[Draft, ...], str | None]:
    """The payment in doubt that this slip is the receipt of is settled. Returns the payment's id as well.

    That an earlier slip is printed once more proves nothing of a later payment: any one can be reprinted.
    """
    alike = [p for p in book.provable if p.kind is slip.kind or Kind.OTHER in (p.kind, slip.kind)]
    of = [p for p in alike if proof_of(book, p, facts, slip.outcome, at, terms) is Verdict.THIS]
    if len(of) != 1 or slip.outcome in (None, Outcome.UNKNOWN):
        return book, (), None
    book, drafts = settle(book, of[0], slip.outcome, replace(facts, extra=()), _how(slip), at, terms)
    return book, drafts, of[0].id


def _is_anothers(payment: Payment, slip: Slip, facts: Facts) -> bool:
    """Whether the slip is printed while this payment is the current one, and tells of another transaction."""
    pairs = ((getattr(payment.facts, name), getattr(facts, name)) for name in ("trace", "reference", "approval_code"))
    agree = [one.lstrip("0") == other.lstrip("0") for one, other in pairs if None not in (one, other)]
    return True not in agree and (slip.reprint or False in agree)  # any one can be printed again


def _how(slip: Slip) -> str:
    return "reprint" if slip.reprint else "receipt"


def _is_of(payment: Payment, facts: Facts, at: At) -> bool:
    """Whether the slip is this payment's: the same amount, nothing else that differs, and not the one before again.

    For a payment in doubt that is not enough: see `proven`.
    """
    if payment.in_doubt or facts.amount is None or facts.amount != payment.facts.amount:
        return False
    mark = mark_of(facts, at.wall_ns)
    if mark is not None and payment.before is not None and same(mark, payment.before):
        return False
    cards = (payment.facts.card, facts.card)
    ends = [card.last4 for card in cards if card is not None and card.last4 is not None]
    return len(set(ends)) <= 1 and not any(_differ(payment.facts, facts, name) for name in _AGREE)


# --- which slips were seen --------------------------------------------------------------------------------------------


def _known(book: Book, name: str, facts: Facts) -> Print | None:
    """The slip that this one is a copy of."""
    return next((earlier for earlier in reversed(book.prints) if _one_slip(earlier, name, facts)), None)


def _one_slip(earlier: Print, name: str, facts: Facts) -> bool:
    """Whether both are of one transaction. A batch numbers a terminal's transactions once; else nothing may differ."""
    if earlier.name != name or earlier.facts.amount != facts.amount:
        return False
    numbered = ("terminal_id", "batch", "trace")
    if all(_alike(earlier.facts, facts, one) for one in numbered):
        return True
    telling = [f.name for f in fields(Facts) if f.name not in ("extra", "card", "currency", "response_code")]
    numbers = ("reference", "trace", "order", "channel_order", "terminal_time")
    return not any(_differ(earlier.facts, facts, one) for one in telling) and any(
        _alike(earlier.facts, facts, one) for one in numbers
    )


def _kept(book: Book, transaction: str | None, name: str, facts: Facts) -> Book:
    kept = Print(transaction, name, replace(facts, extra=(), card=None))
    return replace(book, prints=(*book.prints, kept)[-PRINTS_KEPT:])


def _alike(one: Facts, other: Facts, name: str) -> bool:
    return getattr(one, name) is not None and getattr(one, name) == getattr(other, name)


def _differ(one: Facts, other: Facts, name: str) -> bool:
    return None not in (getattr(one, name), getattr(other, name)) and not _alike(one, other, name)


def _unsigned(facts: Facts) -> Facts:
    """A void is printed with a minus; what it takes back is said by its kind."""
    return facts if facts.amount is None else replace(facts, amount=abs(facts.amount))
