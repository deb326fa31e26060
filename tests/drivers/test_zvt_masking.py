"""Recorded ZVT bytes without their card numbers: still decodable, as right or as wrong as they were."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.driver import Framing
from drivers.masking import LeftOut, Piece
from drivers.observations import Answer, Direction, Noise, Observation
from drivers.zvt import DRIVER, ZvtDecoder
from drivers.zvt_framing import apdu, serial_frame
from tests.drivers.pans import PANS
from tests.drivers.zvt_peer import authorisation, bcd, registration

CASHIER, TERMINAL = Direction.CASHIER, Direction.TERMINAL
PAN = "4975541234514970"
FRAMINGS = [Framing.SERIAL, Framing.NONE]
both = pytest.mark.parametrize("framing", FRAMINGS)


def masked(framing: Framing, direction: Direction, data: bytes) -> list[Piece]:
    assert DRIVER.masker is not None
    masker = DRIVER.masker(framing)
    return masker.feed(direction, data) + masker.silence(direction)


def masked_message(framing: Framing, direction: Direction, message: bytes) -> bytes:
    (piece,) = masked(framing, direction, serial_frame(message) if framing is Framing.SERIAL else message)
    assert isinstance(piece, bytes)
    return piece


def seen(framing: Framing, direction: Direction, data: bytes) -> list[Observation]:
    decoder = ZvtDecoder(framing)
    return decoder.feed(direction, data) + decoder.finish()


def ll(tag: int, value: bytes, digits: int = 2) -> bytes:
    return bytes([tag, *(0xF0 | int(digit) for digit in f"{len(value):0{digits}}")]) + value


def tv(tag: str, value: bytes) -> bytes:
    return bytes.fromhex(tag) + bytes([len(value)]) + value


def digits_of(pan: str) -> bytes:
    return bytes.fromhex(pan + "F" * (len(pan) % 2))


def track_2(pan: str) -> bytes:
    whole = f"{pan}D2512101987650"
    return bytes.fromhex(whole + "F" * (len(whole) % 2))


#: a field that carries this number, and the fields it is followed by
def fields_with(pan: str) -> dict[str, bytes]:
    number, shown = digits_of(pan), pan.encode()
    return {
        "22": ll(0x22, number),
        "23": ll(0x23, track_2(pan)),
        "24": ll(0x24, b"\x99" + track_2(pan), 3),
        "2D": ll(0x2D, b"B" + shown + b"^DOE/JOHN^2512101"),
        "D1": ll(0xD1, track_2(pan)),
        "3C": ll(0x3C, b"Karte " + shown, 3),
        "8B": ll(0x8B, shown + b"\0"),
        "5A in 06": tv("06", tv("5A", number) + tv("1F12", b"\x02")),
        "57 in 60": tv("06", tv("60", tv("57", track_2(pan)) + tv("44", b"Visa"))),
        "1F17": tv("06", tv("1F17", b"Karte " + shown)),
        "no field": b"\xff\xff" + shown + number,
        "container without elements": tv("06", b"\x43\x7f" + shown),
    }


NAMES = list(fields_with(PAN))


def carriers(pan: str) -> dict[str, tuple[Direction, bytes]]:
    """Messages with this card number, beside those with a field of it."""
    shown = pan.encode()
    inner = tv("07", b"Karte " + shown) + tv("07", shown.ljust(0x31))  # its length is the digit 1
    container = tv("1F07", b"\x01") + b"\x25\x81" + bytes([len(inner)]) + inner
    return {
        "print line": (TERMINAL, apdu(b"\x06\xd1", b"\x00" + shown)),
        "display": (TERMINAL, apdu(b"\x06\xd8", b"\x00Karte " + shown)),
        "text block": (TERMINAL, apdu(b"\x06\xd3", b"\x06\x81" + bytes([len(container)]) + container)),
        "unknown message": (TERMINAL, apdu(b"\x04\x0d", shown + digits_of(pan))),
        "display text": (TERMINAL, apdu(b"\x06\xe1", b"\x07\x10" + shown)),
        "unknown command": (CASHIER, apdu(b"\x06\xc0", shown + digits_of(pan))),
    }


def assert_hidden(pan: str, data: bytes) -> None:
    for secret in (pan, pan[6:-4]):
        assert secret.encode() not in data
        assert secret not in data.hex()
    assert b"DOE" not in data
    assert "987650" not in data.hex()


@both
@pytest.mark.parametrize("name", NAMES)
def test_every_field_that_can_hold_a_card(framing: Framing, name: str) -> None:
    body = b"\x27\x00\x04" + bcd(1234, 6) + fields_with(PAN)[name]
    message = apdu(b"\x04\x0f", body)
    data = masked_message(framing, TERMINAL, message)
    assert_hidden(PAN, data)
    original = serial_frame(message) if framing is Framing.SERIAL else message
    assert seen(framing, TERMINAL, data) == seen(framing, TERMINAL, original)
    if framing is Framing.NONE:
        assert len(data) == len(message)


@both
@pytest.mark.parametrize("name", NAMES)
def test_every_field_of_a_command(framing: Framing, name: str) -> None:
    message = apdu(b"\x06\x01", b"\x04" + bcd(1234, 6) + fields_with(PAN)[name])
    data = masked_message(framing, CASHIER, message)
    assert_hidden(PAN, data)
    original = serial_frame(message) if framing is Framing.SERIAL else message
    assert seen(framing, CASHIER, data) == seen(framing, CASHIER, original)


@both
@pytest.mark.parametrize("name", list(carriers(PAN)))
def test_every_message_that_can_hold_a_card(framing: Framing, name: str) -> None:
    direction, message = carriers(PAN)[name]
    data = masked_message(framing, direction, message)
    assert_hidden(PAN, data)
    original = serial_frame(message) if framing is Framing.SERIAL else message
    assert seen(framing, direction, data) == seen(framing, direction, original)
    if framing is Framing.NONE:
        assert len(data) == len(message)


@given(PANS, st.sampled_from([*NAMES, *carriers(PAN)]), st.sampled_from(FRAMINGS))
@settings(deadline=None)
def test_any_card_anywhere(pan: str, name: str, framing: Framing) -> None:
    if name in NAMES:
        direction, message = TERMINAL, apdu(b"\x04\x0f", fields_with(pan)[name])
    else:
        direction, message = carriers(pan)[name]
    data = masked_message(framing, direction, message)
    assert pan not in data.decode("latin-1")
    assert pan not in data.hex()


def test_a_masked_card_is_the_same_when_it_is_masked_again() -> None:
    message = apdu(b"\x04\x0f", b"\x27\x00" + ll(0x22, bytes.fromhex("497554EEEEEE4970")))
    assert masked_message(Framing.NONE, TERMINAL, message) == message
    (answer,) = seen(Framing.NONE, TERMINAL, message)
    assert isinstance(answer, Answer)
    assert answer.facts.card is not None
    assert answer.facts.card.masked == "497554******4970"


@both
@pytest.mark.parametrize(
    ("direction", "message"),
    [
        (TERMINAL, apdu(b"\x80\x00")),
        (TERMINAL, apdu(b"\x84\x9c")),
        (TERMINAL, apdu(b"\x04\xff", b"\x04")),
        (TERMINAL, apdu(b"\x06\x1e", b"\x6c")),
        (TERMINAL, apdu(b"\x06\x0f")),
        (TERMINAL, apdu(b"\x06\x0f", b"\x27\x00")),
        (TERMINAL, apdu(b"\x06\x0f", b"\x9c")),  # the status byte at the end of a status enquiry
        (TERMINAL, apdu(b"\x06\x0f", b"\xa0")),
        (TERMINAL, apdu(b"\x06\xd1", b"\x00Summe 12,34")),
        (CASHIER, authorisation(1234)),
        (CASHIER, registration(0xBA)),
        (CASHIER, apdu(b"\x06\x30", bytes(3) + b"\x87\x00\x17")),
    ],
)
def test_what_holds_no_card_stays_as_it_is(framing: Framing, direction: Direction, message: bytes) -> None:
    original = serial_frame(message) if framing is Framing.SERIAL else message
    assert masked_message(framing, direction, message) == original


@pytest.mark.parametrize("control", [b"\x06\x00", b"\x06\x20", b"\x06\x30", b"\x06\x50", b"\x05\x01"])
def test_a_password_is_not_recorded(control: bytes) -> None:
    data = masked_message(Framing.NONE, CASHIER, apdu(control, b"\x12\x34\x56\x02\x09\x78"))
    assert data[3:6] == bytes(3)
    assert len(data) == 9


def test_link_acknowledgements_and_frames_stay_in_order() -> None:
    line = b"\x06" + serial_frame(authorisation(1)) + b"\x15\x06"
    assert masked(Framing.SERIAL, CASHIER, line) == [line]


@pytest.mark.parametrize("wrong", [0x0001, 0x0101, 0xFFFF])
@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_crc_stays_wrong_and_nothing_of_its_message_stays(name: str, wrong: int) -> None:
    message = apdu(b"\x04\x0f", b"\x27\x00" + fields_with(PAN)[name])
    original = serial_frame(message, wrong)
    (data,) = masked(Framing.SERIAL, TERMINAL, original)
    assert isinstance(data, bytes)
    assert_hidden(PAN, data)
    assert seen(Framing.SERIAL, TERMINAL, data) == seen(Framing.SERIAL, TERMINAL, original)
    assert set(data[2:-4]) == {0xFF}


@pytest.mark.parametrize("content", [b"\x04\xff\x01", b"\x04\x0f\x05\x27\x00", b"\x06", b"", b"\x04\x0f" * 300])
def test_a_right_crc_over_a_wrong_length_stays_right_and_no_message(content: bytes) -> None:
    original = serial_frame(content)
    (data,) = masked(Framing.SERIAL, TERMINAL, original)
    assert isinstance(data, bytes)
    assert [type(each) for each in seen(Framing.SERIAL, TERMINAL, data)] == [Noise]
    assert seen(Framing.SERIAL, TERMINAL, data) == seen(Framing.SERIAL, TERMINAL, original)


def test_a_right_crc_stays_right() -> None:
    message = apdu(b"\x04\x0f", b"\x27\x00" + fields_with(PAN)["22"])
    data = masked_message(Framing.SERIAL, TERMINAL, message)
    assert data != serial_frame(message)
    (answer,) = seen(Framing.SERIAL, TERMINAL, data)
    assert isinstance(answer, Answer)


@both
def test_bytes_of_no_message_are_left_out_and_counted(framing: Framing) -> None:
    message = authorisation(1)
    framed = serial_frame(message) if framing is Framing.SERIAL else message
    assert masked(framing, CASHIER, PAN.encode() + framed) == [LeftOut(16), framed]
    assert masked(framing, CASHIER, framed + framed[:6]) == [framed, LeftOut(6)]


LINE = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from(list(fields_with(PAN).values())).map(lambda field: serial_frame(apdu(b"\x04\x0f", field))),
        st.sampled_from(list(fields_with(PAN).values())).map(lambda field: apdu(b"\x04\x0f", field)),
        st.binary(max_size=30).map(lambda body: serial_frame(apdu(b"\x06\xd3", body))),
        st.binary(max_size=30).map(lambda body: apdu(b"\x06\x0f", body)),
    ),
    max_size=6,
).map(b"".join)


@both
@given(LINE, st.sampled_from(list(Direction)))
@settings(deadline=None, max_examples=150)
def test_any_line_can_be_masked_and_masking_twice_changes_nothing(
    framing: Framing, line: bytes, direction: Direction
) -> None:
    once = masked(framing, direction, line)
    whole = [piece for piece in once if isinstance(piece, bytes)]
    assert PAN.encode() not in b"".join(whole)
    for piece in whole:
        assert masked(framing, direction, piece) == [piece]
