"""The book of one terminal: what became of each payment. The only place where an outcome is decided.

Two rules:
- everything that affects a payment's outcome is in this file; nothing in this file does I/O or reads a clock;
- the book says "unknown" whenever the line does not prove more. It never guesses, and never forgets a doubt.

Theory of operation. `advance(book, what, at, terms)` takes one thing seen on the line (an observation), or one
that happened to it (link, port, bytes missed, time), and returns the next book and the events that follow.

    IDLE ─Request→ OPEN ─Answer→ ANSWERED ─Ack of the cashier application→ DELIVERED
                     │               └─ no ack in time, port closed ─────→ UNDELIVERED ─late Ack→ DELIVERED
                     └─ link lost, time-out, port closed, restart, missed bytes, unclear code → PENDING
                                        PENDING ─late Answer→ ANSWERED → CONFIRMED

A payment stays `current` until the next request, so that late answers and acknowledgements still find it; a
PENDING one then moves to `pending`, where an answer of its amount can still settle it. An answer whose amount is
another payment's is never taken for this one. The completed event waits for the acknowledgement (or its absence),
because `delivered` belongs to it; the outcome itself is durable with the book's state before that.

The file is longer than others here because the machine is kept whole: a reader has all of it before the eyes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from agent.events import Certainty, Draft, EventType, Reason, ReceiptData, SettlementData, TerminalData
from agent.ids import transaction_id
from agent.payments import (
    At,
    Book,
    Link,
    LinkDown,
    LinkUp,
    Missed,
    Payment,
    PortClosed,
    PortRefused,
    State,
    Tally,
    Terms,
    Tick,
    draft,
)
from drivers.observations import (
    Ack,
    Acked,
    Answer,
    Checksum,
    Direction,
    Facts,
    Kind,
    Noise,
    Observation,
    Outcome,
    Phase,
    Progress,
    Receipt,
    Request,
    Settlement,
)

Step = tuple[Book, tuple[Draft, ...]]

#: so many broken frames in a row make a line "degraded"
BAD_FRAMES_DEGRADE = 3
#: payments in doubt kept a terminal; older ones stay in the journal
PENDING_KEPT = 200
_WAIT_CODE = "9C"  # ZVT: the terminal is busy and asks to be patient; it has refused nothing


def advance(book: Book, what: Any, at: At, terms: Terms) -> Step:
    """The next book, and the events that follow from what was seen or has happened."""
    book, before = _line_quality(book, what, at, terms)
    handler = TABLE.get((book.state, type(what))) or ANY_STATE.get(type(what))
    if handler is None:
        return book, before
    book, drafts = handler(book, what, at, terms)
    return book, before + drafts


# --- requests ---------------------------------------------------------------------------------------------------


def _begin(book: Book, request: Request, at: At, terms: Terms) -> Step:
    """A request came: it opens a payment, unless it only asks something."""
    if request.kind is None:
        return replace(book, inquiry=request.message), ()
    payment = Payment(
        id=transaction_id(at.wall_ns, f"{terms.terminal}:{at.token}"),
        state=State.OPEN,
        kind=request.kind,
        message=request.message,
        facts=request.facts,
        started_wall_ns=at.wall_ns,
        deadline_mono_ns=at.mono_ns + terms.answer_timeout_ns,
    )
    kept = book.pending
    if book.current is not None and book.current.state is State.PENDING:
        kept = (*kept, book.current)[-PENDING_KEPT:]
    begun = replace(book, current=payment, pending=kept, inquiry=None)
    return begun, (draft(EventType.TRANSACTION_STARTED, payment, at, terms),)


def _begin_over_open(book: Book, request: Request, at: At, terms: Terms) -> Step:
    """A request while another is unanswered: a retransmission, or the cashier application has given up the first."""
    open_payment = _current(book)
    if request.kind is None:
        return book, ()
    if open_payment.phase is None and _same_request(open_payment, request):
        return book, ()
    book, doubts = _doubt(book, Reason.ANSWER_TIMEOUT, at, terms)
    book, begun = _begin(book, request, at, terms)
    return book, doubts + begun


def _begin_over_answered(book: Book, request: Request, at: At, terms: Terms) -> Step:
    """The cashier application goes on without having acknowledged the last answer."""
    if request.kind is None:
        return book, ()
    book, undelivered = _undelivered(book, at, terms)
    book, begun = _begin(book, request, at, terms)
    return book, undelivered + begun


def _same_request(payment: Payment, request: Request) -> bool:
    return (payment.message, payment.kind, payment.facts) == (request.message, request.kind, request.facts)


# --- signs of life ----------------------------------------------------------------------------------------------


def _progress(book: Book, step: Progress, at: At, terms: Terms) -> Step:
    """The terminal works on it: its patience starts anew."""
    if step.direction is not Direction.TERMINAL:
        return book, ()
    if step.phase is Phase.TERMINAL_RESTARTED:
        return _doubt(book, Reason.TERMINAL_RESTARTED, at, terms)
    if step.phase is Phase.GAVE_UP:
        payment = _current(book)
        return _doubt(book, Reason.BAD_FRAME if payment.bad_frames else Reason.ANSWER_TIMEOUT, at, terms)
    phase = step.phase or _current(book).phase
    return _with_current(book, phase=phase, deadline_mono_ns=at.mono_ns + terms.answer_timeout_ns), ()


def _ack_while_open(book: Book, ack: Ack, at: At, terms: Terms) -> Step:
    if ack.direction is not Direction.TERMINAL or ack.of is not Acked.REQUEST:
        return book, ()
    payment = _current(book)
    if ack.positive:
        return _with_current(book, phase=payment.phase or Phase.ACCEPTED), ()
    if ack.facts.response_code in (None, _WAIT_CODE):
        return _with_current(book, bad_frames=payment.bad_frames + (ack.facts.response_code is None)), ()
    # The terminal itself refused the command, by a code: nothing was executed. It waits for no acknowledgement.
    refused = replace(
        payment,
        state=State.DELIVERED,
        outcome=Outcome.NOT_EXECUTED,
        facts=payment.facts.merged(ack.facts),
        ended_wall_ns=at.wall_ns,
    )
    return replace(book, current=refused), (draft(EventType.TRANSACTION_COMPLETED, refused, at, terms),)


# --- answers ----------------------------------------------------------------------------------------------------


def _answer_while_open(book: Book, answer: Answer, at: At, terms: Terms) -> Step:
    """The terminal spoke while we wait (OPEN), or after we had given up waiting (PENDING)."""
    payment = _current(book)
    if not _belongs(payment, answer.facts):
        if settled := _settle_earlier(book, answer, at, terms):
            return settled
        if not answer.final or payment.state is State.PENDING:
            return book, ()
        return _doubt(book, Reason.CODE_AMBIGUOUS, at, terms)
    payment = replace(payment, facts=payment.facts.merged(answer.facts), stated=answer.outcome or payment.stated)
    book = replace(book, current=payment)
    if not answer.final:
        return _with_current(book, deadline_mono_ns=at.mono_ns + terms.answer_timeout_ns), ()
    outcome = payment.stated
    if outcome is None or outcome is Outcome.UNKNOWN:
        return _doubt(book, _why_unclear(payment), at, terms) if payment.state is State.OPEN else (book, ())
    late = payment.state is State.PENDING
    return _with_current(
        book,
        state=State.ANSWERED,
        outcome=outcome,
        ended_wall_ns=at.wall_ns,
        deadline_mono_ns=at.mono_ns + terms.delivery_timeout_ns,
        late=late,
        how="late_answer" if late else None,
    ), ()


def _answer_again(book: Book, answer: Answer, at: At, terms: Terms) -> Step:
    """An answer that we already know: the terminal retransmits until it is acknowledged."""
    payment = _current(book)
    if _belongs(payment, answer.facts) and payment.facts.merged(answer.facts) == payment.facts:
        return _with_current(book, deadline_mono_ns=at.mono_ns + terms.delivery_timeout_ns), ()
    return book, ()


def _answer_when_closed(book: Book, answer: Answer, at: At, terms: Terms) -> Step:
    """An answer after the payment's end: the same again, an answer to an inquiry, or one that we saw no request of."""
    if book.inquiry is not None:
        return replace(book, inquiry=None) if answer.final else book, ()
    payment = book.current
    if payment is not None and payment.facts.merged(answer.facts) == payment.facts:
        return book, ()
    if settled := _settle_earlier(book, answer, at, terms):
        return settled
    if answer.outcome is None or answer.facts.amount is None:
        return book, ()
    return _orphan(book, answer, at, terms)


