"""Bitmap fields and TLV containers of ZVT: every kind of length, every reader total, no secret in what they say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.observations import ReceiptKind, Total
from drivers.zvt_fields import Field, bmps, facts_of, receipt_block, text, tlv, totals_of


def facts(hexadecimal: str) -> dict[str, object]:
    known = facts_of(bmps(bytes.fromhex(hexadecimal)))
    named = {name: getattr(known, name) for name in ("amount", "currency", "trace", "terminal_id", "terminal_time")}
    named |= {name: getattr(known, name) for name in ("response_code", "approval_code", "merchant_id")}
    named["card"] = known.card.masked if known.card else None
    return {name: value for name, value in named.items() if value is not None} | dict(known.extra)


# --- where a field ends ---


@pytest.mark.parametrize(
    ("data", "tag", "value"),
    [
        ("27 6C", 0x27, "6C"),
        ("49 09 78", 0x49, "09 78"),
        ("0B 00 04 70", 0x0B, "00 04 70"),
        ("29 28 00 48 69", 0x29, "28 00 48 69"),
        ("BA 01 02 03 04 05", 0xBA, "01 02 03 04 05"),
        ("04 00 00 00 01 10 00", 0x04, "00 00 00 01 10 00"),
        ("3B" + "41" * 8, 0x3B, "41" * 8),
        ("2A" + "31" * 15, 0x2A, "31" * 15),
        ("8B F0 F2 41 42", 0x8B, "41 42"),
        ("8B 00 02 41 42", 0x8B, "41 42"),  # only the low nibbles count
        ("8B F1 F2" + "41" * 12, 0x8B, "41" * 12),
        ("3C F0 F0 F1 41", 0x3C, "41"),
        ("3C F1 F0 F0" + "41" * 100, 0x3C, "41" * 100),
        ("06 02 AA BB", 0x06, "AA BB"),
        ("06 81 80" + "00" * 128, 0x06, "00" * 128),
        ("06 82 01 00" + "00" * 256, 0x06, "00" * 256),
        ("8B F0 F0", 0x8B, ""),
        ("06 00", 0x06, ""),
    ],
)
def test_every_kind_of_length(data: str, tag: int, value: str) -> None:
    (first, second) = bmps(bytes.fromhex(data) + b"\x27\x00")
    assert (first.tag, first.value) == (tag, bytes.fromhex(value))
    assert second == Field(0x27, len(bytes.fromhex(data)) + 1, b"\x00")


@pytest.mark.parametrize(
    "broken",
    [
        "27", "04 00 00", "8B", "8B F0", "8B FA F2 41", "8B F0 F3 41 42", "3C F0 F0", "3C F0 FF F1 41",
        "06", "06 03 AA", "06 80", "06 83 00 00 01 AA", "06 82 01", "07 00", "FF 01",
    ],
)  # fmt: skip
def test_what_fits_no_table_ends_the_reading_and_what_was_read_stays(broken: str) -> None:
    assert bmps(b"\x19\x40" + bytes.fromhex(broken)) == [Field(0x19, 1, b"\x40")]


def test_a_field_knows_where_its_value_lies() -> None:
    data = bytes.fromhex("27 00 8B F0 F2 41 42 06 03 1F 12 00")
    assert all(data[field.start : field.start + len(field.value)] == field.value for field in bmps(data))


# --- TLV containers ---


def elements(hexadecimal: str) -> list[tuple[int, str]]:
    return [(field.tag, field.value.hex().upper()) for field in tlv(bytes.fromhex(hexadecimal))]


def test_tags_of_one_byte_and_of_two() -> None:
    assert elements("43 02 AA BB 1F 12 01 02 9F 6B 01 00") == [(0x43, "AABB"), (0x1F12, "02"), (0x9F6B, "00")]


def test_constructed_elements_and_what_is_inside() -> None:
    assert elements("60 06 43 01 AA 44 01 41 1F 10 01 00") == [
        (0x60, "4301AA440141"), (0x43, "AA"), (0x44, "41"), (0x1F10, "00"),
    ]  # fmt: skip


def test_inner_values_are_found_where_they_lie() -> None:
    data = bytes.fromhex("2F 04 25 02 07 00 60 05 1F 07 02 AA BB")
    assert all(data[field.start : field.start + len(field.value)] == field.value for field in tlv(data))


def test_nesting_is_followed_to_a_bound() -> None:
    data = b""
    for _ in range(60):
        data = b"\x60" + bytes([len(data)]) + data
    assert [field.tag for field in tlv(data)] == [0x60] * 5


@pytest.mark.parametrize("broken", ["43", "43 05 00", "1F", "1F 12", "1F 12 80", "43 83 00 00 01 00", "43 82 01"])
def test_a_broken_container_keeps_what_was_read(broken: str) -> None:
    assert elements("44 01 41" + broken) == [(0x44, "41")]


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 600])
def test_ber_lengths(size: int) -> None:
    head = bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2, "big")
    assert [len(field.value) for field in tlv(b"\x07" + head + bytes(size))] == [size]


# --- what the fields say ---


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("04 000000002040", {"amount": 2040}),
        ("04 999999999999", {"amount": 999999999999}),
        ("04 0000000020AF", {}),
        ("49 0978", {"currency": "EUR"}),
        ("49 0756", {"currency": "CHF"}),
        ("27 6C", {"response_code": "6C"}),
        ("0B 000470", {"trace": "000470"}),
        ("29 28004869", {"terminal_id": "28004869"}),
        ("2A 313030343631373633202020202020", {"merchant_id": "100461763"}),
        ("3B 3631313830340000", {"approval_code": "611804"}),
        ("3B 0000000000000000", {}),
        ("0C 223953 0D 1006", {"terminal_time": "10-06 22:39:53", "date": "10-06", "time": "22:39:53"}),
        ("0C 223953", {"terminal_time": "22:39:53", "time": "22:39:53"}),
        ("AA 261124 0C 093000", {"terminal_time": "2026-11-24 09:30:00", "time": "09:30:00"}),
        ("87 0470 37 000606 17 0001", {"receipt_number": "0470", "original_trace": "000606", "card_sequence": 1}),
        ("8B F0F5 5669736100", {"card_name": "Visa"}),
        ("0E 2512 8A 2E", {"expiry": "2512", "card_type": 0x2E}),
        ("06 04 1F120102", {"card_technology": "contactless"}),
        ("06 04 1F120107", {"card_technology": "07"}),
        ("06 04 1F100102", {"cardholder_authentication": "pin online"}),
        ("06 0B 60 09 43 07 A0000000041010", {"aid": "A0000000041010"}),
        ("06 08 1F2B 04 10015008 00", {"long_trace": "10015008"}),
        ("06 08 1F16 02 0102 43 01 A0", {"extended_error": "0102", "aid": "A0"}),
    ],
)
def test_facts(data: str, said: dict[str, object]) -> None:
    assert facts(data) == said


@pytest.mark.parametrize(
    ("number", "masked"),
    [
        ("4975541234514970", "497554******4970"),
        ("497554EEEEEE4970", "497554******4970"),
        ("EEEEEEEEEEEE4771", "************4771"),
        ("4975EEEEEEEE4970", "4975********4970"),
        ("374245455400126F", "374245*****0126"),
        ("6759649826438453012F", "675964*********3012"),
        ("E975541234514970", "************4970"),
        ("49E5541234514970", "49**********4970"),
        ("EEEEEEEEEEEEEEEE", "****************"),
        ("ABCDABCDABCDABCD", None),
        ("FFFFFFFFFFFFFFFF", None),
    ],
)
def test_a_card_keeps_six_and_four_digits_at_most(number: str, masked: str | None) -> None:
    value = bytes.fromhex(number)
    assert (
        facts(f"22 F0F{len(value)} {number}" if len(value) < 10 else f"22 F1F{len(value) - 10} {number}").get("card")
        == masked
    )


@given(st.text("0123456789E", min_size=10, max_size=18).filter(lambda number: len(number) % 2 == 0))
def test_no_card_shows_more_than_ten_digits(number: str) -> None:
    shown = facts_of(bmps(b"\x22\xf0" + bytes([0xF0 | len(number) // 2]) + bytes.fromhex(number))).card
    if shown is not None:
        assert len(shown.masked) == len(number)
        assert sum(char.isdigit() for char in shown.masked) <= 10


SECRET = "4975541234514970"
ASCII = SECRET.encode()


def ll(tag: int, value: bytes, digits: int = 2) -> bytes:
    return bytes([tag, *(0xF0 | int(digit) for digit in f"{len(value):0{digits}}")]) + value


def tv(tag: str, value: bytes) -> bytes:
    return bytes.fromhex(tag) + bytes([len(value)]) + value


@pytest.mark.parametrize(
    "field",
    [
        ll(0x22, bytes.fromhex(SECRET)),
        ll(0x23, bytes.fromhex(SECRET + "D2512101123F")),
        ll(0x24, bytes.fromhex("99" + SECRET + "D2512101123456000F"), 3),
        ll(0x2D, b"B" + ASCII + b"^DOE/JOHN^2512101123"),
        b"\x3a\x01\x23",
        ll(0xD1, bytes.fromhex(SECRET)),
        tv("06", tv("5A", bytes.fromhex(SECRET))),
        tv("06", tv("57", bytes.fromhex(SECRET + "D2512101123F"))),
        tv("06", tv("60", tv("5A", bytes.fromhex(SECRET)) + tv("99", b"\x01\x23" * 4))),
        tv("06", tv("1F17", ASCII)),
        tv("06", tv("60", tv("44", b"Karte " + ASCII))),
        ll(0x3C, b"Karte " + ASCII, 3),
        ll(0x8B, ASCII + b"\0"),
    ],
    ids=lambda field: field[:6].hex(),
)
def test_secrets_never_come_out(field: bytes) -> None:
    (result, only) = bmps(b"\x27\x00" + field)
    assert (result.tag, only.tag) == (0x27, field[0])
    said = repr(facts_of([result, only]))
    assert SECRET not in said
    assert SECRET[6:12] not in said
    assert "0123" not in said
    assert "DOE" not in said


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("Händlerbeleg".encode(), "Händlerbeleg"),
        ("Händlerbeleg".encode("cp437"), "Händlerbeleg"),
        ("Händlerbeleg".encode("latin-1"), "Händlerbeleg"),
        ("Größe süß ÄÖÜ".encode(), "Größe süß ÄÖÜ"),
        ("Köln Übertrag".encode("cp437"), "Köln Übertrag"),
        ("Köln Übertrag".encode("latin-1"), "Köln Übertrag"),
        (b"a\x00b\x1bc\nd", "a b c\nd"),
        (b"Karte 4975541234514970", "Karte 497554******4970"),
        (b"", ""),
    ],
)
def test_text(value: bytes, shown: str) -> None:
    assert text(value) == shown


def block(kind: int | None, *lines: bytes) -> list[Field]:
    inner = b"".join(b"\x07" + bytes([len(line)]) + line for line in lines)
    container = (b"\x1f\x07\x01" + bytes([kind]) if kind is not None else b"") + b"\x25" + bytes([len(inner)]) + inner
    return bmps(b"\x06" + bytes([len(container)]) + container)


@pytest.mark.parametrize(
    ("kind", "known"),
    [(1, ReceiptKind.MERCHANT), (2, ReceiptKind.CUSTOMER), (3, ReceiptKind.ADMINISTRATION), (9, None), (None, None)],
)
def test_whose_receipt_a_text_block_is(kind: int | None, known: ReceiptKind | None) -> None:
    assert receipt_block(block(kind, b"Summe", b"", b"  Ende ")) == (known, ("Summe", "", "  Ende "))


def test_a_text_block_masks_its_lines() -> None:
    assert receipt_block(block(1, SECRET.encode()))[1] == ("497554******4970",)


def test_the_totals_of_a_day() -> None:
    rows = "02 000000001234" + "00 000000000000" * 3 + "01 000000000050" + "00 000000000000" * 2
    body = bytes.fromhex("0001 0003" + rows)
    assert totals_of(bmps(b"\x60\xf0\xf5\xf3" + body)) == (Total("girocard", 2, 1234), Total("Visa", 1, 50))


@pytest.mark.parametrize("size", [0, 3, 4, 10, 11, 52, 60])
def test_totals_of_another_length_are_read_as_far_as_they_go(size: int) -> None:
    value = bytes([0xF0, 0xF0 | size // 10, 0xF0 | size % 10]) + b"\x01" * size
    assert len(totals_of(bmps(b"\x60" + value))) == min(max(size - 4, 0) // 7, 7)


# --- any bytes ---

TAGS = st.sampled_from(
    sorted({*range(1, 256)} & {0x04, 0x06, 0x0B, 0x0C, 0x22, 0x27, 0x29, 0x2A, 0x3C, 0x60, 0x8B, 0xAA})
)
ANY = st.one_of(
    st.binary(max_size=80),
    st.lists(st.tuples(TAGS, st.binary(max_size=12)), max_size=8).map(
        lambda found: b"".join(bytes([tag]) + value for tag, value in found)
    ),
)


@given(ANY)
def test_any_bytes_can_be_read(data: bytes) -> None:
    fields = bmps(data)
    facts_of(fields)
    totals_of(fields)
    receipt_block(fields)
    text(data)
    assert all(data[field.start : field.start + len(field.value)] == field.value for field in fields)
    assert all(data[field.start : field.start + len(field.value)] == field.value for field in tlv(data))
    assert len(text(data)) <= len(data)


@given(st.lists(st.tuples(st.integers(0, 30), st.binary(max_size=20)), max_size=6))
def test_containers_are_read_as_they_were_written(rows: list[tuple[int, bytes]]) -> None:
    data = b"".join(b"\x1f" + bytes([tag]) + bytes([len(value)]) + value for tag, value in rows)
    assert [(field.tag & 0xFF, field.value) for field in tlv(data)] == rows


@given(st.lists(st.tuples(st.sampled_from([0x8B, 0x3C]), st.binary(max_size=99)), max_size=6))
def test_fields_are_read_as_they_were_written(rows: list[tuple[int, bytes]]) -> None:
    data = b""
    for tag, value in rows:
        digits = f"{len(value):0{2 if tag == 0x8B else 3}}"
        data += bytes([tag]) + bytes(0xF0 | int(digit) for digit in digits) + value
    assert [(field.tag, field.value) for field in bmps(data)] == rows
