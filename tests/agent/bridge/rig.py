"""A real bridge process between real ptys or sockets, for tests of the bridge alone: no agent, no configuration."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import time
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.bridge import wire
from agent.bridge.child import command, settings_descriptor
from agent.bridge.ring import DEFAULT_BYTES
from agent.errors import UnreachableError
from agent.tap import Message, Record, Tap, Told, bridge_status
from tests.waits import until


class FarEnd:
    """What is plugged in at the device's path: the test holds the master, the bridge opens the slave by a link."""

    def __init__(self, link: Path) -> None:
        self.link = link
        self.master = -1
        self.plug()

    @property
    def device(self) -> str:
        return f"serial:{self.link}"

    def plug(self) -> None:
        """A new device node behind the same name, as after each plugging in of a USB adapter."""
        self.master, slave = pty.openpty()
        tty.setraw(self.master)
        fresh = self.link.with_suffix(".new")
        fresh.symlink_to(os.ttyname(slave))
        fresh.rename(self.link)
        os.close(slave)

    def unplug(self) -> None:
        self.link.unlink()
        os.close(self.master)
        self.master = -1

    def write(self, data: bytes) -> None:
        write_all(self.master, data)

    def read(self, size: int, seconds: float = 10) -> bytes:
        return read_exactly(self.master, size, seconds)

    def close(self) -> None:
        if self.master >= 0:
            self.unplug()