def _orphan(book: Book, answer: Answer, at: At, terms: Terms) -> Step:
    """An answer whose request passed before we watched: it happened, so it is recorded."""
    request = Request(direction=Direction.CASHIER, kind=Kind.OTHER, message="unseen request")
    book, started = _begin(book, request, at, terms)
    book, drafts = _answer_while_open(book, answer, at, terms)
    return book, started + drafts


def _settle_earlier(book: Book, answer: Answer, at: At, terms: Terms) -> Step | None:
    """The answer's amount is that of an earlier payment in doubt: it settles that one."""
    if not answer.final or answer.outcome in (None, Outcome.UNKNOWN) or answer.facts.amount is None:
        return None
    found = [payment for payment in book.pending if payment.facts.amount == answer.facts.amount]
    if not found or answer.outcome is None:
        return None
    settled = replace(
        found[-1],
        state=State.CONFIRMED,
        facts=found[-1].facts.merged(answer.facts),
        outcome=answer.outcome,
        ended_wall_ns=at.wall_ns,
        late=True,
        how="late_answer",
    )
    remaining = tuple(payment for payment in book.pending if payment.id != settled.id)
    book = replace(book, pending=remaining, tally=_counted(book.tally, settled))
    return book, (draft(EventType.TRANSACTION_CONFIRMED, settled, at, terms),)


