"""No full card number gets past drivers/cards.py."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.cards import MaskedCard, luhn_valid, mask, scheme_of, scrub
from tests.drivers.pans import PANS


@pytest.mark.parametrize(
    ("number", "masked", "scheme"),
    [
        ("4975541234514970", "497554******4970", "Visa"),
        ("4975 5412 3451 4970", "497554******4970", "Visa"),
        ("374245455400126", "374245*****0126", "American Express"),
        ("6222021234567890123", "622202*********0123", "UnionPay"),
        ("123456789012", "********9012", None),
        ("497554EEEEEE4970", "497554******4970", "Visa"),
        ("622202******1234", "622202******1234", "UnionPay"),
        ("4975541234514970" + "0" * 10, "497554******4970", "Visa"),
        ("1234567890" * 3, "123456**********", None),
    ],
)
def test_masking(number: str, masked: str, scheme: str | None) -> None:
    assert mask(number) == MaskedCard(masked, scheme)


@pytest.mark.parametrize(
    "text", ["", "0000000000000000", "12345", "abcdefgh", "A123456789", "497554FFFFFF", "FFFFFFFFFFFFFFFF"]
)
def test_what_is_no_card_number(text: str) -> None:
    assert mask(text) is None


@given(PANS)
def test_a_masked_number_shows_ten_digits_at_most(pan: str) -> None:
    card = mask(pan)
    assert card is not None
    assert card.masked[:6] == pan[:6]
    assert card.last4 == pan[-4:]
    assert set(card.masked[6:-4]) == {"*"}
    assert len(card.masked) == len(pan)


@given(PANS)
def test_masking_a_masked_number_changes_nothing(pan: str) -> None:
    card = mask(pan)
    assert card is not None
    assert mask(card.masked) == card


@given(PANS, st.text("abc :\n", max_size=20), st.text("xyz .\n", max_size=20))
def test_scrub_masks_a_number_in_a_text_and_keeps_the_text(pan: str, before: str, after: str) -> None:
    text = f"{before}{pan}{after}"
    shown = scrub(text)
    assert pan not in shown
    assert len(shown) == len(text)
    assert re.sub(r"[\d*]", "", shown) == re.sub(r"[\d*]", "", text)


def test_scrub_knows_the_groups_that_receipts_print() -> None:
    assert scrub("4975 5412 3451 4970") == "4975 54** **** 4970"


@pytest.mark.parametrize("text", ["Terminal 12345678", "0000000000000000", "4975541234514971", "RRN 123456789012"])
def test_scrub_leaves_other_numbers(text: str) -> None:
    assert scrub(text) == text


@given(PANS)
def test_the_check_digit_finds_a_wrong_digit(pan: str) -> None:
    wrong = str((int(pan[8]) + 1) % 10)
    assert luhn_valid(pan)
    assert not luhn_valid(pan[:8] + wrong + pan[9:])


@pytest.mark.parametrize(
    ("digits", "scheme"),
    [("622202", "UnionPay"), ("352800", "JCB"), ("222100", "Mastercard"), ("672100", "Maestro"), ("999999", None)],
)
def test_schemes(digits: str, scheme: str | None) -> None:
    assert scheme_of(digits) == scheme