class Rig:
    """One bridge process. Everything ends with `close`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run_dir = folder / "run"
        self.lines: list[dict[str, Any]] = []
        self.process: subprocess.Popen[bytes] | None = None
        self.fars: list[FarEnd] = []
        self._closers: list[Callable[[], None]] = []

    def far(self, name: str = "pos1") -> FarEnd:
        """A device on a pty."""
        far = FarEnd(self.folder / f"{name}-device")
        self.fars.append(far)
        return far

    def port(self, name: str = "pos1") -> Path:
        return self.run_dir / name

    def line(self, device: str, cashier: str | None = None, name: str = "pos1", **other: Any) -> None:
        """Add a terminal to the bridge's settings."""
        usual = {"baudrate": 9600, "follow": False, "bytesize": 8, "parity": "N", "stopbits": 1, "flow": "none"}
        where = {"name": name, "device": device, "cashier": cashier or f"pty:{self.port(name)}"}
        self.lines.append(usual | where | other)

    def start(self, up: bool = True, child: bool = False, **other: Any) -> None:
        """Start it; `up`: and wait until its devices are open."""
        self.process = self.spawn(child=child, **other)
        until(self.answers, what=f"bridge answers; it said: {self.log}")
        if up:
            until(self.all_up, what="links up")

    def spawn(self, **other: Any) -> subprocess.Popen[bytes]:
        """Start a process without waiting."""
        usual = {"child": False, "digest": "0", "log_level": "debug", "log_format": "json", "ring_bytes": DEFAULT_BYTES}
        settings = usual | {"run_dir": str(self.run_dir), "lines": self.lines} | other
        descriptor = settings_descriptor(settings)
        with (self.folder / "bridge.log").open("ab") as log:
            process = subprocess.Popen(command(descriptor), pass_fds=[descriptor], stderr=log)
        os.close(descriptor)
        self.on_close(lambda: end(process))
        return process

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log
        return (self.run_dir / wire.SOCKET_NAME).exists() and bool(self.status())

    def status(self) -> dict[str, Any]:
        try:
            return bridge_status(self.run_dir)
        except UnreachableError:
            return {}

    def state(self, name: str = "pos1") -> dict[str, Any]:
        """One line's status."""
        state: dict[str, Any] = self.status()["lines"][name]
        return state

    def all_up(self) -> bool:
        return all(line["link"] == "up" for line in self.status()["lines"].values())

    @property
    def log(self) -> str:
        path = self.folder / "bridge.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The log's lines of one event."""
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def tap(self, start: int | None = None) -> Listener:
        """A client that takes records from that offset on; without one, from now on."""
        listener = Listener(self.run_dir)
        self.on_close(listener.close)
        listener.tap.request("tap", **{"from": start})
        return listener

    def open_port(self, name: str = "pos1") -> int:
        """Open the virtual port as an application that changes no settings."""
        descriptor = os.open(self.port(name), os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(descriptor)
        self.on_close(lambda: close_quietly(descriptor))
        return descriptor

    def on_close(self, call: Callable[[], None]) -> None:
        self._closers.append(call)

    def terminate(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)

    def close(self) -> None:
        for call in reversed(self._closers):
            call()
        for far in self.fars:
            far.close()


class Listener:
    """A tap whose messages are kept as they come."""

    def __init__(self, run_dir: Path) -> None:
        self.tap = Tap.connect(run_dir)
        self.messages: list[Message] = []
        self._run_dir = run_dir

    def pump(self, seconds: float = 0) -> None:
        while select.select([self.tap], [], [], seconds)[0]:
            self.messages += self.tap.receive()

    def settle(self) -> None:
        """Until everything that has passed so far is here: the bridge serves taps when the lines pause."""
        end = bridge_status(self._run_dir)["next"]
        until(lambda: any(record.next_offset >= end for record in self.records()), what="all records")

    def records(self, *kinds: int) -> list[Record]:
        self.pump()
        return [m for m in self.messages if isinstance(m, Record) and (not kinds or m.kind in kinds)]

    def bodies(self, kind: int) -> list[dict[str, Any]]:
        """The JSON of the records of that kind."""
        return [json.loads(record.payload) for record in self.records(kind)]

    def bytes(self, kind: int, line: str = "pos1") -> bytes:
        return b"".join(record.payload for record in self.records(kind) if record.line == line)

    def told(self) -> list[dict[str, Any]]:
        self.pump()
        return [message.body for message in self.messages if isinstance(message, Told)]

    def lease(self, line: str = "pos1", **terms: Any) -> int:
        """Ask for a lease and expect to get it; returns its number."""
        before = len(self.answers("lease"))
        self.ask_lease(line, **terms)
        until(lambda: len(self.answers("lease")) > before, what="answer to lease")
        answer = self.answers("lease")[before]
        assert answer["lease"] == "granted", answer
        return int(answer["id"])

    def ask_lease(self, line: str = "pos1", **terms: Any) -> None:
        usual = {"quiet_ms": 0, "wait_ms": 0, "max_ms": 10_000, "hold_ms": 100, "drain_ms": 50, "abort": ""}
        self.tap.request("lease", line=line, **(usual | terms))

    def answers(self, key: str) -> list[dict[str, Any]]:
        return [body for body in self.told() if key in body]

    def lease_news(self, word: str) -> list[dict[str, Any]]:
        return [body for body in self.answers("lease") if body["lease"] == word]

    def close(self) -> None:
        self.tap.close()


def read_exactly(descriptor: int, size: int, seconds: float = 10) -> bytes:
    """That many bytes, or what came within the time."""
    got = bytearray()
    end = time.monotonic() + seconds
    while len(got) < size and (left := end - time.monotonic()) > 0:
        if select.select([descriptor], [], [], left)[0]:
            try:
                got += os.read(descriptor, min(65536, size - len(got)))
            except BlockingIOError:
                continue
    return bytes(got)


def write_all(descriptor: int, data: bytes, seconds: float = 20) -> None:
    os.set_blocking(descriptor, False)
    left = memoryview(data)
    end = time.monotonic() + seconds
    while left:
        assert time.monotonic() < end, f"{len(left)} bytes can't be written"
        if select.select([], [descriptor], [], 0.5)[1]:
            with contextlib.suppress(BlockingIOError):
                left = left[os.write(descriptor, left[:4096]) :]


def nothing_comes(descriptor: int, seconds: float = 0.2) -> bool:
    """Whether it stays silent for that long."""
    return not select.select([descriptor], [], [], seconds)[0]


def close_quietly(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        os.close(descriptor)


def end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
