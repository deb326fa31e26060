"""The cashier application's side of a line: a pty, a TCP port, a serial port, or nobody.

All four offer: `send`, `backlog`, `listen`, `state` (open | closed | none), `close`.
"""

from __future__ import annotations

import os
import select
import socket

from agent.bridge.dialed import Dialed
from agent.bridge.loop import EDGE, IN, OUT
from agent.bridge.stream import CHUNK, Stream
from drivers.links.pty import PtyPort
from drivers.links.tcp import TcpLink, listen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from agent.bridge.handover import Berth
    from agent.bridge.line import Line
    from agent.bridge.loop import Loop
    from agent.bridge.opener import Opener
    from drivers.links.base import LinkError

_PACKET_FLUSHED = 1 | 2
_PACKET_SETTINGS = 64
_FLAGS = ("opened", "touched", "flushed")  # what is known of who has the port open
_READS_A_TURN = 16  # then the other lines have theirs


class PtyCashier:
    """A virtual port. The master is watched edge-triggered: a port that nobody has open hangs up for ever."""

    __slots__ = (
        "_berth",
        "_bytes",
        "_flushed",
        "_hung_up",
        "_line",
        "_listening",
        "_loop",
        "_opened",
        "_out",
        "_port",
        "_resting",
        "_touched",
        "fd",
    )

    def __init__(self, loop: Loop, line: Line, link: str, berth: Berth, group: str | None) -> None:
        """`group`: may open the port, too."""
        self._loop = loop
        self._line = line
        self._berth = berth
        self._port = PtyPort(link, berth.take(), group)
        if self._port.group_refused is not None:
            line.port_group_refused(self._port.group_refused)
        self.fd = self._port.fileno()
        berth.put(self.fd)
        berth.leaving = self._leaving
        before = berth.state
        self._out = bytearray.fromhex(before.get("waiting", ""))
        self._opened, self._touched, self._flushed = (bool(before.get(flag)) for flag in _FLAGS)
        self._hung_up = False
        self._bytes = before.get("bytes", 0)
        self._listening = True
        self._resting = False
        loop.add(self.fd, (IN | OUT | EDGE) if self._out else (IN | EDGE), self._handle)

    def _leaving(self) -> dict[str, Any]:
        flags = dict(zip(_FLAGS, (self._opened, self._touched, self._flushed), strict=True))
        return {"waiting": self._out.hex(), "bytes": self._bytes, **flags}

    @property
    def backlog(self) -> int:
        """Bytes that wait for the application to read."""
        return len(self._out)

    @property
    def state(self) -> str:
        """Whether an application has the port open."""
        return "open" if self._opened or self._port.is_open() else "closed"

    def send(self, data: bytes) -> None:
        """Write; what nobody is there to read is not kept for the next one, as on a real port."""
        if not self._opened:
            self._note_open()
            if not self._opened:
                return
        if self._out:
            self._out += data
            return
        try:
            written = os.write(self.fd, data)
        except BlockingIOError:
            written = 0
        except OSError:  # closed this moment; the loop will say so
            return
        if written < len(data):
            self._out += data[written:]
            self._loop.change(self.fd, IN | OUT | EDGE)

    def listen(self, on: bool) -> None:
        """Whether to take in more."""
        resumed = on and not self._listening
        self._listening = on
        if resumed:  # what came meanwhile has had its edge
            self._take_in()

    def close(self) -> None:
        """End the port."""
        self._berth.drop()
        self._loop.remove(self.fd)
        self._port.close()
        self.fd = -1

    def _handle(self, events: int) -> None:
        if events & OUT:
            self._flush()
        if events & select.EPOLLHUP:
            self._hung_up = True
        self._take_in()

    def _take_in(self) -> None:
        if self._resting:
            return
        self._read()
        # An application that wrote much and left: what it wrote comes first, also when we had to make it wait.
        if self._hung_up and self._listening and not self._resting:
            self._hung_up = False
            if not self._port.is_open():
                self._closed()

    def _read(self) -> None:
        reads = 0
        while self._listening:
            reads += 1
            if reads > _READS_A_TURN:
                self._resting = True
                self._loop.later(0, self._go_on)
                return
            try:
                data = os.read(self.fd, CHUNK)
            except OSError:  # nothing more for now, or nobody has it open
                return
            if data[0]:
                self._noticed(data[0])
            else:
                if not self._opened:
                    self._note_open()
                self._bytes += len(data) - 1
                self._line.from_cashier(data[1:])

    def _go_on(self) -> None:
        self._resting = False
        if self.fd >= 0:
            self._take_in()

    def _noticed(self, flags: int) -> None:
        """The application flushed its input, or asked for other settings."""
        if flags & _PACKET_SETTINGS:
            baudrate = self._port.take_baudrate()
            if baudrate is not None:
                self._touched = True
                self._line.cashier_baudrate(baudrate)
        if flags & _PACKET_FLUSHED and self._port.is_open():
            self._flushed = True
        if self._touched or self._flushed:
            self._note_open()

    def _note_open(self) -> None:
        if not self._opened and self._port.is_open():
            self._opened = True
            self._line.cashier_opened()

    def _closed(self) -> None:
        # An application that configures the port and leaves at once, without the flush that follows a good
        # configuration and without a byte, was refused its settings.
        refused = self._touched and not self._flushed and self._bytes == 0
        was_open = self._opened
        if not was_open and not self._touched:
            return  # our own refreshing shows here, too
        self._opened = self._touched = self._flushed = False
        self._bytes = 0
        self._out.clear()
        self._loop.remove(self.fd)
        if self._port.refresh():
            self._berth.put(self.fd)
        self._loop.add(self.fd, IN | EDGE, self._handle)
        if was_open:
            self._line.cashier_closed()
        if refused:
            self._line.cashier_refused()

    def _flush(self) -> None:
        if self._out:
            try:
                del self._out[: os.write(self.fd, self._out)]
            except BlockingIOError:
                return
            except OSError:  # closed this moment; the loop will say so
                self._out.clear()
        if not self._out:
            self._loop.change(self.fd, IN | EDGE)


