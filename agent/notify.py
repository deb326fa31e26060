"""Tells systemd how the service is, when it asked to be told (sd_notify(3)). Light: the bridge imports it, too."""

from __future__ import annotations

import os
import socket
import time

#: so long systemd may take to take a word: bytes that wait meanwhile are worth more than any word
_PATIENCE_S = 0.2


def notify(state: str, descriptor: int | None = None) -> bool:
    """Send `READY=1` and the like, perhaps with a descriptor for systemd's store; nothing happens outside systemd.

    Returns whether everybody knows who wants to.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return True
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
        connection.settimeout(_PATIENCE_S)
        try:
            connection.connect("\0" + address[1:] if address.startswith("@") else address)
            if descriptor is None:
                connection.sendall(state.encode())
            else:
                socket.send_fds(connection, [state.encode()], [descriptor])
        except OSError:
            return False  # nobody listens any more, or not now: the service goes on all the same
    return True


class Watchdog:
    """Tells systemd that work goes on. Called from the loop that does the work, so a loop that hangs is noticed."""

    def __init__(self) -> None:
        mine = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        limit = os.environ.get("WATCHDOG_USEC", "") if mine else ""
        #: say so at least this often, seconds; None: nobody wants to know
        self.every_s = int(limit) / 3e6 if limit.isdigit() and int(limit) else None
        self._due = 0.0

    def alive(self) -> None:
        """The loop has come round; tells it at most once in `every_s`."""
        if self.every_s is None or (now := time.monotonic()) < self._due:
            return
        self._due = now + self.every_s / 2
        notify("WATCHDOG=1")
