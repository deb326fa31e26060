"""What a transaction that a terminal shows proves about a payment in doubt."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.evidence import SECOND, Doubtful, Mark, Verdict, judge, mark_of, same, shown_mark
from drivers.observations import Facts

BEGAN = datetime(2026, 11, 24, 10, 0, 0)
BEGAN_NS = int(BEGAN.timestamp()) * SECOND


def mark(trace: str | None = "000042", amount: int | None = 3550, after_s: float = 2, **others: str | None) -> Mark:
    """A transaction that the terminal's clock puts so long after the payment in doubt began."""
    facts = Facts(amount=amount, trace=trace, terminal_time=f"{BEGAN + timedelta(seconds=after_s):%Y-%m-%d %H:%M:%S}")
    return replace(shown_mark(facts, BEGAN_NS + int(after_s * SECOND)), **others)  # type: ignore[arg-type]


BEFORE = mark("000041", 800, -600)
DOUBT = Doubtful(None, 3550, BEFORE, BEGAN_NS, BEGAN_NS + 60 * SECOND)


def test_the_payments_own_numbers_settle_it() -> None:
    doubt = replace(DOUBT, own=mark("000042"), before=None)
    assert judge(doubt, mark("000042", after_s=7000)) is Verdict.THIS


def test_its_own_number_with_another_amount_is_another_transaction() -> None:
    doubt = replace(DOUBT, own=mark("000042"))
    assert judge(doubt, mark("000042", 9900)) is Verdict.UNCLEAR


def test_another_number_than_its_own_proves_nothing() -> None:
    assert judge(replace(DOUBT, own=mark("000042")), mark("000043")) is Verdict.UNCLEAR


def test_the_transaction_before_it_shown_again_means_that_it_never_took_place() -> None:
    assert judge(DOUBT, BEFORE) is Verdict.ABSENT


def test_a_newer_transaction_of_its_amount_and_time_is_it() -> None:
    assert judge(DOUBT, mark()) is Verdict.THIS


def test_a_newer_transaction_of_its_amount_without_any_time_is_it() -> None:
    assert judge(DOUBT, mark(terminal_time=None)) is Verdict.THIS


def test_another_amount_is_not_it() -> None:
    assert judge(DOUBT, mark(amount=3551)) is Verdict.UNCLEAR


def test_an_older_trace_number_is_not_it() -> None:
    assert judge(DOUBT, mark("000040")) is Verdict.UNCLEAR


def test_trace_numbers_begin_anew_behind_999999() -> None:
    assert judge(replace(DOUBT, before=replace(BEFORE, trace="999999")), mark("000001")) is Verdict.THIS


def test_a_new_batch_counts_from_one() -> None:
    doubt = replace(DOUBT, before=replace(BEFORE, batch="7"))
    assert judge(doubt, mark("000001", batch="8")) is Verdict.THIS
    assert judge(doubt, mark("000001", batch="7")) is Verdict.UNCLEAR


def test_the_same_amount_an_hour_later_is_another_payment() -> None:
    assert judge(DOUBT, mark(after_s=3600)) is Verdict.UNCLEAR


def test_a_clock_that_is_known_to_be_off_is_allowed_for() -> None:
    ahead = replace(BEFORE, terminal_time=f"{BEGAN + timedelta(seconds=3000):%Y-%m-%d %H:%M:%S}")
    assert judge(replace(DOUBT, before=ahead), mark(after_s=3605)) is Verdict.THIS
    assert judge(replace(DOUBT, before=ahead), mark(after_s=5)) is Verdict.UNCLEAR


def test_behind_a_gap_the_amount_alone_is_not_enough() -> None:
    doubt = replace(DOUBT, before=replace(BEFORE, gapless=False))
    assert judge(doubt, mark(terminal_time=None)) is Verdict.UNCLEAR
    assert judge(doubt, mark()) is Verdict.THIS  # the terminal's clock says so
    assert judge(doubt, BEFORE) is Verdict.ABSENT


def test_a_clock_that_stands_still_tells_nothing() -> None:
    assert judge(DOUBT, mark(terminal_time=BEFORE.terminal_time)) is Verdict.THIS
    assert judge(DOUBT, mark("000040", terminal_time=BEFORE.terminal_time)) is Verdict.UNCLEAR


@pytest.mark.parametrize(("after_s", "verdict"), [(5, Verdict.THIS), (290, Verdict.THIS), (400, Verdict.UNCLEAR)])
def test_without_a_known_transaction_before_it_the_time_has_to_fit(after_s: float, verdict: Verdict) -> None:
    assert judge(replace(DOUBT, before=None), mark(after_s=after_s)) is verdict


def test_without_a_time_and_without_one_before_it_nothing_is_proven() -> None:
    assert judge(replace(DOUBT, before=None), mark(terminal_time=None)) is Verdict.UNCLEAR


@pytest.mark.parametrize("text", [f"{BEGAN:%m-%d} 10:00:03", "10:00:03"])
def test_a_time_without_year_or_day_is_taken_from_nearby(text: str) -> None:
    assert judge(replace(DOUBT, before=None), mark(terminal_time=text)) is Verdict.THIS


def test_a_time_around_new_year_is_taken_from_nearby() -> None:
    began = int(datetime(2027, 1, 1, 0, 0, 10).timestamp()) * SECOND
    doubt = Doubtful(None, 3550, None, began, began + 60 * SECOND)
    assert judge(doubt, mark(terminal_time="12-31 23:59:58")) is Verdict.THIS


def test_a_leap_day_does_not_break_it() -> None:
    assert judge(replace(DOUBT, before=None), mark(terminal_time="02-29 10:00:00")) is Verdict.UNCLEAR


def test_a_time_that_is_none_counts_as_none() -> None:
    assert judge(replace(DOUBT, before=None), mark(terminal_time="99-99 77:00:00")) is Verdict.UNCLEAR


def test_facts_without_any_number_leave_no_mark() -> None:
    assert mark_of(Facts(amount=3550), 0) is None


def test_nothing_in_common_tells_nothing() -> None:
    assert same(mark("000042"), mark(None, approval_code="A1")) is None


_TEXTS = st.one_of(st.none(), st.sampled_from(["000041", "000042", "7", "x", "11-24 10:00:03", "2026-11-24 10:00:03"]))
_MARKS = st.builds(
    Mark,
    amount=st.sampled_from([None, 3550, 800]),
    trace=_TEXTS,
    batch=_TEXTS,
    approval_code=_TEXTS,
    reference=_TEXTS,
    terminal_time=_TEXTS,
    seen_wall_ns=st.just(BEGAN_NS),
)


@given(st.one_of(st.none(), _MARKS), st.one_of(st.none(), _MARKS), st.sampled_from([None, 3550]), _MARKS)
def test_never_a_payment_of_another_amount(
    own: Mark | None, before: Mark | None, amount: int | None, shown: Mark
) -> None:
    doubt = Doubtful(own, amount, before, BEGAN_NS, BEGAN_NS + SECOND)
    if judge(doubt, shown) is Verdict.THIS and own is None:
        assert shown.amount == amount is not None
    if own is not None and None not in (own.amount, shown.amount) and own.amount != shown.amount:
        assert judge(doubt, shown) is not Verdict.THIS
