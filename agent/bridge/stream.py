"""An open descriptor: bytes that come are handed on, bytes that can't go out at once wait in order."""

from __future__ import annotations

import os
import select

from agent.bridge.loop import IN, OUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.bridge.loop import Loop

CHUNK = 65536
_ENDED = select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP


class Stream:
    """A device or a socket. `on_gone` is called once, when nothing more will come."""

    __slots__ = ("_interest", "_loop", "_on_data", "_on_gone", "_out", "fd", "on_drained")

    def __init__(
        self,
        loop: Loop,
        descriptor: int,
        on_data: Callable[[bytes], None],
        on_gone: Callable[[str], None],
        waiting: bytes = b"",
    ) -> None:
        """`waiting`: goes out before all else, when the loop runs."""
        self.fd = descriptor
        self._loop = loop
        self._on_data = on_data
        self._on_gone = on_gone
        self._out = bytearray(waiting)
        self._interest = IN | OUT if waiting else IN
        self.on_drained: Callable[[], None] | None = None  # called once, when nothing waits any more
        loop.add(descriptor, self._interest, self._handle)

    @property
    def waiting(self) -> bytes:
        """What could not go out yet."""
        return bytes(self._out)

    @property
    def backlog(self) -> int:
        """Bytes that wait to go out."""
        return len(self._out)

    def send(self, data: bytes) -> bool:
        """Write, after what waits. False when the device has gone, which this may be the first to notice."""
        if self._out:
            self._out += data
            return True
        try:
            written = os.write(self.fd, data)
        except BlockingIOError:
            written = 0
        except OSError as error:
            self._gone(error.strerror or str(error))
            return False
        if written < len(data):
            self._out += data[written:]
            self._want(self._interest | OUT)
        return True

    def listen(self, on: bool) -> None:
        """Whether to take in more: a side whose bytes can't be passed on is not read."""
        self._want((self._interest | IN) if on else (self._interest & ~IN))

    def drain(self) -> None:
        """Hand on what has already come."""
        while self.fd >= 0:
            try:
                data = os.read(self.fd, CHUNK)
            except OSError:
                return
            if not data:
                return
            self._on_data(data)

    def stop(self) -> None:
        """Watch it no more; the owner closes it."""
        if self.fd >= 0:
            self._loop.remove(self.fd)
            self.fd = -1

    def _want(self, interest: int) -> None:
        if interest != self._interest and self.fd >= 0:
            self._interest = interest
            self._loop.change(self.fd, interest)

    def _handle(self, events: int) -> None:
        if events & OUT:
            self._flush()
        if events & (IN | _ENDED) and self.fd >= 0:
            try:
                data = os.read(self.fd, CHUNK)
            except BlockingIOError:
                return
            except OSError as error:
                self._gone(error.strerror or str(error))
                return
            if data:
                self._on_data(data)
            else:
                self._gone("end of the line")

    def _flush(self) -> None:
        try:
            written = os.write(self.fd, self._out)
        except BlockingIOError:
            return
        except OSError as error:
            self._gone(error.strerror or str(error))
            return
        del self._out[:written]
        if not self._out:
            self._want(self._interest & ~OUT)
            if self.on_drained is not None:
                call, self.on_drained = self.on_drained, None
                call()

    def _gone(self, detail: str) -> None:
        if self.fd >= 0:
            self.stop()
            self._on_gone(detail)
