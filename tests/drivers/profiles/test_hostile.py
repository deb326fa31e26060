"""Profiles and bytes that nobody means well with: told as mistakes, read as nothing, and never raised."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import registry
from drivers.observations import Answer, Direction, Noise, Request, as_dict
from drivers.profiles.compose import compose
from drivers.profiles.decoder import ProfileDecoder
from drivers.profiles.driver import code_book
from drivers.profiles.errors import ProfileError
from drivers.profiles.fields import amount_of, bytes_of, text_of
from drivers.profiles.framing import Shape
from drivers.profiles.load import load, parse
from drivers.profiles.schema import Encoding, Fact, Field, Profile, Unit
from tests.drivers.profiles.sample import changed, sample

CASHIER, TERMINAL = Direction.CASHIER, Direction.TERMINAL
PROFILES = [load(path) for _, path in sorted(registry.profiles().items())]
each = pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: str(profile.name))


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 5000,
        "a = " + "[" * 900 + "]" * 900,
        "a = " + "{a=" * 3000,
        "a." * 3000 + "b = 1",
        "\ufeff[profile]",
        "a = 1\x00",
        'a = "\\ud800"',
        "[[" * 400,
        "profile = 1",
        "layouts = []",
        "messages = {}",
        "",
    ],
    ids=range(12),
)
def test_a_file_that_is_no_profile_is_a_mistake(text: str) -> None:
    with pytest.raises(ProfileError):
        parse(text, Path("acme.toml"))


LINES = changed().split("\n")
VALUES = st.sampled_from(
    [
        "1",
        "-1",
        '"x"',
        '""',
        "true",
        "[]",
        "{}",
        "[1]",
        '["a"]',
        "{ a = 1 }",
        "1979-05-27",
        "nan",
        "inf",
        "99999999999999999999",
        '"\\u0000"',
        '"binary"',
        '"cashier"',
        '"request"',
        '"02"',
        "[[]]",
    ]
)


def read(text: str) -> Profile | ProfileError:
    try:
        return parse(text, Path("acme.toml"))
    except ProfileError as error:
        return error


@given(changes=st.lists(st.tuples(st.integers(0, len(LINES) - 1), VALUES), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_any_value_anywhere_is_a_profile_or_a_mistake_with_its_line(changes: list[tuple[int, str]]) -> None:
    lines = list(LINES)
    for place, value in changes:
        key, equals, _ = lines[place].partition("=")
        lines[place] = f"{key}{equals} {value}" if equals else lines[place]
    found = read("\n".join(lines))
    if isinstance(found, ProfileError):
        assert all(1 <= mistake.line <= len(lines) + 1 for mistake in found.mistakes)
        return
    profile = found
    shape = Shape(profile.framing)
    for message in profile.messages:
        for direction in message.senders:
            compose(profile, shape, direction, message, {Fact.AMOUNT: "1285", Fact.NONCE: "x", Fact.TRACE: "7"})


def test_a_binary_number_of_two_thousand_bytes_is_none() -> None:
    field = Field(name="x", encoding=Encoding.BINARY)
    assert text_of(field, b"\xff" * 3000) == "FF" * 3000
    assert text_of(field, b"\x01\x00") == "256"
    assert text_of(field, b"") == ""
    assert bytes_of(Field(name="x", encoding=Encoding.BINARY, size=2), "²") == b"\0\0"
    assert bytes_of(Field(name="x", encoding=Encoding.BINARY, size=2), "9" * 5000) == b"\0\0"


@pytest.mark.parametrize(
    ("written", "minor"),
    [
        ("12.85元", 1285),
        ("¥12.85", 1285),
        ("￥ 1,234.50", 123450),
        ("CNY12.85", 1285),
        ("+12.85", 1285),
        ("-1,234,567.8", 123456780),
        ("RMB -20.00", 2000),
        ("0.05", 5),
        ("007", 700),
        ("12,85", None),
        ("1.234,50", None),
        ("1,23.00", None),
        ("12.855", None),
        ("12.", None),
        (".85", None),
        ("", None),
        ("--1", None),
        ("1-2", None),
        ("12.85 12.85", None),
        ("1" * 40, None),
        ("," * 40, None),
    ],
)
def test_an_amount_that_can_be_read_in_two_ways_is_not_read(written: str, minor: int | None) -> None:
    assert amount_of(Field(name="x", unit=Unit.MAJOR), written) == minor


@pytest.mark.parametrize(
    ("written", "minor"),
    [
        ("000000012850", 12850),
        ("-1285", 1285),
        ("+1285", 1285),
        ("0", 0),
        ("12.85", None),
        ("12A5", None),
        ("1,285", None),
    ],
)
def test_an_amount_in_fen_has_digits_only(written: str, minor: int | None) -> None:
    assert amount_of(Field(name="x"), written) == minor


def test_bcd_with_letters_is_no_amount_and_no_length() -> None:
    ing = load(registry.profiles()["ing-tlv"])
    decoder = ProfileDecoder(ing, code_book(ing))
    payload = bytes.fromhex("DF010100DF020145DF03060000000A2000")
    (request,) = decoder.feed(CASHIER, Shape(ing.framing).build(payload, {}))
    assert isinstance(request, Request)
    assert request.facts.amount is None
    seen = decoder.feed(CASHIER, b"\x02\x00\x1a" + payload + b"\x03\x00") + decoder.finish()
    assert all(isinstance(noise, Noise) for noise in seen)


@pytest.mark.parametrize("inside", ["DF0682FFFF45", "DF06830000054500", "DF0680", "DF06", "DF0681", "DF06FF00", "DF"])
def test_lengths_that_lie_end_the_reading_and_nothing_else(inside: str) -> None:
    ing = load(registry.profiles()["ing-tlv"])
    payload = bytes.fromhex("DF010102DF07023030" + inside)
    decoder = ProfileDecoder(ing, code_book(ing))
    (answer,) = decoder.feed(TERMINAL, Shape(ing.framing).build(payload, {}))
    assert isinstance(answer, Answer)
    assert answer.facts.response_code == "00"


def test_what_follows_a_message_that_is_too_long_is_no_message() -> None:
    profile = load(registry.profiles()["keeper-csv"])
    answer = b"05,6200000000000005,12850,20240607,1,A,00,T,B,C,ok,000010"
    decoder = ProfileDecoder(profile, code_book(profile))
    seen = decoder.feed(TERMINAL, b"x" * profile.framing.longest + answer) + decoder.silence(TERMINAL)
    assert {type(each) for each in seen} == {Noise}
    assert isinstance((decoder.feed(TERMINAL, answer) + decoder.silence(TERMINAL))[0], Answer)


def test_a_code_that_is_no_text_names_no_request() -> None:
    opc = load(registry.profiles()["wizarpos-opc"])
    for code in ("\\ud800", "\\u0007\\u001b[2J", "x" * 500):
        data = Shape(opc.framing).build(
            b'{"TransType":"' + code.encode() + b'"}', {"ctrl": b"\x01", "version": b"\x01"}
        )
        (request,) = ProfileDecoder(opc, code_book(opc)).feed(CASHIER, data)
        assert isinstance(request, Request)
        assert request.message.isprintable()
        assert len(request.message) < 30
        repr(as_dict(request)).encode("utf-8")


@each
@given(data=st.binary(max_size=300), hurt=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=4))
@settings(max_examples=30, deadline=None)
def test_messages_hurt_anywhere_raise_nothing(profile: Profile, data: bytes, hurt: list[tuple[int, int]]) -> None:
    shape = Shape(profile.framing)
    decoder = ProfileDecoder(profile, code_book(profile))
    for message in profile.messages:
        for direction in message.senders:
            line = bytearray(
                compose(profile, shape, direction, message, {Fact.AMOUNT: "1", Fact.CARD: "6200000000000005"})
            )
            for place, byte in hurt:
                if line:
                    line[place % len(line)] = byte
            for seen in decoder.feed(direction, bytes(line) + data) + decoder.finish():
                repr(as_dict(seen)).encode("utf-8")


def took(profile: Profile, line: bytes) -> float:
    decoder = ProfileDecoder(profile, code_book(profile))
    began = time.process_time()
    for place in range(0, len(line), 512):
        decoder.feed(TERMINAL, line[place : place + 512])
    decoder.finish()
    return time.process_time() - began


@each
@pytest.mark.parametrize("piece", [b"", b"\x02\x99\x99", b"\xdf\x06\x81", b"\x1c,|", b"620000000000000562"])
def test_time_grows_with_the_bytes_and_no_faster(profile: Profile, piece: bytes) -> None:
    """Eight times the bytes take eight times as long, and sixty-four times where each is read for each: in between."""
    start = profile.framing.parts[0].value if profile.framing.parts else b""
    unit = (piece or start or b"0") * 64
    line = unit * (32_000 // len(unit) + 1)
    short = min(took(profile, line[:4_000]) for _ in range(3))
    assert took(profile, line[:32_000]) < 30 * short + 0.1


def test_the_sample_s_check_is_not_all_that_holds() -> None:
    """A frame whose check is right and whose fields are nonsense is an answer that proves nothing."""
    profile = sample()
    decoder = ProfileDecoder(profile, code_book(profile))
    decoder.feed(CASHIER, Shape(profile.framing).build(b"00" + b"0" * 11 + b"1" + b" " * 23, {}))
    seen = decoder.feed(TERMINAL, Shape(profile.framing).build(b"\xff" * 90, {}))
    assert all(not isinstance(each_, Answer) or each_.outcome == "unknown" for each_ in seen)
