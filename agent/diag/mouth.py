"""Two ways to a terminal: through the bridge's lease while it runs, or by opening the port. Bytes in, bytes out.

A lease is taken only when no payment is under way, and given back the moment the cashier application speaks.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from agent import config
from agent.bridge import wire
from agent.bridge.opener import open_link
from agent.errors import UnreachableError
from agent.tap import Message, Record, Tap, Told
from drivers.detection import line_of
from drivers.driver import Driver, LineDefaults
from drivers.links.uart import counters, modem_lines
from drivers.queries import Word
from drivers.registry import get

_LEASE_MS = 20_000
_HOLD_MS, _DRAIN_MS = 300, 200
_CHUNK = 4096


class Interrupted(Exception):  # noqa: N818  (an everyday event at a window)
    """The cashier application wants the line, or a payment is under way."""


class Gone(Exception):  # noqa: N818
    """The line ended while it was used."""


class Mouth(Protocol):
    """The terminal's line, for a moment."""

    def say(self, data: bytes) -> None:
        """Send. Raises Gone or Interrupted."""
        ...

    def hear(self, seconds: float) -> bytes:
        """What comes within that time, nothing when it is quiet. Raises Gone or Interrupted."""
        ...

    def counters(self) -> dict[str, int] | None:
        """The port's error counters, where its driver counts."""
        ...

    def modem_lines(self) -> dict[str, bool] | None:
        """The modem lines, where there are any."""
        ...

    def close(self) -> None:
        """Give the line back."""
        ...


class PortMouth:
    """The port, opened by us. Raises LinkError when it can't be."""

    def __init__(self, terminal: config.Terminal, line: LineDefaults | None = None) -> None:
        self._link: Any = open_link(settings_of(terminal, line), terminal.device.text)
        self._serial = terminal.device.scheme == "serial"

    def say(self, data: bytes) -> None:
        """See Mouth."""
        try:
            os.write(self._link.fileno(), data)
        except OSError as error:
            raise Gone(error.strerror or str(error)) from error

    def hear(self, seconds: float) -> bytes:
        """See Mouth."""
        try:
            if not select.select([self._link.fileno()], [], [], seconds)[0]:
                return b""
            data = os.read(self._link.fileno(), _CHUNK)
        except BlockingIOError:
            return b""
        except (OSError, ValueError) as error:
            raise Gone(str(error)) from error
        if not data:
            raise Gone("the device is gone")
        return data

    def counters(self) -> dict[str, int] | None:
        """See Mouth."""
        return counters(self._link.fileno()) if self._serial else None

    def modem_lines(self) -> dict[str, bool] | None:
        """See Mouth."""
        return modem_lines(self._link.fileno()) if self._serial else None

    def close(self) -> None:
        """See Mouth."""
        self._link.close()


