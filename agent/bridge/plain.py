"""`tillwatch bridge --plain`: bytes from side to side and nothing else, for when the bridge itself keeps dying.

systemd starts it when the bridge has ended ten times within five minutes (tillwatch-passthrough.service). Payments go
on; nobody watches them. It shares with the bridge only what opens devices and ports: no ring, no tap, no lease, no
speed that follows the application. A thread a line, each with one loop; whatever ends is opened again.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
import threading
import time

from agent.bridge.opener import open_link
from drivers.links.base import LinkError
from drivers.links.pty import PtyPort
from drivers.links.tcp import listen, tune

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

CHUNK = 4096
RETRY_S = 1.0
#: a port that nobody has open says so all the time: it is asked this often
ASK_S = 0.02


def run(settings: dict[str, Any]) -> NoReturn:
    """Pass bytes on all lines until the process is ended."""
    os.makedirs(settings["run_dir"], mode=0o755, exist_ok=True)
    for line in settings["lines"]:
        if line["cashier"] != "none":
            threading.Thread(target=_serve, args=(line,), daemon=True).start()
    while True:
        threading.Event().wait()


def _serve(line: dict[str, Any]) -> None:
    port: Any = None
    said = ""
    while True:
        try:
            port = port or _port(line)
            link = open_link(line, line["device"])
        except Exception as error:  # noqa: BLE001 (top of thread: a line that can't be served now is tried again)
            detail = error.detail if isinstance(error, LinkError) else repr(error)
        else:
            _say(line, f"{line['cashier']} and {line['device']} are connected; nobody watches what passes")
            detail = _ended(port, link, line["device"])
            said = ""
        if detail != said:
            said = detail
            _say(line, detail)
        time.sleep(RETRY_S)


def _ended(port: Any, link: Any, device: str) -> str:
    """Carry bytes until that ends; returns how it ended."""
    try:
        _carry(port, link.fileno())
    except Exception as error:  # noqa: BLE001 (as above)
        return f"{device}: {getattr(error, 'strerror', None) or error}"
    finally:
        link.close()


def _carry(port: Any, device: int) -> NoReturn:
    """Until the device ends, which raises OSError. A port that ends comes again by itself."""
    while True:
        ends = [device] if port.fd is None else [device, port.fd]
        ready, _, _ = select.select(ends, [], [], ASK_S)
        if device in ready:
            data = os.read(device, CHUNK)
            if not data:
                raise OSError(0, "end of the line")
            port.write(data)
        if len(ready) > (device in ready) or port.fd is None:
            data = port.read()
            if data:
                _write(device, data)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        select.select([], [descriptor], [], RETRY_S)
        with contextlib.suppress(BlockingIOError):
            data = data[os.write(descriptor, data) :]


class _Pty:
    """A virtual port. What nobody is there to read is dropped, as on a real one."""

    def __init__(self, link: str, group: str | None) -> None:
        self._port = PtyPort(link, group=group)
        self._open = False

    @property
    def fd(self) -> int | None:
        return self._port.fileno() if self._port.is_open() else None

    def read(self) -> bytes:
        """What the application wrote; empty when it wrote nothing or has gone."""
        try:
            data = os.read(self._port.fileno(), CHUNK)
        except OSError:
            if self._open and not self._port.is_open():
                self._open = False
                self._port.refresh()
            return b""
        self._open = True
        if data[0]:
            self._port.take_baudrate()
            return b""
        return data[1:]

    def write(self, data: bytes) -> None:
        """Give it to the application."""
        if self._port.is_open():
            with contextlib.suppress(OSError):
                _write(self._port.fileno(), data)


class _Tcp:
    """A TCP port; one application at a time."""

    def __init__(self, address: str) -> None:
        self._listener = listen(address)
        self._peer: socket.socket | None = None

    @property
    def fd(self) -> int | None:
        return (self._peer or self._listener).fileno()

    def read(self) -> bytes:
        """What the application wrote; empty when it has just come or gone."""
        if self._peer is None:
            with contextlib.suppress(OSError):
                self._peer, _ = self._listener.accept()
                tune(self._peer)
            return b""
        try:
            data = self._peer.recv(CHUNK)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self._peer.close()
            self._peer = None
        return data

    def write(self, data: bytes) -> None:
        """Give it to the application."""
        if self._peer is not None:
            with contextlib.suppress(OSError):
                _write(self._peer.fileno(), data)


class _Serial:
    """A serial port towards the application, itself perhaps away for a while."""

    def __init__(self, line: dict[str, Any]) -> None:
        self._line = line
        self._link: Any = open_link(line, line["cashier"])
        self._due = 0.0

    @property
    def fd(self) -> int | None:
        return None if self._link is None else int(self._link.fileno())

    def read(self) -> bytes:
        """What the application wrote; empty while the port is away, which is looked for again now and then."""
        if self._link is None:
            self._find()
            return b""
        try:
            data = os.read(self._link.fileno(), CHUNK)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self._lose()
        return data

    def write(self, data: bytes) -> None:
        """Give it to the application."""
        if self._link is not None:
            try:
                _write(self._link.fileno(), data)
            except OSError:
                self._lose()

    def _find(self) -> None:
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + RETRY_S
            with contextlib.suppress(LinkError):
                self._link = open_link(self._line, self._line["cashier"])

    def _lose(self) -> None:
        _say(self._line, f"{self._line['cashier']} has gone; it is opened again when it is there")
        self._link.close()
        self._link = None


def _port(line: dict[str, Any]) -> Any:
    scheme, _, rest = line["cashier"].partition(":")
    if scheme == "pty":
        return _Pty(rest, line.get("port_group"))
    return _Tcp(rest) if scheme == "tcp" else _Serial(line)


def _say(line: dict[str, Any], what: str) -> None:
    sys.stderr.write(f"{line['name']}: {what}\n")
