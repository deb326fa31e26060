"""One terminal's line: bytes go from side to side, a copy of them into the ring.

The rules:
- bytes pass unmodified and in order; nothing here looks at them;
- what can't be delivered because the device is away is dropped and counted, never delivered late: a payment request
  must not reach the terminal when nobody waits for its answer any more;
- a side whose bytes can't be passed on is not read, so the sender's own flow control works;
- while a lease lasts the cashier application's bytes wait, and the terminal's go to the agent alone (lease.py).
"""

from __future__ import annotations

import json
import time

from agent.bridge import wire
from agent.bridge.cashier import NoCashier, PtyCashier, SerialCashier, TcpCashier
from agent.bridge.dialed import Dialed
from agent.bridge.lease import Lease

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from agent.bridge.handover import Berths
    from agent.bridge.log import Log
    from agent.bridge.loop import Loop
    from agent.bridge.opener import Opener
    from agent.bridge.ring import Ring
    from drivers.links.base import LinkError

_COUNTS = ("to_terminal", "to_cashier", "dropped")
_STAMPS = ("last_mono_ns", "last_wall_ns")
_SERIAL = ("bytesize", "parity", "stopbits", "flow")

#: a side that has so much waiting makes the other one wait
HIGH_WATER = 65536
RESUME_S = 0.005
#: so long older bytes may take to leave before the speed changes; a device that is stopped must not stop us
DRAIN_S = 0.5
REFUSED_SETTINGS = (
    "the application asked the virtual port for settings that a pty can't have (parity, 7 bit) and closed it again: "
    'keep 8N1 in the application and set parity in tillwatch\'s configuration, or use cashier = "tcp:…"'
)


