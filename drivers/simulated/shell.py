"""Gives a simulated terminal a port and a clock: a pty, a TCP listener or a real serial port.

The only file of this package with I/O. One loop, no thread; it ends when `Shell.stop` is called (from a signal
handler or another thread) or when the asked number of payments is done. Whatever a port can't take at
once is lost, as on a UART.
"""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import socket
import time
import tty
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from drivers.driver import Action, HangUp, LineDefaults, Log, Send, SimulatedTerminal
from drivers.links.base import FAILED, GONE, LinkError, reason_of
from drivers.links.serial import SerialLink, open_serial
from drivers.links.tcp import listen, tune

#: log events of which every simulated payment has exactly one
OUTCOMES = frozenset({"charged", "declined", "cancelled", "silent"})
_CHUNK = 4096
_DRAIN_S = 1.0


class Port(Protocol):
    """Where the cashier's side connects."""

    def open(self, selector: selectors.BaseSelector) -> str:
        """Be there; returns the address: `pty:PATH`, `tcp:HOST:PORT`, `serial:PATH`. Raises LinkError."""
        ...

    def close(self, selector: selectors.BaseSelector) -> None:
        """Be gone, as after a pulled cable."""
        ...

    def read(self) -> bytes:
        """What has come, or nothing."""
        ...

    def write(self, data: bytes) -> None:
        """Send; what can't go out is lost."""
        ...

    def drain(self) -> None:
        """Wait until the other side has what was written, a second at most: closing would take it away."""
        ...


class PtyPort:
    """A pseudo-terminal with a symbolic link to it. Without a link it is known by its own name.

    Not drivers.links.pty: that one is a port for cashier applications and watches their settings; this one is a device.
    """

    def __init__(self, link: Path | None) -> None:
        self._link = link
        self._master = -1
        self._slave = -1
        self._name = ""

    def open(self, selector: selectors.BaseSelector) -> str:
        """Make the pty and its link."""
        self._master, self._slave = os.openpty()
        # The slave stays open here: without any opener the master would only report hang-ups.
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self._name = os.ttyname(self._slave)
        selector.register(self._master, selectors.EVENT_READ)
        if self._link is None:
            return f"pty:{self._name}"
        self._place_link(self._link, self._name)
        return f"pty:{self._link}"

    def close(self, selector: selectors.BaseSelector) -> None:
        """Hang up: whoever has the pty open reads its end, or EIO."""
        if self._master < 0:
            return
        selector.unregister(self._master)
        self._remove_link()
        os.close(self._master)
        if self._slave >= 0:
            os.close(self._slave)
        self._master = self._slave = -1

    def read(self) -> bytes:
        """Bytes from whoever has the pty open."""
        with contextlib.suppress(OSError):
            return os.read(self._master, _CHUNK)
        return b""

    def write(self, data: bytes) -> None:
        """Bytes to whoever has the pty open."""
        with contextlib.suppress(OSError):
            os.write(self._master, data)

    def drain(self) -> None:
        """Wait until whoever has the pty open closes it.

        That everything was read can't be seen: what the kernel still carries to the other side counts nowhere.
        """
        os.close(self._slave)
        self._slave = -1
        hang_up = select.poll()
        hang_up.register(self._master, 0)
        hang_up.poll(_DRAIN_S * 1000)

    def _place_link(self, link: Path, name: str) -> None:
        if link.exists() and not link.is_symlink():
            raise LinkError(FAILED, f"{link} exists and is no link; move it away")
        beside = link.with_name(f"{link.name}.{os.getpid()}")
        try:
            link.parent.mkdir(parents=True, exist_ok=True)
            beside.symlink_to(name)
            beside.replace(link)
        except OSError as error:
            raise LinkError(reason_of(error.errno), f"{link}: {error.strerror}") from error

    def _remove_link(self) -> None:
        """Remove the link, unless another simulator has put its own there."""
        if self._link is not None:
            with contextlib.suppress(OSError):
                if os.readlink(self._link) == self._name:
                    self._link.unlink()


