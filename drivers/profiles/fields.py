"""A field's bytes as text and back, and what its text means. Nothing here raises on input."""

from __future__ import annotations

import re

from drivers.cards import luhn_valid, mask, scheme_of, scrub
from drivers.profiles.schema import Encoding, Fact, Field, Unit

_CODECS = {Encoding.ASCII: "latin-1", Encoding.GBK: "gb18030", Encoding.UTF8: "utf-8"}
_MINOR = re.compile(r"[+-]?0*(\d{1,15})")
#: 12.85, RMB  12.85, ¥-1,234.50, 12.85元. A comma stands before three digits only: 12,85 is read by nobody for sure
_MAJOR = re.compile(r"[^\d.,-]{0,8}-?0*(\d{1,13}|\d{1,3}(?:,\d{3}){1,4})(?:\.(\d{1,2}))?[^\d.,-]{0,4}")
_NUMBER = re.compile(r"[0-9]{1,19}")
_LONGEST_NUMBER = 8  # bytes of a binary one
_LONG_RUN = re.compile(r"\d{13,}")
_BLANK = " \0\t\r\n"  # fillers, and the end of a line that a file has behind the last value
_CUT = "\ufffd"  # what is left of a character that a field's end has cut in two
#: numbers of the hospital, the acquirer and the wallets: many have more digits than a card number
_NUMBERS = frozenset({Fact.ORDER, Fact.CHANNEL_ORDER, Fact.REFERENCE})
_LONGEST_CARD = 19


def text_of(field: Field, raw: bytes) -> str:
    """The value as text, its filler taken off; empty where nothing stands there."""
    if field.encoding is Encoding.BINARY:
        # A longer one is no number that anybody counts with, and a decimal of a thousand digits costs time.
        return str(int.from_bytes(raw, "big")) if 0 < len(raw) <= _LONGEST_NUMBER else raw.hex().upper()
    if field.encoding in (Encoding.BCD, Encoding.HEX, Encoding.CUP8583):
        return raw.hex().upper()
    text = raw.decode(_CODECS[field.encoding], "replace").strip(_BLANK).rstrip(_CUT)
    return text.removeprefix(field.prefix).strip(_BLANK) if field.prefix else text


def bytes_of(field: Field, text: str) -> bytes:
    """The value on the line; filled up to the field's size, and cut to it."""
    if field.encoding is Encoding.BINARY:
        number = int(text) if _NUMBER.fullmatch(text) else 0
        return (number % (1 << 8 * (field.size or 1))).to_bytes(field.size or 1, "big")
    if field.encoding in (Encoding.BCD, Encoding.HEX, Encoding.CUP8583):
        digits = re.sub(r"[^0-9A-Fa-f]", "", text)
        wanted = 2 * field.size if field.size else len(digits) + len(digits) % 2
        return bytes.fromhex(digits.rjust(wanted, "0")[-wanted:] if wanted else "")
    codec = _CODECS[field.encoding]
    if field.prefix:
        room = (field.size or 0) - len(field.prefix)
        text = field.prefix + text.rjust(max(0, room))
    elif field.fact is Fact.AMOUNT and field.unit is Unit.MINOR and field.size and text:
        text = text.rjust(field.size, "0")
    encoded = text.encode(codec, "replace")
    return encoded[: field.size].ljust(field.size, b" ") if field.size else encoded


def amount_of(field: Field, text: str) -> int | None:
    """An amount in minor units, without its sign: what it means is the kind's to say."""
    if field.unit is Unit.MINOR:
        found = _MINOR.fullmatch(text)
        return int(found[1]) if found else None
    found = _MAJOR.fullmatch(text)
    return int(found[1].replace(",", "")) * 100 + int((found[2] or "0").ljust(2, "0")) if found else None


def amount_text(field: Field, amount: int) -> str:
    """The amount as this field writes it."""
    return str(amount) if field.unit is Unit.MINOR else f"{amount // 100}.{amount % 100:02d}"


def clean(field: Field, text: str) -> str:
    """The text without anything that could be a card number."""
    if field.fact is Fact.CARD:
        card = mask(text)
        return card.masked if card else ""
    if field.fact in _NUMBERS:
        return _LONG_RUN.sub(_unless_card, text)
    return scrub(text)


def _unless_card(found: re.Match[str]) -> str:
    """An order number stays, unless it is a card number, alone or filled up with zeros."""
    digits = found.group()
    for length in range(13, _LONGEST_CARD + 1):
        head = digits[:length]
        filled = len(head) == length and not digits[length:].strip("0")
        if filled and luhn_valid(head) and scheme_of(head):
            return head[:6] + "*" * (length - 10) + digits[length - 4 :]
    return digits


def date_of(text: str) -> str:
    """YYYY-MM-DD or MM-DD; empty where the digits are no date."""
    if not (text.isascii() and text.isdigit()) or len(text) not in (4, 6, 8):
        return ""
    year, rest = text[:-4], text[-4:]
    if not (1 <= int(rest[:2]) <= 12 and 1 <= int(rest[2:]) <= 31):
        return ""
    full = year if len(year) != 2 else f"20{year}"
    return f"{full}-{rest[:2]}-{rest[2:]}" if full else f"{rest[:2]}-{rest[2:]}"


def time_of(text: str) -> str:
    """HH:MM:SS; empty where the digits are no time."""
    digits = text + "00" if len(text) == 4 else text
    if not (digits.isascii() and digits.isdigit()) or len(digits) != 6:
        return ""
    hour, minute, second = digits[:2], digits[2:4], digits[4:]
    return f"{hour}:{minute}:{second}" if hour < "24" and minute < "60" and second < "60" else ""
