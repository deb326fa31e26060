"""UnionPay's ISO 8583, held against pyiso8583, which packs and unpacks it on its own."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.iso8583 import KEPT, Message, Stopped, read
from tests.drivers.cup8583_peer import LAYOUT, decoded, encoded

OPENING = {"h": "6000030000603100310100"}
_DIGITS = "0123456789"
_SECRET_FIELDS = (14, 26, 35, 36, 52, 53, 54, 55, 58, 62, 64)


def _content(number: int) -> st.SearchStrategy[str]:
    kind, size, prefix = LAYOUT[number]
    if number == 4:
        return st.integers(0, 10**10 - 1).map(lambda amount: f"{amount:012d}")
    if number == 2:
        return st.text(_DIGITS, min_size=13, max_size=19)
    smallest = 1 if prefix else size
    if kind == "n":
        return st.text(_DIGITS, min_size=smallest, max_size=size)
    if kind == "z":
        return st.text(_DIGITS + "D", min_size=smallest, max_size=size)
    if kind == "b":
        return st.binary(min_size=smallest, max_size=size).map(lambda raw: raw.hex().upper())
    return st.text("ABCXYZ0123456789", min_size=smallest, max_size=min(size, 30))


MESSAGES = st.builds(
    lambda mti, fields: {**OPENING, "t": mti, **fields},
    st.sampled_from(["0100", "0200", "0210", "0220", "0230", "0400", "0410", "0500", "0510", "0800", "0810"]),
    st.sets(st.sampled_from(sorted(LAYOUT)), min_size=1).flatmap(
        lambda numbers: st.fixed_dictionaries({str(number): _content(number) for number in numbers})
    ),
)


def whole(data: bytes) -> Message:
    message = read(data)
    assert message is not None
    assert message.stopped is None
    assert message.end == len(data)
    return message


@given(fields=MESSAGES)
@settings(deadline=None, max_examples=200)
def test_whatever_the_peer_packs_is_read_with_the_same_values(fields: dict[str, str]) -> None:
    message = whole(encoded(fields))
    assert message.mti == fields["t"]
    assert set(message.spans) == {int(number) for number in fields if number.isdecimal()}
    for number, value in message.values.items():
        if value.isascii() and "*" not in value:
            assert value == fields[str(number)].strip()
    wanted = {number for number in KEPT if fields.get(str(number)) and not (number == 48 and fields["t"][1] != "5")}
    assert set(message.values) == wanted - {2}


def hidden(number: int, value: str) -> str:
    """Other content of the same length for a secret field."""
    kind = LAYOUT[number][0]
    return {"b": "A5" * (len(value) // 2), "a": "*" * len(value)}.get(kind, "7" * len(value))


@given(fields=MESSAGES)
@settings(deadline=None, max_examples=150)
def test_nothing_that_was_read_depends_on_a_secret(fields: dict[str, str]) -> None:
    others = {n: hidden(int(n), v) if n.isdecimal() and int(n) in _SECRET_FIELDS else v for n, v in fields.items()}
    if pan := fields.get("2"):
        others["2"] = pan[:6] + "7" * (len(pan) - 10) + pan[-4:]
    one, other = whole(encoded(fields)), whole(encoded(others))
    assert one.values == other.values
    if pan and len(set(pan)) > 1:  # a run of one digit is a filler, no card number
        assert one.card is not None
        assert one.card.masked == pan[:6] + "*" * (len(pan) - 10) + pan[-4:]


@given(fields=MESSAGES, cut=st.integers(0, 2000))
@settings(deadline=None, max_examples=100)
def test_a_cut_message_tells_where_it_ended_and_keeps_what_came_before(fields: dict[str, str], cut: int) -> None:
    data = encoded(fields)
    message = read(data[: cut % len(data)])
    if message is None:
        assert cut % len(data) < 13
        return
    assert message.stopped is not None
    assert message.stopped.short
    entire = whole(data)
    assert all(entire.values[number] == value for number, value in message.values.items())


@given(data=st.binary(max_size=60), tail=st.binary(max_size=300))
@settings(deadline=None, max_examples=150)
def test_anything_is_read_without_an_error(data: bytes, tail: bytes) -> None:
    read(data)
    message = read(bytes.fromhex("6000030000603100310100" + "0200") + tail)
    assert message is None or message.end <= len(tail) + 13 + 1000


def test_field_22_is_padded_on_the_right_and_23_on_the_left() -> None:
    data = encoded({**OPENING, "t": "0200", "22": "021", "23": "001"})
    assert data[-4:].hex() == "02100001"
    assert whole(data).values == {22: "021"}


def test_a_second_bitmap_is_read() -> None:
    bitmap = (1 << 127 | 1 << 117 | 1 << 58).to_bytes(16, "big")  # fields 1, 11, 70
    data = bytes.fromhex("6000030000603100310100" + "0800") + bitmap + bytes.fromhex("000007" + "0301")
    message = whole(data)
    assert message.values == {11: "000007"}
    assert set(message.spans) == {11, 70}


def test_a_field_that_nobody_knows_stops_the_reading() -> None:
    bitmap = (1 << 127 | 1 << 117 | 1 << 8).to_bytes(16, "big")  # fields 1, 11, 120
    data = bytes.fromhex("6000030000603100310100" + "0800") + bitmap + bytes.fromhex("000007" + "0301")
    message = read(data)
    assert message is not None
    assert message.stopped == Stopped(120, short=False)
    assert message.values == {11: "000007"}


@pytest.mark.parametrize(
    ("opening", "why"),
    [
        ("6100030000603100310100" + "0200", "TPDU"),
        ("6000030000703100310100" + "0200", "application class"),
        ("6000030000603100310100" + "0299", "type"),
    ],
)
def test_what_opens_no_message_is_none(opening: str, why: str) -> None:
    assert read(bytes.fromhex(opening) + bytes(40)) is None, why


def test_an_amount_that_nobody_pays_is_none() -> None:
    data = bytearray(encoded({**OPENING, "t": "0200", "4": "001234567890"}))
    data[21] = 0x62
    message = read(bytes(data))
    assert message is not None
    assert message.stopped == Stopped(4, short=False)


def test_text_of_a_bank_is_chinese_and_broken_text_does_no_harm() -> None:
    assert whole(encoded({**OPENING, "t": "0210", "63": "CUP余额不足"})).values[63] == "CUP余额不足"
    data = encoded({**OPENING, "t": "0210", "63": "CUP余额不足"})[:-1] + b" "
    assert whole(data).values[63].startswith("CUP余额不")


def test_the_peer_agrees_that_a_field_table_is_the_terminals() -> None:
    fields = {**OPENING, "t": "0200", "2": "6200000000000005", "3": "000000", "35": "6200000000000005D3012201000"}
    back = decoded(encoded(fields))
    assert {number: back[number] for number in fields} == fields
