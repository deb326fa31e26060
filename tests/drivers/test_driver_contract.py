"""What every driver promises (drivers/driver.py), whatever its protocol: any bytes, cut anywhere, from either side."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import registry
from drivers.driver import Driver, Framing, HangUp, Log, Scenario, Send, Simulation
from drivers.framing_lrc import frame
from drivers.observations import Checksum, Direction, Observation, as_dict
from tests.drivers.pans import PANS

Run = tuple[Direction, bytes]

CASES = [
    pytest.param(registry.get(name), framing, id=f"{name}-{framing}")
    for name in registry.names()
    for framing in (*registry.get(name).framings, Framing.AUTO)
]

PIECES = st.one_of(
    st.binary(max_size=24),
    st.sampled_from([b"\x02", b"\x03", b"\x05", b"\x06", b"\x15", b"\x04", b"\x10\x02", b"\x10\x03", b"\xff"]),
    st.sampled_from([b"\x80\x00\x00", b"\x04\x0f", b"\x06\x0f\x00", b"\x06\x01\x07\x04\x00\x00\x00\x00\x12\x34\x19"]),
    st.text("0123456789 AB", max_size=80).map(lambda text: frame(text.encode())),
)
LINES = st.lists(st.tuples(st.sampled_from(list(Direction)), PIECES), max_size=14)


def merged(line: list[Run]) -> list[Run]:
    """Neighbouring bytes of one sender as one run: the order between senders is part of the input, cuts are not."""
    out: list[Run] = []
    for direction, data in line:
        if out and out[-1][0] is direction:
            out[-1] = (direction, out[-1][1] + data)
        else:
            out.append((direction, data))
    return out


def observed(driver: Driver, framing: Framing, line: list[Run]) -> list[Observation]:
    decoder = driver.decoder(framing)
    seen = [each for direction, data in line for each in decoder.feed(direction, data)]
    return seen + decoder.finish()


@pytest.mark.parametrize(("driver", "framing"), CASES)
@given(line=LINES, data=st.data())
@settings(deadline=None, max_examples=60)
def test_the_cuts_do_not_matter(driver: Driver, framing: Framing, line: list[Run], data: st.DataObject) -> None:
    runs = merged(line)
    cut = []
    for direction, sent in runs:
        places = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=4)))
        cut += [(direction, sent[a:b]) for a, b in zip([0, *places], [*places, len(sent)], strict=True)]
    single = [(direction, bytes([byte])) for direction, sent in runs for byte in sent]
    assert observed(driver, framing, cut) == observed(driver, framing, runs) == observed(driver, framing, single)


@pytest.mark.parametrize(("driver", "framing"), CASES)
@given(line=LINES)
@settings(deadline=None, max_examples=60)
def test_every_observation_can_be_printed(driver: Driver, framing: Framing, line: list[Run]) -> None:
    for seen in observed(driver, framing, line):
        assert set(as_dict(seen)) == {"kind", "direction", "checksum", "fields", "text"}
        assert isinstance(seen.checksum, Checksum)


@pytest.mark.parametrize(("driver", "framing"), CASES)
@given(line=LINES)
@settings(deadline=None, max_examples=60)
def test_after_a_reset_a_decoder_is_as_new(driver: Driver, framing: Framing, line: list[Run]) -> None:
    used = driver.decoder(framing)
    for direction, data in line:
        used.feed(direction, data)
    used.reset()
    assert used.idle
    assert used.silence(Direction.CASHIER) == used.silence(Direction.TERMINAL) == used.finish() == []
    # A framing once found out may be kept; a known one leaves nothing behind.
    if framing is not Framing.AUTO:
        fresh = driver.decoder(framing)
        for direction, data in merged(line):
            assert used.feed(direction, data) == fresh.feed(direction, data)


@pytest.mark.parametrize(("driver", "framing"), CASES)
@given(pan=PANS, direction=st.sampled_from(list(Direction)), noise=st.binary(max_size=8), data=st.data())
@settings(deadline=None, max_examples=80)
def test_no_card_number_comes_out(
    driver: Driver, framing: Framing, pan: str, direction: Direction, noise: bytes, data: st.DataObject
) -> None:
    carriers = st.sampled_from(
        [
            pan.encode(),
            frame(f"07000001234{1}{pan:<55}978{'':10}".encode()),
            frame(f"07000001234{1}{pan:0<55}978A12345    ".encode()),
            frame(f"07000012341101{pan}".encode()),
            bytes.fromhex("040f" + f"{11:02x}" + "22f0f8" + pan[:16]),
            bytes.fromhex("06d1" + f"{len(pan) + 1:02x}" + "00") + pan.encode(),
        ]
    )
    line = [(direction, noise), (direction, data.draw(carriers)), (direction.opposite, b"\x06")]
    shown = repr(observed(driver, framing, line))
    assert pan not in shown
    assert pan not in re.sub(r"[^\d*]", "", shown)


@pytest.mark.parametrize("driver", [registry.get(name) for name in registry.names()], ids=lambda d: str(d.name))
@pytest.mark.parametrize("scenario", list(Scenario))
def test_a_simulated_terminal_takes_anything_and_comes_to_rest(driver: Driver, scenario: Scenario) -> None:
    """Whatever comes in, its actions are known ones, its log shows no card number, and it never wants to spin."""
    settings_ = Simulation(scenarios=(scenario,), framing=driver.framings[0], payments=3)
    if driver.simulated is None:
        pytest.skip("it is no terminal that could be simulated")
    terminal = driver.simulated(settings_)
    now = 0.0
    for data in (b"", b"\x00\xff\x05", b"\x02" * 50, bytes(range(256)), b"\x05", b"\x06", b"\x15", b"\x04"):
        actions = [*terminal.receive(data, now)]
        for _ in range(50):
            at = terminal.deadline()
            if at is None:
                break
            now = max(now, at)
            actions += terminal.tick(now)
        assert all(isinstance(action, Send | HangUp | Log) for action in actions)
        assert settings_.card not in repr([action for action in actions if isinstance(action, Log)])
    assert terminal.deadline() is None
