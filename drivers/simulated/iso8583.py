"""Packs ISO 8583 as UnionPay terminals do: what drivers/iso8583.py reads. For simulated terminals and hosts only."""

from __future__ import annotations

from collections.abc import Mapping

from drivers.iso8583 import FORMATS, Format

TPDU = "6000030000"
HEAD = "603100310100"
_LEFT_ALIGNED = frozenset({22})


def packed(mti: str, values: Mapping[int, str | bytes], tpdu: str = TPDU, head: str = HEAD) -> bytes:
    """A message. Values by field number: digits as text, text as text, raw fields as bytes."""
    bits = sum(1 << (64 - number) for number in values)
    fields = b"".join(_field(number, values[number]) for number in sorted(values))
    return bytes.fromhex(tpdu + head + mti) + bits.to_bytes(8, "big") + fields


def _field(number: int, value: str | bytes) -> bytes:
    form = FORMATS[number]
    if isinstance(value, bytes):
        return _length(form, len(value)) + value
    if form.kind in "nz":
        return _digits(number, form, value)
    text = value.encode("gb18030")
    return _length(form, len(text)) + text if form.prefix else text.ljust(form.size)


def _digits(number: int, form: Format, value: str) -> bytes:
    text = value.upper().replace("=", "D")
    if form.prefix:
        return _length(form, len(text)) + bytes.fromhex(text + "0" * (len(text) % 2))
    text = text.zfill(form.size)
    odd = "0" * (len(text) % 2)
    return bytes.fromhex(text + odd if number in _LEFT_ALIGNED else odd + text)


def _length(form: Format, count: int) -> bytes:
    return bytes.fromhex(f"{count:0{2 * form.prefix}d}") if form.prefix else b""
