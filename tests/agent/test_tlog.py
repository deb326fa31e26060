"""The .tlog format: what is written reads back, card numbers masked; what is no log is refused by file and line."""

from __future__ import annotations

import contextlib
import io
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import tlog
from agent.errors import TillwatchError, UnreachableError, UsageError
from agent.playback import observe
from agent.tlog import Event, Happened, Header, Sent, Writer
from drivers import registry
from drivers.driver import Framing
from drivers.framing_lrc import frame
from drivers.masking import LeftOut
from drivers.observations import Answer, Direction, Noise
from drivers.profiles.driver import driver_in
from tests.drivers.pans import PANS

CASHIER, TERMINAL = Direction.CASHIER, Direction.TERMINAL
CONCERT = registry.get("concert")
HEADER = Header(protocol="concert", framing=Framing.SERIAL, device="bench", notes=("one", "two"))
PAN = "4975541234514970"


def answer(pan: str = PAN) -> bytes:
    return frame(f"070000012341{pan:<55}978A123456   ".encode())


def written(*records: tuple[float, Direction, bytes] | tuple[float, Event]) -> str:
    stream = io.StringIO()
    writer = Writer(stream, HEADER, CONCERT)
    for record in records:
        if len(record) == 3:
            writer.sent(*record)
        else:
            writer.happened(*record)
    writer.close()
    return stream.getvalue()


def test_what_is_written_reads_back() -> None:
    log = tlog.parse(
        written((0.0, CASHIER, b"\x05"), (0.0043121, TERMINAL, b"\x06"), (1.5, Event.PORT_CLOSED)), "a.tlog"
    )
    assert log.header == HEADER
    assert log.records == (
        Sent(0.0, CASHIER, b"\x05"),
        Sent(0.004312, TERMINAL, b"\x06"),
        Happened(1.5, Event.PORT_CLOSED),
    )


def test_the_file_is_for_people_too() -> None:
    assert written((0.0, CASHIER, b"\x05")).splitlines() == [
        "# tillwatch log 2",
        "# Protocol: concert",
        "# Framing: serial",
        "# Device: bench",
        "# Notes: one",
        "# Notes: two",
        "",
        "+0.000000 > 05",
        "",
        "# end",
    ]


def test_a_frame_is_written_when_it_is_whole_and_masked() -> None:
    sent = answer()
    text = written((1.0, TERMINAL, sent[:30]), (1.1, TERMINAL, sent[30:]))
    (record,) = tlog.parse(text, "").records
    assert isinstance(record, Sent)
    assert (record.at, len(record.data)) == (1.1, len(sent))
    assert PAN.encode() not in record.data
    (seen,) = observe([record], CONCERT, Framing.SERIAL)
    assert isinstance(seen.observation, Answer)
    assert seen.observation.facts.card is not None
    assert seen.observation.facts.card.masked == "497554******4970"


@given(PANS, st.lists(st.integers(0, 200), max_size=6), st.binary(max_size=6), st.booleans())
def test_no_cut_and_no_noise_lets_a_card_number_through(pan: str, cuts: list[int], noise: bytes, broken: bool) -> None:
    line = noise + answer(pan)[: -1 if broken else None] + (b"\x7f" if broken else b"") + pan.encode()
    places = [0, *sorted(min(cut, len(line)) for cut in cuts), len(line)]
    chunks = [line[a:b] for a, b in pairwise(places)]
    text = written(*((float(n) / 10, TERMINAL, chunk) for n, chunk in enumerate(chunks)))
    data = b"".join(record.data for record in tlog.parse(text, "").records if isinstance(record, Sent))
    assert pan.encode() not in data
    assert pan[6:-4].encode() not in data


def test_bytes_outside_of_frames_are_counted_only() -> None:
    text = written((0.0, TERMINAL, PAN.encode()), (0.5, TERMINAL, b"\x05"))
    assert "+0.500000 < ~ 16" in text
    seen = [each.observation for each in observe(tlog.parse(text, "").records, CONCERT, Framing.SERIAL)]
    assert seen[0] == Noise(direction=TERMINAL, length=16, reason="no frame")


def test_noise_of_any_length_reads_back() -> None:
    """A line at a wrong speed says nothing but noise, for hours."""
    stream = io.StringIO()
    lines = tlog.Lines(stream, Header(protocol="concert"))
    lines.pieces(0.0, Direction.TERMINAL, [LeftOut(2_500_000)])
    lines.end()
    log = tlog.parse(stream.getvalue(), "x.tlog")
    assert sum(len(record.data) for record in log.records if isinstance(record, Sent)) == 2_500_000


def test_a_frame_that_stops_is_left_out_after_the_gap() -> None:
    text = written((0.0, TERMINAL, answer()[:40]), (3.0, TERMINAL, b"\x05"))
    assert text.splitlines()[-4:-2] == ["+3.000000 < ~ 40", "+3.000000 < 05"]


def test_a_cut_line_ends_a_frame() -> None:
    text = written((0.0, TERMINAL, answer()[:40]), (0.1, Event.UNPLUGGED))
    assert text.splitlines()[-4:-2] == ["+0.100000 < ~ 40", "+0.100000 ! unplugged"]


