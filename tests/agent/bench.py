"""A real bridge between a simulated terminal and a virtual port, for tests of what reads along."""

from __future__ import annotations

import contextlib
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from telium import Telium, TeliumAsk

from agent.errors import UnreachableError
from agent.tap import bridge_status
from drivers.concert import DRIVER
from drivers.driver import Log, Scenario, Simulation
from drivers.simulated.shell import PtyPort, Shell
from tests.waits import until

CARD = "4975541234514970"  # the simulated patient's


@contextlib.contextmanager
def bench(folder: Path, *scenarios: Scenario) -> Iterator[Path]:
    """The configuration of the running bridge; its terminal is called pos1."""
    events: queue.Queue[Log] = queue.Queue()
    shell = Shell(
        DRIVER.simulated(Simulation(scenarios=scenarios or (Scenario.APPROVE,), think_s=0.05)),
        PtyPort(folder / "device"),
        events.put,
    )
    thread = threading.Thread(target=shell.run)
    thread.start()
    assert events.get(timeout=20).event == "ready"
    path = folder / "agent.toml"
    path.write_text(
        f"""[agent]
id = "bench"
site = "bench"
state_dir = "{folder}/state"
run_dir = "{folder}/run"
language = "en"

[[terminal]]
name = "pos1"
protocol = "concert"
device = "serial:{folder}/device"
cashier = "pty:{folder}/cashier"
currency = "EUR"
"""
    )
    command = [sys.executable, "-m", "agent", "bridge", "--config", str(path)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as bridge:
        try:
            until(lambda: _answers(folder / "run"), what="the bridge answers, its line is up")
            yield path
        finally:
            bridge.terminate()
            shell.stop()
            thread.join(5)


def pay(folder: Path) -> None:
    """One payment, by pyTeliumManager."""
    peer = Telium(str(folder / "cashier"))
    try:
        ask = TeliumAsk.new_payment(12.34, target_currency="EUR", checkout_unique_id="07")
        assert peer.ask(ask)
        assert peer.verify(ask, waiting_timeout=20) is not None
    finally:
        peer.close()


def _answers(run_dir: Path) -> bool:
    with contextlib.suppress(UnreachableError):
        return bool(bridge_status(run_dir)["lines"]["pos1"]["link"] == "up")
    return False
