"""A bridge is upgraded or dies in the middle of a payment: both ends stay connected, and no byte is lost or twice."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import sys
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.bridge import wire
from agent.bridge.ring import DEFAULT_BYTES, Ring
from agent.tap import bridge_status
from tests.agent.bridge.manager import Manager
from tests.agent.bridge.rig import FarEnd, Listener
from tests.waits import until

USUAL = {"baudrate": 9600, "follow": False, "bytesize": 8, "parity": "N", "stopbits": 1, "flow": "none"}


class House:
    """A bridge under a service manager: pos1 from a pty to a serial device, pos2 from TCP to TCP."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run_dir = folder / "run"
        self.far = FarEnd(folder / "device")
        self.terminal = socket.create_server(("127.0.0.1", 0))
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        device = f"tcp:127.0.0.1:{self.terminal.getsockname()[1]}"
        lines = [
            {"name": "pos1", "device": self.far.device, "cashier": f"pty:{self.run_dir / 'pos1'}", **USUAL},
            {"name": "pos2", "device": device, "cashier": f"tcp:127.0.0.1:{self.port}", **USUAL},
        ]
        settings: dict[str, Any] = {
            "run_dir": str(self.run_dir),
            "ring_bytes": DEFAULT_BYTES,
            "child": False,
            "digest": "0",
            "log_level": "debug",
            "log_format": "json",
            "lines": lines,
        }
        self.manager = Manager(folder, settings)
        self.ends: list[Pipe] = []
        self._open: list[Any] = [self.terminal]

    def start(self) -> None:
        """Start the bridge and connect everybody to it."""
        self.manager.start()
        pty = os.open(self.run_dir / "pos1", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(pty)
        remote, _ = self.terminal.accept()
        local = socket.create_connection(("127.0.0.1", self.port))
        self._open += [remote, local]
        until(lambda: all(line["link"] == "up" for line in bridge_status(self.run_dir)["lines"].values()))
        self.ends = [
            Pipe(pty, self.far.master),
            Pipe(self.far.master, pty),
            Pipe(local.fileno(), remote.fileno()),
            Pipe(remote.fileno(), local.fileno()),
        ]

    def tap(self) -> Listener:
        listener = Listener(self.run_dir)
        self._open.append(listener)
        listener.tap.request("tap", **{"from": 0})
        return listener

    def close(self) -> None:
        self.manager.close()
        for opened in self._open:
            opened.close()
        if self.ends:
            os.close(self.ends[0].source)
        self.far.close()


class Pipe:
    """Numbered lines go in at one end; the other end says whether all came, once and in order."""

    def __init__(self, source: int, sink: int) -> None:
        self.source, self.sink = source, sink
        self.sent = 0
        self.heard = bytearray()

    def send(self) -> None:
        self._write(b"%d\n" % self.sent)
        self.sent += 1

    def take(self) -> None:
        while select.select([self.sink], [], [], 0)[0]:
            try:
                data = os.read(self.sink, 65536)
            except BlockingIOError:
                return
            assert data, "the line was cut"
            self.heard += data

    def whole(self) -> bool:
        self.take()
        return bytes(self.heard) == b"".join(b"%d\n" % number for number in range(self.sent))

    def _write(self, data: bytes) -> None:
        while data:
            select.select([], [self.source], [], 10)
            data = data[os.write(self.source, data) :]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.close()


def traffic(house: House, stop: threading.Event) -> None:
    while not stop.wait(0.002):
        for end in house.ends:
            end.send()
            end.take()


def under_traffic(house: House, restart: Any, times: int) -> None:
    """Restart it so often while all ends speak; then everything must have arrived."""
    stop = threading.Event()
    speaker = threading.Thread(target=traffic, args=(house, stop))
    speaker.start()
    try:
        for number in range(times):
            said = house.ends[0].sent
            restart(number)
            until(lambda: house.ends[0].sent > said + 5, what="the ends go on speaking")  # noqa: B023
    finally:
        stop.set()
        speaker.join()
    for end in house.ends:
        until(end.whole, what=f"all of {end.sent} lines; it said: {house.manager.log}")


def test_an_upgrade_under_traffic_loses_nothing(house: House) -> None:
    under_traffic(house, lambda _: house.manager.hang_up(), 8)
    assert house.manager.refused == [], "systemd listens to the main process only"
    listener = house.tap()
    until(lambda: len(listener.bytes(wire.CASHIER, "pos2")) >= len(house.ends[2].heard), what="the ring has all")
    assert listener.bytes(wire.CASHIER, "pos2") == bytes(house.ends[2].heard)
    assert listener.bytes(wire.TERMINAL, "pos1") == bytes(house.ends[1].heard)
    assert [body for body in listener.bodies(wire.LINK) if body["link"] == "down"] == []
    assert [body for body in listener.bodies(wire.PORT) if body["port"] != "opened"] == []


def test_an_orderly_restart_of_the_service_loses_nothing(house: House) -> None:
    def restart(_number: int) -> None:
        house.manager.end(signal.SIGTERM)
        house.manager.start()

    under_traffic(house, restart, 4)
    listener = house.tap()
    until(lambda: len(listener.bytes(wire.CASHIER, "pos1")) >= len(house.ends[0].heard), what="the ring has all")
    assert listener.bytes(wire.CASHIER, "pos1") == bytes(house.ends[0].heard)


def test_killed_in_the_quiet_it_goes_on_with_the_same_lines_and_the_same_ring(house: House) -> None:
    """kill -9 between two messages: what stood in the kernel's buffers arrives, the offsets go on."""
    for end in house.ends:
        end.send()
    for end in house.ends:
        until(end.whole)
    first = house.tap()
    until(lambda: first.bytes(wire.CASHIER, "pos1") == b"0\n")
    house.manager.end(signal.SIGKILL)
    for end in house.ends:
        end.send()
    house.manager.start()
    for end in house.ends:
        until(end.whole, what=house.manager.log)
    second = house.tap()
    assert second.tap.hello.ring == first.tap.hello.ring
    until(lambda: second.bytes(wire.CASHIER, "pos1") == b"0\n1\n")
    assert second.bytes(wire.TERMINAL, "pos2") == b"0\n1\n"


def test_a_line_whose_settings_have_changed_is_opened_anew(house: House) -> None:
    house.manager.settings["lines"][0]["baudrate"] = 19200
    before = house.tap().tap.hello.ring
    house.manager.end(signal.SIGTERM)
    house.manager.start()
    assert house.tap().tap.hello.ring == before
    assert "not_taken_over" in house.manager.log
    house.ends[2].send()
    until(house.ends[2].whole, what="the other line goes on")
    assert not any(name.startswith("state") for name in house.manager.store)


def test_other_lines_take_another_ring(house: House) -> None:
    before = house.tap().tap.hello.ring
    house.manager.settings["lines"][0]["name"] = "renamed"
    house.manager.end(signal.SIGTERM)
    house.manager.start()
    assert house.tap().tap.hello.ring != before


def test_what_waited_for_a_slow_application_arrives_after_an_upgrade(house: House) -> None:
    """More than the kernel holds: the rest stands in the process, and travels along."""
    data = bytes(range(256)) * 1024
    reader, writer = house.ends[3].sink, house.ends[3].source
    os.set_blocking(writer, False)
    sent = 0
    deadline = time.monotonic() + 20
    while sent < len(data) and time.monotonic() < deadline:
        if select.select([], [writer], [], 0.2)[1]:
            sent += os.write(writer, data[sent : sent + 4096])
    house.manager.hang_up()
    heard = bytearray()
    while len(heard) < sent:
        assert select.select([reader], [], [], 20)[0], f"{len(heard)} of {sent}"
        heard += os.read(reader, 65536)
    assert bytes(heard) == data[:sent]


def test_a_broken_installation_stops_no_line(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter that a broken upgrade has taken away: the old process goes on and says so."""
    installed = house.folder / "installed"
    gone = installed / "bin" / "python"
    gone.parent.mkdir(parents=True)
    gone.symlink_to(os.path.realpath(sys.executable))
    (installed / "lib").symlink_to(Path(sys.prefix, "lib"))
    shutil.copy(Path(sys.prefix, "pyvenv.cfg"), installed)
    house.manager.end(signal.SIGTERM)
    monkeypatch.setattr("agent.bridge.child.sys.executable", str(gone))
    house.manager.start()
    gone.unlink()
    assert house.manager.pid is not None
    os.kill(house.manager.pid, signal.SIGHUP)
    until(lambda: "handover_failed" in house.manager.log)
    for end in house.ends:
        end.send()
        until(end.whole)


def test_a_loop_that_hangs_is_not_praised(tmp_path: Path) -> None:
    """The watchdog's word comes from the loop: a stopped process says nothing."""
    house = House(tmp_path)
    house.manager.watchdog_usec = 300_000
    try:
        house.start()
        until(lambda: house.manager.said.count("WATCHDOG=1") > 3)
        assert house.manager.pid is not None
        os.kill(house.manager.pid, signal.SIGSTOP)
        quiet = house.manager.said.count("WATCHDOG=1")
        time.sleep(0.5)  # more than three of its turns: the absence of a word can only be waited for
        assert house.manager.said.count("WATCHDOG=1") <= quiet + 1
        os.kill(house.manager.pid, signal.SIGCONT)
        until(lambda: house.manager.said.count("WATCHDOG=1") > quiet + 1)
    finally:
        house.close()


def test_a_ring_of_another_size_or_of_something_else_does_not_fit() -> None:
    ring = Ring(8192, "abc")
    assert Ring.fits(ring.descriptor, 8192, "abc")
    assert not Ring.fits(ring.descriptor, 4096, "abc")
    assert not Ring.fits(ring.descriptor, 8192, "abd")
    strange = os.memfd_create("strange")
    assert not Ring.fits(strange, 8192, "abc")
    os.close(strange)


def test_a_ring_goes_on_after_its_process() -> None:
    ring = Ring(8192, "abc")
    for number in range(600):
        ring.append(0, wire.CASHIER, b"%d" % number)
    again = Ring(8192, "abc", os.dup(ring.descriptor))
    assert (again.identity, again.oldest, again.next) == (ring.identity, ring.oldest, ring.next)
    assert again.read(again.oldest, 8192) == ring.read(ring.oldest, 8192)
