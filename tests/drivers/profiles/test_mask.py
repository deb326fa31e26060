"""What a profile's masker keeps: frames of the same length that decode the same, without card numbers and secrets."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import registry
from drivers.masking import LeftOut
from drivers.observations import Direction, Noise, as_dict
from drivers.profiles.compose import compose
from drivers.profiles.decoder import ProfileDecoder
from drivers.profiles.driver import code_book
from drivers.profiles.fields import clean
from drivers.profiles.framing import Shape
from drivers.profiles.json_text import leaves
from drivers.profiles.load import load
from drivers.profiles.mask import ProfileMasker
from drivers.profiles.schema import Encoding, Fact, Field, Profile, Style
from tests.drivers.pans import PANS
from tests.drivers.profiles.sample import sample
from tests.drivers.profiles.test_frames import CASES, PROFILES

PROFILE_LIST = [load(path) for _, path in sorted(registry.profiles().items())] + [
    sample(),
    load(Path(__file__).parent / "call.toml"),
]
#: a number that goes on with other digits can't be told from a longer one, nor one beside asterisks from a masked one
NO_DIGITS = st.binary(max_size=12).map(
    lambda data: data.translate(bytes(b if b not in b"0123456789*" else 32 for b in range(256)))
)
each = pytest.mark.parametrize("profile", PROFILE_LIST, ids=lambda profile: str(profile.name))


def masked(profile: Profile, direction: Direction, data: bytes) -> bytes:
    masker = ProfileMasker(profile)
    pieces = masker.feed(direction, data) + masker.silence(direction)
    return b"".join(bytes(piece.length) if isinstance(piece, LeftOut) else piece for piece in pieces)


def decoded(profile: Profile, direction: Direction, data: bytes) -> list[dict[str, object]]:
    decoder = ProfileDecoder(profile, code_book(profile))
    return [as_dict(seen) for seen in decoder.feed(direction, data) + decoder.finish()]


def secrets_of(profile: Profile, pan: str) -> dict[str, str]:
    """A card number in every field that is never kept."""
    fields = [field for layout in profile.layouts.values() for field in layout.fields if field.never]
    return {field.name: pan for field in fields}


@each
@given(pan=PANS, amount=st.integers(1, 9_999_999), hurt=st.booleans())
@settings(max_examples=40, deadline=None)
def test_every_message_loses_its_card_number_and_nothing_else(
    profile: Profile, pan: str, amount: int, hurt: bool
) -> None:
    shape = Shape(profile.framing)
    facts = {Fact.CARD: pan, Fact.AMOUNT: str(amount), Fact.TRACE: "000123", Fact.TEXT: pan}
    for message in profile.messages:
        for direction in message.senders:
            data = compose(profile, shape, direction, message, facts, secrets_of(profile, pan))
            if hurt and shape.checks and shape.closed:  # without an end a broken frame is no frame at all
                size = len(data) - shape.head - shape.tail
                at = shape.at(shape.checks[-1], size)
                data = data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :]
            kept = masked(profile, direction, data)
            assert len(kept) == len(data)
            assert pan.encode() not in kept
            assert pan not in kept.hex()
            assert decoded(profile, direction, kept) == decoded(profile, direction, data)
            assert pan not in repr(decoded(profile, direction, data))


@pytest.mark.parametrize("case", [c for c in CASES if c["protocol"] in PROFILES], ids=lambda case: str(case["id"]))
def test_a_known_frame_decodes_the_same_from_a_recording(case: dict[str, str]) -> None:
    profile = load(registry.profiles()[PROFILES[case["protocol"]]])
    direction = Direction.CASHIER if case["direction"].startswith("pc") else Direction.TERMINAL
    data = bytes.fromhex(case["hex"])
    kept = masked(profile, direction, data)
    assert decoded(profile, direction, kept) == decoded(profile, direction, data)
    assert b"\x62\x00\x00\x00\x00\x00\x00\x05" not in kept, "the test card, as ISO 8583 packs it"
    assert b"\x62\x00\x12\x34\x00\x05\x55\x51" not in kept


@each
@given(pan=PANS, before=NO_DIGITS, behind=NO_DIGITS, data=st.data())
@settings(max_examples=60, deadline=None)
def test_bytes_that_are_no_message_are_not_kept(
    profile: Profile, pan: str, before: bytes, behind: bytes, data: st.DataObject
) -> None:
    shape = Shape(profile.framing)
    payload = before + pan.encode() + behind
    line = data.draw(st.sampled_from([payload, b'{"a":"' + payload + b'"}', shape.build(payload, {})]))
    direction = data.draw(st.sampled_from(list(Direction)))
    assert pan.encode() not in masked(profile, direction, line)


def test_a_number_in_a_json_escape_or_key_or_bare_is_not_kept() -> None:
    profile = load(registry.profiles()["wizarpos-opc"])
    shape = Shape(profile.framing)
    for payload in (
        '{"TransType":"Purchase","RespDesc":"\\u0036200000000000005"}',
        '{"TransType":"Purchase","6200000000000005":1}',
        '{"TransType":"Purchase","Other":6200000000000005}',
        '{"TransType":"Purchase","Track2":"6200000000000005=2912"}',
    ):
        data = shape.build(payload.encode(), {"ctrl": b"\x01", "version": b"\x01"})
        kept = masked(profile, Direction.CASHIER, data)
        assert b"00000000005" not in kept
        assert b"2912" not in kept
        assert not any(isinstance(seen, Noise) for seen in decoded(profile, Direction.CASHIER, kept))


@pytest.mark.parametrize(
    ("fact", "text", "kept"),
    [
        (Fact.CHANNEL_ORDER, "4200001234202406071234567890", "4200001234202406071234567890"),
        (Fact.CHANNEL_ORDER, "6200000000000005", "620000******0005"),
        (Fact.CHANNEL_ORDER, "6200000000000005000", "620000******0005000"),
        (Fact.REFERENCE, "240607100001", "240607100001"),
        (None, "6200000000000005", "620000******0005"),
        (Fact.CARD, "620000****0012", "620000****0012"),
    ],
)
def test_order_numbers_stay_and_card_numbers_do_not(fact: Fact | None, text: str, kept: str) -> None:
    assert clean(Field(name="x", fact=fact, encoding=Encoding.ASCII), text) == kept


@given(data=st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_have_json_values_or_none(data: bytes) -> None:
    for leaf in leaves(data):
        assert data[leaf.start : leaf.start + len(leaf.raw)] == leaf.raw


def test_json_nested_a_thousand_deep_is_read_flat() -> None:
    data = b'{"a":' * 1000 + b'"x"' + b"}" * 1000
    (leaf,) = leaves(data)
    assert leaf.raw == b"x"
    assert leaf.path.count(".") <= 16


def test_quotes_that_never_close_are_read_once() -> None:
    data = b'"' + b'\\"' * 50_000  # looked at anew from each quote, this would take minutes
    (leaf,) = leaves(data)
    assert len(leaf.raw) == 100_000
    assert [each.raw for each in leaves(b'{"a":"b\\')] == [b"b"]


def test_json_paths() -> None:
    data = b'{"a":{"b":"1","c":[{"d":2},{"d":3}]},"e":null,"f":"","g":true}'
    assert [(leaf.path, leaf.raw) for leaf in leaves(data)] == [
        ("a.b", b"1"), ("a.c.d", b"2"), ("a.c.d", b"3"), ("e", b"null"), ("f", b""), ("g", b"true"),
    ]  # fmt: skip


def test_a_call_is_masked_whole() -> None:
    profile = PROFILE_LIST[-1]
    assert profile.framing.style is Style.CALL
    kept = masked(profile, Direction.CASHIER, b"00|1285|6200000000000005=2912|527|")
    assert kept == b"00|1285|*********************|527|"
