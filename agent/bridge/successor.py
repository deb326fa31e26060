"""SIGHUP: the bridge hands its lines to the program that is installed now, in the middle of whatever passes.

The successor is started beside the running bridge, which passes bytes until the other one has loaded everything, and
gives way in one step (takeover.py). A successor that can't begin, for whatever reason, changes nothing.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time

from agent.bridge.loop import IN
from agent.bridge.takeover import GO, LONGEST, READY, TAKEN, channel, in_memory
from agent.notify import notify

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any

    from agent.bridge.handover import Berths
    from agent.bridge.log import Log
    from agent.bridge.loop import Loop
    from agent.bridge.server import Server

POLL_S = 0.005
#: so long a successor may take to load its program, on a PC that has much else to do
LOAD_S = 60.0
#: so long it may take to find its place on every line; meanwhile nobody passes bytes
TAKE_S = 5.0
#: a usb: device can't be handed over: it is opened anew, when its line has been quiet for so long, or has had its time
USB_QUIET_S = 3.0
USB_S = 60.0
#: held back until the successor can handle them; to a program that loads they would be the end
HELD_BACK = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


class Successor:
    """At most one at a time. `gone`: the lines are with it, and this process has nothing left to do."""

    __slots__ = ("_berths", "_channel", "_child", "_log", "_loop", "_process", "_server", "_settings", "_since", "gone")

    def __init__(self, loop: Loop, server: Server, berths: Berths, settings: dict[str, Any], log: Log) -> None:
        self._loop = loop
        self._server = server
        self._berths = berths
        self._settings = settings
        self._log = log
        self._channel: socket.socket | None = None
        self._child = (
            0  # what was started; it ends at once, and leaves a process that is nobody's child (`Takeover.detach`)
        )
        self._process: tuple[int, int] | None = None  # that one's number, and a descriptor that is surely its own
        self._since = 0.0  # when it was ready
        self.gone = False

    def prepare(self) -> None:
        """Start it. A second call while one is under way changes nothing."""
        if self._channel is not None:
            return
        self._log.say("info", "bridge.handover", detail="SIGHUP: the installed version is started beside this one")
        ours, theirs = channel()
        settings = in_memory(self._settings)
        command = [sys.executable, "-m", "agent.bridge", str(settings), str(theirs.fileno())]
        environment = {name: value for name, value in os.environ.items() if name != "WATCHDOG_PID"}  # it is ours
        for descriptor in (settings, theirs.fileno()):
            os.set_inheritable(descriptor, True)
        self._channel = ours
        try:
            self._child = os.posix_spawn(command[0], command, environment, setsigmask=HELD_BACK)
        except OSError as error:
            self._fail(f"{command[0]}: {error.strerror}")
            return
        finally:
            os.close(settings)
            theirs.close()
        self._loop.add(ours.fileno(), IN, self._heard)
        self._loop.later(LOAD_S, lambda: self._give_up(ours))

    def abandon(self) -> None:
        """This process ends: nobody succeeds it from here."""
        if self._channel is not None and not self.gone:
            self._end()

    def _give_up(self, ours: socket.socket) -> None:
        if self._channel is ours and self._process is None:
            self._fail("it does not get ready")

    def _heard(self, _events: int) -> None:
        assert self._channel is not None  # noqa: S101 (it is watched as long as it is there)
        try:
            word, _, pid = self._channel.recv(LONGEST).partition(b" ")
            if word != READY or self._process is not None:
                raise OSError(0, "it has ended; its own complaint is above")
            self._process = int(pid), os.pidfd_open(int(pid))
        except OSError as error:
            self._fail(error.strerror or str(error))
            return
        self._since = time.monotonic()
        self._await_moment()

    def _await_moment(self) -> None:
        """End what can't be handed over, then give way."""
        if self._channel is None:
            return
        usb_may_wait = time.monotonic() - self._since < USB_S
        if not self._server.end_leases("handover") or (usb_may_wait and self._usb_is_busy()):
            self._loop.later(POLL_S, self._await_moment)
        else:
            self._give_way()

    def _usb_is_busy(self) -> bool:
        usb = (line for line in self._server.lines.values() if line.device.address.startswith("usb:"))
        return any(line.device.stream is not None and not line.is_quiet(USB_QUIET_S) for line in usb)

    def _give_way(self) -> None:
        assert self._channel is not None  # noqa: S101 (as above)
        assert self._process is not None  # noqa: S101 (it was ready)
        for line in self._server.lines.values():
            line.release()
        began = time.monotonic()
        try:
            self._berths.give(self._channel)
            if not self._takes() or not self._loop.running:
                raise OSError(0, "it did not take the lines over in time; its own complaint may be above")
            if not notify(f"MAINPID={self._process[0]}"):
                raise OSError(0, "the service manager could not be told whom to watch from now on")
            self._channel.sendall(GO)
        except OSError as error:
            self._fail(error.strerror or str(error))
            return
        self.gone = True
        self._loop.running = False
        took = round((time.monotonic() - began) * 1000, 1)
        self._log.say("info", "bridge.handed_over", to=self._process[0], took_ms=took)

    def _takes(self) -> bool:
        """Wait for its word. Nothing is passed on meanwhile: what comes now is the successor's."""
        assert self._channel is not None  # noqa: S101 (as above)
        heard, _, _ = select.select([self._channel], [], [], TAKE_S)
        return bool(heard) and self._channel.recv(LONGEST) == TAKEN

    def _fail(self, detail: str) -> None:
        """It comes to nothing: this process goes on."""
        self._end()
        self._server.grants = True
        for line in self._server.lines.values():
            line.resume()
        self._log.say("error", "bridge.handover_failed", detail=detail, do="mend the installation; lines go on")

    def _end(self) -> None:
        """End the successor. Without `go` it has touched nothing."""
        assert self._channel is not None  # noqa: S101 (callers know)
        self._loop.remove(self._channel.fileno())
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process[1], signal.SIGKILL)
            select.select([self._process[1]], [], [], TAKE_S)  # not long: only what hangs in a driver takes its time
            os.close(self._process[1])
        if self._child:
            os.kill(self._child, signal.SIGKILL)
            os.waitpid(self._child, 0)
        self._channel.close()
        self._channel, self._process, self._child = None, None, 0
