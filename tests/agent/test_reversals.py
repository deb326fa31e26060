"""A terminal undoes a payment of its own: what the book makes of a reversal and its answer.

Long because each order in which payment, reversal and answers may come is a test of its own, on one set of frames.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from agent.events import Call, Certainty, Draft, EventType, Reason, TransactionData
from agent.frozen import from_plain, to_plain
from agent.payments import Book, LinkUp, Missed, Payment, PortClosed, State, Tick
from drivers.observations import (
    Answer,
    Checksum,
    Direction,
    Facts,
    Kind,
    Outcome,
    Progress,
    Request,
    Reversal,
    Settlement,
    Total,
)
from tests.agent.lines import SECOND, TERMS, Play

T = replace(TERMS, protocol="cup8583", asks=(), answer_timeout_ns=65 * SECOND, acknowledged=False, reverses=True)
TERMINAL, HOST = Direction.TERMINAL, Direction.CASHIER


def facts(
    trace: int, amount: int | None = 1234, code: str | None = None, batch: str = "000001", tid: str = "T1"
) -> Facts:
    return Facts(amount=amount, trace=f"{trace:06d}", batch=batch, terminal_id=tid, response_code=code)


def sale(trace: int, amount: int = 1234, kind: Kind = Kind.PURCHASE, **more: str) -> Request:
    return Request(
        direction=TERMINAL, checksum=Checksum.OK, kind=kind, message=str(kind), facts=facts(trace, amount, **more)
    )


def said(trace: int, outcome: Outcome = Outcome.APPROVED, amount: int = 1234, code: str = "00", **more: str) -> Answer:
    return Answer(
        direction=HOST,
        checksum=Checksum.OK,
        outcome=outcome,
        final=True,
        message="sale",
        facts=replace(facts(trace, amount, code, **more), reference=f"R{trace}"),
    )


def undo(trace: int, amount: int = 1234, why: Reversal = Reversal.NO_ANSWER, **more: str) -> Request:
    return Request(
        direction=TERMINAL,
        checksum=Checksum.OK,
        kind=None,
        message="reversal",
        facts=facts(trace, amount, "98", **more),
        reverses=why,
    )


def undone(
    trace: int, outcome: Outcome = Outcome.REVERSED, amount: int | None = 1234, code: str = "00", **more: str
) -> Answer:
    return Answer(
        direction=HOST,
        checksum=Checksum.OK,
        outcome=outcome,
        final=True,
        message="reversal",
        facts=replace(facts(trace, amount, code, **more), reference="R-undo", terminal_time="06-07 09:30:15"),
        reverses=True,
    )


def play() -> Play:
    return Play(T)


def unanswered(line: Play, trace: int, amount: int = 1234) -> None:
    """A sale to which no answer came in time."""
    line.see(sale(trace, amount))
    line.wait(66)
    line.see(Tick())


def told(drafts: list[Draft]) -> list[tuple[str, str, str | None]]:
    """Type, outcome and trace number of each event."""
    return [
        (str(draft.type).removeprefix("transaction."), str(draft.data.outcome), draft.data.trace)
        for draft in drafts
        if isinstance(draft.data, TransactionData)
    ]


def last(drafts: list[Draft]) -> TransactionData:
    data = drafts[-1].data
    assert isinstance(data, TransactionData)
    return data


# --- answers where nobody acknowledges ----------


def test_an_answer_is_the_end_and_its_delivery_is_not_known() -> None:
    line = play()
    assert told(line.see(sale(1), said(1))) == [("started", "unknown", "000001"), ("completed", "approved", "000001")]
    assert last(line.drafts).delivered is Certainty.UNKNOWN
    assert line.book.deadline_mono_ns is None
    line.wait(100)
    assert line.see(Tick(), PortClosed()) == []


def test_the_host_may_be_on_either_side_of_the_line() -> None:
    line = play()
    asked = replace(sale(1), direction=HOST)
    assert told(line.see(asked, replace(said(1), direction=TERMINAL)))[-1] == ("completed", "approved", "000001")


def test_an_answer_finds_its_sale_by_its_number_also_when_the_amount_is_smaller() -> None:
    line = play()
    line.see(sale(1, 9900))
    data = last(line.see(said(1, amount=5000, code="10")))
    assert (data.outcome, data.amount, data.response_code) == (Outcome.APPROVED, 5000, "10")


def test_an_answer_of_the_same_amount_with_another_number_is_not_this_ones() -> None:
    line = play()
    unanswered(line, 1)
    line.see(sale(2))
    drafts = line.see(said(1, Outcome.DECLINED, code="51"))
    assert told(drafts) == [("confirmed", "declined", "000001")]
    assert line.book.state is State.OPEN
    assert told(line.see(said(2))) == [("completed", "approved", "000002")]


def test_the_same_number_of_another_terminal_is_another_payment() -> None:
    line = play()
    line.see(sale(1, tid="T1"))
    assert told(line.see(said(1, tid="T2")))[-1] == ("pending", "unknown", "000001")


def test_an_answer_that_comes_twice_tells_nothing_new() -> None:
    line = play()
    line.see(sale(1), said(1))
    assert line.see(said(1), replace(said(1), facts=replace(said(1).facts, reference="other"))) == []


def test_a_refund_that_is_sent_again_is_one_refund_and_its_answer_is_believed() -> None:
    """Terminals undo no refund: they send it again until it is answered."""
    line = play()
    line.see(sale(1, kind=Kind.REFUND))
    line.wait(66)
    line.see(Tick(), sale(2), said(2))
    assert line.see(sale(1, kind=Kind.REFUND)) == []
    drafts = line.see(said(1))
    assert told(drafts) == [("confirmed", "approved", "000001")]
    assert (last(drafts).kind, last(drafts).how) == (Kind.REFUND, "late_answer")


@pytest.mark.parametrize(("outcome", "code"), [(Outcome.APPROVED, "00"), (Outcome.UNKNOWN, "94")])
def test_a_request_that_is_sent_again_after_its_answer_counts_once(outcome: Outcome, code: str) -> None:
    line = play()
    line.see(settlement(0, 0, True), sale(1, kind=Kind.REFUND), said(1))
    assert line.see(sale(1, kind=Kind.REFUND), said(1, outcome, code=code)) == []
    assert (line.book.tally.count, line.book.tally.amount) == (1, -1234)


def test_the_next_batch_begins_its_numbers_anew() -> None:
    line = play()
    line.see(sale(1), said(1))
    assert told(line.see(sale(1, batch="000002"), said(1, batch="000002")))[-1] == ("completed", "approved", "000001")


# --- reversals ----------


def test_a_reversal_accepted_before_the_next_sale_settles_the_doubt() -> None:
    line = play()
    unanswered(line, 1)
    drafts = line.see(undo(1), undone(1))
    assert told(drafts) == [("confirmed", "reversed", "000001")]
    data = last(drafts)
    assert (data.charged, data.how, data.reason) == (Certainty.NO, "reversal", Reason.ANSWER_TIMEOUT)
    assert (data.reference, data.terminal_time, data.response_code) == (None, None, None)  # those are the reversal's
    assert told(line.see(sale(2), said(2)))[-1] == ("completed", "approved", "000002")
    assert line.book.unknown == ()


def test_a_host_that_knows_of_nothing_proves_that_nobody_was_charged() -> None:
    line = play()
    unanswered(line, 1)
    assert told(line.see(undo(1), undone(1, Outcome.NOT_EXECUTED, code="25"))) == [
        ("confirmed", "not_executed", "000001")
    ]


def test_the_payment_is_found_however_many_came_between() -> None:
    line = play()
    unanswered(line, 1)
    line.see(undo(1))  # nobody answers the reversal, and the terminal goes on all the same
    for trace in range(2, 12):
        line.see(sale(trace, 1234), said(trace))
    drafts = line.see(undo(1), undone(1))
    assert told(drafts) == [("confirmed", "reversed", "000001")]
    assert line.book.unknown == ()


def test_of_two_doubts_of_one_amount_the_one_with_the_number_is_undone() -> None:
    line = play()
    unanswered(line, 1)
    unanswered(line, 2)
    assert told(line.see(undo(1), undone(1))) == [("confirmed", "reversed", "000001")]
    assert [payment.facts.trace for payment in line.book.unknown] == ["000002"]
    assert told(line.see(undo(2), undone(2))) == [("confirmed", "reversed", "000002")]


def test_the_same_number_in_another_batch_is_another_payment() -> None:
    line = play()
    unanswered(line, 1)
    drafts = line.see(undo(1, batch="000002"), undone(1, batch="000002"))
    assert told(drafts) == [("started", "unknown", "000001"), ("completed", "reversed", "000001")]
    assert [payment.facts.batch for payment in line.book.unknown] == ["000001"]


@pytest.mark.parametrize("code", ["98", "96", "06"])
def test_a_reversal_that_is_refused_settles_nothing(code: str) -> None:
    line = play()
    unanswered(line, 1)
    assert line.see(undo(1), undone(1, Outcome.UNKNOWN, code=code)) == []
    assert [payment.facts.trace for payment in line.book.unknown] == ["000001"]
    assert told(line.see(undo(1), undone(1))) == [("confirmed", "reversed", "000001")]


def test_a_reversal_without_an_answer_settles_nothing() -> None:
    line = play()
    unanswered(line, 1)
    assert told(line.see(undo(1), sale(2, 99), said(2, amount=99))) == [
        ("started", "unknown", "000002"),
        ("completed", "approved", "000002"),
    ]
    assert [payment.facts.trace for payment in line.book.unknown] == ["000001"]


@pytest.mark.parametrize(
    ("why", "reason"),
    [
        (Reversal.NO_ANSWER, Reason.HOST_TIMEOUT),
        (Reversal.BAD_ANSWER, Reason.BAD_FRAME),
        (Reversal.OTHER, Reason.CODE_AMBIGUOUS),
    ],
)
def test_an_approval_that_the_terminal_takes_back_is_in_doubt_until_the_host_agrees(
    why: Reversal, reason: Reason
) -> None:
    line = play()
    line.see(sale(1), said(1))
    drafts = line.see(undo(1, why=why))
    assert told(drafts) == [("pending", "unknown", "000001")]
    assert last(drafts).reason is reason
    assert last(drafts).charged is Certainty.UNKNOWN
    drafts = line.see(undone(1))
    assert told(drafts) == [("confirmed", "reversed", "000001")]
    assert last(drafts).charged is Certainty.NO


def test_an_open_sale_that_its_terminal_undoes_is_not_waited_for() -> None:
    line = play()
    line.see(sale(1))
    assert told(line.see(undo(1), undone(1))) == [
        ("pending", "unknown", "000001"),
        ("confirmed", "reversed", "000001"),
    ]


def test_a_reversal_seen_from_its_answer_on_counts_as_well() -> None:
    line = play()
    line.see(sale(1), said(1), Missed())
    assert told(line.see(undone(1)))[-1] == ("confirmed", "reversed", "000001")


def test_a_declined_sale_is_not_undone() -> None:
    line = play()
    line.see(sale(1), said(1, Outcome.DECLINED, code="51"))
    assert line.see(undo(1), undone(1, Outcome.NOT_EXECUTED, code="25")) == []


def test_the_answer_may_leave_the_amount_and_batch_out() -> None:
    line = play()
    unanswered(line, 1)
    short = replace(undone(1), facts=Facts(trace="000001", terminal_id="T1", response_code="00"))
    assert told(line.see(undo(1), short)) == [("confirmed", "reversed", "000001")]


def test_a_reversal_of_what_nobody_saw_is_recorded_once() -> None:
    line = play()
    drafts = line.see(undo(7, 500), undone(7, amount=500))
    assert told(drafts) == [("started", "unknown", "000007"), ("completed", "reversed", "000007")]
    assert (last(drafts).kind, last(drafts).charged, last(drafts).amount) == (Kind.OTHER, Certainty.NO, 500)
    assert line.see(undo(7, 500), undone(7, amount=500)) == []


def test_a_reversal_that_is_answered_twice_undoes_once() -> None:
    line = play()
    unanswered(line, 1)
    unanswered(line, 2)
    line.see(undo(1), undone(1))
    assert line.see(undone(1), undo(1), undone(1)) == []
    assert [payment.facts.trace for payment in line.book.unknown] == ["000002"]


def test_an_approval_that_crosses_with_the_reversal_changes_nothing() -> None:
    line = play()
    unanswered(line, 1)
    line.see(undo(1), undone(1))
    assert line.see(said(1)) == []


@pytest.mark.parametrize("outcome", [Outcome.APPROVED, Outcome.DECLINED])
def test_what_the_host_answers_to_the_sale_after_its_reversal_was_sent_settles_nothing(outcome: Outcome) -> None:
    for begin in ((said(1),), ()):
        line = play()
        line.see(sale(1), *begin, undo(1))
        assert line.see(said(1, outcome)) == []
        assert told(line.see(undone(1))) == [("confirmed", "reversed", "000001")]


def test_a_sale_of_yesterday_is_undone_after_the_agent_was_restarted() -> None:
    line = play()
    unanswered(line, 1)
    kept = json.loads(json.dumps(to_plain(line.book)))
    line.book = from_plain(Book, kept)
    line.see(Missed(), LinkUp())
    line.wait(20 * 3600)
    assert told(line.see(Tick()))[-1] == ("escalated", "unknown", "000001")
    assert told(line.see(undo(1), undone(1))) == [("confirmed", "reversed", "000001")]


def test_a_void_is_undone_like_a_sale_and_the_sale_stands() -> None:
    line = play()
    line.see(sale(1), said(1))
    line.see(sale(2, kind=Kind.VOID))
    line.wait(66)
    line.see(Tick())
    drafts = line.see(undo(2), undone(2))
    assert told(drafts) == [("confirmed", "reversed", "000002")]
    assert last(drafts).kind is Kind.VOID


def test_where_no_numbers_are_borne_only_a_single_doubt_of_the_amount_is_undone() -> None:
    bare = replace(undo(1), facts=Facts(amount=1234))
    accepted = replace(undone(1), facts=Facts(amount=1234, response_code="00"))
    line = play()
    unanswered(line, 1)
    unanswered(line, 2)
    assert "confirmed" not in [kind for kind, _, _ in told(line.see(bare, accepted))]
    line = play()
    unanswered(line, 1)
    assert told(line.see(bare, accepted)) == [("confirmed", "reversed", "000001")]


def test_a_reversal_of_another_terminal_on_the_line_leaves_the_open_sale_alone() -> None:
    line = play()
    line.see(sale(1, tid="T1"))
    line.see(undo(7, 500, tid="T2"), undone(7, amount=500, tid="T2"))
    assert line.book.state is State.OPEN
    assert told(line.see(said(1)))[-1] == ("completed", "approved", "000001")


def test_polling_the_terminal_does_not_put_off_the_doubt() -> None:
    line = play()
    line.see(sale(1))
    for _ in range(4):
        line.wait(20)
        line.see(Progress(direction=HOST, message="enquiry"), Tick())
    assert told(line.drafts)[-1] == ("pending", "unknown", "000001")


# --- late approvals ----------


def test_a_late_approval_is_not_believed_until_the_terminal_goes_on_without_a_reversal() -> None:
    line = play()
    unanswered(line, 1)
    assert line.see(said(1)) == []
    assert line.book.unknown[0].facts.reference == "R1"
    drafts = line.see(sale(2, 99))
    assert told(drafts) == [
        ("confirmed", "approved", "000001"),
        ("undelivered", "approved", "000001"),
        ("started", "unknown", "000002"),
    ]
    assert isinstance(drafts[0].data, TransactionData)
    assert (drafts[0].data.how, drafts[0].data.late) == ("late_answer", True)


def test_a_late_approval_is_undone_when_the_terminal_says_so() -> None:
    line = play()
    unanswered(line, 1)
    line.see(said(1))
    assert told(line.see(undo(1), undone(1))) == [("confirmed", "reversed", "000001")]


def test_a_late_approval_whose_reversal_was_not_accepted_stays_in_doubt() -> None:
    line = play()
    unanswered(line, 1)
    line.see(said(1), undo(1), undone(1, Outcome.UNKNOWN, code="98"))
    assert told(line.see(sale(2, 99))) == [("started", "unknown", "000002")]
    assert [payment.facts.trace for payment in line.book.unknown] == ["000001"]


def test_a_late_refusal_is_believed_at_once() -> None:
    line = play()
    unanswered(line, 1)
    assert told(line.see(said(1, Outcome.DECLINED, code="51"))) == [("confirmed", "declined", "000001")]


@pytest.mark.parametrize("kind", [Kind.SETTLEMENT, Kind.REFUND])
def test_what_may_go_out_before_a_reversal_proves_nothing(kind: Kind) -> None:
    line = play()
    unanswered(line, 1)
    line.see(said(1))
    assert ("confirmed", "approved", "000001") not in told(line.see(sale(2, kind=kind)))


def test_another_terminal_on_the_line_proves_nothing() -> None:
    line = play()
    unanswered(line, 1)
    line.see(said(1))
    assert ("confirmed", "approved", "000001") not in told(line.see(sale(9, tid="T2")))


# --- people ----------


def test_people_are_not_called_as_long_as_the_terminal_may_settle_it_by_itself() -> None:
    line = play()
    unanswered(line, 1)
    assert line.types[-1] is EventType.TRANSACTION_PENDING
    line.wait(901)
    assert last(line.see(Tick())).call is Call.FIRST
    line.wait(90_000)
    assert last(line.see(Tick())).call is Call.FINAL
    assert told(line.see(undo(1), undone(1))) == [("confirmed", "reversed", "000001")]


def test_the_advice_says_how_long_a_doubt_may_last() -> None:
    line = play()
    unanswered(line, 1)
    advice = last(line.drafts).advice
    assert advice is not None
    assert "until somebody pays on this terminal again" in advice.en
    assert "下一次收款之前" in advice.zh_CN


def test_no_double_charge_is_feared_once_the_first_is_undone() -> None:
    line = play()
    unanswered(line, 1)
    line.see(undo(1), undone(1))
    assert EventType.TRANSACTION_WARNING not in [draft.type for draft in line.see(sale(2))]


# --- totals ----------


def settlement(amount: int, count: int, balanced: bool | None) -> Settlement:
    totals = (Total("debit", count, amount, Kind.PURCHASE), Total("credit", 0, 0, Kind.REFUND))
    return Settlement(direction=HOST, checksum=Checksum.OK, totals=totals, balanced=balanced)


def test_what_was_undone_is_not_in_the_tally() -> None:
    line = play()
    line.see(settlement(0, 0, True))
    line.see(sale(1, 500), said(1, amount=500), sale(2), said(2))
    line.see(undo(2), undone(2))
    assert (line.book.tally.count, line.book.tally.amount) == (1, 500)


@pytest.mark.parametrize(("balanced", "settled"), [(True, True), (None, False), (False, False)])
def test_totals_that_the_host_does_not_agree_with_prove_nothing(balanced: bool | None, settled: bool) -> None:
    """The terminal's own totals leave out what it does not know to be charged."""
    line = play()
    line.see(settlement(0, 0, True))
    line.see(sale(1, 500), said(1, amount=500))
    unanswered(line, 2)
    drafts = line.see(settlement(500, 1, balanced))
    assert (("confirmed", "not_executed", "000002") in told(drafts)) is settled


def test_an_acknowledged_protocol_may_reverse_as_well() -> None:
    """An answer that waits for its acknowledgement is undone before it was ever told."""
    line = Play(replace(T, acknowledged=True))
    line.see(settlement(0, 0, True), sale(1), said(1))
    assert line.book.state is State.ANSWERED
    assert told(line.see(undo(1), undone(1))) == [("pending", "unknown", "000001"), ("confirmed", "reversed", "000001")]
    assert (line.book.tally.count, line.book.tally.amount) == (0, 0)


def test_payments_written_before_there_were_reversals_are_still_read() -> None:
    line = play()
    unanswered(line, 1)
    plain = to_plain(line.book.unknown[0])
    for name in ("by", "reversing"):
        del plain[name]
    assert from_plain(Payment, plain).reversing is False
