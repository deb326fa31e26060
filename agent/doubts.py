"""Payments in doubt: how a doubt begins, what settles it, and when people are called. Part of the book (book.py).

    PENDING ─ asked again, every answer judged ─→ CONFIRMED
       │    ─ reprint, settlement, reversal seen on the line ─→ CONFIRMED
       ├─ after `first_call` ─→ ESCALATED (first call; the terminal is still asked)
       └─ after `give_up`, or at once when nothing is left to ask ─→ ESCALATED (final call)
                              ESCALATED ─ any of the evidence above ─→ CONFIRMED

A doubt is never dropped, and only evidence settles it: what a transaction shown by the terminal proves is decided in
evidence.py, and what follows from it in settling.py. The rules of book.py hold: no I/O, no clock, never a guess.
"""

from __future__ import annotations

from dataclasses import replace

from agent.events import Call, Draft, EventType, Reason, WarningKind
from agent.payments import (
    ASKS_KEPT,
    Ask,
    At,
    Book,
    Booted,
    Doubt,
    Payment,
    Replied,
    Scheduled,
    State,
    Step,
    Terms,
    draft,
    transaction_data,
)
from agent.settling import shown, with_payment
from drivers.observations import Outcome
from drivers.queries import Finding, Said

#: payments in doubt kept a terminal; behind that the oldest ones stay in the journal alone, in people's hands
PENDING_KEPT = 200


def doubt(book: Book, reason: Reason, at: At, terms: Terms) -> Step:
    """Nobody can say what became of the current payment: it is pending, and says why."""
    if book.current is None:
        raise AssertionError("a doubt without a payment")
    payment = replace(
        book.current,
        state=State.PENDING,
        outcome=Outcome.UNKNOWN,
        reason=reason,
        doubt=Doubt(wall_ns=at.wall_ns, mono_ns=at.mono_ns, asks_left=terms.asks),
    )
    told = draft(EventType.TRANSACTION_PENDING, payment, at, terms)
    book, called = _call_if_nothing_left(with_payment(book, payment), payment, Reason.NOT_SUPPORTED, at, terms)
    return book, (told, *called)


def double_charge(book: Book, at: At, terms: Terms) -> tuple[Draft, ...]:
    """A warning when the payment that begins has the amount of one in doubt: it is the mistake cashiers make."""
    payment = book.current
    if payment is None or not payment.kind.moves_money or payment.facts.amount is None:
        return ()
    alike = [p for p in book.pending if (p.kind, p.facts.amount) == (payment.kind, payment.facts.amount)]
    if not alike:
        return ()
    return (warning(payment, WarningKind.POSSIBLE_DOUBLE_CHARGE, alike[-1], at, terms),)


def contradiction(settled: Payment | None, shown: Payment | None, at: At, terms: Terms) -> tuple[Draft, ...]:
    """A warning when an answer that nobody asked for tells otherwise than the evidence that settled a doubt.

    A settled outcome never changes; the answer stands as a transaction of its own, and people have to look at both.
    """
    if settled is None or shown is None or settled.how is None or settled.facts.amount != shown.facts.amount:
        return ()
    if (settled.outcome is Outcome.APPROVED) is (shown.outcome is Outcome.APPROVED):
        return ()
    return (warning(shown, WarningKind.CONTRADICTION, settled, at, terms),)


def warning(payment: Payment, kind: WarningKind, related: Payment | None, at: At, terms: Terms) -> Draft:
    """A warning about a payment, and the other one that it has to do with, if there is one."""
    data = replace(transaction_data(payment, terms), warning=kind, related=related.id if related else None)
    return Draft(EventType.TRANSACTION_WARNING, data, at.wall_ns)


# --- asking ------------------------------------------------------------------------------------------------------


def scheduled(book: Book, what: Scheduled, at: At, terms: Terms) -> Step:
    """When the terminal is to be asked next about a payment."""
    payment = next((p for p in book.unknown if p.id == what.transaction), None)
    if payment is None or payment.doubt is None:
        return book, ()
    asks = what.asks or payment.doubt.asks_left
    return with_payment(book, _with_doubt(payment, due_mono_ns=what.due_mono_ns, asks_left=asks)), ()


def replied(book: Book, what: Replied, at: At, terms: Terms) -> Step:
    """The terminal was asked: note it with every payment that the question was about, and see what it proves."""
    finding = what.finding
    note = Ask(at.wall_ns, finding.query, finding.said, finding.code)
    about = [p.id for p in book.unknown if p.doubt and finding.query in p.doubt.asks_left]
    for payment in [p for p in book.unknown if p.id in about]:
        noted = replace(payment, attempts=payment.attempts + 1, asked=(*payment.asked, note)[-ASKS_KEPT:])
        book = with_payment(book, _asked_once(_with_doubt(noted, due_mono_ns=None)))
    if finding.said is Said.TRANSACTION:
        return _shown_to_us(book, finding, about, at, terms)
    drafts: tuple[Draft, ...] = ()
    if finding.said is Said.REFUSED:
        for payment in [p for p in book.unknown if p.id in about]:
            book, called = _ask_no_more(book, payment, finding, at, terms)
            drafts += called
    return book, drafts


