"""Frames with their bytes: nothing lost, nothing unmasked, whatever the chunks."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import tlog
from agent.frames import Frame, Frames, is_wrong
from agent.playback import observe
from agent.tlog import Event, Happened
from drivers import registry
from drivers.driver import Driver, Framing
from drivers.masking import LeftOut
from drivers.observations import Direction
from tests.agent.test_tlog import answer
from tests.drivers.pans import PANS

CASHIER, TERMINAL = Direction.CASHIER, Direction.TERMINAL
CONCERT = registry.get("concert")
LOGS = Path(__file__).parents[1] / "logs"


def of_log(log: tlog.Tlog, driver: Driver) -> list[Frame]:
    frames = Frames(driver, log.header.framing)
    found: list[Frame] = []
    at = 0.0
    for record in log.records:
        at = record.at
        if isinstance(record, Happened):
            if record.event in (Event.UNPLUGGED, Event.MISSED):
                found += frames.cut(at)
        else:
            found += frames.feed(at, record.direction, record.data)
    return found + frames.finish(at)


@pytest.mark.parametrize(
    "name",
    [
        "simulated-concert-garbage",
        "simulated-zvt-lost-and-found",
        "simulated-cup8583-day",
        "simulated-receipt-approved",
        "simulated-wonder-approved",
        "simulated-ing-tlv-reboot",
        "assembled-sniffer-exchange",
    ],
)
def test_a_log_gives_the_same_observations_and_all_its_bytes(name: str) -> None:
    log = tlog.read(LOGS / f"{name}.tlog")
    driver = registry.get(log.header.protocol)
    frames = of_log(log, driver)
    seen = [frame.observation for frame in frames if frame.observation is not None]
    assert seen == [each.observation for each in observe(log.records, driver, log.header.framing)]
    sent = sum(len(record.data) for record in log.records if not isinstance(record, Happened))
    if driver.masker is not None:
        assert sum(frame.length for frame in frames) == sent


@given(PANS, st.lists(st.integers(0, 300), max_size=8), st.binary(max_size=8))
def test_no_cut_lets_a_card_number_through(pan: str, cuts: list[int], noise: bytes) -> None:
    line = noise + answer(pan) + pan.encode() + answer(pan)[:-1]
    places = [0, *sorted(min(cut, len(line)) for cut in cuts), len(line)]
    frames = Frames(CONCERT, Framing.SERIAL)
    found = [
        frame
        for number, (a, b) in enumerate(pairwise(places))
        for frame in frames.feed(number / 10, TERMINAL, line[a:b])
    ]
    found += frames.finish(9.0)
    shown = b"".join(piece for frame in found for piece in frame.pieces if isinstance(piece, bytes))
    assert pan.encode() not in shown
    assert pan[6:-4].encode() not in shown
    assert pan not in repr([frame.observation for frame in found])


def test_a_line_that_nobody_knows_shows_lengths_only() -> None:
    frames = Frames(None, Framing.AUTO)
    (frame,) = frames.feed(0.0, TERMINAL, b"4975541234514970")
    assert (frame.pieces, frame.observation) == ((LeftOut(16),), None)
    assert frames.quiet(9.0) == []
    assert frames.finish(9.0) == []


def test_a_driver_without_masker_shows_lengths_only() -> None:
    driver = registry.get("sniffer")
    assert driver.masker is None
    frames = Frames(driver, Framing.NONE)
    found = frames.feed(0.0, TERMINAL, b"nothing that is known 4975541234514970")
    found += frames.quiet(60.0) + frames.finish(60.0)
    assert all(isinstance(piece, LeftOut) for frame in found for piece in frame.pieces)
    assert sum(frame.length for frame in found) == 38


def test_a_frame_that_stops_comes_out_when_it_is_late() -> None:
    frames = Frames(CONCERT, Framing.SERIAL)
    assert frames.feed(0.0, CASHIER, b"\x02half") == []
    assert frames.quiet(0.1) == []
    (frame,) = frames.quiet(60.0)
    assert frame.length == 5
    assert is_wrong(frame.observation)
