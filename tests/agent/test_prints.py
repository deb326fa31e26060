"""Receipts as evidence: a slip alone makes a transaction once; beside a protocol it fills in and settles."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from agent.events import (
    Certainty,
    EventType,
    Reason,
    ReceiptData,
    SettlementData,
    TerminalData,
    TransactionData,
    WarningKind,
)
from agent.frozen import from_plain, to_plain
from agent.payments import PRINTS_KEPT, Book, PortClosed, State, Terms
from drivers.observations import Direction, Facts, Kind, Observation, Outcome, Receipt, ReceiptKind
from drivers.receipt import ReceiptDecoder
from tests.agent.lines import SECOND, TERMS, Play, answer, cashier_ack, request, terminal_ack

FOLDER = Path(__file__).parent.parent / "data" / "receipts"
ALONE = Terms("pos1", "receipt", "serial:/dev/ttyUSB0", "CNY", 120 * SECOND, SECOND, listens_only=True)
STARTED, COMPLETED = EventType.TRANSACTION_STARTED, EventType.TRANSACTION_COMPLETED
PENDING, ESCALATED = EventType.TRANSACTION_PENDING, EventType.TRANSACTION_ESCALATED
CONFIRMED, WARNING = EventType.TRANSACTION_CONFIRMED, EventType.TRANSACTION_WARNING
CAPTURED = EventType.RECEIPT_CAPTURED


def printed(text: str, complete: bool = True) -> list[Observation]:
    decoder = ReceiptDecoder()
    decoder.feed(Direction.TERMINAL, text.encode("gb18030"))
    return decoder.finish() if complete else decoder.reset()


def slip(name: str) -> str:
    return next(FOLDER.glob(f"{name}_*.txt")).read_text(encoding="utf-8")


def customer(text: str) -> str:
    assert "商户存根" in text
    return text.replace("商户存根", "持卡人存根").replace("MERCHANT COPY", "CARDHOLDER COPY")


def owners(play: Play) -> list[str | None]:
    return [draft.data.transaction for draft in play.drafts if isinstance(draft.data, ReceiptData)]


def last(play: Play, kind: EventType) -> TransactionData:
    found = [draft.data for draft in play.drafts if draft.type == kind]
    assert isinstance(found[-1], TransactionData)
    return found[-1]


# --- alone ----------------------------------------------------------------------------------------------------------


def test_a_slip_is_a_transaction_begun_ended_and_captured() -> None:
    play = Play(ALONE)
    play.see(*printed(slip("01")))
    assert play.types == [STARTED, COMPLETED, CAPTURED]
    paid = last(play, COMPLETED)
    assert (paid.kind, paid.amount, paid.outcome, paid.charged) == (
        Kind.PURCHASE,
        12850,
        Outcome.APPROVED,
        Certainty.YES,
    )
    assert (paid.delivered, paid.final) == (Certainty.UNKNOWN, True)
    assert (paid.trace, paid.batch, paid.reference) == ("000010", "000123", "240607100001")
    assert paid.card is not None
    assert owners(play) == [paid.transaction]
    assert last(play, STARTED).transaction == paid.transaction


@pytest.mark.parametrize("name", ["01", "06"])
def test_both_copies_are_one_transaction(name: str) -> None:
    play = Play(ALONE)
    play.see(*printed(slip(name)), *printed(customer(slip(name))))
    assert play.types == [STARTED, COMPLETED, CAPTURED, CAPTURED]
    assert len(set(owners(play))) == 1


def test_the_next_payment_is_another_one_even_of_the_same_amount() -> None:
    play = Play(ALONE)
    play.see(*printed(slip("01")), *printed(slip("01").replace("000010", "000011").replace("100001", "100002")))
    assert play.types.count(COMPLETED) == 2
    assert len(set(owners(play))) == 2


def test_a_trace_number_of_another_batch_is_another_transaction() -> None:
    play = Play(ALONE)
    again = slip("01").replace("000123", "000124").replace("240607100001", "240608100001").replace("06/07", "06/08")
    play.see(*printed(slip("01")), *printed(again))
    assert play.types.count(COMPLETED) == 2


def test_a_reprint_makes_no_transaction_and_is_shown_with_the_one_it_repeats() -> None:
    play = Play(ALONE)
    play.see(*printed(slip("08")))
    assert play.types == [CAPTURED]
    play.see(*printed(slip("01")), *printed(slip("08")))
    assert play.types == [CAPTURED, STARTED, COMPLETED, CAPTURED, CAPTURED]
    assert owners(play) == [None, play.drafts[1].subject, play.drafts[1].subject]


def test_a_void_takes_back_what_it_prints_with_a_minus() -> None:
    play = Play(ALONE)
    play.see(*printed(slip("01")), *printed(slip("03")))
    taken_back = last(play, COMPLETED)
    assert (taken_back.kind, taken_back.amount) == (Kind.VOID, 12850)
    assert (play.book.tally.count, play.book.tally.amount) == (2, 0)


def test_a_declined_slip_charges_nobody() -> None:
    play = Play(ALONE)
    play.see(*printed(slip("10")))
    refused = last(play, COMPLETED)
    assert (refused.outcome, refused.charged, refused.response_code) == (Outcome.DECLINED, Certainty.NO, "51")


def test_an_alarm_calls_people_at_once() -> None:
    play = Play(ALONE)
    play.see(*printed(slip("09")))
    assert play.types == [STARTED, PENDING, ESCALATED, WARNING, CAPTURED]
    warned = last(play, WARNING)
    assert (warned.warning, warned.amount) == (WarningKind.REVERSAL_FAILED, 45600)
    assert warned.related is None
    assert (warned.outcome, warned.charged) == (Outcome.UNKNOWN, Certainty.UNKNOWN)
    assert last(play, PENDING).reason is Reason.HOST_TIMEOUT


def test_an_alarm_about_a_payment_that_was_approved_warns_of_that_one() -> None:
    play = Play(ALONE)
    play.see(*printed(slip("01")))
    alarm = slip("01").replace("备注/REFERENCE", "冲正不成功,请人工处理")
    play.see(*printed(alarm))
    assert play.types == [STARTED, COMPLETED, CAPTURED, WARNING, CAPTURED]
    assert last(play, WARNING).transaction == last(play, COMPLETED).transaction


@pytest.mark.parametrize("name", ["13", "02"])
def test_what_is_no_payment_or_a_test_makes_none(name: str) -> None:
    play = Play(ALONE)
    text = slip(name) if name == "13" else slip(name) + "测试单据,无效\n"
    play.see(*printed(text))
    assert play.types == [CAPTURED]
    assert owners(play) == [None]


def test_a_slip_torn_off_is_a_doubt_and_its_next_copy_settles_it() -> None:
    play = Play(ALONE)
    play.see(*printed(slip("01"), complete=False))
    assert play.types == [STARTED, PENDING, ESCALATED, CAPTURED]
    assert last(play, PENDING).reason is Reason.LINK_LOST
    play.drafts.clear()
    play.see(*printed(slip("08")))
    assert play.types == [CONFIRMED, CAPTURED]
    settled = last(play, CONFIRMED)
    assert (settled.outcome, settled.how, settled.delivered) == (Outcome.APPROVED, "reprint", Certainty.UNKNOWN)
    assert play.book.unknown == ()


def test_a_second_copy_that_says_otherwise_is_a_contradiction() -> None:
    play = Play(ALONE)
    play.see(*printed(slip("01")))
    play.see(*printed(slip("01").replace("备注/REFERENCE", "交易失败,密码错误")))
    assert last(play, WARNING).warning is WarningKind.CONTRADICTION
    assert play.types.count(COMPLETED) == 1


def test_the_end_of_the_day_is_told_once_and_held_against_the_slips() -> None:
    play = Play(ALONE)
    play.see(*printed(slip("11")), *printed(slip("11")))
    first = [draft.data for draft in play.drafts if isinstance(draft.data, SettlementData)]
    assert len(first) == 1
    assert (first[0].balanced, first[0].matches) == (True, None)  # nobody knows what was before
    assert play.book.tally.whole
    play.see(*printed(slip("01")), *printed(slip("04")))
    closing = slip("12").replace("13     12473.50", " 1       128.50")
    play.see(*printed(closing))
    settled = [draft.data for draft in play.drafts if isinstance(draft.data, SettlementData)][-1]
    assert (settled.balanced, settled.matches) == (False, True)
    assert (settled.journal_count, settled.journal_amount) == (2, 0)


def test_receipts_that_are_pictures_degrade_the_line_until_one_can_be_read() -> None:
    play = Play(ALONE)
    picture = replace(printed("x")[0], text=(), facts=Facts(extra=(("image", 1),)))
    play.see(picture, picture)
    assert play.types == [CAPTURED, EventType.TERMINAL_DEGRADED, CAPTURED]
    assert isinstance(play.drafts[1].data, TerminalData)
    assert play.drafts[1].data.reason == "image_receipts"
    play.see(*printed(slip("01")))
    assert play.types[3:] == [EventType.TERMINAL_CONNECTED, STARTED, COMPLETED, CAPTURED]


def test_only_the_last_slips_are_remembered_and_all_of_it_survives_a_restart() -> None:
    play = Play(ALONE)
    for number in range(PRINTS_KEPT + 5):
        play.see(*printed(slip("01").replace("000010", f"{number:06d}").replace("240607100001", f"{number:012d}")))
    assert play.types.count(COMPLETED) == PRINTS_KEPT + 5
    assert len(play.book.prints) == PRINTS_KEPT
    assert from_plain(Book, to_plain(play.book)) == play.book
    assert play.book.state is State.DELIVERED


# --- beside a protocol ------------------------------------------------------------------------------------------------

SLIP = (
    *("POS签购单", "终端编号:88001234", "交易类型:消费", "批次号:000123  凭证号:000010"),
    *("交易参考号:240607100001", "金额:RMB 12.34"),
)


def receipt(*lines: str, kind: ReceiptKind | None = ReceiptKind.MERCHANT) -> Receipt:
    return Receipt(direction=Direction.TERMINAL, receipt_kind=kind, text=lines)


def test_a_receipt_fills_in_what_the_frames_did_not_say() -> None:
    play = Play()
    play.see(request(1234), terminal_ack(), answer(final=False), receipt(*SLIP), answer(), cashier_ack())
    paid = last(play, COMPLETED)
    assert (paid.trace, paid.batch, paid.reference, paid.terminal_id) == (
        "000010",
        "000123",
        "240607100001",
        "88001234",
    )
    assert (paid.approval_code, paid.response_code) == ("A123", "0")
    assert owners(play) == [paid.transaction]


@pytest.mark.parametrize(
    "other",
    [
        (*SLIP[:-1], "金额:RMB 99.00"),
        (*SLIP, "授权码:B999"),
        (*SLIP, "卡号:622000******0012"),
        (*SLIP, "重打印"),
        SLIP[:-1],
    ],
)
def test_a_receipt_that_may_be_another_payments_fills_in_nothing(other: tuple[str, ...]) -> None:
    play = Play()
    play.see(request(1234), terminal_ack(), answer(final=False), receipt(*other), answer(), cashier_ack())
    paid = last(play, COMPLETED)
    assert (paid.trace, paid.batch, paid.reference) == (None, None, None)
    assert paid.approval_code == "A123"


def test_the_second_copy_of_the_payment_before_fills_in_nothing() -> None:
    play = Play()
    play.see(request(1234), answer(final=False), receipt(*SLIP), answer(), cashier_ack())
    play.see(request(1234), receipt(*SLIP, kind=ReceiptKind.CUSTOMER), answer(), cashier_ack())
    assert last(play, COMPLETED).trace is None


def in_doubt() -> Play:
    play = Play(replace(TERMS, asks=()))
    play.see(request(500), answer(amount=500), cashier_ack())
    play.see(request(1234), terminal_ack(), PortClosed())
    play.drafts.clear()
    return play


def at_its_time(play: Play) -> str:
    """A line with the terminal's local time, as it is now."""
    now = datetime.fromtimestamp(1_790_000_000 + play.now // SECOND)
    return f"日期/时间:{now:%Y/%m/%d %H:%M:%S}"


def test_its_receipt_settles_a_payment_in_doubt() -> None:
    play = in_doubt()
    play.see(receipt(*SLIP, at_its_time(play)))
    settled = last(play, CONFIRMED)
    assert (settled.outcome, settled.how, settled.trace) == (Outcome.APPROVED, "receipt", "000010")


@pytest.mark.parametrize(
    "lines",
    [
        (*SLIP, "日期/时间:2020/01/01 08:00:00"),
        (*SLIP[:-1], "金额:RMB 5.00"),
        ("POS签购单", "测试单据,无效", *SLIP[1:]),
    ],
)
def test_anothers_receipt_settles_nothing(lines: tuple[str, ...]) -> None:
    play = in_doubt()
    play.see(receipt(*lines))
    assert play.types == [CAPTURED]
    assert len(play.book.unknown) == 1


@pytest.mark.parametrize("before_the_answer", [True, False])
def test_the_receipt_of_the_next_payment_of_the_amount_settles_nothing(before_the_answer: bool) -> None:
    play = in_doubt()
    first = play.book.unknown[0].id
    paid, slip_of_it = (answer(), cashier_ack()), receipt(*SLIP, at_its_time(play))
    play.see(request(1234), *((slip_of_it, *paid) if before_the_answer else (*paid, slip_of_it)))
    assert CONFIRMED not in play.types
    assert [payment.id for payment in play.book.unknown] == [first]


def test_the_slip_of_a_void_settles_no_payment() -> None:
    play = in_doubt()
    void = [line.replace("消费", "消费撤销").replace("RMB 12.34", "RMB -12.34") for line in SLIP]
    play.see(receipt(*void, at_its_time(play)))
    assert play.types == [CAPTURED]


@pytest.mark.parametrize("other", [(*SLIP, "重打印"), (*SLIP, "授权码:B999")])
def test_a_slip_of_another_transaction_is_not_shown_with_the_current_payment(other: tuple[str, ...]) -> None:
    play = Play()
    play.see(request(1234), terminal_ack(), answer(), cashier_ack(), receipt(*other))
    assert owners(play) == [None]
