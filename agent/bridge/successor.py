"""SIGHUP: the bridge becomes the program that is installed now, in the middle of whatever passes (handover.py)."""

from __future__ import annotations

import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from agent.bridge.handover import Berths
    from agent.bridge.line import Line
    from agent.bridge.log import Log
    from agent.bridge.loop import Loop

POLL_S = 0.005
#: a lease ends and drains within this time; then the exec does not wait for it any longer
LEASES_S = 3.0
#: a usb: device can't be handed over: it is opened anew, when its line has been quiet for so long, or has had its time
USB_QUIET_S = 3.0
USB_S = 60.0


class Successor:
    """Prepares the exec, and does it."""

    __slots__ = ("_berths", "_lines", "_log", "_loop", "_settings", "_since")

    def __init__(self, loop: Loop, lines: dict[str, Line], berths: Berths, settings: dict[str, Any], log: Log) -> None:
        self._loop = loop
        self._lines = lines
        self._berths = berths
        self._settings = settings
        self._log = log
        self._since: float | None = None

    def prepare(self) -> None:
        """End what can't be handed over, then go. A second call while the first is under way changes nothing."""
        if self._since is not None:
            return
        self._since = time.monotonic()
        self._log.say("info", "bridge.handover", detail="SIGHUP: becoming the installed version")
        self._try()

    def _try(self) -> None:
        waited = time.monotonic() - (self._since or 0.0)
        leased = [line for line in self._lines.values() if line.lease is not None]
        for line in leased:
            if line.lease is not None:
                line.lease.end("handover")
        if (leased and waited < LEASES_S) or (self._usb_is_busy() and waited < USB_S):
            self._loop.later(POLL_S, self._try)
        else:
            self._go()

    def _usb_is_busy(self) -> bool:
        usb = (line for line in self._lines.values() if line.device.address.startswith("usb:"))
        return any(line.device.stream is not None and not line.is_quiet(USB_QUIET_S) for line in usb)

    def _go(self) -> None:
        usb = [line for line in self._lines.values() if line.device.address.startswith("usb:")]
        for line in usb:
            line.device.release()
        # Between here and its own handlers the new process must not die of another SIGHUP.
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        error = self._berths.exec([sys.executable, "-m", "agent.bridge"], self._settings)
        signal.signal(signal.SIGHUP, before)
        self._since = None
        for line in usb:
            line.device.start()
        self._log.say("error", "bridge.handover_failed", detail=error.strerror, do="mend the installation; lines go on")
