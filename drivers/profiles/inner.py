"""An ISO 8583 message that a field carries: a relay between terminal and host. Three of its fields are shown.

The keys are in the terminal and nothing here ever builds one.
"""

from __future__ import annotations

from collections.abc import Iterator

from drivers import iso8583
from drivers.profiles.schema import Field

#: pseudo-fields, by the field number where they are one
NAMES = {"inner_mti": 0, "inner_stan": 11, "inner_resp": 39}
_FIELDS = {name: Field(name=name) for name in NAMES}
_LENGTH_PREFIX = 2  # some builds put the message's length in front of it


def _message(raw: bytes) -> tuple[iso8583.Message, int] | None:
    for start in (0, _LENGTH_PREFIX):
        found = iso8583.read(raw, start)
        if found is not None:
            return found, start
    return None


def fields_of(raw: bytes) -> Iterator[tuple[Field, str]]:
    """Type, trace number and answer code, where they are there."""
    found = _message(raw)
    if found is None:
        return
    message, _ = found
    for name, number in NAMES.items():
        text = message.values.get(number, "") if number else message.mti
        if text:
            yield _FIELDS[name], text


def masked(raw: bytes) -> bytes:
    """The message for a recording, of the same length: the card masked, every field that is not kept as zeros."""
    found = _message(raw)
    if found is None:
        return bytes(len(raw))
    from drivers.cup8583_masking import blank  # only those who record need it

    message, _ = found
    out = bytearray(raw)
    blank(out, message, len(raw))
    if message.stopped is None:
        out[message.end :] = bytes(len(raw) - message.end)
    return bytes(out)
