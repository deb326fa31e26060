"""Requests: how a payment begins, and what becomes of the one before it. Part of the book (book.py)."""

from __future__ import annotations

from dataclasses import replace

from agent.delivery import undelivered
from agent.doubts import double_charge, doubt, forget
from agent.events import EventType, Reason
from agent.ids import transaction_id
from agent.payments import At, Book, Payment, State, Step, Terms, current_of, draft
from agent.reversals import gone_on, repeated_in
from agent.settling import begun
from drivers.observations import Request


def begin(book: Book, request: Request, at: At, terms: Terms) -> Step:
    """A request came: it opens a payment, unless it only asks something."""
    if request.kind is None:
        return replace(book, inquiry=request.message), ()
    if (repeated := repeated_in(book, request)) is not None:
        return repeated, ()
    payment = Payment(
        id=transaction_id(at.wall_ns, f"{terms.terminal}:{at.token}"),
        state=State.OPEN,
        kind=request.kind,
        message=request.message,
        facts=request.facts,
        started_wall_ns=at.wall_ns,
        deadline_mono_ns=at.mono_ns + terms.answer_timeout_ns,
        before=book.last,
        by=request.direction,
    )
    book, stands = gone_on(book, request, at, terms)
    book, forgotten = forget(begun(book, payment), at, terms)
    started = draft(EventType.TRANSACTION_STARTED, payment, at, terms)
    return book, (*stands, *forgotten, started, *double_charge(book, at, terms))


def begin_over_open(book: Book, request: Request, at: At, terms: Terms) -> Step:
    """A request while another is unanswered: a retransmission, or the cashier application has given up the first."""
    open_payment = current_of(book)
    if request.kind is None:
        return replace(book, inquiry=request.message), ()
    if open_payment.phase is None and _same_request(open_payment, request):
        return book, ()
    book, doubts = doubt(book, Reason.ANSWER_TIMEOUT, at, terms)
    book, started = begin(book, request, at, terms)
    return book, doubts + started


def begin_over_answered(book: Book, request: Request, at: At, terms: Terms) -> Step:
    """The cashier application goes on without having acknowledged the last answer."""
    if request.kind is None:
        return book, ()
    book, lost = undelivered(book, at, terms)
    book, started = begin(book, request, at, terms)
    return book, lost + started


def _same_request(payment: Payment, request: Request) -> bool:
    return (payment.message, payment.kind, payment.facts) == (request.message, request.kind, request.facts)
