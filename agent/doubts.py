"""Payments in doubt: how a doubt begins, what settles it, and when people are called. Part of the book (book.py).

    PENDING ─ asked again, every answer judged ─→ CONFIRMED
       │    ─ reprint, settlement, reversal seen on the line ─→ CONFIRMED
       ├─ after `first_call` ─→ ESCALATED (first call; the terminal is still asked)
       └─ after `give_up`, or at once when nothing is left to ask ─→ ESCALATED (final call)
                              ESCALATED ─ any of the evidence above ─→ CONFIRMED

A doubt is never dropped, and only evidence settles it: what a transaction shown by the terminal proves is decided in
evidence.py. The same rules as in book.py hold: no I/O, no clock, never a guess.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations

from agent.events import Call, Certainty, Draft, EventType, Reason, ReceiptData, WarningKind
from agent.evidence import Doubtful, Verdict, judge, mark_of, numbered, shown_mark
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
    Tally,
    Terms,
    draft,
    transaction_data,
)
from drivers.observations import Answer, Facts, Kind, Outcome, Receipt, Total
from drivers.queries import Finding, Said

#: payments in doubt kept a terminal; behind that the oldest ones stay in the journal alone, in people's hands
PENDING_KEPT = 200
#: what a terminal that reverses undoes when it got no answer
_UNDONE = frozenset({Kind.PURCHASE, Kind.VOID, Kind.PREAUTHORISATION, Kind.COMPLETION})
#: so many payments in doubt are tried in all combinations against a settlement's totals
_MOST_COMBINED = 8


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


# --- evidence ----------------------------------------------------------------------------------------------------


def shown(
    book: Book,
    facts: Facts,
    outcome: Outcome | None,
    how: str,
    at: At,
    terms: Terms,
    receipts: tuple[Receipt, ...] = (),
) -> Step:
    """The terminal showed its last transaction, to us or to the cashier application: what does that settle?"""
    mark = shown_mark(facts, at.wall_ns)
    verdicts = {p.id: judge(doubtful(p, at, terms), mark) for p in book.provable}
    drafts: tuple[Draft, ...] = ()
    if list(verdicts.values()).count(Verdict.THIS) > 1:  # one of several alike: nobody can say which
        verdicts = dict.fromkeys(verdicts, Verdict.UNCLEAR)
    for payment in book.provable:
        verdict = verdicts[payment.id]
        if verdict is Verdict.ABSENT:
            book, settled = settle(book, payment, Outcome.NOT_EXECUTED, Facts(), how, at, terms)
            drafts += settled
        elif verdict is Verdict.THIS and outcome not in (None, Outcome.UNKNOWN):
            book, settled = settle(book, payment, outcome, facts, how, at, terms)
            drafts += settled + _receipts(payment, receipts, at, terms)
    return replace(book, last=mark_of(facts, at.wall_ns) or book.last), drafts


def settle(book: Book, payment: Payment, outcome: Outcome | None, facts: Facts, how: str, at: At, terms: Terms) -> Step:
    """A payment in doubt has its outcome. The cashier application did not hear it from this exchange."""
    # After a gap it may have heard what we have not; beside a printer nobody knows what it hears.
    missed = terms.listens_only or payment.reason is Reason.AGENT_RESTARTED
    settled = replace(
        payment,
        state=State.CONFIRMED,
        facts=payment.facts.merged(facts),
        outcome=outcome or Outcome.UNKNOWN,
        delivered=Certainty.UNKNOWN if missed else Certainty.NO,
        ended_wall_ns=at.wall_ns,
        how=how,
    )
    drafts = [draft(EventType.TRANSACTION_CONFIRMED, settled, at, terms)]
    if settled.charged is Certainty.YES and settled.delivered is Certainty.NO:
        drafts.append(draft(EventType.TRANSACTION_UNDELIVERED, settled, at, terms))
    return replace(with_payment(book, settled), tally=counted(book.tally, settled)), tuple(drafts)


def late_answer(book: Book, answer: Answer, at: At, terms: Terms) -> Step | None:
    """An answer that is not the current payment's, but that of an earlier one in doubt, by numbers or amount."""
    if not answer.final or answer.outcome in (None, Outcome.UNKNOWN) or answer.facts.amount is None:
        return None
    found = [p for p in book.pending if not p.reversing and belongs(p.facts, answer.facts)]
    if not found:
        return None
    late = replace(found[-1], late=True)
    if answer.outcome is Outcome.APPROVED and may_be_undone(late, terms):
        return with_payment(book, held_back(late, answer)), ()
    return settle(with_payment(book, late), late, answer.outcome, answer.facts, "late_answer", at, terms)


def belongs(known: Facts, said: Facts) -> bool:
    """Whether what was said is of the transaction known: by its numbers, else by the amount where both have one."""
    by_number = numbered(known, said)
    if by_number is not None:
        return by_number
    return None in (known.amount, said.amount) or known.amount == said.amount