def _belongs(payment: Payment, facts: Facts) -> bool:
    return None in (payment.facts.amount, facts.amount) or payment.facts.amount == facts.amount


def _why_unclear(payment: Payment) -> Reason:
    waited = payment.phase in (Phase.WAITING_FOR_HOST, Phase.REVERSING)
    return Reason.HOST_TIMEOUT if waited else Reason.CODE_AMBIGUOUS


# --- delivery ---------------------------------------------------------------------------------------------------


def _ack_of_answer(book: Book, ack: Ack, at: At, terms: Terms) -> Step:
    """The cashier application took the answer, or refused it."""
    if ack.direction is not Direction.CASHIER or ack.of not in (Acked.ANSWER, Acked.END):
        return book, ()
    if not ack.positive:
        return _with_current(book, refusals=_current(book).refusals + 1), ()
    return _close(book, Certainty.YES, None, at, terms)


def _ack_after_all(book: Book, ack: Ack, at: At, terms: Terms) -> Step:
    """A retransmitted answer was taken at last."""
    if ack.direction is not Direction.CASHIER or not ack.positive or ack.of not in (Acked.ANSWER, Acked.END):
        return book, ()
    taken = replace(_current(book), state=State.DELIVERED, delivered=Certainty.YES, reason=None)
    return replace(book, current=taken), (draft(EventType.TRANSACTION_COMPLETED, taken, at, terms),)


def _undelivered(book: Book, at: At, terms: Terms, reason: Reason | None = None) -> Step:
    """The outcome is known, and the cashier application does not have it."""
    refused = _current(book).refusals > 0
    why = reason or (Reason.BAD_FRAME if refused else Reason.ANSWER_TIMEOUT)
    return _close(book, Certainty.NO, why, at, terms)


def _close(book: Book, delivered: Certainty, reason: Reason | None, at: At, terms: Terms) -> Step:
    """The end of an answered payment: the event of its outcome, and the one of its missing delivery."""
    payment = _current(book)
    taken = State.CONFIRMED if payment.was_pending else State.DELIVERED
    state = State.UNDELIVERED if delivered is Certainty.NO else taken
    closed = replace(payment, state=state, delivered=delivered, reason=reason or payment.reason)
    told = EventType.TRANSACTION_CONFIRMED if payment.was_pending else EventType.TRANSACTION_COMPLETED
    drafts = [draft(told, closed, at, terms)]
    if delivered is Certainty.NO:
        drafts.append(draft(EventType.TRANSACTION_UNDELIVERED, closed, at, terms))
    return replace(book, current=closed, tally=_counted(book.tally, closed)), tuple(drafts)


def _counted(tally: Tally, payment: Payment) -> Tally:
    if payment.charged is not Certainty.YES or payment.kind in (Kind.PREAUTHORISATION, Kind.OTHER):
        return tally
    sign = -1 if payment.kind in (Kind.REFUND, Kind.VOID) else 1
    return Tally(tally.count + 1, tally.amount + sign * (payment.facts.amount or 0))


