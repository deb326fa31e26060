"""A bridge as a service between four ends that speak to each other: for tests of what it hands on to the next."""

from __future__ import annotations

import os
import select
import signal
import socket
import tty
from pathlib import Path
from typing import Any

from agent.bridge.ring import DEFAULT_BYTES
from agent.errors import UnreachableError
from agent.tap import bridge_status
from tests.agent.bridge.manager import Manager
from tests.agent.bridge.rig import FarEnd, Listener
from tests.waits import until

USUAL = {"baudrate": 9600, "follow": False, "bytesize": 8, "parity": "N", "stopbits": 1, "flow": "none"}


def settings_of(run_dir: Path, lines: list[dict[str, Any]]) -> dict[str, Any]:
    """What the bridge is started with."""
    return {
        "run_dir": str(run_dir),
        "ring_bytes": DEFAULT_BYTES,
        "child": False,
        "digest": "0",
        "log_level": "debug",
        "log_format": "json",
        "lines": lines,
    }


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
        self.manager = Manager(folder, settings_of(self.run_dir, lines))
        self.ends: list[Pipe] = []
        self._pty = -1
        self._remote: Any = None
        self._local: Any = None
        self._open: list[Any] = [self.terminal]

    def start(self) -> None:
        """Start the bridge and connect everybody to it."""
        self.manager.start()
        self._pty = self._open_port()
        self._remote, _ = self.terminal.accept()
        self._local = socket.create_connection(("127.0.0.1", self.port))
        until(self._links_are_up)
        self._connect()

    def reopen_port(self) -> None:
        """The application of pos1 goes, and another one comes at once."""
        os.close(self._pty)
        self._pty = self._open_port()
        self._connect()

    def call_again(self) -> None:
        """The application of pos2 goes, and another one comes as soon as it is let in."""
        self._local.close()
        until(self._let_in, what="the bridge takes the next application")
        self._connect()

    def hang_up_on_us(self) -> None:
        """The terminal of pos2 ends the connection, and is called again."""
        self._remote.close()
        self.terminal.settimeout(30)
        self._remote, _ = self.terminal.accept()
        until(self._links_are_up, what="the bridge knows that it is connected; it said: " + self.manager.log)
        self._connect()

    def restart(self) -> None:
        """End it, and start it again with what the store has."""
        self.manager.end(signal.SIGTERM)
        self.manager.start()

    def terminal_end(self, line: str) -> int:
        """The descriptor at the terminal's end."""
        return {"pos1": self.ends[0].sink, "pos2": self.ends[2].sink}[line]

    def speak(self) -> None:
        """Everybody says something, and all that was said so far has been heard, once and in order."""
        for end in self.ends:
            end.send()
        for end in self.ends:
            try:
                until(end.whole)
            except AssertionError:
                raise AssertionError(f"{self.ends.index(end)}: {end.gap()}; {self.manager.log}") from None

    def tap(self) -> Listener:
        listener = Listener(self.run_dir)
        self._open.append(listener)
        listener.tap.request("tap", **{"from": 0})
        return listener

    def close(self) -> None:
        self.manager.close()
        for opened in (*self._open, self._remote, self._local):
            if opened is not None:
                opened.close()
        if self._pty >= 0:
            os.close(self._pty)
        self.far.close()

    def _links_are_up(self) -> bool:
        try:
            lines = bridge_status(self.run_dir)["lines"].values()
        except UnreachableError:  # it gives way to its successor
            return False
        return all(line["link"] == "up" for line in lines)

    def _open_port(self) -> int:
        descriptor = os.open(self.run_dir / "pos1", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(descriptor)
        return descriptor

    def _let_in(self) -> bool:
        """A second application is turned away as long as the bridge has not heard that the first one has gone."""
        self._local = socket.create_connection(("127.0.0.1", self.port))
        self._local.sendall(b"!")
        heard, _, _ = select.select([self._remote, self._local], [], [], 20)
        if self._remote in heard:
            return bool(self._remote.recv(1) == b"!")
        self._local.close()
        return False

    def _connect(self) -> None:
        """Count anew what is said from end to end."""
        local, remote = self._local.fileno(), self._remote.fileno()
        self.ends = [
            Pipe(self._pty, self.far.master),
            Pipe(self.far.master, self._pty),
            Pipe(local, remote),
            Pipe(remote, local),
        ]


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
        return bytes(self.heard) == self._said()

    def gap(self) -> str:
        """Where what was heard is not what was said."""
        said, heard = self._said(), bytes(self.heard)
        at = next((at for at, pair in enumerate(zip(said, heard, strict=False)) if pair[0] != pair[1]), len(heard))
        return f"{len(heard)} of {len(said)} bytes; at {at}: {heard[at : at + 60]!r}, not {said[at : at + 60]!r}"

    def _said(self) -> bytes:
        return b"".join(b"%d\n" % number for number in range(self.sent))

    def _write(self, data: bytes) -> None:
        while data:
            select.select([], [self.source], [], 10)
            data = data[os.write(self.source, data) :]