def may_be_undone(payment: Payment, terms: Terms) -> bool:
    """Whether its terminal may have kept a reversal of it. A refund it sends again instead, until it is answered."""
    return terms.reverses and payment.kind in _UNDONE


def held_back(payment: Payment, answer: Answer) -> Payment:
    """An approval that came when the terminal had given up waiting: it may not have taken it, and undo the payment.

    What it does next decides: a reversal, or another payment without one (reversals.py).
    """
    return replace(payment, facts=payment.facts.merged(answer.facts), stated=Outcome.APPROVED, late=True)


def reversal_before(book: Book, payment: Payment, at: At, terms: Terms) -> Step:
    """`payment` was approved after the terminal had first sent a reversal that it had kept: the one in doubt is gone.

    Terminals do that before their next online transaction, and go on only when the reversal was accepted.
    """
    if not payment.earlier_reversal or payment.outcome is not Outcome.APPROVED or len(book.pending) != 1:
        return book, ()
    return settle(book, book.pending[0], Outcome.REVERSED, Facts(), "reversal", at, terms)


def totals(book: Book, stated: tuple[Total, ...], at: At, terms: Terms) -> Step:
    """A settlement's totals settle the doubts if just one set of them, added to what is known, gives the totals."""
    amounts = [total.net for total in stated if total.amount is not None]
    open_ones = [p for p in book.unknown if p.kind.moves_money and p.facts.amount is not None]
    if not book.tally.whole or not amounts or not 1 <= len(open_ones) <= _MOST_COMBINED:
        return book, ()
    counts = [total.count for total in stated if total.count is not None]
    wanted = (sum(amounts), sum(counts) if len(counts) == len(stated) else None)
    fitting = [chosen for chosen in _subsets(open_ones) if _sums_to(book.tally, chosen, wanted)]
    if len(fitting) != 1:
        return book, ()
    charged = {payment.id for payment in fitting[0]}
    drafts: tuple[Draft, ...] = ()
    for payment in open_ones:
        outcome = Outcome.APPROVED if payment.id in charged else Outcome.NOT_EXECUTED
        book, settled = settle(book, payment, outcome, Facts(), "settlement_total", at, terms)
        drafts += settled
    return book, drafts


def _subsets(payments: list[Payment]) -> Iterable[tuple[Payment, ...]]:
    for size in range(len(payments) + 1):
        yield from combinations(payments, size)


def _sums_to(tally: Tally, chosen: tuple[Payment, ...], wanted: tuple[int, int | None]) -> bool:
    for payment in chosen:
        tally = counted(tally, replace(payment, outcome=Outcome.APPROVED))
    return tally.amount == wanted[0] and wanted[1] in (None, tally.count)


def counted(tally: Tally, payment: Payment, sign: int = 1) -> Tally:
    """The tally with this payment in it, if it counts in a settlement."""
    if payment.charged is not Certainty.YES or payment.kind in (Kind.PREAUTHORISATION, Kind.OTHER):
        return tally
    amount = payment.facts.amount or 0
    net = -amount if payment.kind in (Kind.REFUND, Kind.VOID) else amount
    return replace(tally, count=tally.count + sign, amount=tally.amount + sign * net)


def uncounted(tally: Tally, payment: Payment) -> Tally:
    """The tally without this payment, which counts no more."""
    return counted(tally, payment, sign=-1)


def doubtful(payment: Payment, at: At, terms: Terms) -> Doubtful:
    """What is known of a payment in doubt, for the evidence to be held against."""
    since = payment.doubt.wall_ns if payment.doubt else at.wall_ns
    return Doubtful(
        own=mark_of(payment.facts, payment.started_wall_ns),
        amount=payment.facts.amount,
        before=payment.before,
        earliest_wall_ns=payment.started_wall_ns,
        latest_wall_ns=since + terms.answer_timeout_ns,
    )


def _receipts(payment: Payment, receipts: tuple[Receipt, ...], at: At, terms: Terms) -> tuple[Draft, ...]:
    return tuple(
        Draft(
            EventType.RECEIPT_CAPTURED,
            ReceiptData(
                transaction=payment.id,
                terminal=terms.terminal,
                receipt_kind=receipt.receipt_kind,
                complete=receipt.complete,
                text=receipt.text,
            ),
            at.wall_ns,
        )
        for receipt in receipts
    )


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


def with_payment(book: Book, payment: Payment) -> Book:
    """The book with this payment as it is now; a settled one leaves the list of earlier doubts."""
    if book.current is not None and book.current.id == payment.id:
        return replace(book, current=payment)
    kept = (payment if earlier.id == payment.id else earlier for earlier in book.pending)
    return replace(book, pending=tuple(earlier for earlier in kept if earlier.in_doubt))


def _with_doubt(payment: Payment, **changes: object) -> Payment:
    if payment.doubt is None:
        return payment
    return replace(payment, doubt=replace(payment.doubt, **changes))  # type: ignore[arg-type]
