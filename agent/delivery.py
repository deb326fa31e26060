"""Whether the side that asked took the answer, and the end of an answered payment. Part of the book (book.py).

ANSWERED ─acknowledged─→ DELIVERED (CONFIRMED when it had been in doubt)
    └─ not in time, port closed, another request ─→ UNDELIVERED ─taken after all─→ DELIVERED
"""

from __future__ import annotations

from dataclasses import replace

from agent.events import Certainty, EventType, Reason
from agent.payments import At, Book, State, Step, Terms, current_of, draft, with_current
from agent.settling import counted, reversal_before
from drivers.observations import Ack, Acked


def ack_of_answer(book: Book, ack: Ack, at: At, terms: Terms) -> Step:
    """The cashier application took the answer, or refused it."""
    if ack.direction is not current_of(book).by or ack.of not in (Acked.ANSWER, Acked.END):
        return book, ()
    if not ack.positive:
        return with_current(book, refusals=current_of(book).refusals + 1), ()
    return close(book, Certainty.YES, None, at, terms)


def ack_after_all(book: Book, ack: Ack, at: At, terms: Terms) -> Step:
    """A retransmitted answer was taken at last."""
    if ack.direction is not current_of(book).by or not ack.positive or ack.of not in (Acked.ANSWER, Acked.END):
        return book, ()
    taken = replace(current_of(book), state=State.DELIVERED, delivered=Certainty.YES, reason=None)
    return replace(book, current=taken), (draft(EventType.TRANSACTION_COMPLETED, taken, at, terms),)


def undelivered(book: Book, at: At, terms: Terms, reason: Reason | None = None) -> Step:
    """The outcome is known, and the cashier application does not have it."""
    refused = current_of(book).refusals > 0
    why = reason or (Reason.BAD_FRAME if refused else Reason.ANSWER_TIMEOUT)
    return close(book, Certainty.NO, why, at, terms)


def close(book: Book, delivered: Certainty, reason: Reason | None, at: At, terms: Terms) -> Step:
    """The end of an answered payment: the event of its outcome, and the one of its missing delivery."""
    payment = current_of(book)
    taken = State.CONFIRMED if payment.was_pending else State.DELIVERED
    state = State.UNDELIVERED if delivered is Certainty.NO else taken
    closed = replace(payment, state=state, delivered=delivered, reason=reason or payment.reason)
    told = EventType.TRANSACTION_CONFIRMED if payment.was_pending else EventType.TRANSACTION_COMPLETED
    drafts = [draft(told, closed, at, terms)]
    if delivered is Certainty.NO:
        drafts.append(draft(EventType.TRANSACTION_UNDELIVERED, closed, at, terms))
    book, reversed_before = reversal_before(
        replace(book, current=closed, tally=counted(book.tally, closed)), closed, at, terms
    )
    return book, (*drafts, *reversed_before)
