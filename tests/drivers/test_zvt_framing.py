"""The ZVT framers: messages from bytes, whatever the bytes and however they are cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.driver import Framing
from drivers.zvt_framing import (
    MAX_APDU,
    Apdu,
    AutoFramer,
    BareFramer,
    Broken,
    Framer,
    LinkAck,
    SerialFramer,
    Stray,
    Token,
    apdu,
    crc,
    framer_of,
    serial_frame,
    split_apdu,
)

#: whole frames of the specification's examples
EXAMPLES = {
    "registration": "10 02 06 00 06 12 34 56 BA 09 78 10 03 24 C3",
    "authorisation": "10 02 06 01 0A 04 00 00 00 01 10 10 00 49 09 78 10 03 F2 FF",
    "acknowledged": "10 02 80 00 00 10 03 F5 1F",
    "please wait": "10 02 84 9C 00 10 03 C3 41",
    "diagnosis": "10 02 06 70 00 10 03 D9 F9",
}
CONTENTS = {
    "registration": "06 00 06 12 34 56 BA 09 78",
    "authorisation": "06 01 0A 04 00 00 00 01 10 00 49 09 78",
    "acknowledged": "80 00 00",
    "please wait": "84 9C 00",
    "diagnosis": "06 70 00",
}
GOOD = bytes.fromhex(EXAMPLES["authorisation"])
BARE = bytes.fromhex(CONTENTS["authorisation"])
WHOLE = Apdu(b"\x06\x01", BARE[3:], True)
FRAMINGS = [Framing.SERIAL, Framing.NONE, Framing.AUTO]
BODIES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"", b"\x10", b"\x10\x10\x10", b"\x10\x03", b"\x10\x02", bytes(254), bytes(255), bytes(300)]),
    st.integers(0, 600).map(lambda size: b"\x10" * size),
)
CONTROLS = st.sampled_from([bytes.fromhex(text) for text in ("040F", "04FF", "060F", "06D1", "0601", "8000", "0501")])
LINE = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from([b"\x10", b"\x02", b"\x03", b"\x06", b"\x15", b"\x10\x02", b"\x10\x03", b"\xff", b"\x06\x0f"]),
        st.builds(lambda control, body: serial_frame(apdu(control, body)), CONTROLS, BODIES),
        st.builds(apdu, CONTROLS, BODIES),
        st.builds(lambda control, body: serial_frame(apdu(control, body), wrong=0x40), CONTROLS, BODIES),
        st.integers(2 * MAX_APDU, 2 * MAX_APDU + 12).map(lambda size: b"\x10\x02" + b"\x06" * size),
        st.integers(MAX_APDU - 8, MAX_APDU + 1).map(lambda size: b"\x04\x0f\xff" + size.to_bytes(2, "little")),
    ),
    max_size=10,
).map(b"".join)


def tokens(framer: Framer, *chunks: bytes) -> list[Token]:
    found = [token for chunk in chunks for token in framer.feed(chunk)]
    return found + framer.give_up()


def pieces(line: bytes, data: st.DataObject) -> Iterator[bytes]:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(line)), max_size=6)))
    return (line[a:b] for a, b in zip([0, *cuts], [*cuts, len(line)], strict=True))


# --- frames as the specification gives them ---


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_are_made_as_they_are(name: str) -> None:
    assert serial_frame(bytes.fromhex(CONTENTS[name])) == bytes.fromhex(EXAMPLES[name])


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_are_read_as_they_are(name: str) -> None:
    (token,) = tokens(SerialFramer(), bytes.fromhex(EXAMPLES[name]))
    content = bytes.fromhex(CONTENTS[name])
    assert token == Apdu(content[:2], content[3:], True)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_crc_covers_the_undoubled_apdu_and_the_end(name: str) -> None:
    frame = bytes.fromhex(EXAMPLES[name])
    assert crc(bytes.fromhex(CONTENTS[name])).to_bytes(2, "little") == frame[-2:]


def test_every_10_of_a_message_is_doubled_wherever_it_stands() -> None:
    whole = apdu(b"\x06\x10", b"\x10" * 16)
    frame = serial_frame(whole)
    assert frame.count(b"\x10\x10") == 1 + 1 + 16  # control, length, data
    assert tokens(SerialFramer(), frame) == [Apdu(b"\x06\x10", b"\x10" * 16, True)]


@pytest.mark.parametrize(("size", "head"), [(0, "00"), (254, "FE"), (255, "FF FF 00"), (256, "FF 00 01")])
def test_the_length_of_a_message(size: int, head: str) -> None:
    whole = apdu(b"\x06\xd3", bytes(size))
    assert whole == b"\x06\xd3" + bytes.fromhex(head) + bytes(size)
    assert split_apdu(whole) == (b"\x06\xd3", bytes(size))


@pytest.mark.parametrize(
    "text", ["", "06", "06 01", "06 01 05", "06 01 00 00", "06 D3 FF", "06 D3 FF 01", "06 D3 FF 01 00"]
)
def test_a_length_that_does_not_fit(text: str) -> None:
    assert split_apdu(bytes.fromhex(text)) is None


# --- the serial framer ---


def test_acknowledgements_stand_between_frames() -> None:
    found = tokens(SerialFramer(), b"\x06" + GOOD + b"\x15" + GOOD + b"\x06")
    assert found == [LinkAck(True), WHOLE, LinkAck(False), WHOLE, LinkAck(True)]


def test_an_acknowledgement_byte_within_a_frame_is_none() -> None:
    assert tokens(SerialFramer(), serial_frame(apdu(b"\x06\x15", b"\x06\x15"))) == [
        Apdu(b"\x06\x15", b"\x06\x15", True)
    ]


def test_a_wrong_crc_costs_only_its_frame() -> None:
    assert tokens(SerialFramer(), serial_frame(BARE, wrong=1) + GOOD) == [Broken(BARE, "bad CRC", False), WHOLE]


def test_a_right_crc_over_a_wrong_length() -> None:
    content = b"\x06\x01\x09\x00"
    assert tokens(SerialFramer(), serial_frame(content)) == [Broken(content, "length does not fit", True)]


@pytest.mark.parametrize("wanted", [0x02, 0x03, 0x06, 0x10, 0x15])
def test_a_crc_may_hold_any_byte(wanted: int) -> None:
    """Its bytes are neither doubled nor do they begin anything."""
    body = next(
        bytes([a, b])
        for a in range(256)
        for b in range(256)
        if wanted in serial_frame(apdu(b"\x04\xff", bytes([a, b])))[-2:]
    )
    found = tokens(SerialFramer(), serial_frame(apdu(b"\x04\xff", body)) + GOOD)
    assert found == [Apdu(b"\x04\xff", body, True), WHOLE]


def test_a_frame_that_begins_anew() -> None:
    assert tokens(SerialFramer(), GOOD[:9] + GOOD) == [Stray(9, "no frame"), WHOLE]


def test_a_frame_that_breaks_off() -> None:
    framer = SerialFramer()
    assert framer.feed(GOOD[:-1]) == []
    assert not framer.idle
    assert framer.give_up() == [Stray(len(GOOD) - 1, "frame broke off")]
    assert framer.idle
    assert framer.give_up() == []


def test_noise_is_one_run_however_it_comes() -> None:
    assert tokens(SerialFramer(), b"\x00\xff", b"abc", GOOD) == [Stray(5, "no frame"), WHOLE]


def test_the_longest_message_is_taken_and_a_longer_frame_given_up() -> None:
    whole = apdu(b"\x06\xd3", b"\x10" * (MAX_APDU - 5))
    assert tokens(SerialFramer(), serial_frame(whole)) == [Apdu(b"\x06\xd3", whole[5:], True)]
    endless = b"\x10\x02" + b"A" * (4 * MAX_APDU)
    assert tokens(SerialFramer(), endless + GOOD) == [Stray(len(endless), "no frame"), WHOLE]


@pytest.mark.parametrize("acks", [1, 3])
def test_an_overlong_frame_is_given_up_at_the_same_place_in_one_piece_and_in_many(acks: int) -> None:
    line = b"\x10\x02" + b"\x06" * (2 * MAX_APDU + 4 + acks)
    single = [line[i : i + 1] for i in range(len(line))]
    assert tokens(SerialFramer(), line) == tokens(SerialFramer(), *single)
    assert tokens(SerialFramer(), line).count(LinkAck(True)) == acks


# --- the bare framer ---


def test_bare_messages_one_behind_the_other() -> None:
    line = apdu(b"\x80\x00") + apdu(b"\x06\xd3", bytes(700)) + apdu(b"\x84\x9c") + BARE
    found = tokens(BareFramer(), line)
    assert found == [
        Apdu(b"\x80\x00", b"", None), Apdu(b"\x06\xd3", bytes(700), None), Apdu(b"\x84\x9c", b"", None),
        Apdu(b"\x06\x01", BARE[3:], None),
    ]  # fmt: skip


def test_a_bare_message_in_ten_segments() -> None:
    whole = apdu(b"\x06\xd3", bytes(range(256)) * 3)
    segments = [whole[at : at + 80] for at in range(0, len(whole), 80)]
    assert tokens(BareFramer(), *segments) == [Apdu(b"\x06\xd3", whole[5:], None)]


def test_noise_before_a_bare_message() -> None:
    assert tokens(BareFramer(), b"\x00\xff\x55\xaa\x99" + BARE) == [
        Stray(5, "no frame"),
        Apdu(b"\x06\x01", BARE[3:], None),
    ]


def test_an_unknown_message_of_a_known_class_is_taken_at_a_clean_boundary_only() -> None:
    unknown = apdu(b"\x06\x7f", b"\x01\x02")
    assert tokens(BareFramer(), BARE + unknown)[-1] == Apdu(b"\x06\x7f", b"\x01\x02", None)
    assert isinstance(tokens(BareFramer(), b"\xff" + unknown)[0], Stray)


def test_a_bare_message_of_impossible_length_is_none() -> None:
    assert tokens(BareFramer(), b"\x06\x0f\xff\xff\xff" + BARE)[-1] == Apdu(b"\x06\x01", BARE[3:], None)


def test_a_bare_message_that_breaks_off() -> None:
    framer = BareFramer()
    assert framer.feed(BARE[:5]) == []
    assert not framer.idle
    assert framer.give_up() == [Stray(5, "frame broke off")]
    assert framer.idle


# --- the framer that finds out ---


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (GOOD, [WHOLE]),
        (b"\x06" + GOOD, [LinkAck(True), WHOLE]),
        (b"\x15" + GOOD, [LinkAck(False), WHOLE]),
        (b"\x06\x06\x15" + GOOD, [LinkAck(True), LinkAck(True), LinkAck(False), WHOLE]),
        (b"\x00\xff" + GOOD, [Stray(2, "no frame"), WHOLE]),
        (b"\x10\x00" + GOOD, [Stray(2, "no frame"), WHOLE]),
        (BARE, [Apdu(b"\x06\x01", BARE[3:], None)]),
        (apdu(b"\x80\x00"), [Apdu(b"\x80\x00", b"", None)]),
        (apdu(b"\x84\x9c"), [Apdu(b"\x84\x9c", b"", None)]),
        (apdu(b"\x06\x10", bytes(3)), [Apdu(b"\x06\x10", bytes(3), None)]),
        (b"\xff\xfe" + BARE, [Stray(2, "no frame"), Apdu(b"\x06\x01", BARE[3:], None)]),
        (b"\x06", [LinkAck(True)]),
        (b"\xff\x00", [Stray(2, "no frame")]),
    ],
)  # fmt: skip
def test_auto_finds_the_framing(line: bytes, wanted: list[Token]) -> None:
    assert tokens(AutoFramer(), line) == wanted
    assert tokens(AutoFramer(), *(line[i : i + 1] for i in range(len(line)))) == wanted


def test_auto_stays_with_what_it_found() -> None:
    framer = AutoFramer()
    framer.feed(GOOD)
    assert framer.feed(b"\x00\x00" + GOOD) == [Stray(2, "no frame"), WHOLE]
    assert framer.idle


# --- any bytes, any cuts ---


@given(st.lists(st.tuples(CONTROLS, BODIES), min_size=1, max_size=5), st.data())
@settings(deadline=None, max_examples=60)
@pytest.mark.parametrize("framing", FRAMINGS[:2])
def test_what_is_written_is_read(framing: Framing, messages: list[tuple[bytes, bytes]], data: st.DataObject) -> None:
    whole = [apdu(*message) for message in messages if not (message[0] == b"\x80\x00" and len(message[1]) > 61)]
    line = b"".join(serial_frame(each) if framing is Framing.SERIAL else each for each in whole)
    found = tokens(framer_of(framing), *pieces(line, data))
    assert [apdu(token.control, token.body) for token in found if isinstance(token, Apdu)] == whole
    assert len(found) == len(whole)


@given(LINE, st.data())
@settings(deadline=None, max_examples=40)
@pytest.mark.parametrize("framing", FRAMINGS)
def test_the_cuts_do_not_matter(framing: Framing, line: bytes, data: st.DataObject) -> None:
    whole = tokens(framer_of(framing), line)
    assert tokens(framer_of(framing), *pieces(line, data)) == whole
    assert tokens(framer_of(framing), *(line[i : i + 1] for i in range(len(line)))) == whole


@given(LINE)
@settings(deadline=None, max_examples=60)
@pytest.mark.parametrize("framing", FRAMINGS)
def test_every_byte_is_accounted_for(framing: Framing, line: bytes) -> None:
    """Noise counts its bytes, and what is a message is no noise."""

    def size(token: Token) -> int:
        if isinstance(token, Stray):
            return token.length
        if isinstance(token, LinkAck):
            return 1
        whole = token.apdu if isinstance(token, Broken) else apdu(token.control, token.body)
        serial = isinstance(token, Broken) or token.checked is not None
        return len(serial_frame(whole)) if serial else len(whole)

    found = tokens(framer_of(framing), line)
    # A length below 255 may be written in the long form: then it takes two bytes more than we write.
    assert 0 <= len(line) - sum(map(size, found)) <= 2 * sum(isinstance(token, Apdu) for token in found)


@given(st.binary(max_size=60))
@settings(deadline=None)
@pytest.mark.parametrize("framing", [Framing.SERIAL, Framing.NONE])
def test_within_one_good_message_after_noise_it_is_in_step(framing: Framing, noise: bytes) -> None:
    good, wanted = (GOOD, WHOLE) if framing is Framing.SERIAL else (BARE, Apdu(b"\x06\x01", BARE[3:], None))
    framer = framer_of(framing)
    framer.feed(noise)
    if framing is Framing.NONE:
        framer.give_up()  # bare messages have no mark of their own: a pause puts them in step
    framer.feed(good)
    assert framer.feed(good)[-1:] == [wanted]


# --- hostile input ---

HOSTILE = {
    "frames that begin": b"\x10\x02",
    "ends": b"\x10\x03",
    "doubled": b"\x10\x10\x02",
    "empty frames": b"\x10\x02\x10\x03",
    "ff": b"\xff",
    "10": b"\x10",
    "bare, too long": b"\x06\x0f\xff\xff\xff",
    "bare, as long as may be": b"\x06\x0f\xff\xf0\x1f",
    "84": b"\x84",
    "half heads": b"\x04\x0f\xff",
}


class Counted(bytearray):
    """A buffer that counts what is asked of it: bytes searched and copied out."""

    work = 0

    def find(self, *args: Any) -> int:
        found = super().find(*args)
        end = found if found >= 0 else len(self)
        Counted.work += max(0, end - args[1]) + 1
        return found

    def __getitem__(self, key: Any) -> Any:
        got = super().__getitem__(key)
        Counted.work += len(got) if isinstance(got, bytearray) else 1
        return got


def work(framing: Framing, line: bytes, chunk: int) -> tuple[int, int]:
    """What reading this line costs, and the most that is held meanwhile."""
    framer = SerialFramer() if framing is Framing.SERIAL else BareFramer()
    framer._buffer = Counted()
    Counted.work = held = 0
    for at in range(0, len(line), chunk):
        framer.feed(line[at : at + chunk])
        held = max(held, len(framer._buffer))
    return Counted.work, held


@pytest.mark.parametrize("lead", [b"", b"\x10\x02"], ids=["alone", "in a frame"])
@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("framing", [Framing.SERIAL, Framing.NONE])
def test_hostile_input_costs_work_in_proportion_and_little_memory(framing: Framing, name: str, lead: bytes) -> None:
    unit = HOSTILE[name]
    for chunk in (64, 4096):
        once, _ = work(framing, lead + unit * (40_000 // len(unit)), chunk)
        twice, held = work(framing, lead + unit * (80_000 // len(unit)), chunk)
        assert twice < 3 * once + 1000  # four times would be quadratic; what is taken off in blocks gives some play
        assert twice < 20 * 80_000
        assert held <= 2 * MAX_APDU + 16


@pytest.mark.parametrize(
    ("framing", "name"),
    [
        (Framing.SERIAL, "frames that begin"),
        (Framing.SERIAL, "10"),
        (Framing.SERIAL, "ff"),
        (Framing.NONE, "ff"),
        (Framing.NONE, "bare, too long"),
        (Framing.NONE, "bare, as long as may be"),
        (Framing.AUTO, "ff"),
    ],
)
def test_a_megabyte_of_it_in_one_piece(framing: Framing, name: str) -> None:
    unit = HOSTILE[name]
    framer = framer_of(framing)
    framer.feed(unit * (1_000_000 // len(unit)))
    framer.give_up()
    assert framer.idle


@given(apdu=st.binary(max_size=400))
def test_the_crc_is_the_reflected_one_with_8408(apdu: bytes) -> None:
    value = 0
    for byte in (*apdu, 0x03):
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x8408 if value & 1 else 0)
    assert crc(apdu) == value
