"""The life of a payment, case by case. Each test is one sentence of docs/transaction.md."""

from __future__ import annotations

import pytest

from agent.book import ANY_STATE, TABLE
from agent.events import Certainty, EventType, Reason, ReceiptData, SettlementData, TerminalData, TransactionData
from agent.line_state import BAD_FRAMES_DEGRADE
from agent.payments import Link, LinkDown, LinkUp, Missed, PortClosed, PortRefused, State, Tick, transaction_data
from drivers.observations import Acked, Direction, Kind, Outcome, Phase, Receipt, ReceiptKind, Settlement, Total
from tests.agent.lines import Play, answer, broken, cashier_ack, progress, request, terminal_ack

STARTED, COMPLETED, PENDING = (
    EventType.TRANSACTION_STARTED,
    EventType.TRANSACTION_COMPLETED,
    EventType.TRANSACTION_PENDING,
)
CONFIRMED, UNDELIVERED = EventType.TRANSACTION_CONFIRMED, EventType.TRANSACTION_UNDELIVERED


def last(play: Play) -> TransactionData:
    data = play.drafts[-1].data
    assert isinstance(data, TransactionData)
    return data


def test_an_approved_payment_is_started_and_completed_once() -> None:
    play = Play()
    play.see(request(), terminal_ack(), answer(), cashier_ack())
    assert play.types == [STARTED, COMPLETED]
    data = last(play)
    assert (data.outcome, data.charged, data.delivered, data.final) == (
        Outcome.APPROVED,
        Certainty.YES,
        Certainty.YES,
        True,
    )
    assert (data.amount, data.currency, data.reason) == (1234, "CNY", None)
    assert data.card is not None
    assert data.card.masked == "497554******4970"


def test_started_and_completed_speak_of_the_same_transaction() -> None:
    play = Play()
    play.see(request(), answer(), cashier_ack())
    assert {draft.subject for draft in play.drafts} == {play.drafts[0].subject}


def test_the_same_place_on_the_line_gives_the_same_id_again() -> None:
    first, second = Play(), Play()
    first.see(request())
    second.see(request())
    assert first.drafts[0].subject == second.drafts[0].subject


@pytest.mark.parametrize("outcome", [Outcome.DECLINED, Outcome.CANCELLED, Outcome.REVERSED, Outcome.NOT_EXECUTED])
def test_nobody_is_charged_by_anything_but_an_approval(outcome: Outcome) -> None:
    play = Play()
    play.see(request(), answer(outcome), cashier_ack())
    assert (last(play).outcome, last(play).charged, last(play).final) == (outcome, Certainty.NO, True)


def test_a_balance_enquiry_charges_nobody_even_when_approved() -> None:
    play = Play()
    play.see(request(None, Kind.BALANCE), answer(amount=None), cashier_ack())
    assert last(play).charged is Certainty.NO


def test_an_unacknowledged_answer_is_undelivered_within_a_second() -> None:
    play = Play()
    play.see(request(), answer())
    play.wait(0.79)
    play.see(Tick())
    assert play.types == [STARTED]
    play.wait(0.02)
    play.see(Tick())
    assert play.types == [STARTED, COMPLETED, UNDELIVERED]
    assert (last(play).delivered, last(play).reason, last(play).outcome) == (
        Certainty.NO,
        Reason.ANSWER_TIMEOUT,
        Outcome.APPROVED,
    )


def test_a_port_closed_before_the_acknowledgement_is_undelivered_at_once() -> None:
    play = Play()
    play.see(request(), answer(), PortClosed())
    assert play.types == [STARTED, COMPLETED, UNDELIVERED]
    assert last(play).reason is Reason.CASHIER_CLOSED


def test_a_refused_answer_that_is_never_taken_says_bad_frame() -> None:
    play = Play()
    play.see(request(), answer(), cashier_ack(positive=False))
    play.wait(1)
    play.see(Tick())
    assert (last(play).delivered, last(play).reason) == (Certainty.NO, Reason.BAD_FRAME)


