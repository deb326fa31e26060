"""Answers: whose they are, and what they make of a payment. Part of the book (book.py); the same rules hold.

An answer is taken for the current payment when its numbers or its amount say so; else for an earlier one in doubt; else
it answers an inquiry, tells nothing new, or belongs to a request that passed before we watched.
"""

from __future__ import annotations

from dataclasses import replace

from agent.delivery import close
from agent.doubts import contradiction, doubt
from agent.events import Certainty, Draft, Reason
from agent.evidence import mark_of, numbered, same
from agent.payments import At, Book, Payment, State, Step, Terms, current_of, with_current
from agent.requests import begin
from agent.settling import belongs, held_back, late_answer, may_be_undone, shown
from drivers.observations import Answer, Direction, Kind, Outcome, Request


def answer_while_open(book: Book, answer: Answer, at: At, terms: Terms) -> Step:
    """The terminal spoke while we wait (OPEN), or after we had given up waiting (in doubt)."""
    payment = current_of(book)
    if book.inquiry is not None and not numbered(payment.facts, answer.facts):
        return _answer_to_inquiry(book, answer, at, terms)
    if not belongs(payment.facts, answer.facts):
        return _answer_of_another(book, answer, at, terms)
    if payment.in_doubt and payment.reversing:
        return book, ()  # it crossed with the reversal on the way: the host's answer to that is the truth
    payment = replace(payment, facts=payment.facts.merged(answer.facts), stated=answer.outcome or payment.stated)
    book = replace(book, current=payment)
    if not answer.final:
        return with_current(book, deadline_mono_ns=at.mono_ns + terms.answer_timeout_ns), ()
    if payment.stated is None or payment.stated is Outcome.UNKNOWN:
        return doubt(book, _why_unclear(payment), at, terms) if payment.state is State.OPEN else (book, ())
    return _answered(book, answer, payment.stated, at, terms)


def _answered(book: Book, answer: Answer, outcome: Outcome, at: At, terms: Terms) -> Step:
    """The current payment has its outcome; now its delivery counts."""
    payment = current_of(book)
    late = payment.in_doubt
    if late and outcome is Outcome.APPROVED and may_be_undone(payment, terms):
        return replace(book, current=held_back(payment, answer)), ()
    book = with_current(
        replace(book, last=mark_of(payment.facts, at.wall_ns) or book.last),
        state=State.ANSWERED,
        outcome=outcome,
        ended_wall_ns=at.wall_ns,
        deadline_mono_ns=at.mono_ns + terms.delivery_timeout_ns,
        late=late,
        how="late_answer" if late else None,
    )
    # Where nobody acknowledges, whether the answer was taken is not known, and not waited for.
    return (book, ()) if terms.acknowledged else close(book, Certainty.UNKNOWN, None, at, terms)


def _answer_of_another(book: Book, answer: Answer, at: At, terms: Terms) -> Step:
    """Its amount is not ours: it is an earlier payment's late answer, or nobody can say what it is."""
    if settled := late_answer(book, answer, at, terms):
        return settled
    if not answer.final or current_of(book).in_doubt:
        return book, ()
    return doubt(book, Reason.CODE_AMBIGUOUS, at, terms)


def answer_again(book: Book, answer: Answer, at: At, terms: Terms) -> Step:
    """An answer that we already know: the terminal retransmits until it is acknowledged."""
    payment = current_of(book)
    if belongs(payment.facts, answer.facts) and payment.facts.merged(answer.facts) == payment.facts:
        return with_current(book, deadline_mono_ns=at.mono_ns + terms.delivery_timeout_ns), ()
    return book, ()


def answer_when_closed(book: Book, answer: Answer, at: At, terms: Terms) -> Step:
    """An answer after the payment's end: the same again, an answer to an inquiry, or one that we saw no request of."""
    payment = book.current
    named = payment is not None and numbered(payment.facts, answer.facts)
    if book.inquiry is not None and not named:
        return _answer_to_inquiry(book, answer, at, terms)
    if _known_already(book, answer, at):
        return book, ()
    if settled := late_answer(book, answer, at, terms):
        return settled
    if answer.outcome is None or answer.facts.amount is None:
        return book, ()
    return _orphan(book, answer, at, terms)


def _known_already(book: Book, answer: Answer, at: At) -> bool:
    """Whether the answer is of the current payment or the last transaction shown, and tells nothing new of it."""
    payment = book.current
    if payment is not None:
        if payment.facts.merged(answer.facts) == payment.facts:
            return True
        # It comes once more, or has crossed with a reversal on the way.
        agrees = payment.how == "reversal" or answer.outcome in (payment.outcome, Outcome.UNKNOWN, None)
        if agrees and numbered(payment.facts, answer.facts):
            return True
    mark = mark_of(answer.facts, at.wall_ns)
    return mark is not None and book.last is not None and bool(same(mark, book.last))


def _answer_to_inquiry(book: Book, answer: Answer, at: At, terms: Terms) -> Step:
    """The cashier application asked for something that opens no transaction: a reprint shows the last one."""
    drafts: tuple[Draft, ...] = ()
    if book.state is State.OPEN and answer.final:
        # It has taken another command and ended it: it does not work on the payment any more.
        book, drafts = doubt(book, Reason.TERMINAL_RESTARTED, at, terms)
    if book.state is not State.OPEN and answer.facts.amount is not None:
        book, settled = shown(book, answer.facts, answer.outcome, "reprint", at, terms)
        drafts += settled
    return replace(book, inquiry=None) if answer.final else book, drafts


def _orphan(book: Book, answer: Answer, at: At, terms: Terms) -> Step:
    """An answer whose request passed before we watched: it happened, so it is recorded."""
    before = book.current
    request = Request(direction=Direction.CASHIER, kind=answer.kind or Kind.OTHER, message="unseen request")
    book, started = begin(book, request, at, terms)
    book, drafts = answer_while_open(book, answer, at, terms)
    return book, started + drafts + contradiction(before, book.current, at, terms)


def _why_unclear(payment: Payment) -> Reason:
    return Reason.HOST_TIMEOUT if payment.at_the_host else Reason.CODE_AMBIGUOUS
