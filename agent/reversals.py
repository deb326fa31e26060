"""Reversals (冲正) that a terminal sends for a payment of its own. Part of the book (book.py); the same rules hold.

A terminal that can't trust the outcome of a payment (no answer, a damaged one) keeps a reversal of it, and sends it
right before its next online transaction. So

    the terminal asks to undo a payment   it is in doubt, even when its approval had passed on the line
    the host accepts                      REVERSED; or NOT_EXECUTED when the host knows of nothing to undo
    the host refuses, or says nothing     the doubt stays; the terminal will try again
    a payment without a reversal before   the terminal has taken the late approval of the one before: APPROVED

The payment is the one whose numbers (terminal, batch, trace number) the reversal bears, however many came between. A
reversal of a payment that nobody has seen here is recorded as a transaction of its own, so that it is not lost.
"""

from __future__ import annotations

from dataclasses import replace

from agent.doubts import doubt
from agent.events import Draft, EventType, Reason
from agent.evidence import numbered
from agent.ids import transaction_id
from agent.payments import At, Book, Payment, State, Step, Terms, draft
from agent.settling import settle, uncounted, with_payment
from drivers.observations import Answer, Facts, Kind, Outcome, Request, Reversal

_REASONS = {
    Reversal.NO_ANSWER: Reason.HOST_TIMEOUT,
    Reversal.BAD_ANSWER: Reason.BAD_FRAME,
    Reversal.OTHER: Reason.CODE_AMBIGUOUS,
}
#: these are sent only when no reversal is left to be sent
_ONLINE = frozenset({Kind.PURCHASE, Kind.VOID, Kind.PREAUTHORISATION, Kind.COMPLETION, Kind.BALANCE})


def reversal_asked(book: Book, request: Request, at: At, terms: Terms) -> Step:
    """The terminal wants a payment undone."""
    reason = _REASONS[request.reverses or Reversal.OTHER]
    book, named = replace(book, reversal=request.facts, inquiry=None), _named(book, request.facts)
    drafts: tuple[Draft, ...] = ()
    if book.state is State.OPEN and named is not book.current and _one_terminal(book, request):
        book, drafts = doubt(book, Reason.ANSWER_TIMEOUT, at, terms)  # it works on that one no more
    if named is None:
        return book, drafts
    if named.in_doubt:
        return with_payment(book, replace(named, reversing=True)), drafts
    book, reopened = _in_doubt_again(book, reason, at, terms)
    return book, drafts + reopened


def reversal_answered(book: Book, answer: Answer, at: At, terms: Terms) -> Step:
    """The host says whether the payment is undone."""
    asked = book.reversal
    facts = asked.merged(_numbers(answer.facts)) if asked and _about(asked, answer.facts) else answer.facts
    book = replace(book, reversal=None, inquiry=None)
    if not answer.final or answer.outcome not in (Outcome.REVERSED, Outcome.NOT_EXECUTED):
        return book, ()
    known = Facts(extra=(("reversal_code", answer.facts.response_code or ""),))
    named = _named(book, facts)
    if named is None:
        return _unseen(book, facts, answer, at, terms)
    drafts: tuple[Draft, ...] = ()
    if not named.in_doubt:
        book, drafts = _in_doubt_again(book, Reason.CODE_AMBIGUOUS, at, terms)
    payment = next(each for each in book.unknown if each.id == named.id)
    book, settled = settle(book, payment, answer.outcome, known, "reversal", at, terms)
    return replace(book, undone=_numbers(facts)), drafts + settled


def gone_on(book: Book, request: Request, at: At, terms: Terms) -> Step:
    """The terminal begins another payment, and has kept no reversal: what was approved late before it stands."""
    drafts: tuple[Draft, ...] = ()
    if not terms.reverses or request.kind not in _ONLINE:
        return book, drafts
    for payment in book.unknown:
        mine = payment.facts.terminal_id in (None, request.facts.terminal_id)
        if payment.stated is Outcome.APPROVED and payment.late and not payment.reversing and mine:
            book, settled = settle(book, payment, Outcome.APPROVED, Facts(), "late_answer", at, terms)
            drafts += settled
    return book, drafts