class Line:
    """A terminal, its cashier application, and what passes between them."""

    __slots__ = (
        "_asked_baudrate",
        "_asked_until",
        "_cashier",
        "_dropped",
        "_follow",
        "_held",
        "_index",
        "_last_mono_ns",
        "_last_wall_ns",
        "_log",
        "_loop",
        "_ring",
        "_settings",
        "_to_cashier",
        "_to_terminal",
        "device",
        "lease",
        "name",
    )

    def __init__(
        self, loop: Loop, opener: Opener, ring: Ring, log: Log, berths: Berths, index: int, settings: dict[str, Any]
    ) -> None:
        self.name: str = settings["name"]
        self._loop = loop
        self._ring = ring
        self._log = log
        self._index = index
        self._settings = settings
        self._follow: bool = settings["follow"]
        self._asked_baudrate: int | None = None
        self._asked_until = 0.0
        own = berths.berth(f"{self.name}.line")
        own.leaving = self._leaving
        self._to_terminal, self._to_cashier, self._dropped = (own.state.get(count, 0) for count in _COUNTS)
        self._last_mono_ns: int
        self._last_wall_ns: int
        self._last_mono_ns, self._last_wall_ns = (own.state.get(stamp, 0) for stamp in _STAMPS)
        self._held = bytearray()
        self.lease: Lease | None = None
        berth = berths.berth(f"{self.name}.device", settings["device"], *self._speed())
        self.device = Dialed(
            loop, opener, settings, settings["device"], berth, self.from_terminal, self._device_changed
        )
        self._cashier = self._open_cashier(opener, berths)
        self.device.start()

    def _speed(self) -> list[Any]:
        """The serial settings of the configuration: where they differ, an open descriptor is not taken over."""
        return [self._follow or self._settings["baudrate"], *(self._settings[name] for name in _SERIAL)]

    def _leaving(self) -> dict[str, Any]:
        counts = zip(_COUNTS, (self._to_terminal, self._to_cashier, self._dropped), strict=True)
        return dict(counts) | dict(zip(_STAMPS, (self._last_mono_ns, self._last_wall_ns), strict=True))

    # --- the bytes ---

    def from_terminal(self, data: bytes) -> None:
        """The terminal said something."""
        if self.lease is not None and self.lease.asked:
            self._keep(wire.REPLY, data)
            self.lease.terminal_spoke()
            return
        if self.lease is not None:
            self.lease.end("terminal")
        self._cashier.send(data)
        self._keep(wire.TERMINAL, data)
        self._to_cashier += len(data)
        if self._cashier.backlog > HIGH_WATER and self.device.stream:
            self.device.stream.listen(False)
            self._loop.later(RESUME_S, self._resume_terminal)

    def from_cashier(self, data: bytes) -> None:
        """The cashier application said something."""
        if self.lease is not None:
            self._held += data
            if len(self._held) > HIGH_WATER:
                self._make_cashier_wait()
            self.lease.cashier_spoke()
            return
        self._pass_to_terminal(data)

    def query(self, data: bytes) -> None:
        """The lease's owner speaks to the terminal."""
        if self.device.stream is not None and self.device.stream.send(data):
            self._keep(wire.QUERY, data)

    def _pass_to_terminal(self, data: bytes) -> None:
        stream = self.device.stream
        if stream is None or not stream.send(data):
            self._drop(len(data))
            return
        self._keep(wire.CASHIER, data)
        self._to_terminal += len(data)
        if stream.backlog > HIGH_WATER:
            self._make_cashier_wait()

    def _drop(self, count: int) -> None:
        self._dropped += count
        self._tell(wire.DROPPED, {"bytes": count})

    def _make_cashier_wait(self) -> None:
        self._cashier.listen(False)
        if self.device.stream is not None and self.device.stream.backlog:
            self.device.stream.on_drained = self.resume_cashier
        else:
            self._loop.later(RESUME_S, self.resume_cashier)

    def resume_cashier(self) -> None:
        """Read the application again, if its bytes can be passed on; else look again soon."""
        stream = self.device.stream
        waiting = max(stream.backlog if stream else 0, len(self._held))
        if waiting > HIGH_WATER // 2 or not self._speed_is_settled():
            self._loop.later(RESUME_S, self.resume_cashier)
        else:
            self._cashier.listen(True)

    def _resume_terminal(self) -> None:
        if self._cashier.backlog > HIGH_WATER // 2:
            self._loop.later(RESUME_S, self._resume_terminal)
        elif self.device.stream:
            self.device.stream.listen(True)

    def _keep(self, kind: int, data: bytes) -> None:
        self._last_mono_ns, self._last_wall_ns = self._ring.append(self._index, kind, data)

    # --- leases ---

    def is_quiet(self, seconds: float) -> bool:
        """Whether nobody has said anything for so long, and nothing is still on its way to the terminal."""
        if self.device.stream is None or self.device.stream.backlog:
            return False
        return time.monotonic_ns() - self._last_mono_ns >= seconds * 1e9

    def lease_ended(self) -> None:
        """Normal service: what the application said meanwhile goes out first."""
        self.lease = None
        held, self._held = bytes(self._held), bytearray()
        if held:
            self._pass_to_terminal(held)

    def tell_lease(self, body: dict[str, Any]) -> None:
        """Record that a lease began or ended."""
        self._tell(wire.LEASE, body)

    # --- what happens to the sides ---

    def _device_changed(self, up: bool, error: LinkError | None) -> None:
        if up:
            self._tell(wire.LINK, {"link": "up", "reason": None, "detail": None, "holder": [], "group": None})
            self._log.say("info", "link.up", line=self.name, device=self.device.address)
            return
        assert error is not None  # noqa: S101 (a link that is away has a reason)
        body = {
            "link": "down",
            "reason": error.reason,
            "detail": error.detail,
            "holder": list(error.holders),
            "group": error.group,
        }
        self._tell(wire.LINK, body)
        if self.device.lost:  # taken from the application, never taken by the terminal, and not to be sent late
            self._drop(self.device.lost)
            self.device.lost = 0
        self._log.say("warning", "link.down", line=self.name, device=self.device.address, **_advice(error))
        if self.lease is not None:
            self.lease.end("link_down")
        self.resume_cashier()  # it may have waited for this device to take more

    def cashier_opened(self) -> None:
        """An application opened its port."""
        self._tell(wire.PORT, {"port": "opened", "detail": None})
        self._log.say("debug", "port.opened", line=self.name)

    def cashier_closed(self, detail: str | None = None) -> None:
        """It closed it."""
        self._tell(wire.PORT, {"port": "closed", "detail": detail})
        self._log.say("debug", "port.closed", line=self.name, detail=detail)

    def cashier_refused(self) -> None:
        """It wanted what the port can't have."""
        self._tell(wire.PORT, {"port": "settings_refused", "detail": REFUSED_SETTINGS})
        self._log.say("warning", "port.settings_refused", line=self.name, detail=REFUSED_SETTINGS)

    def port_group_refused(self, detail: str) -> None:
        """The port is there, but the group of the configuration may not open it."""
        self._log.say("error", "port.group_refused", line=self.name, detail=detail)

    def second_cashier(self, peer: str) -> None:
        """Another application wanted the port while one has it."""
        self._log.say("warning", "port.second_application_refused", line=self.name, peer=peer)

    def cashier_baudrate(self, baudrate: int) -> None:
        """The application chose a speed: its next bytes go out with it, those before it still with the old one."""
        if not self._follow:
            return
        self._asked_baudrate = baudrate
        self._asked_until = time.monotonic() + DRAIN_S
        if not self._speed_is_settled():
            self._make_cashier_wait()

    def _speed_is_settled(self) -> bool:
        """Take over the speed that was asked for, once older bytes are out; not later than after DRAIN_S."""
        if self._asked_baudrate is None:
            return True
        if self.device.unsent() and time.monotonic() < self._asked_until:
            return False
        failed = self.device.set_baudrate(self._asked_baudrate)
        self._asked_baudrate = None
        if failed:
            self._log.say("warning", "baudrate.not_followed", line=self.name, detail=failed)
        return True

    # --- the rest ---

    def status(self) -> dict[str, Any]:
        """What the bridge knows of this line."""
        error = self.device.error
        return {
            "link": "up" if self.device.stream else "down",
            "reason": error.reason if error else None,
            "detail": error.detail if error else None,
            "holder": list(error.holders) if error else [],
            "group": error.group if error else None,
            "port": self._cashier.state,
            "device": self._settings["device"],
            "cashier": self._settings["cashier"],
            "baudrate": self._settings["baudrate"],
            "reopened": max(0, self.device.opened - 1),
            "last_byte_wall_ns": self._last_wall_ns or None,
            "lease": self.lease is not None,
            "bytes_to_terminal": self._to_terminal,
            "bytes_to_cashier": self._to_cashier,
            "dropped": self._dropped,
            **self._wires(),
        }

    def _wires(self) -> dict[str, Any]:
        """Modem lines and error counters of a serial device, where it has them (drivers/links/uart.py)."""
        if self.device.link is None or not self.device.address.startswith("serial:"):
            return {"modem": None, "counters": None}
        from drivers.links.uart import counters, modem_lines  # only where somebody asks

        descriptor = self.device.link.fileno()
        return {"modem": modem_lines(descriptor), "counters": counters(descriptor)}

    def release(self) -> None:
        """Give back what another process could not take over: it is opened anew, there or by `resume`."""
        for end in self._dialed():
            end.release()

    def resume(self) -> None:
        """Open again what is not open."""
        for end in self._dialed():
            end.start()

    def _dialed(self) -> list[Dialed]:
        return [self.device, self._cashier.dialed] if isinstance(self._cashier, SerialCashier) else [self.device]

    def close(self) -> None:
        """Give both sides back."""
        self.device.close()
        self._cashier.close()

    def _tell(self, kind: int, body: dict[str, Any]) -> None:
        self._ring.append(self._index, kind, json.dumps(body, ensure_ascii=False).encode())

    def _open_cashier(self, opener: Opener, berths: Berths) -> Any:
        address = self._settings["cashier"]
        scheme, _, rest = address.partition(":")
        port, peer = (berths.berth(f"{self.name}.{end}", address, *self._speed()) for end in ("port", "peer"))
        if scheme == "pty":
            return PtyCashier(self._loop, self, rest, port, self._settings.get("port_group"))
        if scheme == "tcp":
            return TcpCashier(self._loop, self, rest, port, peer)
        if scheme in ("serial", "file"):
            return SerialCashier(self._loop, opener, self, self._settings, address, port)
        return NoCashier()


_LET_IN = "install config/udev/60-tillwatch.rules, which lets the group tillwatch in; tillwatch keeps trying"


def _advice(error: LinkError) -> dict[str, object]:
    """The one line for a technician: what, where, what to do."""
    advice: dict[str, object] = {"reason": error.reason, "detail": error.detail}
    if error.holders:
        advice["held_by"] = ", ".join(error.holders)
        advice["do"] = "end that program, or give it another port; tillwatch keeps trying"
    elif error.reason == "denied":
        advice["group"] = error.group
        advice["do"] = _LET_IN if error.group is None else f"add the user to group {error.group}, or {_LET_IN}"
    else:
        advice["do"] = "check cable, power and the configured device; tillwatch keeps trying"
    return advice
