"""What is inside a ZVT message: bitmap fields (BMPs), TLV containers, and the facts they state.

Source: PA00P015's tables as ecrterm and Portalum.Zvt implement them. Every reader here is total: bytes that fit no
table end the reading, and what was read before stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from drivers import currencies
from drivers.cards import MaskedCard, mask, scheme_of, scrub
from drivers.observations import Facts, ReceiptKind, Total

_LL, _LLL, _TLV = -2, -3, -1
#: BMP → length of its value in bytes; LL and LLL carry two or three digits of length, TLV a BER length
_LENGTHS: dict[int, int] = (
    dict.fromkeys((0x01, 0x02, 0x03, 0x05, 0x19, 0x27, 0x8A, 0x8C, 0xA0, 0xD0, 0xD2, 0xD3, 0xE9, 0xEA, 0xF0), 1)
    | dict.fromkeys((0x0D, 0x0E, 0x17, 0x3A, 0x49, 0x87), 2)
    | dict.fromkeys((0x0B, 0x0C, 0x37, 0x3D, 0x88, 0xAA), 3)
    | dict.fromkeys((0xF9, 0xFA, 0xFB, 0xFC, 0xFD), 1)
    | dict.fromkeys((0x22, 0x23, 0x2D, 0x8B, 0xA7, 0xD1, *range(0xE1, 0xE9), *range(0xF1, 0xF9)), _LL)
    | dict.fromkeys((0x24, 0x2E, 0x3C, 0x60, 0x9A, 0xAF), _LLL)
    | {0x04: 6, 0x06: _TLV, 0x29: 4, 0x2A: 15, 0x3B: 8, 0xBA: 5, 0xEB: 8}
)
#: BMPs whose value never leaves: track data, CVV, and what may hold them
SECRET_BMPS = frozenset({0x23, 0x24, 0x2D, 0x3A, 0xD1})
#: EMV tags whose value never leaves (account data, track equivalents, name, PIN block)
SECRET_TAGS = frozenset({0x5A, 0x57, 0x56, 0x9F6B, 0x9F1F, 0x9F20, 0x5F20, 0x99, 0x5F24})
_CARD_TECHNOLOGY = {0: "magnetic", 1: "chip", 2: "contactless"}
_CARDHOLDER = {0: "none", 1: "signature", 2: "pin online", 3: "pin offline encrypted", 4: "pin offline", 5: "device"}
_RECEIPT_KINDS = {1: ReceiptKind.MERCHANT, 2: ReceiptKind.CUSTOMER, 3: ReceiptKind.ADMINISTRATION}
_TOTALS = ("girocard", "JCB", "Mastercard", "American Express", "Visa", "Diners Club", "other")


@dataclass(frozen=True, slots=True)
class Field:
    """One BMP or TLV element: its number, where its value lies in the bytes read, and the value."""

    tag: int
    start: int
    value: bytes


def bmps(data: bytes) -> list[Field]:
    """The bitmap fields at the beginning of `data`, as far as they can be read."""
    found: list[Field] = []
    at = 0
    while at < len(data):
        kind = _LENGTHS.get(data[at])
        if kind is None:
            break
        start, length = _value_at(data, at + 1, kind)
        if length < 0 or start + length > len(data):
            break
        found.append(Field(data[at], start, data[start : start + length]))
        at = start + length
    return found


def tlv(data: bytes, offset: int = 0, depth: int = 0) -> Iterator[Field]:
    """The elements of a TLV container, those inside constructed ones after them; `start` counts from `offset`."""
    at = 0
    while at < len(data):
        tag, at = _tag(data, at)
        start, length = _ber_length(data, at)
        if length < 0 or start + length > len(data):
            return
        yield Field(tag, offset + start, data[start : start + length])
        first = tag >> 8 if tag > 0xFF else tag
        if first & 0x20 and depth < 4:
            yield from tlv(data[start : start + length], offset + start, depth + 1)
        at = start + length


def text(value: bytes) -> str:
    """Text as terminals send it: UTF-8 where it is, CP437 where its umlauts are, else ISO 8859-1; cards masked."""
    try:
        shown = value.decode("utf-8")
    except UnicodeDecodeError:
        shown = value.decode("cp437" if any(0x80 <= byte <= 0x9F for byte in value) else "latin-1")
    return scrub("".join(char if char.isprintable() or char == "\n" else " " for char in shown))


def facts_of(fields: list[Field]) -> Facts:
    """What the fields say about a transaction."""
    known = {field.tag: field.value for field in fields}
    inner = {field.tag: field.value for field in tlv(known.get(0x06, b""))}
    amount, code = known.get(0x04), known.get(0x27)
    return Facts(
        amount=_number(amount) if amount else None,
        currency=currencies.alpha(_digits(known[0x49])[-3:]) if 0x49 in known else None,
        response_code=f"{code[0]:02X}" if code else None,
        trace=_digits(known[0x0B]) if 0x0B in known else None,
        approval_code=_plain(known.get(0x3B)),
        terminal_id=_digits(known[0x29]) if 0x29 in known else None,
        merchant_id=_plain(known.get(0x2A)),
        card=_card(known.get(0x22)),
        terminal_time=_moment(known),
        extra=tuple(_extras(known, inner)),
    )


def totals_of(fields: list[Field]) -> tuple[Total, ...]:
    """The end-of-day totals of BMP 60: girocard, JCB, Mastercard, …, each a count and an amount."""
    value = next((field.value for field in fields if field.tag == 0x60), b"")[4:]  # behind first and last receipt
    rows = [value[at : at + 7] for at in range(0, len(value) - 6, 7)]
    return tuple(Total(name, row[0], _number(row[1:]) or 0) for name, row in zip(_TOTALS, rows, strict=False) if row[0])


def receipt_block(fields: list[Field]) -> tuple[ReceiptKind | None, tuple[str, ...]]:
    """Kind and lines of a print text block."""
    container = next((field.value for field in fields if field.tag == 0x06), b"")
    elements = list(tlv(container))
    kind = next((element.value for element in elements if element.tag == 0x1F07 and element.value), None)
    lines = tuple(text(element.value) for element in elements if element.tag == 0x07)
    return (_RECEIPT_KINDS.get(kind[0]) if kind else None), lines


def _extras(known: dict[int, bytes], inner: dict[int, bytes]) -> Iterator[tuple[str, str | int]]:
    """The driver's own names."""
    card = _card(known.get(0x22))
    if card and card.last4:
        yield "card_last4", card.last4
    for fields, rows in ((known, _BMP_EXTRAS), (inner, _TLV_EXTRAS)):
        for tag, name, read in rows:
            if (value := fields.get(tag)) and (shown := read(value)) != "":
                yield name, shown


