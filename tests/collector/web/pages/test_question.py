"""What somebody at the window types is understood, or said to be not understood; nothing that is typed raises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.phrase import Phrase
from collector.texts import LANGUAGES, Texts
from collector.web.pages.question import (
    BadQuestionError,
    Meaning,
    parse_amount,
    parse_last4,
    parse_number,
    understand,
)


@pytest.mark.parametrize(
    ("typed", "amount"),
    [
        ("1280.50", 128050), ("1,280.50", 128050), ("￥1280.50", 128050), ("¥1,280.5", 128050),
        ("１２８０．５０", 128050), ("1280元", 128000), ("1280。50", 128050), ("0.01", 1), ("35", 3500),
        ("1,234,567.89", 123456789),        ("CNY 12", 1200), ("12 CNY", 1200),
    ],
)  # fmt: skip
def test_an_amount_as_people_write_it(typed: str, amount: int) -> None:
    assert parse_amount(typed) == amount


@pytest.mark.parametrize("typed", ["", "abc", "12,80.50", "1.234", "-5", "12..5", "1e5", "١٢", "12345678901234567890"])
def test_what_is_no_amount_is_said_so(typed: str) -> None:
    with pytest.raises(BadQuestionError) as refused:
        parse_amount(typed)
    assert typed[:40] in refused.value.what.say(Texts("en"))


def test_the_end_of_a_card_is_four_digits() -> None:
    assert parse_last4("****1234") == parse_last4("１２３４") == parse_last4(" 12 34 ") == "1234"
    for typed in ("123", "12345", "12a4", ""):
        with pytest.raises(BadQuestionError):
            parse_last4(typed)


def test_a_number_from_a_slip() -> None:
    assert parse_number("#000123") == "000123"
    assert parse_number("ZY20260304-1/2_a") == "ZY20260304-1/2_a"
    for typed in ("", "a b", "'; DROP TABLE", "a" * 65):
        with pytest.raises(BadQuestionError):
            parse_number(typed)


@pytest.mark.parametrize(
    ("typed", "meanings"),
    [
        ("1280.50", [Meaning(amount=128050)]),
        ("¥35", [Meaning(amount=3500)]),
        ("4970", [Meaning(last4="4970"), Meaning(amount=497000), Meaning(number="4970")]),
        ("*4970", [Meaning(last4="4970")]),
        ("000123", [Meaning(number="000123")]),
        ("#4970", [Meaning(number="4970")]),
        ("ZY2026030400044", [Meaning(number="ZY2026030400044")]),
        ("240607100001", [Meaning(number="240607100001")]),
        ("*4970 1280.50", [Meaning(last4="4970", amount=128050)]),
        ("1280.50 *4970 000123", [Meaning(last4="4970", amount=128050, number="000123")]),
    ],
)  # fmt: skip
def test_one_box_takes_it_all(typed: str, meanings: list[Meaning]) -> None:
    assert understand(typed) == meanings


def test_two_words_are_both_true_at_once() -> None:
    assert Meaning(last4="4970", amount=12800) in understand("4970 128")
    with pytest.raises(BadQuestionError):
        understand("12.50 13.50")


@given(st.text(max_size=80))
def test_whatever_is_typed_it_is_understood_or_refused_in_words(typed: str) -> None:
    refusals: list[Phrase] = []
    for parse in (parse_amount, parse_last4, parse_number, understand):
        try:
            parse(typed)
        except BadQuestionError as refused:
            refusals.append(refused.what)
    for what in refusals:
        assert all(what.say(Texts(language)) != what.key for language in LANGUAGES)
