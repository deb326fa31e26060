"""A probe says nothing but its words, none of its words moves money, and nothing that comes back makes it raise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import registry
from drivers.driver import Driver, Framing
from drivers.observations import Direction, Request
from drivers.probing import MOST_HEARD, Attempt, Verdict
from drivers.queries import Word
from drivers.zvt_framing import apdu, serial_frame

CASES = [
    pytest.param(driver, framing, id=f"{driver.name}-{framing}")
    for driver in map(registry.get, registry.names())
    if driver.probe is not None
    for framing in driver.framings
]
each_probe = pytest.mark.parametrize(("driver", "framing"), CASES)


def attempt(driver: Driver, framing: Framing) -> Attempt:
    assert driver.probe is not None
    return Attempt(driver.probe, framing)


def test_there_are_probes() -> None:
    assert {case.values[0].name for case in CASES} >= {"concert", "zvt"}


@each_probe
def test_no_word_of_a_probe_opens_a_transaction(driver: Driver, framing: Framing) -> None:
    assert driver.probe is not None
    words = driver.probe.words(framing)
    assert Word.ASK_LAST_RESULT not in words  # it may print
    for data in words.values():
        decoder = driver.decoder(framing)
        for seen in [*decoder.feed(Direction.CASHIER, data), *decoder.finish()]:
            assert not isinstance(seen, Request) or seen.kind is None, seen


@each_probe
def test_its_settings_begin_with_the_usual_ones(driver: Driver, framing: Framing) -> None:
    assert driver.probe is not None
    assert driver.probe.lines[0] == driver.line
    assert len(set(driver.probe.lines)) == len(driver.probe.lines)
    assert 0 < driver.probe.patience_s <= 5


@each_probe
@given(heard=st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([b"\x06", b"\x15", b"\x05", b"\x80\x00\x00"]))))
def test_whatever_comes_back_only_words_go_out(driver: Driver, framing: Framing, heard: list[bytes]) -> None:
    assert driver.probe is not None
    words = sorted(driver.probe.words(framing).values(), key=len, reverse=True)
    one = attempt(driver, framing)
    said = one.begin()
    for data in heard:
        if one.done:
            break
        said += one.hear(data)
    said += one.end()
    while said:
        word = next(word for word in words if said.startswith(word))
        said = said[len(word) :]


@each_probe
def test_an_echo_is_no_terminal(driver: Driver, framing: Framing) -> None:
    one = attempt(driver, framing)
    said = one.begin()
    for _ in range(50):
        if one.done or not said:
            break
        said = one.hear(said)
    assert one.verdict is Verdict.OTHER


def test_silence_and_endless_talk_have_an_end() -> None:
    one = attempt(registry.get("concert"), Framing.SERIAL)
    one.begin()
    assert (one.done, one.verdict) == (False, Verdict.SILENT)
    assert one.end() == b"\x04"
    two = attempt(registry.get("zvt"), Framing.SERIAL)
    two.begin()
    two.hear(b"\xff" * (MOST_HEARD + 1))
    assert (two.done, two.verdict) == (True, Verdict.OTHER)


def test_one_acknowledgement_alone_is_not_a_concert_terminal() -> None:
    one = attempt(registry.get("concert"), Framing.SERIAL)
    assert one.begin() == b"\x05"
    assert one.hear(b"\x06") == b"\x04\x05"
    assert one.verdict is Verdict.OTHER
    assert one.hear(b"\x06") == b"\x04"
    assert one.verdict is Verdict.ANSWERED


def test_a_zvt_terminal_that_refuses_the_enquiry_is_one_all_the_same() -> None:
    one = attempt(registry.get("zvt"), Framing.SERIAL)
    one.begin()
    one.hear(b"\x06" + serial_frame(apdu(b"\x84\x9c")))
    assert one.verdict is Verdict.ANSWERED
    two = attempt(registry.get("zvt"), Framing.SERIAL)
    two.begin()
    two.hear(b"\x06" + serial_frame(apdu(b"\x84\x9c"), wrong=1))
    assert two.verdict is Verdict.OTHER
