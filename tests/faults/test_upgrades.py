"""Upgrades under load: bridge and agent are replaced while patients pay, and no payment, byte or event is lost.

The bridge runs as a service (tests/agent/bridge/manager.py) and is told to become its successor, or is restarted with
its store of descriptors; the agent is stopped and started. A line of its own, with an echo behind it, measures for how
long nobody passes bytes.
"""

from __future__ import annotations

import select
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.bridge.settings import bridge_settings
from agent.config import load as load_config
from drivers.driver import Scenario
from tests.agent.bridge.manager import Manager
from tests.broker import free_port
from tests.faults.load import PATIENT, Load
from tests.faults.size import figure, times
from tests.waits import until

PROBE = {"baudrate": 9600, "follow": False, "bytesize": 8, "parity": "N", "stopbits": 1, "flow": "none"}


class Echo:
    """Sends a byte through a line of the bridge and waits for it to come back, over and over."""

    def __init__(self) -> None:
        self._terminal = socket.create_server(("127.0.0.1", 0))
        self.port = free_port()
        self.line = {
            "name": "probe",
            "device": f"tcp:127.0.0.1:{self._terminal.getsockname()[1]}",
            "cashier": f"tcp:127.0.0.1:{self.port}",
            **PROBE,
        }
        self.longest_ms = {"reload": 0.0, "restart": 0.0}
        self.way = "reload"  # what is being done to the bridge
        self.rounds = 0
        self.broken = False
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=work) for work in (self._answer, self._ask)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(30)
        self._terminal.close()

    def _answer(self) -> None:
        self._terminal.settimeout(30)
        connection, _ = self._terminal.accept()
        with connection:
            while not self._stop.is_set():
                if select.select([connection], [], [], 0.1)[0]:
                    connection.sendall(connection.recv(64))

    def _ask(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.settimeout(20)
            while not self._stop.wait(0.005):
                began = time.monotonic()
                connection.sendall(b"?")
                if connection.recv(1) != b"?":
                    self.broken = True
                    return
                took_ms = (time.monotonic() - began) * 1000
                self.longest_ms[self.way] = max(self.longest_ms[self.way], took_ms)
                self.rounds += 1


@pytest.fixture
def echo() -> Iterator[Echo]:
    made = Echo()
    yield made
    made.stop()


@pytest.mark.timeout(7200)
def test_upgrades_under_load(tmp_path: Path, echo: Echo) -> None:
    upgrades = times(6, 100)
    load = Load(tmp_path, ("zvt", "zvt", "concert", "concert"), (Scenario.APPROVE,), habits=PATIENT)
    settings = bridge_settings(load_config(str(load.config)), child=False)
    settings["lines"].append(echo.line)
    manager = Manager(tmp_path, settings)
    try:
        manager.start()
        load.start_agent_whole()
        until(lambda: manager.log.count("link.up") > len(load.desks), what="lines up")
        echo.start()
        load.begin(bridge_is_service=True)
        for number in range(upgrades):
            load.rest(0.4)
            echo.way = "restart" if number % 4 == 3 else "reload"
            if echo.way == "restart":  # new settings of the unit
                manager.end(signal.SIGTERM)
                manager.start()
            else:
                manager.hang_up()
            assert load.kill_agent(signal.SIGTERM) == 0
            load.start_agent_whole()
        load.rest(1.0)
        verdict = load.end(60)
        unanswered = sum(desk.unanswered for desk in load.desks)
        figure(
            "Upgrades",
            f"{upgrades}: {verdict}; {unanswered} payments unanswered; longest gap of a reload"
            f" {echo.longest_ms['reload']:.0f} ms, of a restart {echo.longest_ms['restart']:.0f} ms,"
            f" {echo.rounds} round trips",
        )
        assert verdict.problems == []
        assert unanswered == 0
        assert verdict.doubts == 0
        assert not echo.broken
        assert verdict.charged == verdict.payments > upgrades
    finally:
        echo.stop()
        load.close()
        manager.close()