def test_a_message_that_only_the_quiet_ends_is_written_at_its_time() -> None:
    """Two requests without an answer between them stay two when the log is played back."""
    driver = driver_in(Path(__file__).parents[1] / "drivers" / "profiles" / "call.toml")
    stream = io.StringIO()
    writer = Writer(stream, Header(protocol="call", framing=Framing.NONE), driver)
    writer.sent(0.0, Direction.CASHIER, b"00|990")
    writer.sent(0.1, Direction.CASHIER, b"||001|")
    writer.sent(2.0, Direction.CASHIER, b"00|990||002|")
    writer.sent(2.2, Direction.TERMINAL, b"00||||990||002||")
    writer.close()
    log = tlog.parse(stream.getvalue(), "call.tlog")
    assert [record.at for record in log.records] == [0.1, 2.0, 2.2]
    kinds = [type(seen.observation).__name__ for seen in observe(log.records, driver, Framing.NONE)]
    assert kinds == ["Request", "Request", "Answer"]


def test_every_protocol_can_be_recorded_but_the_one_that_guesses() -> None:
    assert [name for name in registry.names() if registry.get(name).masker is None] == ["sniffer"]
    with pytest.raises(UsageError) as caught:
        Writer(io.StringIO(), Header(protocol="sniffer"), registry.get("sniffer"))
    assert caught.value.key == "tlog.no_masker"


def test_a_recorder_s_clock_never_runs_back() -> None:
    text = written((2.0, CASHIER, b"\x05"), (1.0, TERMINAL, b"\x06"))
    assert [record.at for record in tlog.parse(text, "").records] == [2.0, 2.0]


GOOD = "# tillwatch log 1\n# Protocol: concert\n\n+0.5 > 05\n"


@pytest.mark.parametrize(
    ("text", "where", "key"),
    [
        ("", "a:1", "tlog.no_magic"),
        ("\x00\x01binary", "a:1", "tlog.no_magic"),
        ("# tillwatch log 3\n# Protocol: concert\n", "a:1", "tlog.newer"),
        ("# tillwatch log x\n# Protocol: concert\n", "a:1", "tlog.no_magic"),
        ("# tillwatch log 1\n\n+0.5 > 05\n", "a:1", "tlog.no_protocol"),
        ("# tillwatch log 1\n# Protocol: concert\n# Colour: red\n", "a:3", "tlog.bad_header"),
        ("# tillwatch log 1\n# Protocol: concert\n# Protocol: zvt\n", "a:3", "tlog.bad_header"),
        ("# tillwatch log 1\n# Protocol: concert\n# Framing: bus\n", "a:1", "tlog.bad_framing"),
        (GOOD + "0.6 > 05\n", "a:5", "tlog.bad_record"),
        (GOOD + "+0.6 = 05\n", "a:5", "tlog.bad_record"),
        (GOOD + "+0.6 >\n", "a:5", "tlog.bad_record"),
        (GOOD + "# Notes: late\n", "a:5", "tlog.bad_record"),
        (GOOD + "+0.4 > 05\n", "a:5", "tlog.time_back"),
        (GOOD + "+0.6 > 5\n", "a:5", "tlog.bad_hex"),
        (GOOD + "+0.6 > 0G\n", "a:5", "tlog.bad_hex"),
        (GOOD + "+0.6 > ~ 0\n", "a:5", "tlog.bad_hex"),
        (GOOD + "+0.6 > ~ 9999999\n", "a:5", "tlog.bad_hex"),
        (GOOD + "+0.6 ! exploded\n", "a:5", "tlog.bad_event"),
        ("# tillwatch log 2\n# Protocol: concert\n\n# end\n+0.6 > 05\n", "a:4", "tlog.bad_record"),
    ],
)
def test_what_is_no_log_is_refused_by_its_line(text: str, where: str, key: str) -> None:
    with pytest.raises(UsageError) as caught:
        tlog.parse(text, "a")
    assert caught.value.key == key
    assert caught.value.values["where"] == where
    assert where in str(caught.value)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert tlog.parse(GOOD + text, "a").records


def test_an_older_log_is_whole_without_an_end() -> None:
    assert tlog.parse(GOOD, "a").cut is None
    assert len(tlog.parse(GOOD + "+0.6 < 06", "a").records) == 2


@given(st.integers(0, 400))
def test_a_recording_cut_anywhere_is_read_up_to_there(length: int) -> None:
    """Killed, or its disk was full: whole lines count, what comes behind the cut is never read as something else."""
    text = written((0.0, CASHIER, b"\x05"), (0.1, TERMINAL, b"\x06"), (0.2, TERMINAL, answer()), (9.0, Event.UNPLUGGED))
    kept = text[:length]
    body = text.index("+0.000000")
    if length < body:
        return
    log, whole = tlog.parse(kept, "a"), tlog.parse(text, "a")
    assert whole.cut is None
    assert log.records == whole.records[: len(log.records)]
    lines = kept[body:].count("\n") if not kept.endswith("# end") else len(whole.records)
    assert len(log.records) == min(lines, len(whole.records))
    assert (log.cut is None) == (kept.rstrip().endswith("# end"))


def test_zeros_behind_a_power_cut_are_no_records(tmp_path: Path) -> None:
    path = tmp_path / "cut.tlog"
    whole = written((0.0, CASHIER, b"\x05"), (0.1, TERMINAL, b"\x06")).encode()
    path.write_bytes(whole[:-20] + bytes(4096))
    log = tlog.read(path)
    assert [record.at for record in log.records] == [0.0]
    assert log.cut == f"{path}:9"


def test_a_file_that_can_t_be_read(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError):
        tlog.read(tmp_path / "none.tlog")
    binary = tmp_path / "binary.tlog"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TillwatchError) as caught:
        tlog.read(binary)
    assert caught.value.exit_code == 2
