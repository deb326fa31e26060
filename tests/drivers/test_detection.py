"""Recorded lines are recognised as their own protocol, or not at all; never as another one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import tlog
from agent.tlog import Event, Happened, Tlog
from drivers import registry
from drivers.detection import CLEAR, UNKNOWN_BYTES, Detector, Standing, is_candidate
from drivers.driver import Framing
from drivers.framing_lrc import frame
from drivers.observations import Direction

LOGS = sorted((Path(__file__).parents[1] / "logs").glob("*.tlog"))
CANDIDATES = tuple(name for name in registry.names() if is_candidate(registry.get(name)))


def detector(framing: Framing = Framing.SERIAL) -> Detector:
    def framed(name: str) -> Framing:
        known = registry.get(name).framings
        return framing if framing in known else known[0]

    return Detector({name: lambda name=name: registry.get(name).decoder(framed(name)) for name in CANDIDATES})  # type: ignore[misc]


def play(log: Tlog, heard: Detector, piece: int | None = None) -> None:
    for record in log.records:
        if isinstance(record, Happened):
            if record.event is Event.UNPLUGGED:
                heard.reset()
            continue
        size = piece or len(record.data)
        for at in range(0, len(record.data), size):
            heard.feed(record.direction, record.data[at : at + size])


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.stem)
def test_a_log_is_its_own_protocol_or_none(path: Path) -> None:
    log = tlog.read(path)
    heard = detector(log.header.framing)
    for _ in range(3):  # three times the same day: what is clear stays clear
        play(log, heard)
        assert heard.standing.clear in (log.header.protocol, None)
        heard.reset()
    if "approved" in path.stem and log.header.framing is Framing.SERIAL:
        assert heard.standing.clear == log.header.protocol


@given(
    path=st.sampled_from(LOGS), piece=st.integers(1, 40), noise=st.binary(max_size=300), side=st.sampled_from(Direction)
)
@settings(max_examples=60)
def test_behind_noise_and_in_pieces_too(path: Path, piece: int, noise: bytes, side: Direction) -> None:
    log = tlog.read(path)
    heard = detector(log.header.framing)
    heard.feed(side, noise)
    heard.silence(side)
    play(log, heard, piece)
    assert heard.standing.clear in (log.header.protocol, None)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=40)
def test_noise_is_no_protocol(seed: int) -> None:
    chance = random.Random(seed)
    heard = detector()
    for _ in range(40):
        heard.feed(chance.choice(list(Direction)), chance.randbytes(chance.randrange(1, 200)))
    assert heard.standing.clear is None


def test_frames_of_another_protocol_with_the_same_framing_are_not_taken_for_concert() -> None:
    heard = detector()
    for number in range(40):
        heard.feed(Direction.CASHIER, b"\x05" + frame(f"SALE|{number:06}|EOF".encode()))
        heard.feed(Direction.TERMINAL, b"\x06" + frame(f"OK|{number:06}|APPROVED".encode()))
    assert heard.standing.clear is None


def test_a_line_that_nobody_understands_is_unknown_after_a_while() -> None:
    heard = detector()
    heard.feed(Direction.CASHIER, b"AT+PAY=100\r\n" * 10)
    assert not heard.unknown
    heard.feed(Direction.TERMINAL, b"+PAID\r\n" * (UNKNOWN_BYTES // 7))
    assert heard.unknown


def test_two_that_understand_alike_leave_it_open() -> None:
    assert Standing((("one", CLEAR, 1), ("two", CLEAR, 1))).clear is None
    assert Standing((("one", CLEAR * 4, 2), ("two", CLEAR, 1))).clear == "one"
    assert Standing((("one", CLEAR * 4, 0),)).clear is None
    assert Standing(()).clear is None