# --- doubts -----------------------------------------------------------------------------------------------------


def _doubt(book: Book, reason: Reason, at: At, terms: Terms) -> Step:
    """Nobody can say what became of the payment: it is pending, and says why."""
    payment = replace(_current(book), state=State.PENDING, outcome=Outcome.UNKNOWN, reason=reason)
    return replace(book, current=payment), (draft(EventType.TRANSACTION_PENDING, payment, at, terms),)


def _port_closed_while_open(book: Book, what: PortClosed, at: At, terms: Terms) -> Step:
    return _doubt(book, Reason.CASHIER_CLOSED, at, terms)


def _port_closed_before_ack(book: Book, what: PortClosed, at: At, terms: Terms) -> Step:
    return _undelivered(book, at, terms, Reason.CASHIER_CLOSED)


def _missed_while_open(book: Book, what: Missed, at: At, terms: Terms) -> Step:
    return _doubt(book, Reason.AGENT_RESTARTED, at, terms)


def _missed_before_ack(book: Book, what: Missed, at: At, terms: Terms) -> Step:
    return _close(book, Certainty.UNKNOWN, Reason.AGENT_RESTARTED, at, terms)


def _tick_while_open(book: Book, what: Tick, at: At, terms: Terms) -> Step:
    payment = _current(book)
    if at.mono_ns < payment.deadline_mono_ns:
        return book, ()
    if payment.bad_frames:
        return _doubt(book, Reason.BAD_FRAME, at, terms)
    waited = payment.phase in (Phase.WAITING_FOR_HOST, Phase.REVERSING)
    return _doubt(book, Reason.HOST_TIMEOUT if waited else Reason.ANSWER_TIMEOUT, at, terms)


def _tick_before_ack(book: Book, what: Tick, at: At, terms: Terms) -> Step:
    return _undelivered(book, at, terms) if at.mono_ns >= _current(book).deadline_mono_ns else (book, ())


def _noise_while_open(book: Book, noise: Noise, at: At, terms: Terms) -> Step:
    if noise.direction is not Direction.TERMINAL or noise.checksum is not Checksum.BAD:
        return book, ()
    return _with_current(book, bad_frames=_current(book).bad_frames + 1), ()


# --- the line itself --------------------------------------------------------------------------------------------


def _line_quality(book: Book, what: Any, at: At, terms: Terms) -> Step:
    """Follows how clean the line is, and when it was last heard."""
    if not isinstance(what, Observation):
        return book, ()
    if what.checksum is Checksum.BAD:
        book = replace(book, bad_run=book.bad_run + 1)
        if book.bad_run == BAD_FRAMES_DEGRADE and book.link is Link.UP:
            return _degraded(book, "bad_frames", f"{book.bad_run} broken frames in a row", at, terms)
        return book, ()
    if isinstance(what, Noise):
        return book, ()
    heard = what.direction is Direction.TERMINAL
    book = replace(book, bad_run=0, last_frame_wall_ns=at.wall_ns if heard else book.last_frame_wall_ns)
    if book.link is Link.DEGRADED and heard:
        return _link_up(book, LinkUp(), at, terms)
    return book, ()


def _link_up(book: Book, what: LinkUp, at: At, terms: Terms) -> Step:
    if book.link is Link.UP:
        return book, ()
    book = replace(book, link=Link.UP, link_reason=None, bad_run=0)
    return book, (_about_line(EventType.TERMINAL_CONNECTED, Link.UP, None, None, at, terms),)


def _link_down(book: Book, what: LinkDown, at: At, terms: Terms) -> Step:
    """The device went away, or still can't be opened for a reason we have not told yet."""
    if book.link is Link.DOWN and book.link_reason == what.reason:
        return book, ()
    kind = EventType.TERMINAL_FAULT if book.link is Link.DOWN else EventType.TERMINAL_DISCONNECTED
    book = replace(book, link=Link.DOWN, link_reason=what.reason)
    drafts: tuple[Draft, ...] = (_about_line(kind, Link.DOWN, what.reason, what.detail, at, terms),)
    if book.state is State.OPEN:
        book, doubts = _doubt(book, Reason.LINK_LOST, at, terms)
        drafts += doubts
    return book, drafts


def _port_refused(book: Book, what: PortRefused, at: At, terms: Terms) -> Step:
    return _degraded(book, "settings_refused", what.detail, at, terms)