def test_a_retransmitted_answer_gets_time_to_be_taken() -> None:
    play = Play()
    play.see(request(), answer(), cashier_ack(positive=False))
    play.wait(0.7)
    play.see(answer())
    play.wait(0.7)
    play.see(Tick(), cashier_ack())
    assert play.types == [STARTED, COMPLETED]
    assert last(play).delivered is Certainty.YES


def test_an_answer_taken_after_all_is_completed_as_delivered() -> None:
    play = Play()
    play.see(request(), answer())
    play.wait(1)
    play.see(Tick(), answer(), cashier_ack())
    assert play.types == [STARTED, COMPLETED, UNDELIVERED, COMPLETED]
    assert (last(play).delivered, last(play).reason) == (Certainty.YES, None)


def test_a_new_request_proves_that_the_last_answer_was_not_acknowledged() -> None:
    play = Play()
    play.see(request(), answer(), request(500))
    assert play.types == [STARTED, COMPLETED, UNDELIVERED, STARTED]


def test_silence_becomes_pending_when_the_patience_of_the_protocol_ends() -> None:
    play = Play()
    play.see(request(), terminal_ack())
    play.wait(99)
    play.see(Tick())
    assert play.types == [STARTED]
    play.wait(2)
    play.see(Tick())
    assert play.types == [STARTED, PENDING]
    data = last(play)
    assert (data.outcome, data.charged, data.final, data.reason) == (
        Outcome.UNKNOWN,
        Certainty.UNKNOWN,
        False,
        Reason.ANSWER_TIMEOUT,
    )


def test_a_sign_of_life_of_the_terminal_renews_the_patience() -> None:
    play = Play()
    play.see(request())
    play.wait(90)
    play.see(progress(Phase.WAITING_FOR_CARD))
    play.wait(90)
    play.see(Tick())
    assert play.types == [STARTED]


@pytest.mark.parametrize(
    ("happening", "reason"),
    [
        (LinkDown("gone"), Reason.LINK_LOST),
        (PortClosed(), Reason.CASHIER_CLOSED),
        (Missed(), Reason.AGENT_RESTARTED),
        (progress(Phase.TERMINAL_RESTARTED), Reason.TERMINAL_RESTARTED),
        (progress(Phase.GAVE_UP), Reason.ANSWER_TIMEOUT),
        (answer(Outcome.UNKNOWN, code="9"), Reason.CODE_AMBIGUOUS),
        (answer(None), Reason.CODE_AMBIGUOUS),
        (answer(amount=999), Reason.CODE_AMBIGUOUS),
    ],
)
def test_what_leaves_an_open_payment_in_doubt_is_named(happening: object, reason: Reason) -> None:
    play = Play()
    play.see(request(), terminal_ack(), happening)
    doubts = [draft for draft in play.drafts if draft.type is PENDING]
    assert len(doubts) == 1
    assert isinstance(doubts[0].data, TransactionData)
    assert doubts[0].data.reason is reason
    assert play.book.state is State.PENDING


def test_an_unclear_end_after_waiting_for_the_host_is_a_host_timeout() -> None:
    play = Play()
    play.see(request(), progress(Phase.WAITING_FOR_HOST), answer(Outcome.UNKNOWN))
    assert last(play).reason is Reason.HOST_TIMEOUT


def test_broken_answers_until_the_terminal_gives_up_say_bad_frame() -> None:
    play = Play()
    play.see(request(), broken(), broken(), broken(), progress(Phase.GAVE_UP))
    pending = [draft.data for draft in play.drafts if draft.type is PENDING]
    assert isinstance(pending[0], TransactionData)
    assert pending[0].reason is Reason.BAD_FRAME


def test_a_broken_frame_before_the_good_answer_harms_nothing() -> None:
    play = Play()
    play.see(request(), broken(), answer(), cashier_ack())
    assert play.types == [STARTED, COMPLETED]


