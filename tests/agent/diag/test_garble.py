"""What wrong settings do to bytes, and how they are recognised."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.diag.garble import LEAST, Parity, ParityEar, coded, is_seven_bit, stripped
from tests.agent.diag.copper import resampled, with_parity

TEXT = st.binary(min_size=LEAST, max_size=200).map(lambda data: bytes(byte & 0x7F for byte in data))


@given(TEXT, st.sampled_from(list(Parity)), st.integers(1, 7))
def test_parity_in_bit_7_is_recognised_whatever_the_chunks(text: bytes, parity: Parity, size: int) -> None:
    heard = with_parity(text, odd=parity is Parity.ODD)
    assert coded(text, parity) == heard
    assert stripped(heard) == text
    ear = ParityEar()
    for place in range(0, len(heard), size):
        ear.feed(heard[place : place + size])
    assert ear.heard is (parity if heard != text else None)


@given(TEXT)
def test_plain_text_bears_no_parity(text: bytes) -> None:
    ear = ParityEar()
    ear.feed(text)
    assert ear.heard is None
    assert is_seven_bit(text)


@given(st.binary(max_size=LEAST - 1))
def test_little_proves_nothing(data: bytes) -> None:
    ear = ParityEar()
    ear.feed(data)
    assert ear.heard is None


def test_one_byte_that_does_not_fit_refutes_it() -> None:
    ear = ParityEar()
    ear.feed(with_parity(b"the quick brown fox", odd=True))
    assert ear.heard is Parity.ODD
    ear.feed(b"\x00")
    assert ear.heard is None


def test_the_planted_speeds_garble_and_the_right_one_does_not() -> None:
    frame = b"\x020123456789\x03\x07"
    assert resampled(frame, 9600, 9600) == frame
    for sent, heard in ((9600, 19200), (19200, 9600), (9600, 115200), (115200, 9600)):
        assert resampled(frame, sent, heard) != frame
