"""The LRC framer: tokens from bytes, whatever the bytes and however they are cut."""

from __future__ import annotations

import time
from functools import reduce
from operator import xor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.framing_lrc import ETX, MAX_BODY, STX, Byte, Control, Frame, LrcFramer, Stray, Token, frame, lrc

GOOD = frame(b"0712345")


def tokens(*chunks: bytes) -> list[Token]:
    framer = LrcFramer()
    found = [token for chunk in chunks for token in framer.feed(chunk)]
    return found + framer.give_up()


def whole(body: bytes) -> Frame:
    return Frame(body, lrc(body))


def test_the_lrc_covers_the_body_and_the_etx() -> None:
    assert lrc(b"") == ETX
    assert lrc(b"A") == 0x41 ^ 0x03
    assert frame(b"A") == bytes((STX, 0x41, ETX, 0x42))


@pytest.mark.parametrize("byte", list(Byte))
def test_control_bytes_stand_alone(byte: Byte) -> None:
    assert tokens(bytes([byte])) == [Control(byte)]


def test_a_frame_between_control_bytes() -> None:
    assert tokens(b"\x05" + GOOD + b"\x04") == [Control(Byte.ENQ), whole(b"0712345"), Control(Byte.EOT)]


@pytest.mark.parametrize("wanted", [STX, ETX, *Byte])
def test_an_lrc_may_have_the_value_of_any_control_byte(wanted: int) -> None:
    body = b"0" + bytes([wanted ^ ETX ^ 0x30])
    if STX in body or ETX in body:
        body = b"0" + bytes([wanted ^ ETX ^ 0x30 ^ 0x40]) + b"@"
    assert lrc(body) == wanted
    assert tokens(frame(body) + b"\x06") == [whole(body), Control(Byte.ACK)]


def test_a_wrong_lrc_is_told_and_costs_only_its_frame() -> None:
    bad = GOOD[:-1] + bytes([GOOD[-1] ^ 0x11])
    first, second = tokens(bad + GOOD)
    assert isinstance(first, Frame)
    assert not first.ok
    assert second == whole(b"0712345")


def test_stx_in_a_body_begins_anew() -> None:
    assert tokens(GOOD[:4] + GOOD) == [Stray(4, "frame cut short"), whole(b"0712345")]


def test_a_lost_lrc_does_not_swallow_the_next_frame() -> None:
    assert tokens(GOOD[:-1] + GOOD) == [Stray(len(GOOD) - 1, "LRC missing"), whole(b"0712345")]


def test_a_hurt_body_never_becomes_an_acknowledgement() -> None:
    hurt = GOOD.replace(b"1", b"\x06")
    (only,) = tokens(hurt)
    assert isinstance(only, Frame)
    assert not only.ok


def test_noise_is_one_run() -> None:
    assert tokens(b"\x00\xff", b"abc", GOOD) == [Stray(5, "no frame"), whole(b"0712345")]


def test_an_endless_frame_is_given_up_at_its_bound() -> None:
    found = tokens(bytes([STX]) + b"9" * (MAX_BODY + 10) + GOOD)
    assert found == [Stray(MAX_BODY + 1, "frame too long"), Stray(10, "no frame"), whole(b"0712345")]


def test_the_longest_body_is_taken() -> None:
    body = b"9" * MAX_BODY
    assert tokens(frame(body)) == [whole(body)]


def test_what_is_held_is_known_and_given_up() -> None:
    framer = LrcFramer()
    assert framer.idle
    framer.feed(GOOD[:-1])
    assert not framer.idle
    assert framer.give_up() == [Stray(len(GOOD) - 1, "frame cut short")]
    assert framer.idle
    assert framer.give_up() == []


def test_the_repr_of_a_frame_hides_its_body() -> None:
    assert "4975" not in repr(tokens(frame(b"4975541234514970")))


LINE = st.lists(
    st.one_of(
        st.binary(max_size=30),
        st.sampled_from([bytes([byte]) for byte in (STX, ETX, *Byte)]),
        st.text("0123456789 ABC", max_size=40).map(lambda text: frame(text.encode())),
        st.integers(MAX_BODY - 2, MAX_BODY + 2).map(lambda n: bytes([STX]) + b"7" * n),
    ),
    max_size=12,
).map(b"".join)


@given(LINE, st.data())
def test_tokens_do_not_depend_on_the_cuts(line: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(line)), max_size=8)))
    pieces = [line[a:b] for a, b in zip([0, *cuts], [*cuts, len(line)], strict=True)]
    assert tokens(*pieces) == tokens(line) == tokens(*(line[i : i + 1] for i in range(len(line))))


@given(LINE)
def test_every_byte_is_accounted_for(line: bytes) -> None:
    lengths = [1 if isinstance(token, Control) else token.length for token in tokens(line)]
    assert sum(lengths) == len(line)


@pytest.mark.parametrize("unit", [b"\x02", b"\x02\x03", b"\x02" + b"1" * 200, b"\x03", b"\x02\x03\x02", b"\x00"])
def test_hostile_input_costs_linear_time(unit: bytes) -> None:
    def cost(size: int) -> float:
        data = unit * (size // len(unit))
        best = float("inf")
        for _ in range(3):
            start = time.perf_counter()
            framer = LrcFramer()
            for place in range(0, len(data), 4096):
                framer.feed(data[place : place + 4096])
            best = min(best, time.perf_counter() - start)
        return best

    # Four times the bytes; quadratic cost would be sixteen times the time.
    assert cost(80_000) < 10 * cost(20_000) + 0.02


@given(body=st.binary(max_size=400))
def test_the_lrc_is_the_xor_of_its_bytes(body: bytes) -> None:
    assert lrc(body) == reduce(xor, body, ETX)