class LeaseMouth:
    """A lease of the bridge's line.

    When the cashier application speaks, `hear` raises Interrupted once: come to an end. What the terminal still says
    can be heard until the lease is given back, or the bridge takes it.
    """

    def __init__(
        self, tap: Tap, name: str, driver: Driver | None, quiet_s: float, status: Callable[[], dict[str, Any]]
    ) -> None:
        """`status`: what the bridge says of the line now. Raises Interrupted when the line is not free, Gone when the
        device is away, UnreachableError.
        """
        self._tap = tap
        self._name = name
        self._status = status
        self._early: list[bytes] = []
        self._hurry = self._told = False  # the cashier application waits; and whoever asks has been told
        self._lease: int | None = None
        tap.request("lease", **_terms(name, driver, quiet_s))
        deadline = time.monotonic() + quiet_s * 2 + 5
        while self._lease is None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Interrupted
            if select.select([tap.fileno()], [], [], left)[0]:
                for message in tap.receive():
                    self._take(message)

    def say(self, data: bytes) -> None:
        """See Mouth."""
        try:
            self._tap.request("write", id=self._lease, hex=data.hex())
        except UnreachableError as error:
            raise Gone(str(error)) from error

    def hear(self, seconds: float) -> bytes:
        """See Mouth."""
        deadline = time.monotonic() + seconds
        while not self._early:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._tap.fileno()], [], [], left)[0]:
                break
            try:
                for message in self._tap.receive():
                    self._take(message)
            except UnreachableError as error:
                raise Gone(str(error)) from error
            if self._hurry and not self._told:
                self._told = True
                raise Interrupted
        heard, self._early = b"".join(self._early), []
        return heard

    def counters(self) -> dict[str, int] | None:
        """As the bridge counts."""
        found: dict[str, int] | None = self._status().get("counters")
        return found

    def modem_lines(self) -> dict[str, bool] | None:
        """As the bridge sees them."""
        found: dict[str, bool] | None = self._status().get("modem")
        return found

    def close(self) -> None:
        """See Mouth."""
        if self._lease is not None:
            with suppress(UnreachableError):  # the bridge has ended, and the lease with it
                self._tap.request("release", id=self._lease)
            self._lease = None

    def _take(self, message: Message) -> None:
        if isinstance(message, Record):
            if message.line == self._name and message.kind == wire.REPLY and self._lease is not None:
                self._early.append(message.payload)
            elif message.line == self._name and message.kind == wire.CASHIER:
                raise Interrupted
        elif isinstance(message, Told) and "lease" in message.body:
            self._notice(message.body)

    def _notice(self, body: dict[str, Any]) -> None:
        notice = body["lease"]
        if notice == "granted":
            self._lease = int(body["id"])
        elif notice == "denied" and body.get("reason") == "link_down":
            raise Gone("link_down")
        elif notice == "ended":
            self._lease = None
            raise Gone("link_down") if body.get("reason") == "link_down" else Interrupted
        elif notice == "cashier_waiting":
            self._hurry = True
        elif notice == "denied":
            raise Interrupted


def _terms(name: str, driver: Driver | None, quiet_s: float) -> dict[str, Any]:
    """What is asked of the bridge: the cashier application never waits longer than half of its patience."""
    bound_ms = driver.asking.patience_s * 1000 / 2 if driver and driver.asking else _HOLD_MS + _DRAIN_MS
    words = driver.probe.words(driver.framings[0]) if driver and driver.probe else {}
    return {
        "line": name,
        "quiet_ms": int(quiet_s * 1000),
        "wait_ms": int(quiet_s * 2000) + 3000,
        "max_ms": _LEASE_MS,
        "hold_ms": int(min(_HOLD_MS, bound_ms - _DRAIN_MS)),
        "drain_ms": _DRAIN_MS,
        "abort": words.get(Word.END, b"").hex(),
    }


def settings_of(terminal: config.Terminal, line: LineDefaults | None = None) -> dict[str, Any]:
    """The serial settings: those of the configuration, or others to be tried."""
    usual = line_of(terminal.protocol, get)
    if line is None:
        speed = usual.baudrate if terminal.baudrate == "follow" else terminal.baudrate
        line = LineDefaults(speed, terminal.bytesize, terminal.parity, terminal.stopbits)
    parts = {"baudrate": line.baudrate, "bytesize": line.bytesize, "parity": line.parity, "stopbits": line.stopbits}
    return parts | {"flow": terminal.flow}


def shown(settings: dict[str, Any]) -> str:
    """9600 8N1."""
    return f"{settings['baudrate']} {settings['bytesize']}{settings['parity']}{settings['stopbits']}"


def ring_tap(run_dir: Path) -> Tap | None:
    """A tap on the running bridge, None when there is none. Raises UnreachableError when we may not."""
    try:
        return Tap.connect(run_dir)
    except UnreachableError as error:
        if error.key == "bridge.denied":
            raise
        return None


def reach_bridge(run_dir: Path) -> None:
    """Raises UnreachableError when a bridge runs that does not let us ask: without it a diagnosis would go astray."""
    tap = ring_tap(run_dir)
    if tap is not None:
        tap.close()
