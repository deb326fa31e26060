"""F01, F05: the agent killed at random moments under load. Nothing lost, nothing twice, no doubt left open."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.load import Load
from tests.faults.size import figure, times


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    load = Load(tmp_path)
    yield load
    load.close()


@pytest.mark.timeout(7200)
def test_f01_kill_9_at_random_moments(load: Load) -> None:
    kills = times(8, 1000)
    drawn = random.Random(kills)
    load.start_agent()
    load.begin()
    for _ in range(kills):
        time.sleep(drawn.uniform(0, 1.0))  # from the first instruction of a start to the middle of payments
        load.kill_agent()
        load.start_agent()
    verdict = load.end(120)
    figure("F01", f"{kills} kill -9: {verdict}")
    assert verdict.problems == []
    assert verdict.charged > 0


@pytest.mark.timeout(7200)
def test_f05_a_clean_stop_under_load(load: Load) -> None:
    stops = times(2, 100)
    drawn = random.Random(stops)
    longest = 0.0
    load.start_agent()
    load.begin()
    for _ in range(stops):
        time.sleep(drawn.uniform(0.8, 1.8))
        began = time.monotonic()
        assert load.kill_agent(signal.SIGTERM) == 0
        longest = max(longest, time.monotonic() - began)
        load.start_agent()
    verdict = load.end(120)
    figure("F05", f"{stops} SIGTERM, slowest {longest:.2f} s: {verdict}")
    # A clean stop ends the bridge as well: what the terminals did meanwhile nobody saw, so only the rest is judged.
    assert verdict.duplicates + verdict.open_ends == []
    assert not [text for text in verdict.lost if "sequence" in text]
