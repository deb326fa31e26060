"""The book of one terminal: what became of each payment. The only place where an outcome is decided.

Two rules:
- everything that affects a payment's outcome is here and in the parts that this file hands on to: doubts.py
  (payments whose outcome is unknown), settling.py (what proves it), reversals.py (terminals that undo a payment),
  prints.py (what slips say) and line_state.py (the line, receipts, settlements). None does I/O or reads a clock;
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

Longer than other files because the table and its handlers are one thing, and are read together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from agent.doubts import booted, call_people, contradiction, double_charge, doubt, forget, replied, scheduled
from agent.events import Certainty, Draft, EventType, Reason
from agent.evidence import mark_of, numbered, same
from agent.ids import transaction_id
from agent.line_state import line_quality, link_down, link_up, port_refused, receipt, settlement
from agent.payments import (
    At,
    Book,
    Booted,
    LinkDown,
    LinkUp,
    Missed,
    Payment,
    PortClosed,
    PortRefused,
    Replied,
    Scheduled,
    State,
    Step,
    Terms,
    Tick,
    Waited,
    draft,
)
from agent.reversals import gone_on, repeated_in, reversal_answered, reversal_asked
from agent.settling import (
    begun,
    belongs,
    counted,
    held_back,
    late_answer,
    may_be_undone,
    reversal_before,
    shown,
    with_payment,
)
from drivers.observations import (
    Ack,
    Acked,
    Answer,
    Checksum,
    Direction,
    Kind,
    Noise,
    Outcome,
    Phase,
    Progress,
    Receipt,
    Request,
    Settlement,
)

_WAIT_CODE = "9C"  # ZVT: the terminal is busy and asks to be patient; it has refused nothing
_AT_THE_HOST = (Phase.WAITING_FOR_HOST, Phase.REVERSING)


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


# --- requests ---------------------------------------------------------------------------------------------------


def _begin(book: Book, request: Request, at: At, terms: Terms) -> Step:
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


def _begin_over_open(book: Book, request: Request, at: At, terms: Terms) -> Step:
    """A request while another is unanswered: a retransmission, or the cashier application has given up the first."""
    open_payment = _current(book)
    if request.kind is None:
        return replace(book, inquiry=request.message), ()
    if open_payment.phase is None and _same_request(open_payment, request):
        return book, ()
    book, doubts = doubt(book, Reason.ANSWER_TIMEOUT, at, terms)
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
    polled = terms.reverses and step.phase is None  # what carries messages to a host asks whether there are any
    if step.direction is not _current(book).by.opposite or polled:
        return book, ()
    if step.phase is Phase.TERMINAL_RESTARTED:
        return doubt(book, Reason.TERMINAL_RESTARTED, at, terms)
    if step.phase is Phase.GAVE_UP:
        payment = _current(book)
        return doubt(book, Reason.BAD_FRAME if payment.bad_frames else Reason.ANSWER_TIMEOUT, at, terms)
    before = _current(book).phase
    early = step.phase is Phase.REVERSING and before not in _AT_THE_HOST  # not of this payment: it has not been there
    return _with_current(
        book,
        phase=before if early else step.phase or before,
        earlier_reversal=_current(book).earlier_reversal or early,
        deadline_mono_ns=at.mono_ns + terms.answer_timeout_ns,
    ), ()


def _ack_while_open(book: Book, ack: Ack, at: At, terms: Terms) -> Step:
    payment = _current(book)
    if ack.direction is not payment.by.opposite or ack.of is not Acked.REQUEST:
        return book, ()
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
    """The terminal spoke while we wait (OPEN), or after we had given up waiting (in doubt)."""
    payment = _current(book)
    if book.inquiry is not None and not numbered(payment.facts, answer.facts):
        return _answer_to_inquiry(book, answer, at, terms)
    if not belongs(payment.facts, answer.facts):
        return _answer_of_another(book, answer, at, terms)
    if payment.in_doubt and payment.reversing:
        return book, ()  # it crossed with the reversal on the way: the host's answer to that is the truth
    payment = replace(payment, facts=payment.facts.merged(answer.facts), stated=answer.outcome or payment.stated)
    book = replace(book, current=payment)
    if not answer.final:
        return _with_current(book, deadline_mono_ns=at.mono_ns + terms.answer_timeout_ns), ()
    if payment.stated is None or payment.stated is Outcome.UNKNOWN:
        return doubt(book, _why_unclear(payment), at, terms) if payment.state is State.OPEN else (book, ())
    return _answered(book, answer, payment.stated, at, terms)


def _answered(book: Book, answer: Answer, outcome: Outcome, at: At, terms: Terms) -> Step:
    """The current payment has its outcome; now its delivery counts."""
    payment = _current(book)
    late = payment.in_doubt
    if late and outcome is Outcome.APPROVED and may_be_undone(payment, terms):
        return replace(book, current=held_back(payment, answer)), ()
    book = _with_current(
        replace(book, last=mark_of(payment.facts, at.wall_ns) or book.last),
        state=State.ANSWERED,
        outcome=outcome,
        ended_wall_ns=at.wall_ns,
        deadline_mono_ns=at.mono_ns + terms.delivery_timeout_ns,
        late=late,
        how="late_answer" if late else None,
    )
    # Where nobody acknowledges, whether the answer was taken is not known, and not waited for.
    return (book, ()) if terms.acknowledged else _close(book, Certainty.UNKNOWN, None, at, terms)


def _answer_of_another(book: Book, answer: Answer, at: At, terms: Terms) -> Step:
    """Its amount is not ours: it is an earlier payment's late answer, or nobody can say what it is."""
    if settled := late_answer(book, answer, at, terms):
        return settled
    if not answer.final or _current(book).in_doubt:
        return book, ()
    return doubt(book, Reason.CODE_AMBIGUOUS, at, terms)


