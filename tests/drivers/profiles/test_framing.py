"""The framing engine: any bytes, cut anywhere; it finds back within one good frame, and its work is bounded."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import registry
from drivers.framing_lrc import Stray
from drivers.observations import Direction
from drivers.profiles import checks
from drivers.profiles.decoder import ProfileDecoder
from drivers.profiles.driver import code_book
from drivers.profiles.framing import Control, Frame, Framer, Shape, Token
from drivers.profiles.load import load
from drivers.profiles.schema import Profile, Style
from tests.drivers.profiles.sample import sample
from tests.logs.profile_cashier import Words

SHIPPED = [load(path) for _, path in sorted(registry.profiles().items())]
FRAMED = [profile for profile in SHIPPED if profile.framing.style is Style.FRAME]

#: frames as the tutorial's has them, in all the other ways a profile can say
_LENGTH = '{ name = "length", length = "ascii", size = 3 }'
_CHECK = 'check = "xor", from = "length", to = "etx"'
_ETX = '  { name = "etx", bytes = "03" },\n'
VARIANTS = {
    "bcd": sample((_LENGTH, '{ name = "length", length = "bcd", size = 2 }')),
    "little": sample((_LENGTH, '{ name = "length", length = "binary", size = 2, order = "little" }')),
    "whole": sample((_LENGTH, '{ name = "length", length = "binary", size = 2, counts = ["length", "payload"] }')),
    "to its end": sample((f"  {_LENGTH},\n", ""), ('from = "length"', 'from = "payload"')),
    "fixed": sample(
        (f"  {_LENGTH},\n", ""), ("{ payload = true }", "{ payload = true, size = 37 }"),
        ('from = "length"', 'from = "payload"')),
    "no end": sample((_ETX, ""), (_CHECK, 'check = "crc32", from = "length", to = "payload"')),
    "modbus": sample((_CHECK, 'check = "crc16-modbus", from = "length", to = "etx", order = "little"')),
    "ccitt": sample((_CHECK, 'check = "crc16-ccitt", from = "stx", to = "payload"')),
    "xmodem": sample((_CHECK, 'check = "crc16-xmodem", from = "stx", to = "payload"')),
    "sum": sample((_CHECK, 'check = "sum8", from = "payload", to = "payload"')),
    "lrc8": sample((_CHECK, 'check = "lrc8", from = "payload", to = "payload"')),
    "unchecked": sample((f'  {{ name = "lrc", {_CHECK} }},\n', "")),
    "lines": sample(
        ('  { name = "stx", bytes = "02" },\n', ""), (f"  {_LENGTH},\n", ""), ('bytes = "03"', 'bytes = "0D0A"'),
        (f'  {{ name = "lrc", {_CHECK} }},\n', "")),
}  # fmt: skip
framed = pytest.mark.parametrize(
    "profile", FRAMED + list(VARIANTS.values()), ids=[p.name for p in FRAMED] + list(VARIANTS)
)


def tokens(profile: Profile, pieces: list[bytes]) -> list[Token]:
    framer = Framer(Shape(profile.framing))
    return [token for piece in pieces for token in framer.feed(piece)] + framer.give_up()


def good(profile: Profile, amount: int = 1285) -> bytes:
    return Words(profile).request(amount)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(ends)]


@framed
def test_a_frame_is_one_frame(profile: Profile) -> None:
    data = good(profile)
    (token,) = tokens(profile, [data])
    assert isinstance(token, Frame)
    assert (token.raw, token.ok in (True, None)) == (data, True)
    assert "HIS0001" not in repr(token)


@framed
@given(noise=st.binary(max_size=60), more=st.binary(max_size=20), places=st.lists(st.integers(0, 400), max_size=8))
@settings(max_examples=60, deadline=None)
def test_the_cuts_do_not_matter(profile: Profile, noise: bytes, more: bytes, places: list[int]) -> None:
    data = noise + good(profile) + more + good(profile)
    whole = tokens(profile, [data])
    assert tokens(profile, cut(data, places)) == whole
    assert tokens(profile, [bytes([byte]) for byte in data]) == whole
    sizes = [len(t.raw) if isinstance(t, Frame) else t.length if isinstance(t, Stray) else 1 for t in whole]
    assert sum(sizes) == len(data), "every byte is told once"


@framed
@given(noise=st.one_of(st.binary(max_size=200), st.binary(max_size=4).map(lambda seed: seed * 50)))
@settings(max_examples=100, deadline=None)
def test_it_finds_back_within_one_good_frame(profile: Profile, noise: bytes) -> None:
    data = good(profile)
    if not Shape(profile.framing).start:
        noise += Shape(profile.framing).terminator  # a line without a beginning is found again at the next end
    found = [t for t in tokens(profile, [noise, data, data, data]) if isinstance(t, Frame) and t.raw == data]
    assert len(found) >= 2


@framed
def test_a_hurt_byte_gives_no_acknowledgement(profile: Profile) -> None:
    """What is left of a hurt frame may hold any byte; none of them is taken for a control byte."""
    data = good(profile)
    for place in range(len(data)):
        hurt = bytearray(data)
        hurt[place] ^= 0x80
        controls = [t for t in tokens(profile, [bytes(hurt)]) if isinstance(t, Control)]
        assert place == 0 or controls == []


@framed
@pytest.mark.parametrize("kind", ["starts", "heads", "control", "cut"])
def test_hostile_bytes_cost_one_try_each(profile: Profile, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linear: each byte is tried as a beginning at most once for each chunk, and held bytes are bounded."""
    data = good(profile)
    start = Shape(profile.framing).start or b"\r"
    hostile = {
        "starts": start * 3000,
        "heads": data[: len(start) + 5] * 600,
        "control": b"\x06\x15" * 3000,
        "cut": data[:-2] * 60,
    }
    tries = 0
    before = Framer._try

    def counted(self: Framer, held: bytearray, at: int, size: int) -> Frame | str | None:
        nonlocal tries
        tries += 1
        return before(self, held, at, size)

    monkeypatch.setattr(Framer, "_try", counted)
    framer = Framer(Shape(profile.framing))
    pieces = [hostile[kind][place : place + 100] for place in range(0, len(hostile[kind]), 100)]
    for piece in pieces:
        framer.feed(piece)
        assert len(framer._held) <= profile.framing.longest + 100 + 64
    framer.give_up()
    assert tries <= len(hostile[kind]) + len(pieces) + 1
    assert framer.idle


