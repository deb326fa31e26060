"""The plain passthrough: nothing but bytes, on every kind of port, whatever ends and comes again."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.bridge.rig import FarEnd, read_exactly, write_all
from tests.waits import until

CONFIG = """
[agent]
id = "pc"
site = "s"
state_dir = "{folder}/state"
run_dir = "{folder}/run"
[[terminal]]
name = "pos1"
protocol = "concert"
device = "{device}"
cashier = "{cashier}"
"""


class Plain:
    """One passthrough process."""

    def __init__(self, folder: Path, cashier: str, device: str | None = None) -> None:
        self.far = FarEnd(folder / "device")
        config = folder / "agent.toml"
        config.write_text(CONFIG.format(folder=folder, device=device or self.far.device, cashier=cashier))
        self.log = folder / "plain.log"
        with self.log.open("wb") as log:
            words = [sys.executable, "-m", "agent", "bridge", "--plain", "--config", str(config)]
            self.process = subprocess.Popen(words, stderr=log)

    def connected(self, times: int = 1) -> None:
        until(lambda: self.log.read_text().count("are connected") >= times, 30, "connected")

    def close(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(10)
        self.far.close()
        return code


@pytest.fixture
def on_pty(tmp_path: Path) -> Iterator[tuple[Plain, Path]]:
    port = tmp_path / "run" / "pos1"
    plain = Plain(tmp_path, f"pty:{port}")
    try:
        plain.connected()
        yield plain, port
    finally:
        plain.close()


@contextlib.contextmanager
def opened(port: Path) -> Iterator[int]:
    descriptor = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    tty.setraw(descriptor)
    yield descriptor
    os.close(descriptor)


def both_ways(far: FarEnd, cashier: int, data: bytes) -> None:
    write_all(cashier, data)
    assert far.read(len(data)) == data
    far.write(data[::-1])
    assert read_exactly(cashier, len(data)) == data[::-1]


def test_bytes_pass_both_ways_unchanged(on_pty: tuple[Plain, Path]) -> None:
    plain, port = on_pty
    with opened(port) as cashier:
        both_ways(plain.far, cashier, bytes(range(256)) * 8)


def test_one_application_after_another(on_pty: tuple[Plain, Path]) -> None:
    plain, port = on_pty
    for number in range(3):
        with opened(port) as cashier:
            both_ways(plain.far, cashier, b"application %d" % number)


def test_a_device_that_went_is_opened_again(on_pty: tuple[Plain, Path]) -> None:
    plain, port = on_pty
    plain.far.unplug()
    plain.far.plug()
    plain.connected(2)
    with opened(port) as cashier:
        both_ways(plain.far, cashier, b"here again")


def test_applications_on_tcp(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        number = probe.getsockname()[1]
    plain = Plain(tmp_path, f"tcp:127.0.0.1:{number}")
    try:
        plain.connected()
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", number)) as cashier:
                both_ways(plain.far, cashier.fileno(), b"over TCP")
                assert not select.select([cashier], [], [], 0)[0]
    finally:
        plain.close()


def test_a_serial_port_to_the_application_that_went_is_opened_again(tmp_path: Path) -> None:
    """The device behind it stays connected, and nothing spins meanwhile."""
    near = FarEnd(tmp_path / "near")
    plain = Plain(tmp_path, near.device)
    try:
        plain.connected()
        both_ways(plain.far, near.master, b"before")
        near.unplug()
        until(lambda: "has gone" in plain.log.read_text(), 20, "it notices")
        used = cpu_s(plain.process.pid)
        plain.far.write(b"to nobody")
        near.plug()
        until(lambda: heard_again(plain.far, near), 20, "they hear each other again; it said: " + plain.log.read_text())
        assert cpu_s(plain.process.pid) - used < 1.0
        assert plain.log.read_text().count("are connected") == 1
    finally:
        plain.close()
        near.close()


def test_a_device_that_is_not_there_is_named_once(tmp_path: Path) -> None:
    """Not each second, in a log that somebody must read."""
    plain = Plain(tmp_path, f"pty:{tmp_path / 'run' / 'pos1'}", device="serial:/nowhere/tty")
    try:
        until(lambda: "/nowhere/tty" in plain.log.read_text(), 20)
        time.sleep(2.5)  # two more tries: that nothing is said can only be waited for
        assert plain.log.read_text().count("/nowhere/tty") == 1
    finally:
        plain.close()


def heard_again(far: FarEnd, near: FarEnd) -> bool:
    write_all(near.master, b"x")
    return far.read(1, 0.3) == b"x"


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