def _card(value: bytes | None) -> MaskedCard | None:
    if not value:
        return None
    number = value.hex().upper().rstrip("F")
    first = len(number) - len(number.lstrip("0123456789"))
    if set(number) <= set("0123456789E") and "E" in number and first < 6:
        # The terminal shows less than six leading digits: no more than that is known.
        shown, tail = number[:first], number[max(first, len(number) - 4) :].replace("E", "*")
        masked = shown + "*" * (len(number) - first - len(tail)) + tail
        return MaskedCard(masked, scheme_of(shown) if first else None)
    return mask(number)


def _moment(known: dict[int, bytes]) -> str | None:
    """`MM-DD HH:MM:SS`; the year only where the terminal states it."""
    if 0x0C not in known:
        return None
    if 0xAA in known:
        return f"20{_pairs(known[0xAA], '-')} {_pairs(known[0x0C], ':')}"
    return f"{_pairs(known[0x0D], '-')} {_pairs(known[0x0C], ':')}" if 0x0D in known else _pairs(known[0x0C], ":")


def _pairs(value: bytes, between: str) -> str:
    return between.join(f"{byte:02X}" for byte in value)


def _digits(value: bytes) -> str:
    return value.hex().upper()


def _number(value: bytes) -> int | None:
    digits = value.hex()
    return int(digits) if digits.isdecimal() else None


def _plain(value: bytes | None) -> str | None:
    return text(value.rstrip(b"\0")).strip() or None if value else None


def _value_at(data: bytes, at: int, kind: int) -> tuple[int, int]:
    """Where a BMP's value begins and how long it is; length -1 when that can't be read."""
    if kind >= 0:
        return at, kind
    if kind == _TLV:
        return _ber_length(data, at)
    head = data[at : at - kind]
    if len(head) < -kind or any(byte & 0x0F > 9 for byte in head):
        return at, -1
    return at - kind, int("".join(str(byte & 0x0F) for byte in head))


def _ber_length(data: bytes, at: int) -> tuple[int, int]:
    if at >= len(data):
        return at, -1
    first = data[at]
    if first < 0x80:
        return at + 1, first
    more = first & 0x7F
    if not 1 <= more <= 2 or at + 1 + more > len(data):
        return at, -1
    return at + 1 + more, int.from_bytes(data[at + 1 : at + 1 + more], "big")


def _tag(data: bytes, at: int) -> tuple[int, int]:
    if data[at] & 0x1F == 0x1F and at + 1 < len(data):
        return data[at] << 8 | data[at + 1], at + 2
    return data[at], at + 1


def _label(value: bytes) -> str:
    return text(value.rstrip(b"\0")).strip()


_BMP_EXTRAS: tuple[tuple[int, str, Callable[[bytes], str | int]], ...] = (
    (0x8B, "card_name", _label),
    (0x3C, "additional_text", _label),
    (0x0E, "expiry", _digits),
    (0x87, "receipt_number", _digits),
    (0x37, "original_trace", _digits),
    (0x17, "card_sequence", lambda value: _number(value) or 0),
    (0x8A, "card_type", lambda value: value[0]),
    (0x0D, "date", lambda value: _pairs(value, "-")),
    (0x0C, "time", lambda value: _pairs(value, ":")),
)
_TLV_EXTRAS: tuple[tuple[int, str, Callable[[bytes], str | int]], ...] = (
    (0x1F12, "card_technology", lambda value: _CARD_TECHNOLOGY.get(value[0], f"{value[0]:02X}")),
    (0x1F10, "cardholder_authentication", lambda value: _CARDHOLDER.get(value[0], f"{value[0]:02X}")),
    (0x43, "aid", _digits),
    (0x1F2B, "long_trace", _digits),
    (0x1F16, "extended_error", _digits),
    (0x44, "application_label", _label),
    (0x1F17, "extended_error_text", _label),
)
