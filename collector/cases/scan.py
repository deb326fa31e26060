"""Looks for card numbers in what is about to leave the house. Nothing should be found: they are masked at the decoder.

A card number here: a run of 13 to 19 digits, plain or grouped by blanks or dashes, with a scheme's prefix and the right
check digit. One in ten order numbers of that length passes the check digit by chance, so the numbers that the payment
is known by (its own fields of order and reference) are taken out first unless they fit its card, and so are digests.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from drivers.cards import luhn_valid, scheme_of

_RUN = re.compile(r"(?<![\d*])\d(?:[ -]?\d){12,18}(?![\d*])")
_SHOWN = 8  # digits of a mask that fit by chance once in a hundred million
_DIGEST = re.compile(r"\b[0-9a-f]{64}\b")


def has_card(text: str, known: Iterable[str] = ()) -> bool:
    """Whether something in the text looks like a whole card number. `known`: numbers that are none."""
    text = _DIGEST.sub(" ", text)
    harmless = {re.sub(r"\D", "", number) for number in known}
    for found in _RUN.finditer(text):
        digits = re.sub(r"\D", "", found.group())
        if digits not in harmless and scheme_of(digits) and luhn_valid(digits):
            return True
    return False


def may_be(number: str, masked: str) -> bool:
    """Whether the number is that of a masked card, as far as the mask shows it. A field of order may hold anything."""
    digits = re.sub(r"\D", "", number)
    shown = [digit for digit in masked if digit != "*"]
    return (
        len(shown) >= _SHOWN
        and len(digits) == len(masked)
        and all(seen in ("*", digit) for digit, seen in zip(digits, masked, strict=True))
    )
