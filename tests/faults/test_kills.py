"""F01, F05: the agent killed at random moments under load. Nothing lost, nothing twice, no doubt left open."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.load import Load
from tests.faults.size import figure, times

LONGEST_STOP_S = (2, 60)  # in CI, and by hand
WAIT_S = 4.0  # for the agent to come to the call or the line where it dies


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


def tracing_is_allowed() -> bool:
    probe = ["strace", "-o", "/dev/null", "-e", "inject=write:signal=SIGKILL:when=1", "echo", "x"]
    return subprocess.run(probe, capture_output=True, check=False).returncode != 0


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("call", ["fdatasync", "sendto", "pwrite64"])
def test_f02_kill_9_at_a_certain_system_call(load: Load, call: str) -> None:
    """What was durable, what was sent and what was written when it died: each number of call in its turn."""
    if not tracing_is_allowed():
        pytest.skip("strace may not trace here")
    every = range(1, 400, 400 // times(2, 133))
    died = 0
    load.start_agent()
    load.begin()
    for number in every:
        load.kill_agent()
        inject = f"inject={call}:signal=SIGKILL:when={number}"
        load.start_agent("strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject)
        died += load.await_end(WAIT_S)
    load.kill_agent()
    load.start_agent()
    verdict = load.end(120)
    figure(f"F02 {call}", f"killed at {died} of {len(every)} calls: {verdict}")
    assert verdict.problems == []


@pytest.mark.timeout(7200)
def test_f03_death_at_a_certain_line(load: Load) -> None:
    """The process ends without any clean-up at the n-th line run in journal, outbox and publisher."""
    lines = range(1, 4000, 4000 // times(3, 300))
    died = 0
    load.start_agent()
    load.begin()
    for number in lines:
        load.kill_agent()
        load.start_agent(environ={"TILLWATCH_DIE_AT": str(number)}, program=("-m", "tests.faults.mortal"))
        died += load.await_end(30 if number == 1 else WAIT_S)  # the first line comes, however slow the machine
    load.kill_agent()
    load.start_agent()
    verdict = load.end(120)
    figure("F03", f"died at {died} of {len(lines)} lines: {verdict}")
    assert verdict.problems == []
    assert died > 0


@pytest.mark.timeout(7200)
def test_f04_stopped_and_continued(load: Load) -> None:
    drawn = random.Random(4)
    stops = times(1, 100)
    load.start_agent()
    load.begin()
    for _ in range(stops):
        time.sleep(drawn.uniform(0.5, 1.0))
        assert load.agent is not None
        load.agent.send_signal(signal.SIGSTOP)
        time.sleep(drawn.uniform(1, LONGEST_STOP_S[stops > 1]))
        load.agent.send_signal(signal.SIGCONT)
    verdict = load.end(120)
    figure("F04", f"{stops} stops: {verdict}")
    assert verdict.problems == []


@pytest.mark.timeout(7200)
def test_f05_a_clean_stop_under_load(load: Load) -> None:
    stops = times(2, 100)
    drawn = random.Random(stops)
    longest = 0.0
    load.start_agent_whole()
    load.begin()
    for _ in range(stops):
        time.sleep(drawn.uniform(0.8, 1.8))
        began = time.monotonic()
        assert load.kill_agent(signal.SIGTERM) == 0
        longest = max(longest, time.monotonic() - began)
        load.start_agent_whole()
    verdict = load.end(120)
    figure("F05", f"{stops} SIGTERM, slowest {longest:.2f} s: {verdict}")
    # A clean stop ends the bridge as well: what the terminals did meanwhile nobody saw, so only the rest is judged.
    assert verdict.duplicates + verdict.open_ends == []
    assert not [text for text in verdict.lost if "sequence" in text]