def _answer_again(book: Book, answer: Answer, at: At, terms: Terms) -> Step:
    """An answer that we already know: the terminal retransmits until it is acknowledged."""
    payment = _current(book)
    if belongs(payment.facts, answer.facts) and payment.facts.merged(answer.facts) == payment.facts:
        return _with_current(book, deadline_mono_ns=at.mono_ns + terms.delivery_timeout_ns), ()
    return book, ()


def _answer_when_closed(book: Book, answer: Answer, at: At, terms: Terms) -> Step:
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
    book, started = _begin(book, request, at, terms)
    book, drafts = _answer_while_open(book, answer, at, terms)
    return book, started + drafts + contradiction(before, book.current, at, terms)


def _why_unclear(payment: Payment) -> Reason:
    waited = payment.phase in _AT_THE_HOST
    return Reason.HOST_TIMEOUT if waited else Reason.CODE_AMBIGUOUS


# --- delivery ---------------------------------------------------------------------------------------------------


def _ack_of_answer(book: Book, ack: Ack, at: At, terms: Terms) -> Step:
    """The cashier application took the answer, or refused it."""
    if ack.direction is not _current(book).by or ack.of not in (Acked.ANSWER, Acked.END):
        return book, ()
    if not ack.positive:
        return _with_current(book, refusals=_current(book).refusals + 1), ()
    return _close(book, Certainty.YES, None, at, terms)


def _ack_after_all(book: Book, ack: Ack, at: At, terms: Terms) -> Step:
    """A retransmitted answer was taken at last."""
    if ack.direction is not _current(book).by or not ack.positive or ack.of not in (Acked.ANSWER, Acked.END):
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
    book, reversed_before = reversal_before(
        replace(book, current=closed, tally=counted(book.tally, closed)), closed, at, terms
    )
    return book, (*drafts, *reversed_before)


# --- doubts -----------------------------------------------------------------------------------------------------


def _port_closed_while_open(book: Book, what: PortClosed, at: At, terms: Terms) -> Step:
    return doubt(book, Reason.CASHIER_CLOSED, at, terms)


def _port_closed_before_ack(book: Book, what: PortClosed, at: At, terms: Terms) -> Step:
    return _undelivered(book, at, terms, Reason.CASHIER_CLOSED)


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
    return _close(book, Certainty.UNKNOWN, Reason.AGENT_RESTARTED, at, terms)


def _tick_while_open(book: Book, what: Tick, at: At, terms: Terms) -> Step:
    payment = _current(book)
    if at.mono_ns < payment.deadline_mono_ns:
        return book, ()
    if payment.bad_frames:
        return doubt(book, Reason.BAD_FRAME, at, terms)
    waited = payment.phase in _AT_THE_HOST
    return doubt(book, Reason.HOST_TIMEOUT if waited else Reason.ANSWER_TIMEOUT, at, terms)


def _tick_before_ack(book: Book, what: Tick, at: At, terms: Terms) -> Step:
    return _undelivered(book, at, terms) if at.mono_ns >= _current(book).deadline_mono_ns else (book, ())


def _noise_while_open(book: Book, noise: Noise, at: At, terms: Terms) -> Step:
    if noise.direction is not _current(book).by.opposite or noise.checksum is not Checksum.BAD:
        return book, ()
    return _with_current(book, bad_frames=_current(book).bad_frames + 1), ()


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