class TcpPort:
    """A listener with one connection at a time: a new one takes the old one's place."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._listener: socket.socket | None = None
        self._peer: socket.socket | None = None
        self._selector: selectors.BaseSelector | None = None

    def open(self, selector: selectors.BaseSelector) -> str:
        """Listen. Port 0 becomes a free one, and stays the same afterwards."""
        self._selector = selector
        self._listener = listen(f"{self._host}:{self._port}")
        self._port = self._listener.getsockname()[1]
        selector.register(self._listener, selectors.EVENT_READ)
        return f"tcp:{self._host}:{self._port}"

    def close(self, selector: selectors.BaseSelector) -> None:
        """Close connection and listener."""
        self._drop_peer()
        if self._listener is not None:
            selector.unregister(self._listener)
            self._listener.close()
            self._listener = None

    def read(self) -> bytes:
        """Bytes of the connection; takes a waiting connection first."""
        self._accept()
        if self._peer is None:
            return b""
        try:
            data = self._peer.recv(_CHUNK)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self._drop_peer()
        return data

    def write(self, data: bytes) -> None:
        """Bytes to the connection, if there is one."""
        if self._peer is not None:
            with contextlib.suppress(OSError):
                self._peer.send(data)

    def drain(self) -> None:
        """Nothing to wait for: the kernel delivers what a closed connection has sent."""

    def _accept(self) -> None:
        if self._listener is None or self._selector is None:
            return
        try:
            peer, _ = self._listener.accept()
        except OSError:
            return
        self._drop_peer()
        tune(peer)
        self._peer = peer
        self._selector.register(peer, selectors.EVENT_READ)

    def _drop_peer(self) -> None:
        if self._peer is not None and self._selector is not None:
            self._selector.unregister(self._peer)
            self._peer.close()
            self._peer = None


class SerialPort:
    """A real serial port, for a simulator at the other end of a null-modem cable."""

    def __init__(self, path: str, line: LineDefaults) -> None:
        self._path = path
        self._line = line
        self._link: SerialLink | None = None

    def open(self, selector: selectors.BaseSelector) -> str:
        """Open with the protocol's usual line settings."""
        line = self._line
        self._link = open_serial(self._path, line.baudrate, line.bytesize, line.parity, line.stopbits)
        selector.register(self._link, selectors.EVENT_READ)
        return f"serial:{self._path}"

    def close(self, selector: selectors.BaseSelector) -> None:
        """Let the port go."""
        if self._link is not None:
            selector.unregister(self._link)
            self._link.close()
            self._link = None

    def read(self) -> bytes:
        """Bytes that have come. Raises LinkError when the port is gone."""
        if self._link is None:
            return b""
        try:
            data = os.read(self._link.fileno(), _CHUNK)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise LinkError(GONE, f"{self._path}: {error.strerror}") from error
        if not data:
            raise LinkError(GONE, f"{self._path} was unplugged")
        return data

    def write(self, data: bytes) -> None:
        """Bytes out."""
        if self._link is not None:
            with contextlib.suppress(OSError):
                os.write(self._link.fileno(), data)

    def drain(self) -> None:
        """Nothing to wait for: closing sends what is left."""


class Shell:
    """Runs one simulated terminal at one port.

    `report` gets each log entry, beginning with `ready` and its device, which comes again after a hang-up.
    `count`: end after that many payments, when nothing is left to do.
    """

    def __init__(
        self, terminal: SimulatedTerminal, port: Port, report: Callable[[Log], None], count: int | None = None
    ) -> None:
        self._terminal = terminal
        self._port = port
        self._report = report
        self._left = count
        self._back_at: float | None = None  # hung up until then
        self._selector = selectors.DefaultSelector()
        self._waker, self._wake = os.pipe()
        os.set_blocking(self._wake, False)

    def stop(self) -> None:
        """End the loop. May be called from a signal handler or another thread."""
        with contextlib.suppress(OSError):
            os.write(self._wake, b"\0")

    def run(self) -> None:
        """Serve until stopped; leaves no port and no link behind. Raises LinkError when the port can't be had."""
        self._selector.register(self._waker, selectors.EVENT_READ)
        try:
            self._open()
            while not self._finished():
                if any(key.fd == self._waker for key, _ in self._selector.select(self._patience())):
                    break
                self._step()
            if self._finished():
                self._port.drain()
        finally:
            self._port.close(self._selector)
            self._selector.close()
            os.close(self._waker)
            os.close(self._wake)
            self._wake = -1

    def _open(self) -> None:
        self._report(Log("ready", (("device", self._port.open(self._selector)),)))

    def _step(self) -> None:
        if self._back_at is None:
            if data := self._port.read():
                self._do(self._terminal.receive(data, time.monotonic()))
        elif time.monotonic() >= self._back_at:
            self._back_at = None
            self._open()
        self._do(self._terminal.tick(time.monotonic()))

    def _do(self, actions: Iterable[Action]) -> None:
        for action in actions:
            if isinstance(action, Log):
                self._report(action)
                if self._left is not None and action.event in OUTCOMES:
                    self._left -= 1
            elif self._back_at is not None:
                continue  # hung up: nothing goes out
            elif isinstance(action, Send):
                self._port.write(action.data)
            elif isinstance(action, HangUp):
                self._port.close(self._selector)
                self._back_at = time.monotonic() + action.seconds

    def _finished(self) -> bool:
        over = self._left is not None and self._left <= 0
        return over and self._terminal.deadline() is None and self._back_at is None

    def _patience(self) -> float | None:
        due = [at for at in (self._terminal.deadline(), self._back_at) if at is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None