def _degraded(book: Book, reason: str, detail: str, at: At, terms: Terms) -> Step:
    link = Link.DEGRADED if book.link is Link.UP else book.link
    book = replace(book, link=link, link_reason=reason)
    return book, (_about_line(EventType.TERMINAL_DEGRADED, link, reason, detail, at, terms),)


def _about_line(kind: EventType, link: Link, reason: str | None, detail: str | None, at: At, terms: Terms) -> Draft:
    data = TerminalData(
        terminal=terms.terminal,
        protocol=terms.protocol,
        device=terms.device,
        link=str(link),
        reason=reason,
        detail=detail,
    )
    return Draft(kind, data, at.wall_ns)


# --- receipts and settlements -------------------------------------------------------------------------------------


def _receipt(book: Book, receipt: Receipt, at: At, terms: Terms) -> Step:
    """Receipt text, of the current payment unless the cashier application asked for something else."""
    owner = book.current.id if book.current is not None and book.inquiry is None else None
    data = ReceiptData(
        transaction=owner,
        terminal=terms.terminal,
        receipt_kind=receipt.receipt_kind,
        complete=receipt.complete,
        text=receipt.text,
    )
    return book, (Draft(EventType.RECEIPT_CAPTURED, data, at.wall_ns),)


def _settlement(book: Book, settlement: Settlement, at: At, terms: Terms) -> Step:
    stated = [total.amount for total in settlement.totals if total.amount is not None]
    settling = book.current is not None and book.current.kind is Kind.SETTLEMENT
    data = SettlementData(
        transaction=book.current.id if settling and book.current else None,
        terminal=terms.terminal,
        totals=settlement.totals,
        journal_count=book.tally.count,
        journal_amount=book.tally.amount,
        matches=sum(stated) == book.tally.amount if stated else None,
    )
    return replace(book, tally=Tally()), (Draft(EventType.SETTLEMENT_COMPLETED, data, at.wall_ns),)


# --- the table --------------------------------------------------------------------------------------------------


def _current(book: Book) -> Payment:
    if book.current is None:
        raise AssertionError("a handler of a payment's state ran without a payment")
    return book.current


def _with_current(book: Book, **changes: Any) -> Book:
    return replace(book, current=replace(_current(book), **changes))


Handler = Callable[[Book, Any, At, Terms], Step]

#: (state of the current payment, what happened) → what follows. A pair that is in neither table changes nothing.
TABLE: dict[tuple[State, type], Handler] = {
    (State.IDLE, Request): _begin,
    (State.IDLE, Answer): _answer_when_closed,
    (State.OPEN, Request): _begin_over_open,
    (State.OPEN, Progress): _progress,
    (State.OPEN, Ack): _ack_while_open,
    (State.OPEN, Answer): _answer_while_open,
    (State.OPEN, Noise): _noise_while_open,
    (State.OPEN, PortClosed): _port_closed_while_open,
    (State.OPEN, Missed): _missed_while_open,
    (State.OPEN, Tick): _tick_while_open,
    (State.ANSWERED, Request): _begin_over_answered,
    (State.ANSWERED, Ack): _ack_of_answer,
    (State.ANSWERED, Answer): _answer_again,
    (State.ANSWERED, PortClosed): _port_closed_before_ack,
    (State.ANSWERED, Missed): _missed_before_ack,
    (State.ANSWERED, Tick): _tick_before_ack,
    (State.DELIVERED, Request): _begin,
    (State.DELIVERED, Answer): _answer_when_closed,
    (State.UNDELIVERED, Request): _begin,
    (State.UNDELIVERED, Answer): _answer_when_closed,
    (State.UNDELIVERED, Ack): _ack_after_all,
    (State.PENDING, Request): _begin,
    (State.PENDING, Answer): _answer_while_open,
    (State.CONFIRMED, Request): _begin,
    (State.CONFIRMED, Answer): _answer_when_closed,
    (State.ESCALATED, Request): _begin,
    (State.ESCALATED, Answer): _answer_while_open,
}

#: the same whatever the payment's state
ANY_STATE: dict[type, Handler] = {
    LinkUp: _link_up,
    LinkDown: _link_down,
    PortRefused: _port_refused,
    Receipt: _receipt,
    Settlement: _settlement,
}
