"""Payments in doubt: asking, evidence, calling people. Each test is one sentence of docs/transaction.md.

Long because that page's sentences follow one another, and are found here in its order.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.book import advance
from agent.doubts import PENDING_KEPT
from agent.events import Call, Certainty, EventType, Reason, ReceiptData, TransactionData, WarningKind
from agent.payments import At, Booted, LinkDown, Missed, PortClosed, Replied, Scheduled, State, Terms, Tick, Waited
from drivers.observations import (
    Answer,
    Checksum,
    Direction,
    Facts,
    Kind,
    Outcome,
    Phase,
    Receipt,
    ReceiptKind,
    Settlement,
    Total,
)
from drivers.queries import Finding, Query, Said
from tests.agent.lines import SECOND, TERMS, Play, answer, cashier_ack, progress, request, terminal_ack

PENDING, CONFIRMED = EventType.TRANSACTION_PENDING, EventType.TRANSACTION_CONFIRMED
UNDELIVERED, ESCALATED = EventType.TRANSACTION_UNDELIVERED, EventType.TRANSACTION_ESCALATED
WARNING = EventType.TRANSACTION_WARNING
WATCHED = replace(TERMS, asks=())


def doubtful(terms: Terms = TERMS, amount: int = 1234) -> Play:
    """A line with one payment in doubt, and one before it that is known."""
    play = Play(terms)
    play.see(request(500), numbered("000007", 500), cashier_ack())
    play.see(request(amount), terminal_ack(), PortClosed())
    play.drafts.clear()
    return play


def numbered(trace: str, amount: int, outcome: Outcome = Outcome.APPROVED, final: bool = True) -> Answer:
    """An answer with a trace number."""
    facts = Facts(amount=amount, trace=trace, response_code="00")
    return Answer(
        direction=Direction.TERMINAL, checksum=Checksum.OK, outcome=outcome, final=final, message="status", facts=facts
    )


def shows(trace: str, amount: int, outcome: Outcome | None = Outcome.APPROVED, *receipts: Receipt) -> Replied:
    """The terminal, asked, shows this transaction."""
    facts = Facts(amount=amount, trace=trace, response_code="00")
    return Replied(
        Finding(query=Query.LAST_RESULT, said=Said.TRANSACTION, facts=facts, outcome=outcome, receipts=receipts)
    )


def says(said: Said, query: Query = Query.LAST_RESULT) -> Replied:
    return Replied(Finding(query=query, said=said))


def told(play: Play, kind: EventType, which: int = -1) -> TransactionData:
    data = [draft.data for draft in play.drafts if draft.type is kind][which]
    assert isinstance(data, TransactionData)
    return data


# --- what the terminal shows when it is asked ------------------------------------------------------------------------


def test_the_payment_shown_by_the_terminal_is_confirmed_and_was_not_delivered() -> None:
    play = doubtful()
    play.see(shows("000008", 1234))
    assert play.types == [CONFIRMED, UNDELIVERED]
    data = told(play, CONFIRMED)
    assert (data.outcome, data.charged, data.delivered) == (Outcome.APPROVED, Certainty.YES, Certainty.NO)
    assert (data.how, data.attempts, data.trace, data.final) == ("repeat_receipt", 1, "000008", True)
    assert [(asked.query, asked.said) for asked in data.asked] == [(Query.LAST_RESULT, Said.TRANSACTION)]


def test_a_declined_one_is_confirmed_and_nobody_has_to_hurry() -> None:
    play = doubtful()
    play.see(shows("000008", 1234, Outcome.DECLINED))
    assert play.types == [CONFIRMED]
    assert told(play, CONFIRMED).charged is Certainty.NO


def test_the_receipts_shown_belong_to_it() -> None:
    play = doubtful()
    copy = Receipt(
        direction=Direction.TERMINAL,
        checksum=Checksum.OK,
        receipt_kind=ReceiptKind.CUSTOMER,
        text=("EUR 12.34",),
        complete=True,
    )
    play.see(shows("000008", 1234, Outcome.APPROVED, copy))
    captured = play.drafts[-1].data
    assert isinstance(captured, ReceiptData)
    assert (captured.transaction, captured.text) == (told(play, CONFIRMED).transaction, ("EUR 12.34",))


def test_the_transaction_before_it_means_that_it_was_not_executed() -> None:
    play = doubtful()
    play.see(shows("000007", 500))
    assert play.types == [CONFIRMED]
    data = told(play, CONFIRMED)
    assert (data.outcome, data.charged, data.how) == (Outcome.NOT_EXECUTED, Certainty.NO, "repeat_receipt")


def test_a_transaction_that_is_neither_leaves_it_to_people_at_once() -> None:
    play = doubtful()
    play.see(shows("000009", 777))
    assert play.types == [ESCALATED]
    data = told(play, ESCALATED)
    assert (data.outcome, data.call, data.final) == (Outcome.UNKNOWN, Call.FINAL, False)
    assert data.advice is not None
    assert "acquirer" in data.advice.en


def test_an_outcome_that_the_terminal_itself_does_not_know_settles_nothing() -> None:
    play = doubtful()
    play.see(shows("000008", 1234, None))
    assert CONFIRMED not in play.types


@pytest.mark.parametrize("said", [Said.NOTHING, Said.BUSY])
def test_no_answer_leaves_it_pending_and_to_be_asked_again(said: Said) -> None:
    play = doubtful()
    play.see(says(said))
    assert play.types == []
    payment = play.book.unknown[0]
    assert payment.attempts == 1
    assert payment.doubt is not None
    assert (payment.doubt.asks_left, payment.doubt.due_mono_ns) == (TERMS.asks, None)


def test_a_refused_query_leaves_nothing_that_could_prove_it() -> None:
    play = doubtful()
    play.see(says(Said.REFUSED))
    assert play.types == [ESCALATED]
    data = told(play, ESCALATED)
    assert (data.reason, data.call) == (Reason.NOT_SUPPORTED, Call.FINAL)
    assert play.book.unknown[0].reason is Reason.CASHIER_CLOSED  # why it is unknown has not changed


def test_two_alike_in_doubt_are_never_taken_for_each_other() -> None:
    play = doubtful()
    play.see(request(1234), terminal_ack(), PortClosed())
    play.see(shows("000008", 1234))
    assert CONFIRMED not in play.types
    assert len(play.book.unknown) == 2


def test_after_a_missed_part_the_delivery_is_not_known() -> None:
    play = Play()
    play.see(request(500), numbered("000007", 500), cashier_ack(), request(), Missed())
    play.see(shows("000007", 500))
    assert told(play, CONFIRMED).delivered is Certainty.UNKNOWN
    assert UNDELIVERED not in play.types


def test_after_a_missed_part_another_one_of_the_amount_may_have_passed_unseen() -> None:
    play = Play()
    play.see(request(500), numbered("000007", 500), cashier_ack(), request(), Missed())
    play.see(shows("000008", 1234))  # without a time, nobody can say whose it is
    assert CONFIRMED not in play.types
    assert told(play, ESCALATED).call is Call.FINAL


def test_a_question_that_is_scheduled_is_kept() -> None:
    play = doubtful()
    payment = play.book.unknown[0]
    play.see(Scheduled(payment.id, 77))
    assert play.book.unknown[0].doubt is not None
    assert play.book.unknown[0].doubt.due_mono_ns == 77
    play.see(Scheduled("nobody", 78))
    assert play.book.unknown[0].doubt.due_mono_ns == 77


def test_a_person_may_have_an_escalated_one_asked_once_more() -> None:
    play = doubtful(WATCHED)
    play.see(Scheduled(play.book.unknown[0].id, 77, TERMS.asks))
    play.see(says(Said.NOTHING))
    doubt = play.book.unknown[0].doubt
    assert doubt is not None
    assert doubt.asks_left == ()
    play.see(Scheduled(play.book.unknown[0].id, 78, TERMS.asks), shows("000008", 1234))
    assert CONFIRMED in play.types


def test_what_is_shown_while_only_watching_without_being_asked_for_settles_it_too() -> None:
    play = doubtful(WATCHED)
    play.see(shows("000008", 1234))
    assert play.types == [CONFIRMED, UNDELIVERED]


# --- what passes on the line -----------------------------------------------------------------------------------------


def test_a_reprint_for_the_cashier_settles_it() -> None:
    play = doubtful()
    play.see(request(None, None, "repeat receipt"), numbered("000008", 1234, final=False))
    assert (told(play, CONFIRMED).how, told(play, CONFIRMED).outcome) == ("reprint", Outcome.APPROVED)


def test_a_reprint_of_the_one_before_proves_that_nothing_took_place() -> None:
    play = doubtful()
    play.see(request(None, None, "repeat receipt"), numbered("000007", 500, final=False))
    assert (told(play, CONFIRMED).how, told(play, CONFIRMED).outcome) == ("reprint", Outcome.NOT_EXECUTED)


def test_another_command_that_ends_while_a_payment_is_open_shows_that_the_terminal_dropped_it() -> None:
    play = Play()
    play.see(request(500), numbered("000007", 500), cashier_ack(), request(), terminal_ack())
    play.see(request(None, None, "registration"), answer(None, None))
    assert told(play, PENDING).reason is Reason.TERMINAL_RESTARTED


def test_a_late_answer_settles_it_and_is_called_late() -> None:
    play = doubtful()
    play.see(answer(), cashier_ack())
    data = told(play, CONFIRMED)
    assert (data.outcome, data.late, data.how, data.delivered) == (
        Outcome.APPROVED,
        True,
        "late_answer",
        Certainty.YES,
    )


def test_a_late_answer_behind_the_next_request_settles_the_earlier_payment() -> None:
    play = doubtful()
    play.see(request(2000), terminal_ack(), numbered("000008", 1234))
    data = told(play, CONFIRMED)
    assert (data.amount, data.late, data.how) == (1234, True, "late_answer")
    assert play.book.state is State.OPEN


def test_a_reversal_before_the_next_payment_settles_the_only_doubt() -> None:
    play = doubtful()
    play.see(request(2000), terminal_ack(), progress(Phase.REVERSING), progress(Phase.WAITING_FOR_HOST))
    play.see(numbered("000009", 2000), cashier_ack())
    data = told(play, CONFIRMED)
    assert (data.amount, data.outcome, data.charged, data.how) == (1234, Outcome.REVERSED, Certainty.NO, "reversal")


def test_a_reversal_before_a_declined_payment_proves_nothing() -> None:
    play = doubtful()
    play.see(request(2000), terminal_ack(), progress(Phase.REVERSING), progress(Phase.WAITING_FOR_HOST))
    play.see(numbered("000009", 2000, Outcome.DECLINED), cashier_ack())
    assert CONFIRMED not in play.types


def settlement(*totals: tuple[int, int]) -> Settlement:
    return Settlement(
        direction=Direction.TERMINAL,
        checksum=Checksum.OK,
        totals=tuple(Total("purchase", count, amount) for count, amount in totals),
    )


@pytest.mark.parametrize(
    ("total", "outcome", "charged"),
    [((2, 1734), Outcome.APPROVED, Certainty.YES), ((1, 500), Outcome.NOT_EXECUTED, Certainty.NO)],
)
def test_the_totals_of_a_settlement_settle_it(total: tuple[int, int], outcome: Outcome, charged: Certainty) -> None:
    play = Play()
    play.see(settlement())  # everything since is known
    play.see(request(500), numbered("000007", 500), cashier_ack(), request(), terminal_ack(), PortClosed())
    play.see(settlement(total))
    data = told(play, CONFIRMED)
    assert (data.outcome, data.charged, data.how) == (outcome, charged, "settlement_total")


def test_totals_that_fit_in_two_ways_settle_nothing() -> None:
    play = Play()
    play.see(settlement())
    for _ in range(2):
        play.see(request(), terminal_ack(), PortClosed())
    play.see(settlement((1, 1234)))
    assert CONFIRMED not in play.types


def test_totals_settle_nothing_when_a_part_was_missed() -> None:
    play = Play()
    play.see(settlement(), Missed(), request(), terminal_ack(), PortClosed(), settlement((1, 1234)))
    assert CONFIRMED not in play.types


def test_an_answer_against_a_settled_outcome_stands_for_itself_and_warns() -> None:
    play = doubtful()
    play.see(shows("000007", 500))  # the terminal knows of nothing
    first = told(play, CONFIRMED).transaction
    play.see(numbered("000008", 1234), cashier_ack())
    warning = told(play, WARNING)
    assert (warning.warning, warning.related, warning.outcome) == (
        WarningKind.CONTRADICTION,
        first,
        Outcome.APPROVED,
    )
    assert warning.transaction != first


# --- calling people --------------------------------------------------------------------------------------------------


def test_people_are_called_after_a_quarter_of_an_hour_and_the_terminal_is_still_asked() -> None:
    play = doubtful()
    play.wait(899)
    play.see(Tick())
    assert play.types == []
    play.wait(2)
    play.see(Waited())  # also while the bridge is away
    data = told(play, ESCALATED)
    assert (data.call, data.reason) == (Call.FIRST, Reason.CASHIER_CLOSED)
    assert play.book.unknown[0].doubt is not None
    assert play.book.unknown[0].doubt.asks_left == TERMS.asks
    play.see(shows("000008", 1234))
    assert CONFIRMED in play.types


def test_the_final_call_ends_the_questions_but_not_the_watching() -> None:
    play = doubtful()
    play.wait(86_401)
    play.see(Tick())
    assert [told(play, ESCALATED).call] == [Call.FINAL]
    play.see(Tick())
    assert play.types == [ESCALATED]
    play.see(numbered("000008", 1234), cashier_ack())
    assert told(play, CONFIRMED).how == "late_answer"


def test_both_calls_come_when_nothing_settles_it() -> None:
    play = doubtful()
    for _ in range(2):
        play.wait(43_300)
        play.see(Tick())
    assert [told(play, ESCALATED, which).call for which in (0, 1)] == [Call.FIRST, Call.FINAL]


def test_a_terminal_that_is_only_watched_leaves_it_to_people_at_once() -> None:
    play = Play(WATCHED)
    play.see(request(), terminal_ack(), PortClosed())
    assert play.types[-2:] == [PENDING, ESCALATED]
    assert (told(play, ESCALATED).reason, told(play, ESCALATED).call) == (Reason.NOT_SUPPORTED, Call.FINAL)


def test_the_age_of_a_doubt_outlives_a_restart_of_the_machine() -> None:
    play = doubtful()
    play.see(Booted("first"))
    later = 1_790_000_000 * SECOND + play.now + 600 * SECOND
    fresh = 5 * SECOND  # the monotonic clock has begun anew
    play.book, drafts = advance(play.book, Booted("second"), At(later, fresh, "boot"), play.terms)
    assert drafts == ()
    doubt = play.book.unknown[0].doubt
    assert doubt is not None
    assert -601 * SECOND < doubt.mono_ns - fresh < -599 * SECOND


def test_the_oldest_of_too_many_doubts_goes_to_people() -> None:
    play = Play()
    for number in range(PENDING_KEPT + 2):
        play.see(request(1000 + number), terminal_ack(), PortClosed())
    assert len(play.book.pending) == PENDING_KEPT
    assert told(play, ESCALATED).amount == 1000


# --- a second payment of the same amount ----------------------------------------------------------------------------


def test_the_same_amount_again_while_the_first_is_unknown_is_warned_of_at_once() -> None:
    play = doubtful()
    first = play.book.unknown[0].id
    play.see(request(1234))
    assert play.types == [EventType.TRANSACTION_STARTED, WARNING]
    data = told(play, WARNING)
    assert (data.warning, data.related, data.amount) == (WarningKind.POSSIBLE_DOUBLE_CHARGE, first, 1234)
    assert data.transaction == told(play, EventType.TRANSACTION_STARTED).transaction


@pytest.mark.parametrize(("amount", "kind"), [(1235, Kind.PURCHASE), (1234, Kind.REFUND), (None, Kind.SETTLEMENT)])
def test_other_requests_are_not_warned_of(amount: int | None, kind: Kind) -> None:
    play = doubtful()
    play.see(request(amount, kind))
    assert WARNING not in play.types


def test_once_the_first_is_known_the_same_amount_is_no_matter() -> None:
    play = doubtful()
    play.see(shows("000007", 500), request(1234))
    assert WARNING not in play.types


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        (LinkDown("gone"), Reason.LINK_LOST),
        (PortClosed(), Reason.CASHIER_CLOSED),
        (Missed(), Reason.AGENT_RESTARTED),
        (progress(Phase.TERMINAL_RESTARTED), Reason.TERMINAL_RESTARTED),
        (progress(Phase.GAVE_UP), Reason.ANSWER_TIMEOUT),
        (answer(Outcome.UNKNOWN), Reason.CODE_AMBIGUOUS),
        (request(999), Reason.ANSWER_TIMEOUT),
    ],
)
def test_each_way_to_lose_an_outcome_has_its_reason(what: object, reason: Reason) -> None:
    play = Play()
    play.see(request(), terminal_ack(), what)
    assert told(play, PENDING).reason is reason


def test_an_unclear_answer_behind_the_host_means_that_the_host_was_late() -> None:
    play = Play()
    play.see(request(), terminal_ack(), progress(Phase.WAITING_FOR_HOST), answer(Outcome.UNKNOWN))
    assert told(play, PENDING).reason is Reason.HOST_TIMEOUT


# --- the same amount, tried once more ---------------------------------------------------------------------------------


def test_what_the_next_payment_of_the_amount_shows_is_no_proof_of_the_one_in_doubt() -> None:
    play = doubtful()
    first = play.book.unknown[0].id
    play.see(request(1234), terminal_ack(), numbered("000008", 1234), cashier_ack(), shows("000008", 1234))
    assert CONFIRMED not in play.types
    assert [payment.id for payment in play.book.unknown] == [first]


def test_another_number_than_the_next_payments_is_still_proof() -> None:
    play = doubtful()
    first = play.book.unknown[0].id
    play.see(request(1234), terminal_ack(), numbered("000009", 1234), cashier_ack(), shows("000008", 1234))
    assert told(play, CONFIRMED).transaction == first


def test_an_approval_is_not_the_next_payments_that_was_declined() -> None:
    play = doubtful()
    first = play.book.unknown[0].id
    play.see(request(1234), terminal_ack(), answer(Outcome.DECLINED), cashier_ack(), shows("000008", 1234))
    assert told(play, CONFIRMED).transaction == first


def test_once_such_a_payment_is_out_of_sight_the_amount_proves_nothing_any_more() -> None:
    play = doubtful()
    play.see(request(1234), terminal_ack(), numbered("000008", 1234), cashier_ack())
    play.see(request(700), terminal_ack(), numbered("000009", 700), cashier_ack(), shows("000008", 1234))
    assert CONFIRMED not in play.types
    assert len(play.book.unknown) == 1


def test_where_any_receipt_can_be_repeated_an_earlier_one_proves_nothing_and_is_not_the_last() -> None:
    play = doubtful(replace(TERMS, reprints_any=True))
    play.see(request(None, kind=None), numbered("000007", 500))
    assert CONFIRMED not in play.types
    play.see(request(None, kind=None), numbered("000003", 900))
    assert play.book.last is not None
    assert play.book.last.trace == "000007"
    play.see(request(None, kind=None), numbered("000008", 1234))
    assert told(play, CONFIRMED).how == "reprint"
