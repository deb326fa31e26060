"""A device that was away is opened when udev says that something came, and only where a USB device is configured."""

from __future__ import annotations

import socket
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from agent.bridge import hotplug
from agent.bridge.dialed import Dialed
from agent.bridge.hotplug import watch_plugs
from agent.bridge.log import Log
from agent.bridge.loop import Loop
from drivers.links.base import LinkError


class Device:
    def __init__(self, address: str) -> None:
        self.address = address
        self.started = 0

    def start(self) -> None:
        self.started += 1


class Monitor:
    """udev's news on a socket."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)

    def fileno(self) -> int:
        return self.near.fileno()

    def poll(self, timeout: float) -> Any:
        try:
            return SimpleNamespace(action=self.near.recv(16).decode().strip())
        except BlockingIOError:
            return None

    def close(self) -> None:
        self.near.close()
        self.far.close()


LOG = Log("error", "json")


def lines(*addresses: str) -> Any:
    return {address: SimpleNamespace(device=Device(address)) for address in addresses}


def test_every_line_tries_again_when_a_device_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = Monitor()
    monkeypatch.setattr(hotplug, "_monitor", lambda log: monitor)
    loop = Loop()
    known = lines("usb:11ca:0220", "serial:/dev/ttyUSB0")
    watch_plugs(loop, known, LOG)
    for action, starts in (("remove", 0), ("add", 1), ("change", 2)):
        monitor.far.send(action.ljust(16).encode())
        loop.later(0.2, lambda: setattr(loop, "running", False))
        loop.running = True
        loop.run()
        assert [line.device.started for line in known.values()] == [starts, starts]
    monitor.close()


def test_without_a_usb_device_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hotplug, "_monitor", lambda log: pytest.fail("it listens"))
    watch_plugs(Loop(), lines("serial:/dev/ttyUSB0", "tcp:127.0.0.1:1"), LOG)


def test_without_pyudev_the_lines_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyudev", None)
    watch_plugs(Loop(), lines("usb:11ca:0220"), LOG)


def test_news_that_bring_nothing_do_not_make_it_try_ever_faster() -> None:
    """Each try that fails waits once, however often something else was plugged in meanwhile."""

    class Failing:
        def __init__(self) -> None:
            self.asked: list[Any] = []

        def open(self, settings: Any, address: str, done: Any, left: Any) -> None:
            self.asked.append(done)

    class Timers:
        def __init__(self) -> None:
            self.waiting: list[Any] = []

        def later(self, seconds: float, call: Any) -> None:
            self.waiting.append(call) if seconds else call()

    opener, timers = Failing(), Timers()
    settings = {"baudrate": 9600}
    berth = SimpleNamespace(take=lambda: None, leaving=None, state={})
    device = Dialed(timers, opener, settings, "usb:11ca:0220", berth, lambda data: None, lambda up, error: None)  # type: ignore[arg-type]
    device.start()
    for _ in range(5):  # something is plugged in, again and again
        device.start()
        opener.asked[-1](LinkError("not_found", "it is not there"))
        device.start()
    opener.asked[-1](LinkError("not_found", "it is not there"))
    before = len(opener.asked)
    waiting, timers.waiting = timers.waiting, []
    for call in waiting:
        call()
    assert len(opener.asked) == before + 1
