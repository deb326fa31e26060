"""A little of what `make fuzz` does at length: every driver in the registry, always the same seed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drivers import registry
from drivers.driver import Driver, Framing
from tests.fuzz.garbage import garbage, talk
from tests.fuzz.run import cases, exchange, fuzz

BYTES = 20_000


@pytest.mark.parametrize(("driver", "framing"), [pytest.param(d, f, id=f"{d.name}-{f}") for d, f in cases()])
def test_a_decoder_takes_anything_and_finds_back(driver: Driver, framing: Framing) -> None:
    report = fuzz(driver, framing, BYTES, seed=20261129)
    assert report.faults == []
    assert report.fed >= BYTES
    assert report.returns > 0 or not exchange(driver, framing)


def test_a_decoder_that_raises_or_stays_lost_is_found() -> None:
    driver = registry.get("concert")

    class Bad:
        idle = True

        def feed(self, direction: object, data: bytes) -> list[object]:
            if b"\xff" in data:
                raise ValueError("byte FF")
            return []

        def silence(self, direction: object) -> list[object]:
            return []

        finish = reset = lambda self: []

    broken = replace(driver, decoder=lambda framing: Bad())  # type: ignore[arg-type,return-value]
    report = fuzz(broken, Framing.SERIAL, BYTES, seed=1)
    assert any("byte FF" in fault for fault in report.faults)
    honest = exchange(driver, Framing.SERIAL)
    assert honest


def test_the_same_seed_is_the_same_garbage() -> None:
    driver = registry.get("zvt")
    one, two = (list(garbage(driver, Framing.SERIAL, 5000, seed)) for seed in (7, 7))
    assert one == two
    assert one != list(garbage(driver, Framing.SERIAL, 5000, 8))
    assert talk("zvt", Framing.SERIAL)