def test_a_late_answer_settles_the_doubt_and_says_so() -> None:
    play = Play()
    play.see(request(), PortClosed(), answer(), cashier_ack())
    assert play.types == [STARTED, PENDING, CONFIRMED]
    data = last(play)
    assert (data.outcome, data.final, data.late, data.how) == (Outcome.APPROVED, True, True, "late_answer")


def test_a_late_answer_that_nobody_takes_is_confirmed_and_undelivered() -> None:
    play = Play()
    play.see(request(), PortClosed(), answer())
    play.wait(1)
    play.see(Tick())
    assert play.types == [STARTED, PENDING, CONFIRMED, UNDELIVERED]


def test_a_doubt_survives_the_next_payment_and_is_settled_by_its_own_amount() -> None:
    play = Play()
    play.see(request(1234), LinkDown("gone"), LinkUp(), request(500))
    assert [payment.facts.amount for payment in play.book.unknown] == [1234]
    play.see(answer(amount=1234), answer(amount=500), cashier_ack())
    confirmed = [draft.data for draft in play.drafts if draft.type is CONFIRMED]
    assert [data.amount for data in confirmed if isinstance(data, TransactionData)] == [1234]
    assert last(play).amount == 500
    assert not play.book.unknown


def test_a_second_request_while_the_first_is_unanswered_leaves_the_first_in_doubt() -> None:
    play = Play()
    play.see(request(), terminal_ack(), request())
    assert play.types == [STARTED, PENDING, STARTED, EventType.TRANSACTION_WARNING]
    assert len({draft.subject for draft in play.drafts}) == 2


def test_a_retransmitted_request_that_the_terminal_had_not_taken_is_the_same_payment() -> None:
    play = Play()
    play.see(request(), terminal_ack(positive=False), request(), terminal_ack(), answer(), cashier_ack())
    assert play.types == [STARTED, COMPLETED]


def test_a_command_refused_by_code_was_never_executed() -> None:
    play = Play()
    play.see(request(), terminal_ack(positive=False, code="83"))
    assert play.types == [STARTED, COMPLETED]
    assert (last(play).outcome, last(play).charged) == (Outcome.NOT_EXECUTED, Certainty.NO)


def test_please_wait_refuses_nothing() -> None:
    play = Play()
    play.see(request(), terminal_ack(positive=False, code="9C"))
    assert play.types == [STARTED]
    assert play.book.state is State.OPEN


def test_a_result_named_before_the_end_counts_at_the_end() -> None:
    play = Play()
    play.see(request(), answer(final=False), cashier_ack())
    assert play.types == [STARTED]
    end = answer(None, amount=None)
    play.see(end, cashier_ack(of=Acked.END))
    assert play.types == [STARTED, COMPLETED]
    assert last(play).outcome is Outcome.APPROVED


def test_a_result_named_but_never_closed_is_a_doubt() -> None:
    play = Play()
    play.see(request(), answer(final=False), LinkDown("gone"))
    assert last(play).reason is Reason.LINK_LOST
    assert last(play).outcome is Outcome.UNKNOWN


def test_an_answer_without_a_request_that_we_saw_is_recorded() -> None:
    play = Play()
    play.see(answer(), cashier_ack())
    assert play.types == [STARTED, COMPLETED]
    assert (last(play).kind, last(play).charged) == (Kind.OTHER, Certainty.UNKNOWN)


def test_an_inquiry_opens_no_transaction_and_its_answer_is_none() -> None:
    play = Play()
    play.see(request(None, None, "repeat receipt"), answer(), cashier_ack())
    assert play.types == []
    play.see(request())
    assert play.types == [STARTED]


def test_a_retransmission_after_the_end_makes_no_second_event() -> None:
    play = Play()
    play.see(request(), answer(), cashier_ack(), answer(), cashier_ack())
    assert play.types == [STARTED, COMPLETED]