class TcpCashier:
    """A TCP port; one application at a time, a second one is turned away."""

    __slots__ = ("_berth", "_client", "_line", "_listener", "_loop", "_peer_berth", "_stream")

    def __init__(self, loop: Loop, line: Line, address: str, berth: Berth, peer_berth: Berth) -> None:
        """`berth` is the listening port's, `peer_berth` the connected application's."""
        self._loop = loop
        self._line = line
        self._berth, self._peer_berth = berth, peer_berth
        kept = berth.take()
        self._listener = listen(address) if kept is None else socket.socket(fileno=kept)
        berth.put(self._listener.fileno())
        peer_berth.leaving = lambda: {"waiting": self._stream.waiting.hex() if self._stream else ""}
        self._client: TcpLink | None = None
        self._stream: Stream | None = None
        loop.add(self._listener.fileno(), IN, self._accept)
        if (peer := peer_berth.take()) is not None:
            self._serve(socket.socket(fileno=peer), bytes.fromhex(peer_berth.state.get("waiting", "")))

    @property
    def backlog(self) -> int:
        """Bytes that wait for the application to read."""
        return self._stream.backlog if self._stream else 0

    @property
    def state(self) -> str:
        """Whether an application is connected."""
        return "open" if self._stream else "closed"

    def send(self, data: bytes) -> None:
        """Write, when somebody is there."""
        if self._stream and data:
            self._stream.send(data)

    def listen(self, on: bool) -> None:
        """Whether to take in more."""
        if self._stream:
            self._stream.listen(on)

    def close(self) -> None:
        """End the port."""
        self._drop()
        self._berth.drop()
        self._loop.remove(self._listener.fileno())
        self._listener.close()

    def _accept(self, _events: int) -> None:
        try:
            connection, peer = self._listener.accept()
        except OSError:
            return  # it gave up while it waited
        if self._stream is not None:
            connection.close()
            self._line.second_cashier(f"{peer[0]}:{peer[1]}")
            return
        self._serve(connection)
        self._line.cashier_opened()

    def _serve(self, connection: socket.socket, waiting: bytes = b"") -> None:
        self._client = TcpLink(connection)
        self._stream = Stream(self._loop, connection.fileno(), self._line.from_cashier, self._gone, waiting)
        self._peer_berth.put(connection.fileno())

    def _gone(self, _detail: str) -> None:
        self._drop()
        self._line.cashier_closed()

    def _drop(self) -> None:
        if self._stream:
            self._stream.stop()
            self._stream = None
        if self._client:
            self._peer_berth.drop()
            self._client.close()
            self._client = None


class SerialCashier:
    """A serial port towards the cashier application, itself perhaps away for a while."""

    __slots__ = ("_line", "dialed")

    def __init__(
        self, loop: Loop, opener: Opener, line: Line, settings: dict[str, Any], address: str, berth: Berth
    ) -> None:
        self._line = line
        self.dialed = Dialed(loop, opener, settings, address, berth, line.from_cashier, self._changed)
        self.dialed.start()

    @property
    def backlog(self) -> int:
        """Bytes that wait to go out."""
        return self.dialed.stream.backlog if self.dialed.stream else 0

    @property
    def state(self) -> str:
        """Whether the port is open."""
        return "open" if self.dialed.stream else "closed"

    def send(self, data: bytes) -> None:
        """Write, when the port is there."""
        if self.dialed.stream:
            self.dialed.stream.send(data)

    def listen(self, on: bool) -> None:
        """Whether to take in more."""
        if self.dialed.stream:
            self.dialed.stream.listen(on)

    def close(self) -> None:
        """Give the port back."""
        self.dialed.close()

    def _changed(self, up: bool, error: LinkError | None) -> None:
        if up:
            self._line.cashier_opened()
        else:
            self._line.cashier_closed(error.detail if error else None)


class NoCashier:
    """Listen only: what the terminal says is recorded, and passed to nobody."""

    __slots__ = ()
    backlog = 0
    state = "none"

    def send(self, data: bytes) -> None:
        """Nobody is there."""

    def listen(self, on: bool) -> None:
        """Nobody is there."""

    def close(self) -> None:
        """Nobody is there."""