def repeated_in(book: Book, request: Request) -> Book | None:
    """A request that was sent before, by its numbers, is no new payment: terminals repeat refunds and advices.

    One in doubt becomes the current one again, so that the answer finds it. None: it was not sent before.
    """
    current = book.current
    if current is not None and not current.in_doubt and _same_payment(current, request):
        return book
    found = next((payment for payment in book.unknown if _same_payment(payment, request)), None)
    if found is None:
        return None
    others = tuple(payment for payment in book.unknown if payment.id != found.id)
    return replace(book, current=found, pending=others, inquiry=None)


def _same_payment(payment: Payment, request: Request) -> bool:
    alike = (payment.kind, payment.facts.amount) == (request.kind, request.facts.amount)
    return alike and bool(numbered(payment.facts, request.facts))


def _named(book: Book, facts: Facts) -> Payment | None:
    """The payment that the reversal is of, as long as there is something to undo."""
    current = book.current
    candidates = [*book.pending, *([current] if current and _undoable(current) else [])]
    by_number = [payment for payment in candidates if numbered(payment.facts, facts)]
    if by_number:
        return by_number[-1]
    alike = [p for p in candidates if p.in_doubt and numbered(p.facts, facts) is None and _same_amount(p, facts)]
    return alike[0] if len(alike) == 1 else None


def _undoable(payment: Payment) -> bool:
    return payment.state is State.OPEN or payment.in_doubt or payment.outcome is Outcome.APPROVED


def _same_amount(payment: Payment, facts: Facts) -> bool:
    return facts.amount is not None and payment.facts.amount == facts.amount


def _one_terminal(book: Book, request: Request) -> bool:
    """Whether the terminal that undoes is the one whose payment is under way: several may share a line to the host."""
    current = book.current
    return current is not None and current.facts.terminal_id in (None, request.facts.terminal_id)


def _about(asked: Facts, said: Facts) -> bool:
    return numbered(asked, said) is not False


def _numbers(facts: Facts) -> Facts:
    """What tells a transaction from others: the answer to a reversal has a reference and a time of its own."""
    names = ("amount", "currency", "trace", "batch", "terminal_id", "merchant_id", "card")
    return Facts(**{name: getattr(facts, name) for name in names})


def _in_doubt_again(book: Book, reason: Reason, at: At, terms: Terms) -> Step:
    """The current payment's outcome is open again: nobody knows until the reversal is answered."""
    payment = book.current
    if payment is None:
        raise AssertionError("a reversal of the current payment without one")
    if payment.state is not State.ANSWERED:  # then it is not counted yet
        book = replace(book, tally=uncounted(book.tally, payment))
    book = replace(book, current=replace(payment, reversing=True, ended_wall_ns=None, how=None))
    return doubt(book, reason, at, terms)


def _unseen(book: Book, facts: Facts, answer: Answer, at: At, terms: Terms) -> Step:
    """A reversal of a payment that passed before we watched. One that is answered once more tells nothing new."""
    again = book.undone is not None and numbered(book.undone, facts)
    if answer.outcome is not Outcome.REVERSED or facts.amount is None or again:
        return book, ()
    payment = Payment(
        id=transaction_id(at.wall_ns, f"{terms.terminal}:{at.token}:reversal"),
        state=State.DELIVERED,
        kind=Kind.OTHER,
        message="reversal of an unseen transaction",
        facts=replace(_numbers(facts), extra=(("reversal_code", answer.facts.response_code or ""),)),
        started_wall_ns=at.wall_ns,
        deadline_mono_ns=at.mono_ns,
        outcome=Outcome.REVERSED,
        ended_wall_ns=at.wall_ns,
        how="reversal",
    )
    begun = replace(payment, state=State.OPEN, outcome=Outcome.UNKNOWN, ended_wall_ns=None, how=None)
    drafts = (
        draft(EventType.TRANSACTION_STARTED, begun, at, terms),
        draft(EventType.TRANSACTION_COMPLETED, payment, at, terms),
    )
    return replace(book, undone=_numbers(facts)), drafts
