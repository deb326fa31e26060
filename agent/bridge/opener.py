"""Opens devices in a thread, because an open may take long (a name look-up, a device that hangs), and reports back."""

from __future__ import annotations

import _thread
import contextlib
import os
import socket

from agent.bridge.loop import IN
from drivers.links.base import FAILED, LinkError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from agent.bridge.loop import Loop


class Opener:
    """One for the whole bridge. `done` calls run in the loop's thread."""

    __slots__ = ("_event", "_results")

    def __init__(self, loop: Loop) -> None:
        self._results: list[tuple[Callable[[Any], None], Any]] = []
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC | os.EFD_SEMAPHORE)  # one for each result
        loop.add(self._event, IN, self._deliver)

    def open(self, settings: dict[str, Any], address: str, done: Callable[[Any], None], left: Any = None) -> None:
        """Open `serial:PATH`, `tcp:HOST:PORT`, `usb:VVVV:PPPP…` or `file:PATH`; `done` gets a link or a LinkError.

        `left`: what the link before has left to this one.
        """
        _thread.start_new_thread(self._work, (settings, address, done, left))

    def _work(self, settings: dict[str, Any], address: str, done: Callable[[Any], None], left: Any) -> None:
        result: Any
        try:
            result = open_link(settings, address, left)
        except LinkError as error:
            result = error
        except Exception as error:  # noqa: BLE001 (top of thread: the loop must hear of it, or it waits for ever)
            result = LinkError(FAILED, f"{address}: {error!r}")
        self._results.append((done, result))
        os.eventfd_write(self._event, 1)

    def _deliver(self, _events: int) -> None:
        os.eventfd_read(self._event)
        done, result = self._results.pop(0)
        done(result)


def open_link(settings: dict[str, Any], address: str, left: Any = None) -> Any:
    """The link of an address; `left` is what the one before has left to it. Raises LinkError."""
    scheme, _, rest = address.partition(":")
    if scheme == "tcp":
        from drivers.links.tcp import open_tcp

        return open_tcp(rest)
    if scheme == "file":
        from drivers.links.watched import open_watched

        return open_watched(rest, left)
    names = ("baudrate", "bytesize", "parity", "stopbits")
    line = {name: settings[name] for name in names}
    if scheme == "usb":
        from drivers.links.usb import open_usb  # pyusb: only where a device needs it

        return open_usb(rest, **line)
    from drivers.links.serial import open_serial

    return open_serial(rest, flow=settings["flow"], **line)


def load(address: str) -> None:
    """Import what opens that address, before anybody waits for it."""
    with contextlib.suppress(ImportError):  # an extra that is not installed: the opening says so
        if address.startswith("tcp:"):
            import drivers.links.tcp
        elif address.startswith("file:"):
            import drivers.links.watched
        elif address.startswith("usb:"):
            import drivers.links.usb
        elif address.startswith("serial:"):
            import drivers.links.serial  # noqa: F401


def kept_link(address: str, descriptor: int) -> Any:
    """The link of an address that the process before has opened. Raises OSError when it has ended meanwhile."""
    if address.startswith("tcp:"):
        from drivers.links.tcp import TcpLink

        return TcpLink(socket.socket(fileno=descriptor))
    from drivers.links.serial import kept_serial

    return kept_serial(descriptor)
