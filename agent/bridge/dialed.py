"""A device that is opened again and again until it is there: a terminal, or a serial port towards the cashier."""

from __future__ import annotations

import os
import time

from agent.bridge.opener import kept_link
from agent.bridge.stream import Stream
from drivers.links.base import GONE, LinkError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from agent.bridge.handover import Berth
    from agent.bridge.loop import Loop
    from agent.bridge.opener import Opener

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
_OURS_ALONE = ("usb:", "file:")  # the descriptor of such a link leads to a thread of ours, and nowhere without it
STEADY_S = 2.0  # a link that lasted so long was a good one; one that ends at once is not tried ever faster


class Dialed:
    """Opened by its configured address, each time anew: a stable name finds the device wherever it was plugged in.

    `on_change(up, error)` is called when it came, when it went, and when the reason why it is away changes.
    """

    __slots__ = (
        "_berth",
        "_left",
        "_loop",
        "_on_change",
        "_on_data",
        "_opener",
        "_opening",
        "_pause",
        "_settings",
        "_stopped",
        "_tries",
        "_up_since",
        "address",
        "error",
        "link",
        "lost",
        "opened",
        "stream",
    )

    def __init__(
        self,
        loop: Loop,
        opener: Opener,
        settings: dict[str, Any],
        address: str,
        berth: Berth,
        on_data: Callable[[bytes], None],
        on_change: Callable[[bool, LinkError | None], None],
    ) -> None:
        self._berth = berth
        berth.leaving = lambda: {"waiting": self.stream.waiting.hex() if self.stream else "", "link": self._left}
        self._loop = loop
        self._opener = opener
        self._settings = settings
        self._on_data = on_data
        self._on_change = on_change
        self._pause = FIRST_PAUSE_S
        self._stopped = self._opening = False
        self._left: Any = berth.state.get("link")  # what a link of our own threads knew when it was released
        self._tries = 0
        self.address = address
        self.link: Any = None
        self.stream: Stream | None = None
        self.error: LinkError | None = None
        self.opened = 0
        self.lost = 0  # bytes that waited for the device when it went
        self._up_since = 0.0

    def start(self) -> None:
        """Begin to try; once more where it is away, at once."""
        if self._stopped or self._opening or self.link is not None:
            return
        descriptor = self._berth.take()
        if descriptor is None or not self._go_on_with(descriptor):
            self._opening = True
            self._loop.later(0, self._open)  # when the loop runs: before that the line may still be another process's

    def close(self) -> None:
        """Give it up."""
        self._stopped = True
        self._drop()

    def release(self) -> None:
        """Give back a link that only this process can have, and tell nobody: `start` opens it again, here or there.

        What it has heard is passed on before, and what it must know of that is left for the next opening.
        """
        if self.link is None or not self.address.startswith(_OURS_ALONE):
            return
        if self.address.startswith("file:"):
            self._left = self.link.leave()
            if self.stream is not None:
                self.stream.drain()
        self._drop()

    def unsent(self) -> int:
        """Bytes that have not left yet, here or in the kernel."""
        if self.stream is None or self.link is None:
            return 0
        return self.stream.backlog + int(self.link.unsent())

    def set_baudrate(self, baudrate: int) -> str | None:
        """Follow the cashier application's speed; returns why not, where the device can't. TCP has no speed."""
        if self._settings["baudrate"] == baudrate or not self.address.startswith("serial:"):
            return None
        if self.link is not None:
            try:
                self.link.set_baudrate(baudrate)
            except LinkError as error:
                return error.detail
        self._settings["baudrate"] = baudrate
        return None

    def _go_on_with(self, descriptor: int) -> bool:
        """Use what the process before has opened; False when it has ended meanwhile."""
        try:
            link = kept_link(self.address, descriptor)
        except OSError:
            self._berth.drop()
            os.close(descriptor)
            return False
        self._settings["baudrate"] = getattr(link, "baudrate", None) or self._settings["baudrate"]
        self._begin(link, bytes.fromhex(self._berth.state.get("waiting", "")))
        return True

    def _open(self) -> None:
        self._opener.open(self._settings, self.address, self._result, self._left)

    def _begin(self, link: Any, waiting: bytes = b"") -> None:
        self.link, self.error, self._left = link, None, None
        self.stream = Stream(self._loop, link.fileno(), self._on_data, self._gone, waiting)
        if not self.address.startswith(_OURS_ALONE):
            self._berth.put(link.fileno())
        self._up_since = time.monotonic()
        self.opened += 1
        self._on_change(True, None)

    def _result(self, result: Any) -> None:
        self._opening = False
        if self._stopped:
            if not isinstance(result, LinkError):
                result.close()
            return
        if isinstance(result, LinkError):
            known = self.error.reason if self.error else None
            self.error = result
            if result.reason != known:
                self._on_change(False, result)
            self._later()
            return
        self._begin(result)

    def _gone(self, detail: str) -> None:
        self.lost = self.unsent()
        detail = getattr(self.link, "ended", None) or detail  # a USB link knows better than its descriptor
        self._drop()
        if time.monotonic() - self._up_since >= STEADY_S:
            self._pause = FIRST_PAUSE_S
        self.error = LinkError(GONE, f"{self.address}: {detail}")
        self._on_change(False, self.error)
        self._later()

    def _drop(self) -> None:
        if self.stream is not None:
            self.stream.stop()
            self.stream = None
        if self.link is not None:
            self._berth.drop()
            self.link.close()
            self.link = None

    def _later(self) -> None:
        self._tries += 1
        tries = self._tries

        def again() -> None:
            if tries == self._tries:  # else somebody was faster, and its own failure has a timer already
                self.start()

        self._loop.later(self._pause, again)
        self._pause = min(self._pause * 2, LONGEST_PAUSE_S)
