"""The book of one terminal: what became of each payment. The only place where an outcome is decided.

Two rules:
- everything that affects a payment's outcome is here and in the parts that this file hands on to: requests.py (how a
  payment begins), answers.py (what came back), delivery.py (whether that was taken), doubts.py (payments whose outcome
  is unknown), settling.py (what proves it), reversals.py (terminals that undo a payment), prints.py (what slips say)
  and line_state.py (the line, receipts, settlements). None does I/O or reads a clock;
- the book says "unknown" whenever the line does not prove more. It never guesses, and never forgets a doubt.

Theory of operation. `advance(book, what, at, terms)` takes one thing seen on the line (an observation), or one
that happened to it (link, port, bytes missed, time), and returns the next book and the events that follow.

    IDLE ─Request→ OPEN ─Answer→ ANSWERED ─Ack of the cashier application→ DELIVERED
                     │               └─ no ack in time, port closed ─────→ UNDELIVERED ─late Ack→ DELIVERED
                     └─ link lost, time-out, port closed, restart, missed bytes, unclear code → PENDING
                                        PENDING ─late Answer→ ANSWERED → CONFIRMED
                                        PENDING ─evidence→ CONFIRMED, ─time→ ESCALATED (doubts.py)

A payment stays `current` until the next request, so that late answers and acknowledgements still find it; one in
doubt then moves to `pending`, where evidence can still settle it. An answer whose amount is another payment's is
never taken for this one. The completed event waits for the acknowledgement (or its absence), because `delivered`
belongs to it; the outcome itself is durable with the book's state before that. Where nobody acknowledges
(`Terms.acknowledged`), ANSWERED is passed at once. Who asks is kept with the payment (`by`): the other side answers.

The table at the end is the whole of it; what happens while a payment is open, and what time does to it, stands above.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from agent.answers import answer_again, answer_when_closed, answer_while_open
from agent.delivery import ack_after_all, ack_of_answer, close, undelivered
from agent.doubts import booted, call_people, doubt, replied, scheduled
from agent.events import Certainty, EventType, Reason
from agent.line_state import line_quality, link_down, link_up, port_refused, receipt, settlement
from agent.payments import (
    At,
    Book,
    Booted,
    LinkDown,
    LinkUp,
    Missed,
    PortClosed,
    PortRefused,
    Replied,
    Scheduled,
    State,
    Step,
    Terms,
    Tick,
    Waited,
    current_of,
    draft,
    with_current,
)
from agent.requests import begin, begin_over_answered, begin_over_open
from agent.reversals import reversal_answered, reversal_asked
from agent.settling import with_payment
from drivers.observations import (
    Ack,
    Acked,
    Answer,
    Checksum,
    Noise,
    Outcome,
    Phase,
    Progress,
    Receipt,
    Request,
    Settlement,
)

_WAIT_CODE = "9C"  # ZVT: the terminal is busy and asks to be patient; it has refused nothing


def advance(book: Book, what: Any, at: At, terms: Terms) -> Step:
    """The next book, and the events that follow from what was seen or has happened."""
    book, before = line_quality(book, what, at, terms)
    handler = _of_a_reversal(what) or TABLE.get((book.state, type(what))) or ANY_STATE.get(type(what))
    if handler is not None:
        book, drafts = handler(book, what, at, terms)
        before += drafts
    if isinstance(what, Tick | Waited):
        book, called = call_people(book, at, terms)
        before += called
    return book, before


def _of_a_reversal(what: Any) -> Handler | None:
    """Reversals are about a payment by its numbers, not about the current one."""
    if isinstance(what, Request) and what.reverses is not None:
        return reversal_asked
    if isinstance(what, Answer) and what.reverses:
        return reversal_answered
    return None


# --- while a payment is open ------------------------------------------------------------------------------------


def _progress(book: Book, step: Progress, at: At, terms: Terms) -> Step:
    """The terminal works on it: its patience starts anew."""
    polled = terms.reverses and step.phase is None  # what carries messages to a host asks whether there are any
    if step.direction is not current_of(book).by.opposite or polled:
        return book, ()
    if step.phase is Phase.TERMINAL_RESTARTED:
        return doubt(book, Reason.TERMINAL_RESTARTED, at, terms)
    payment = current_of(book)
    if step.phase is Phase.GAVE_UP:
        return doubt(book, Reason.BAD_FRAME if payment.bad_frames else Reason.ANSWER_TIMEOUT, at, terms)
    early = step.phase is Phase.REVERSING and not payment.at_the_host  # not of this payment: it has not been there
    return with_current(
        book,
        phase=payment.phase if early else step.phase or payment.phase,
        earlier_reversal=payment.earlier_reversal or early,
        deadline_mono_ns=at.mono_ns + terms.answer_timeout_ns,
    ), ()


def _ack_while_open(book: Book, ack: Ack, at: At, terms: Terms) -> Step:
    payment = current_of(book)
    if ack.direction is not payment.by.opposite or ack.of is not Acked.REQUEST:
        return book, ()
    if ack.positive:
        return with_current(book, phase=payment.phase or Phase.ACCEPTED), ()
    if ack.facts.response_code in (None, _WAIT_CODE):
        return with_current(book, bad_frames=payment.bad_frames + (ack.facts.response_code is None)), ()
    # The terminal itself refused the command, by a code: nothing was executed. It waits for no acknowledgement.
    refused = replace(
        payment,
        state=State.DELIVERED,
        outcome=Outcome.NOT_EXECUTED,
        facts=payment.facts.merged(ack.facts),
        ended_wall_ns=at.wall_ns,
    )
    return replace(book, current=refused), (draft(EventType.TRANSACTION_COMPLETED, refused, at, terms),)


# --- what breaks in, and time ---------------------------------------------------------------------------------------


def _port_closed_while_open(book: Book, what: PortClosed, at: At, terms: Terms) -> Step:
    return doubt(book, Reason.CASHIER_CLOSED, at, terms)


def _port_closed_before_ack(book: Book, what: PortClosed, at: At, terms: Terms) -> Step:
    return undelivered(book, at, terms, Reason.CASHIER_CLOSED)


def _missed(book: Book, what: Missed, at: At, terms: Terms) -> Step:
    """What passed meanwhile is not in the tally, and may be newer than the last transaction that we know."""
    tally, last = replace(book.tally, whole=False), book.last and replace(book.last, gapless=False)
    for payment in (*book.pending, *([book.current] if book.current else [])):
        if payment.before is not None:
            book = with_payment(book, replace(payment, before=replace(payment.before, gapless=False)))
    return replace(book, tally=tally, last=last, inquiry=None), ()


def _missed_while_open(book: Book, what: Missed, at: At, terms: Terms) -> Step:
    book, _ = _missed(book, what, at, terms)
    return doubt(book, Reason.AGENT_RESTARTED, at, terms)


def _missed_before_ack(book: Book, what: Missed, at: At, terms: Terms) -> Step:
    book, _ = _missed(book, what, at, terms)
    return close(book, Certainty.UNKNOWN, Reason.AGENT_RESTARTED, at, terms)


def _tick_while_open(book: Book, what: Tick, at: At, terms: Terms) -> Step:
    payment = current_of(book)
    if at.mono_ns < payment.deadline_mono_ns:
        return book, ()
    if payment.bad_frames:
        return doubt(book, Reason.BAD_FRAME, at, terms)
    return doubt(book, Reason.HOST_TIMEOUT if payment.at_the_host else Reason.ANSWER_TIMEOUT, at, terms)


def _tick_before_ack(book: Book, what: Tick, at: At, terms: Terms) -> Step:
    return undelivered(book, at, terms) if at.mono_ns >= current_of(book).deadline_mono_ns else (book, ())


def _noise_while_open(book: Book, noise: Noise, at: At, terms: Terms) -> Step:
    if noise.direction is not current_of(book).by.opposite or noise.checksum is not Checksum.BAD:
        return book, ()
    return with_current(book, bad_frames=current_of(book).bad_frames + 1), ()


# --- the table --------------------------------------------------------------------------------------------------


Handler = Callable[[Book, Any, At, Terms], Step]

#: (state of the current payment, what happened) → what follows. A pair that is in neither table changes nothing.
TABLE: dict[tuple[State, type], Handler] = {
    (State.IDLE, Request): begin,
    (State.IDLE, Answer): answer_when_closed,
    (State.OPEN, Request): begin_over_open,
    (State.OPEN, Progress): _progress,
    (State.OPEN, Ack): _ack_while_open,
    (State.OPEN, Answer): answer_while_open,
    (State.OPEN, Noise): _noise_while_open,
    (State.OPEN, PortClosed): _port_closed_while_open,
    (State.OPEN, Missed): _missed_while_open,
    (State.OPEN, Tick): _tick_while_open,
    (State.ANSWERED, Request): begin_over_answered,
    (State.ANSWERED, Ack): ack_of_answer,
    (State.ANSWERED, Answer): answer_again,
    (State.ANSWERED, PortClosed): _port_closed_before_ack,
    (State.ANSWERED, Missed): _missed_before_ack,
    (State.ANSWERED, Tick): _tick_before_ack,
    (State.DELIVERED, Request): begin,
    (State.DELIVERED, Answer): answer_when_closed,
    (State.UNDELIVERED, Request): begin,
    (State.UNDELIVERED, Answer): answer_when_closed,
    (State.UNDELIVERED, Ack): ack_after_all,
    (State.PENDING, Request): begin,
    (State.PENDING, Answer): answer_while_open,
    (State.CONFIRMED, Request): begin,
    (State.CONFIRMED, Answer): answer_when_closed,
    (State.ESCALATED, Request): begin,
    (State.ESCALATED, Answer): answer_while_open,
}

#: the same whatever the payment's state
ANY_STATE: dict[type, Handler] = {
    LinkUp: link_up,
    LinkDown: link_down,
    PortRefused: port_refused,
    Missed: _missed,
    Receipt: receipt,
    Settlement: settlement,
    Replied: replied,
    Scheduled: scheduled,
    Booted: booted,
}
