"""How ISO 8583 lies on a line: three wrappings and none, noise before, between and inside."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.framing_length import (
    LONGEST,
    Byte,
    Control,
    Frame,
    LengthFramer,
    Stray,
    Token,
    lrc,
    serial_frame,
    tcp_frame,
)
from tests.drivers.cup8583_peer import encoded

H = "6000030000603100310100"
SALE = encoded(
    {"h": H, "t": "0200", "3": "000000", "4": "000000012850", "11": "000010", "41": "88001234", "42": "8" * 15}
)
ECHO = encoded({"h": H, "t": "0820", "11": "000009", "41": "88001234", "42": "8" * 15, "60": "00000123301"})
LONG = encoded({"h": H, "t": "0810", "11": "000001", "39": "00", "41": "88001234", "62": "11" * 500})
MESSAGES = [SALE, ECHO, LONG]


def ascii_frame(message: bytes) -> bytes:
    return f"{len(message):04d}".encode() + message


WRAPPINGS = [serial_frame, tcp_frame, ascii_frame]
PIECES = st.one_of(
    st.builds(lambda wrap, message: wrap(message), st.sampled_from(WRAPPINGS), st.sampled_from(MESSAGES)),
    st.sampled_from(MESSAGES),
    st.binary(max_size=20),
    st.sampled_from(
        [b"\x02", b"\x02\x01", b"0123", b"\x00\x60", b"\x06", b"\x15", b"\x05", H.encode(), bytes.fromhex(H)]
    ),
    st.builds(
        lambda frame, cut: frame[:cut], st.sampled_from([serial_frame(SALE), tcp_frame(ECHO)]), st.integers(1, 60)
    ),
)


def cut_up(data: bytes, bare: bool = False, step: int | None = None) -> list[Token]:
    framer = LengthFramer(bare)
    tokens = []
    for place in range(0, len(data), step or max(1, len(data))):
        tokens += framer.feed(data[place : place + (step or len(data))])
    return tokens + framer.give_up()


def messages(tokens: list[Token]) -> list[bytes]:
    return [token.data[slice(*token.message)] for token in tokens if isinstance(token, Frame)]


@pytest.mark.parametrize("wrap", WRAPPINGS)
@pytest.mark.parametrize("message", MESSAGES)
def test_each_wrapping_is_found(wrap: object, message: bytes) -> None:
    data = wrap(message)  # type: ignore[operator]
    (token,) = cut_up(data)
    assert isinstance(token, Frame)
    assert token.data == data
    assert messages([token]) == [message]
    assert token.ok is (True if wrap is serial_frame else None)


def test_a_bare_message_ends_where_its_last_field_does() -> None:
    tokens = cut_up(SALE + ECHO + b"\xff", bare=True)
    assert messages(tokens) == [SALE, ECHO]
    assert tokens[-1] == Stray(1, "no frame")


def test_a_bare_message_is_none_on_a_serial_line() -> None:
    assert messages(cut_up(SALE, bare=False)) == []


def test_a_serial_frame_with_a_wrong_lrc_is_told() -> None:
    data = bytearray(serial_frame(SALE))
    data[-1] ^= 1
    (token,) = cut_up(bytes(data))
    assert isinstance(token, Frame)
    assert token.ok is False


def test_the_lrc_covers_length_message_and_end() -> None:
    data = serial_frame(ECHO)
    assert data[:3] == bytes.fromhex("02" + f"{len(ECHO):04d}")
    assert lrc(data[1:]) == 0


def test_control_bytes_stand_alone() -> None:
    tokens = cut_up(b"\x05\x06" + serial_frame(ECHO) + b"\x15")
    assert [token.byte for token in tokens if isinstance(token, Control)] == [Byte.ENQ, Byte.ACK, Byte.NAK]
    assert messages(tokens) == [ECHO]


@given(pieces=st.lists(PIECES, max_size=8), bare=st.booleans(), step=st.integers(1, 40))
@settings(deadline=None, max_examples=250)
def test_the_cuts_do_not_matter(pieces: list[bytes], bare: bool, step: int) -> None:
    data = b"".join(pieces)
    assert cut_up(data, bare) == cut_up(data, bare, 1) == cut_up(data, bare, step)


@given(pieces=st.lists(PIECES, max_size=8), bare=st.booleans())
@settings(deadline=None, max_examples=150)
def test_every_byte_is_accounted_for(pieces: list[bytes], bare: bool) -> None:
    data = b"".join(pieces)
    length = {Control: lambda _: 1, Frame: lambda token: len(token.data), Stray: lambda token: token.length}
    assert sum(length[type(token)](token) for token in cut_up(data, bare)) == len(data)  # type: ignore[no-untyped-call]


@given(noise=st.binary(max_size=300), wrap=st.sampled_from(WRAPPINGS), after=st.sampled_from(MESSAGES))
@settings(deadline=None, max_examples=200)
def test_behind_any_noise_the_second_good_frame_is_found(noise: bytes, wrap: object, after: bytes) -> None:
    good = wrap(after)  # type: ignore[operator]
    assert messages(cut_up(noise + good + good))[-1] == after


@given(wrap=st.sampled_from(WRAPPINGS), cut=st.integers(1, 600), message=st.sampled_from(MESSAGES))
@settings(deadline=None, max_examples=150)
def test_a_cut_frame_costs_no_other_and_one_at_most_where_no_check_is(wrap: object, cut: int, message: bytes) -> None:
    frame = wrap(message)  # type: ignore[operator]
    framer = LengthFramer(bare=False)
    tokens = framer.feed(frame[: cut % len(frame)] + wrap(SALE) + wrap(ECHO))  # type: ignore[operator]
    found = messages(tokens)
    assert found[-1] == ECHO
    if wrap is serial_frame:  # without a check, bytes may be lost so that the next opening fills what is missing
        assert found[-2] == SALE


def test_a_serial_frame_that_does_not_end_where_it_says_costs_no_other() -> None:
    lying = bytearray(serial_frame(SALE))
    lying[2] = (lying[2] & 0xF0) | ((lying[2] & 0x0F) ^ 1)
    assert messages(cut_up(bytes(lying) + serial_frame(ECHO))) == [ECHO]


def test_the_repr_of_a_frame_holds_none_of_its_bytes() -> None:
    (token,) = cut_up(serial_frame(SALE))
    assert "88001234" not in repr(token)
    assert "data" not in repr(token)


@pytest.mark.parametrize(
    "hostile",
    [
        b"\x02",
        b"\x02\x09\x99",
        b"\x04\xff" + bytes.fromhex(H) + b"\x02\x00",
        bytes.fromhex(H) + b"\x02\x00" + b"\xff" * 7,
        b"0999" + bytes.fromhex(H) + b"\x08\x00",
        b"\x00",
        b"9",
    ],
    ids=["stx", "stx-length", "openings", "bare-openings", "ascii-openings", "zeros", "digits"],
)
@pytest.mark.parametrize("bare", [False, True])
def test_hostile_input_is_bounded_and_takes_linear_time(hostile: bytes, bare: bool) -> None:
    def cost(size: int) -> float:
        data = (hostile * (size // len(hostile) + 1))[:size]
        best = float("inf")
        for _ in range(3):
            framer = LengthFramer(bare)
            begun = time.process_time()
            for place in range(0, size, 512):
                framer.feed(data[place : place + 512])
                assert len(framer._held) <= LONGEST + 600
            best = min(best, time.process_time() - begun)
        return best

    small, large = cost(20_000), cost(80_000)
    assert large < 4 * 4 * small + 0.05  # four times the input; a square would be sixteen times the time


def test_random_bytes_hold_up_nothing() -> None:
    noise = random.Random(8583).randbytes(50_000)
    tokens = cut_up(noise + b"\xff" * 20 + serial_frame(SALE), step=997)
    assert messages(tokens)[-1] == SALE