CHUNKS = st.lists(st.tuples(st.sampled_from(list(Direction)), st.binary(max_size=300)), max_size=12)


@pytest.mark.parametrize("profile", SHIPPED, ids=lambda profile: str(profile.name))
@given(chunks=CHUNKS, data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_bytes_through_every_shipped_profile(
    profile: Profile, chunks: list[tuple[Direction, bytes]], data: st.DataObject
) -> None:
    decoder = ProfileDecoder(profile, code_book(profile))
    for direction, chunk in chunks:
        spoilt = bytearray(chunk + good(profile))
        for place in data.draw(st.lists(st.integers(0, len(spoilt) - 1), max_size=3)):
            spoilt[place] = data.draw(st.integers(0, 255))
        decoder.feed(direction, bytes(spoilt))
    decoder.reset()
    assert decoder.idle


def test_a_call_is_whole_when_the_line_is_quiet_or_the_other_side_speaks() -> None:
    text = Path(__file__).parent / "call.toml"
    profile = load(text)
    framer = Framer(Shape(profile.framing))
    assert framer.feed(b"00|12") == framer.feed(b"85|") == []
    (token,) = framer.give_up()
    assert isinstance(token, Frame)
    assert (token.payload, token.ok) == (b"00|1285|", None)
    assert framer.feed(b"x" * 90) + framer.feed(b"x" * 60) + framer.give_up() == [Stray(150, "message too long")]


@given(data=st.binary(max_size=600))
def test_xor_is_the_xor_of_all_bytes(data: bytes) -> None:
    slow = 0
    for byte in data:
        slow ^= byte
    assert checks.xor(data) == slow
    assert checks.lrc8(data) == (256 - checks.sum8(data)) % 256


def test_checks_have_their_published_values() -> None:
    """Of the digits 1 to 9, as catalogues of checks give them."""
    known = {"crc16-modbus": 0x4B37, "crc16-xmodem": 0x31C3, "crc16-ccitt": 0x29B1, "crc32": 0xCBF43926, "xor": 0x31}
    for name, value in known.items():
        size, compute = checks.ALGORITHMS[name]
        assert compute(b"123456789") == value
        assert checks.computed(name, b"123456789", little=True) == value.to_bytes(size, "little")