def test_missed_bytes_after_the_answer_leave_only_its_delivery_unknown() -> None:
    play = Play()
    play.see(request(), answer(), Missed())
    assert play.types == [STARTED, COMPLETED]
    assert (last(play).outcome, last(play).delivered) == (Outcome.APPROVED, Certainty.UNKNOWN)


def test_a_receipt_belongs_to_the_payment_of_the_exchange() -> None:
    play = Play()
    play.see(request(), answer(), cashier_ack())
    drafts = play.see(Receipt(direction=Direction.TERMINAL, receipt_kind=ReceiptKind.CUSTOMER, text=("Thank you",)))
    assert isinstance(drafts[0].data, ReceiptData)
    assert drafts[0].data.transaction == play.drafts[0].subject
    assert drafts[0].data.text == ("Thank you",)


def test_a_reprint_belongs_to_no_payment() -> None:
    play = Play()
    play.see(request(), answer(), cashier_ack(), request(None, None, "repeat receipt"))
    drafts = play.see(Receipt(direction=Direction.TERMINAL, receipt_kind=None, text=("copy",)))
    assert drafts[0].subject is None


@pytest.mark.parametrize(("stated", "matches"), [(734, True), (735, False), (None, None)])
@pytest.mark.parametrize("whole", [True, False])
def test_a_settlement_is_held_against_the_journal(stated: int | None, matches: bool | None, whole: bool) -> None:
    play = Play()
    if whole:
        play.see(Settlement(direction=Direction.TERMINAL))
    play.see(request(1234), answer(amount=1234), cashier_ack())
    play.see(request(500, Kind.REFUND, "credit"), answer(amount=500), cashier_ack())
    play.see(request(77), answer(Outcome.DECLINED, amount=77), cashier_ack())
    drafts = play.see(Settlement(direction=Direction.TERMINAL, totals=(Total("all", 2, stated),)))
    data = drafts[0].data
    assert isinstance(data, SettlementData)
    # What passed before we watched may be in the terminal's totals: a difference says nothing then.
    assert (data.journal_count, data.journal_amount, data.matches) == (2, 734, matches if whole or matches else None)
    assert play.book.tally.count == 0


def test_link_changes_are_told_once_each() -> None:
    play = Play(link_up=False)
    play.see(LinkDown("not_found"), LinkDown("not_found"), LinkDown("busy"), LinkUp(), LinkUp(), LinkDown("gone"))
    assert play.types == [
        EventType.TERMINAL_FAULT,
        EventType.TERMINAL_FAULT,
        EventType.TERMINAL_CONNECTED,
        EventType.TERMINAL_DISCONNECTED,
    ]
    data = play.drafts[-1].data
    assert isinstance(data, TerminalData)
    assert (data.link, data.reason) == ("down", "gone")


def test_broken_frames_in_a_row_degrade_the_line_until_a_good_one() -> None:
    play = Play()
    play.see(*[broken() for _ in range(BAD_FRAMES_DEGRADE + 2)])
    assert play.types == [EventType.TERMINAL_DEGRADED]
    assert play.book.link is Link.DEGRADED
    play.see(answer())
    assert play.book.link is Link.UP


def test_refused_port_settings_are_a_named_cause() -> None:
    play = Play()
    play.see(PortRefused("7E1"))
    data = play.drafts[-1].data
    assert isinstance(data, TerminalData)
    assert (data.reason, data.detail) == ("settings_refused", "7E1")


def test_every_state_is_in_the_table_and_every_handler_is_used() -> None:
    states = {state for state, _ in TABLE}
    assert states == set(State)
    assert {kind for _, kind in TABLE} & set(ANY_STATE) == {Missed}  # a payment under way makes more of it


def test_transaction_data_of_an_open_payment_invents_nothing() -> None:
    play = Play()
    play.see(request(None))
    assert play.book.current is not None
    data = transaction_data(play.book.current, play.terms)
    unknown = (data.amount, data.response_code, data.trace, data.card, data.ended_at, data.reason, data.order)
    assert unknown == (None,) * len(unknown)
    assert data.final is False
