"""What settles a payment in doubt: a transaction that the terminal shows, a late answer, a settlement's totals.

Part of the book (book.py): no I/O, no clock, never a guess. What a transaction shown says of one payment by itself is
judged in evidence.py. Here it is also held against the payments that are known: cashiers try the same amount once
more, and what the terminal shows then may be of that one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations

from agent.events import Certainty, Draft, EventType, Reason, ReceiptData
from agent.evidence import Doubtful, Mark, Verdict, judge, mark_of, numbered, same, shown_mark
from agent.payments import At, Book, Payment, State, Step, Tally, Terms, draft
from drivers.observations import Answer, Facts, Kind, Outcome, Receipt, Total

#: what a terminal that reverses undoes when it got no answer
_UNDONE = frozenset({Kind.PURCHASE, Kind.VOID, Kind.PREAUTHORISATION, Kind.COMPLETION})
#: so many payments in doubt are tried in all combinations against a settlement's totals
_MOST_COMBINED = 8
#: how a payment ended that an approval can't be of
_NOT_APPROVED = (Outcome.DECLINED, Outcome.CANCELLED, Outcome.NOT_EXECUTED)


def shown(
    book: Book,
    facts: Facts,
    outcome: Outcome | None,
    how: str,
    at: At,
    terms: Terms,
    receipts: tuple[Receipt, ...] = (),
) -> Step:
    """The terminal showed a transaction, to us or to the cashier application: what does that settle?

    What we ask for is its last one. The cashier application may have had any one printed again (`reprints_any`): that
    proves nothing of what came behind it, nor that it is the last one.
    """
    last = how != "reprint" or not terms.reprints_any
    verdicts = {p.id: proof_of(book, p, facts, outcome, at, terms) for p in book.provable}
    drafts: tuple[Draft, ...] = ()
    if list(verdicts.values()).count(Verdict.THIS) > 1:  # one of several alike: nobody can say which
        verdicts = dict.fromkeys(verdicts, Verdict.UNCLEAR)
    for payment in book.provable:
        verdict = verdicts[payment.id]
        if verdict is Verdict.ABSENT and last:
            book, settled = settle(book, payment, Outcome.NOT_EXECUTED, Facts(), how, at, terms)
            drafts += settled
        elif verdict is Verdict.THIS and outcome not in (None, Outcome.UNKNOWN):
            book, settled = settle(book, payment, outcome, facts, how, at, terms)
            drafts += settled + _receipts(payment, receipts, at, terms)
    mark = mark_of(facts, at.wall_ns) if last else None
    return replace(book, last=mark or book.last), drafts


def proof_of(book: Book, payment: Payment, facts: Facts, outcome: Outcome | None, at: At, terms: Terms) -> Verdict:
    """What these facts of a transaction, and how it ended, prove about a payment in doubt."""
    mark = shown_mark(facts, at.wall_ns)
    doubtful = _doubtful(payment, at, terms)
    verdict = judge(doubtful, mark)
    if verdict is not Verdict.THIS or (doubtful.own and same(doubtful.own, mark)):
        return verdict
    others = payment.tried_again or _of_the_next(book.current, payment, mark, outcome)
    return Verdict.UNCLEAR if others else Verdict.THIS


def _of_the_next(current: Payment | None, payment: Payment, shown: Mark, outcome: Outcome | None) -> bool:
    """Whether the transaction shown may be the payment that came behind the one in doubt, of the same amount."""
    if current is None or current.id == payment.id or current.facts.amount != shown.amount:
        return False
    if current.in_doubt or (outcome is Outcome.APPROVED and current.outcome in _NOT_APPROVED):
        return False  # two in doubt are held against each other by who asks
    own = mark_of(current.facts, shown.seen_wall_ns)
    return own is None or same(own, shown) is not False


def begun(book: Book, payment: Payment) -> Book:
    """The book with this payment as the current one.

    The one before leaves it, unless it is in doubt. Where it had the amount of one in doubt, nobody can tell later
    whether a transaction of that amount was the one or the other: from then on only the numbers of that one prove it.
    """
    gone = book.current
    amount = gone.facts.amount if gone and not gone.in_doubt and gone.outcome not in _NOT_APPROVED else None
    pending = tuple(
        replace(p, tried_again=p.tried_again or (amount is not None and p.facts.amount == amount)) for p in book.unknown
    )
    return replace(book, current=payment, pending=pending, inquiry=None)


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


def _doubtful(payment: Payment, at: At, terms: Terms) -> Doubtful:
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


def with_payment(book: Book, payment: Payment) -> Book:
    """The book with this payment as it is now; a settled one leaves the list of earlier doubts."""
    if book.current is not None and book.current.id == payment.id:
        return replace(book, current=payment)
    kept = (payment if earlier.id == payment.id else earlier for earlier in book.pending)
    return replace(book, pending=tuple(earlier for earlier in kept if earlier.in_doubt))
