"""Masking of card numbers. Nothing behind a decoder ever sees a full one (first six and last four remain)."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PREFIXES: tuple[tuple[str, str], ...] = (
    (r"62|81", "UnionPay"),
    (r"3[47]", "American Express"),
    (r"35(?:2[89]|[3-8])", "JCB"),
    (r"3(?:0[0-5]|[689])", "Diners Club"),
    (r"4", "Visa"),
    (r"5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)", "Mastercard"),
    (r"50|5[6-9]|6[37]", "Maestro"),
)

# Digits of a card number, whole or grouped by single blanks or dashes, as terminals print them.
_PAN_LIKE = re.compile(r"(?<![\d*])\d(?:[ -]?\d){12,}(?![\d*])")
# Runs of digits that carry no number of a card although they are long: all zeros, a fill character.
_FILLER = re.compile(r"(\d)\1*\Z")


@dataclass(frozen=True, slots=True)
class MaskedCard:
    """A card as tillwatch may know it: `masked` is six digits, asterisks, four digits; scheme by prefix."""

    masked: str
    scheme: str | None = None

    @property
    def last4(self) -> str | None:
        """The last four digits, where they are known."""
        tail = self.masked[-4:]
        return tail if tail.isdigit() else None

    def as_dict(self) -> dict[str, str | None]:
        """The contract's form of a card."""
        return {"masked": self.masked, "scheme": self.scheme}


def luhn_valid(digits: str) -> bool:
    """Whether the digits pass the ISO/IEC 7812-1 check."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def scheme_of(digits: str) -> str | None:
    """The card scheme that issues this prefix, or None."""
    return next((name for prefix, name in _PREFIXES if re.match(prefix, digits)), None)


def mask(number: str) -> MaskedCard | None:
    """Mask a card number.

    `number` may already hold masked digits (`*`, `E`, `X`): they stay masked. A run of digits longer than a
    card number (number and filler in one field) is cut where the check digit fits; where none fits, only the
    first six digits remain. Returns None where nothing looks like a card number.
    """
    compact = re.sub(r"[ -]", "", number).upper().rstrip("F")
    compact = re.sub(r"[EX]", "*", compact)
    if not re.fullmatch(r"[\d*]{8,}", compact) or _FILLER.match(compact):
        return None
    if len(compact) > 19:
        return _cut(compact)
    first, last = compact[:6], compact[-4:]
    scheme = scheme_of(first) if first.isdigit() else None
    if len(compact) < 13:  # too short to show ten digits of it
        return MaskedCard("*" * (len(compact) - 4) + last, scheme)
    return MaskedCard(first + "*" * (len(compact) - 10) + last, scheme)


def _cut(digits: str) -> MaskedCard:
    for length in (16, 19, 18, 17, 15, 14, 13):
        head = digits[:length]
        if head.isdigit() and luhn_valid(head) and set(digits[length:]) <= {"0", "*"}:
            return MaskedCard(head[:6] + "*" * (length - 10) + head[-4:], scheme_of(head))
    return MaskedCard(digits[:6] + "*" * 10, scheme_of(digits))


def scrub(text: str) -> str:
    """Text of a receipt or display with every card number in it masked, of the same length.

    A run of 13 to 19 digits is masked when it passes the check digit; a longer one always loses its middle.
    """
    return _PAN_LIKE.sub(_scrub_match, text)


def _scrub_match(found: re.Match[str]) -> str:
    shown = found.group()
    digits = re.sub(r"\D", "", shown)
    if _FILLER.match(digits) or (len(digits) <= 19 and not luhn_valid(digits)):
        return shown
    place = 0
    out = []
    for char in shown:
        if char.isdigit():
            out.append(char if place < 6 or place >= len(digits) - 4 else "*")
            place += 1
        else:
            out.append(char)
    return "".join(out)
