"""What somebody at the window types, understood: an amount in yuan, four digits of a card, a number from a slip.

Pure. One box takes several words; each is read by its form, and where a form has two meanings both are tried.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass

from agent.phrase import Phrase, phrase

_AMOUNT = re.compile(r"(\d{1,12}|\d{1,3}(?:,\d{3}){1,3})(?:\.(\d{1,2}))?", re.ASCII)
_NUMBER = re.compile(r"[0-9A-Za-z._/-]{1,64}")
#: a number of at least so many digits is no amount that anybody pays with a card
_LONG = 8


class BadQuestionError(Exception):
    """What was typed can't be understood; says what and how to write it."""

    def __init__(self, what: Phrase) -> None:
        super().__init__(what.key)
        self.what = what


@dataclass(frozen=True, slots=True)
class Meaning:
    """One way to read what was typed. Amount in minor units."""

    last4: str | None = None
    amount: int | None = None
    number: str | None = None


def parse_amount(text: str) -> int:
    """`1280.50`, `1,280.50`, `￥1280.50`, `1280元`: minor units of two decimals. Raises BadQuestionError."""
    bare = _plain(text).removeprefix("CNY").removesuffix("CNY").strip("¥元 ")
    found = _AMOUNT.fullmatch(bare)
    if found is None:
        raise BadQuestionError(phrase("page.bad_amount", text=text[:40]))
    return int(found[1].replace(",", "")) * 100 + int((found[2] or "0").ljust(2, "0"))


def parse_last4(text: str) -> str:
    """The last four digits of a card. Raises BadQuestionError."""
    bare = _plain(text).replace(" ", "").replace("*", "")
    if not re.fullmatch(r"\d{4}", bare, re.ASCII):
        raise BadQuestionError(phrase("page.bad_last4"))
    return bare


def parse_number(text: str) -> str:
    """A trace, order, reference or approval number. Raises BadQuestionError."""
    bare = _plain(text).strip("# ")
    if not _NUMBER.fullmatch(bare):
        raise BadQuestionError(phrase("page.bad_number", text=text[:40]))
    return bare


def understand(text: str) -> list[Meaning]:
    """All readings of the one box, the likeliest first. Raises BadQuestionError when there is none.

    `1280.50` is an amount; `4970` a card's end, an amount or a number; `000123` a trace; a long one an order.
    Several words must all be true at once: `4970 1280.50`.
    """
    words = _plain(text).split()
    if not words or len(words) > 4:
        raise BadQuestionError(phrase("page.bad_question"))
    readings = [Meaning()]
    for word in words:
        joined = [_join(old, new) for old in readings for new in _word(word)]
        readings = [meaning for meaning in joined if meaning is not None]
    if not readings:
        raise BadQuestionError(phrase("page.bad_question"))
    return readings


def _word(word: str) -> list[Meaning]:
    marked = word != word.strip("¥元") or "." in word or "," in word
    found: list[Meaning] = []
    if re.fullmatch(r"\**\d{4}", word, re.ASCII):
        found.append(Meaning(last4=word[-4:]))
    if not word.startswith("*") and (marked or (word.isdecimal() and len(word) < _LONG and word[0] != "0")):
        with suppress(BadQuestionError):
            found.append(Meaning(amount=parse_amount(word)))
    if not marked or not found:
        bare = word.strip("#")
        if _NUMBER.fullmatch(bare):
            found.append(Meaning(number=bare))
    return found


def _join(one: Meaning, other: Meaning) -> Meaning | None:
    """Both at once; None when both speak of the same thing."""
    if (one.last4 and other.last4) or (one.number and other.number):
        return None
    if one.amount is not None and other.amount is not None:
        return None
    return Meaning(
        last4=one.last4 or other.last4,
        amount=other.amount if one.amount is None else one.amount,
        number=one.number or other.number,
    )


def _plain(text: str) -> str:
    """As typed by an input method of either language: full-width digits and marks become the narrow ones."""
    wide = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
    return text.translate(wide | {0x3000: " ", 0xFFE5: "¥", 0x3002: "."}).strip()
