"""F23, F24: the wall clock jumps by years and by hours. Order, retries and outcomes do not care."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.load import Load
from tests.faults.size import figure, times

YEARS_10 = 10 * 365 * 86_400


#: put in front of every Python process of the agent: its wall clock goes beside the true one by what a file says
SHIFTED = """
import os, time
_true_ns = time.time_ns
def _shifted_ns():
    with open(os.environ["TILLWATCH_SHIFT"]) as file:
        return _true_ns() + int(file.read()) * 1_000_000_000
time.time_ns = _shifted_ns
time.time = lambda: _shifted_ns() / 1e9
"""


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    load = Load(tmp_path)
    yield load
    load.close()


@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    ("row", "offsets"),
    [
        ("F23", (YEARS_10, 0, -YEARS_10, 0, -int(time.time()) + 100, 0)),
        ("F24", (3600, -3600, 3600, -3600)),
    ],
)
def test_the_wall_clock_jumps(load: Load, tmp_path: Path, row: str, offsets: tuple[int, ...]) -> None:
    now = tmp_path / "shift"
    set_clock(now, 0)
    (tmp_path / "sitecustomize.py").write_text(SHIFTED)
    load.start_agent(environ={"PYTHONPATH": f"{tmp_path}:{Path.cwd()}", "TILLWATCH_SHIFT": str(now)})
    load.begin()
    drawn = random.Random(23)
    for _ in range(times(1, 50)):
        for offset in offsets:
            set_clock(now, offset)
            time.sleep(drawn.uniform(0.5, 1.5))
    years = {event["time"][:4] for event in load.events()}
    verdict = load.end(120)
    figure(row, f"{times(1, 50) * len(offsets)} jumps, years {sorted(years)}: {verdict}")
    assert verdict.problems == []
    assert row != "F23" or len(years) > 1, "the clock did not jump"


def set_clock(path: Path, offset: int) -> None:
    """The agent's wall clock goes so many seconds beside the true one from now on."""
    fresh = path.with_suffix(".new")
    fresh.write_text(str(offset))
    os.replace(fresh, path)