def _asked_once(payment: Payment) -> Payment:
    """Behind the final call only a person has the terminal asked, and once each time."""
    final = payment.doubt is not None and payment.doubt.call is Call.FINAL
    return _with_doubt(payment, asks_left=()) if final else payment


def _shown_to_us(book: Book, finding: Finding, about: list[str], at: At, terms: Terms) -> Step:
    book, drafts = shown(book, finding.facts, finding.outcome, "repeat_receipt", at, terms, finding.receipts)
    for payment in [p for p in book.unknown if p.id in about]:
        # It is another transaction: asking again shows that one or a later one.
        payment = _with_doubt(payment, asks_left=())  # noqa: PLW2901 (the same one, without hope)
        book, called = _call_if_nothing_left(with_payment(book, payment), payment, None, at, terms)
        drafts += called
    return book, drafts


def _ask_no_more(book: Book, payment: Payment, finding: Finding, at: At, terms: Terms) -> Step:
    """The terminal does not answer this query."""
    left = tuple(query for query in payment.doubt.asks_left if query is not finding.query) if payment.doubt else ()
    payment = _with_doubt(payment, asks_left=left)
    return _call_if_nothing_left(with_payment(book, payment), payment, Reason.NOT_SUPPORTED, at, terms)


# --- calling people ----------------------------------------------------------------------------------------------


def call_people(book: Book, at: At, terms: Terms) -> Step:
    """Time has passed: who has been in doubt for too long?"""
    drafts: tuple[Draft, ...] = ()
    for payment in book.unknown:
        for due, call in _calls(payment, terms):
            if at.mono_ns >= due:
                book, called = _call(book, payment, call, payment.reason, at, terms)
                drafts += called
                break
    return book, drafts


def next_call_mono_ns(book: Book, terms: Terms) -> int | None:
    """When `call_people` has something to do."""
    return min((due for payment in book.unknown for due, _ in _calls(payment, terms)), default=None)


def booted(book: Book, what: Booted, at: At, terms: Terms) -> Step:
    """After a restart of the machine its monotonic clock began anew: how long a doubt lasts is taken from the wall."""
    if book.boot == what.boot:
        return book, ()
    for payment in book.unknown:
        if payment.doubt is not None:
            begun = at.mono_ns - max(0, at.wall_ns - payment.doubt.wall_ns)
            book = with_payment(book, _with_doubt(payment, mono_ns=begun, due_mono_ns=None))
    return replace(book, boot=what.boot), ()


def forget(book: Book, at: At, terms: Terms) -> Step:
    """More doubts than are kept: the oldest ones go to people, and are not watched any more."""
    gone, kept = book.pending[:-PENDING_KEPT], book.pending[-PENDING_KEPT:]
    drafts: tuple[Draft, ...] = ()
    for payment in gone:
        if payment.doubt and payment.doubt.call is not Call.FINAL:
            drafts += _call(book, payment, Call.FINAL, payment.reason, at, terms)[1]
    return replace(book, pending=kept), drafts


def _calls(payment: Payment, terms: Terms) -> list[tuple[int, Call]]:
    """The calls that are still to come, the final one first."""
    if payment.doubt is None or payment.doubt.call is Call.FINAL:
        return []
    final = (payment.doubt.mono_ns + terms.give_up_ns, Call.FINAL)
    first = (payment.doubt.mono_ns + terms.first_call_ns, Call.FIRST)
    return [final] if payment.doubt.call or first[0] >= final[0] else [final, first]


def _call_if_nothing_left(book: Book, payment: Payment, reason: Reason | None, at: At, terms: Terms) -> Step:
    hope = terms.reverses or (payment.doubt and any(query.proves for query in payment.doubt.asks_left))
    waiting = payment.doubt is None or hope
    if waiting or (payment.doubt and payment.doubt.call is Call.FINAL):
        return book, ()
    return _call(book, payment, Call.FINAL, reason or payment.reason, at, terms)


def _call(book: Book, payment: Payment, call: Call, reason: Reason | None, at: At, terms: Terms) -> Step:
    """Call people. `reason` is why they are called; why the outcome is unknown stays with the payment."""
    payment = _with_doubt(replace(payment, state=State.ESCALATED), call=call)
    if call is Call.FINAL:
        payment = _with_doubt(payment, due_mono_ns=None, asks_left=())
    told = draft(EventType.TRANSACTION_ESCALATED, replace(payment, reason=reason), at, terms)
    return with_payment(book, payment), (told,)


# --- small parts -------------------------------------------------------------------------------------------------


def _with_doubt(payment: Payment, **changes: object) -> Payment:
    if payment.doubt is None:
        return payment
    return replace(payment, doubt=replace(payment.doubt, **changes))  # type: ignore[arg-type]
