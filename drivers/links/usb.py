"""USB devices without a tty: vendor bulk endpoints, CDC-ACM without its kernel driver, HID reports; as a descriptor.

libusb has no descriptor that a selector could wait for, so two threads carry the bytes: one from the device into a
pair of sockets, one from there to the device. Who uses the link reads and writes the other end, as with a serial
device. Nothing is kept beside the sockets' small buffers: a side that is not read makes the other one wait.

What the threads do about trouble:
- a time-out is no trouble, and what came within it counts;
- a packet of no length is skipped;
- a stall is cleared, and a transfer that failed is tried again, MOST_TRIES times in a row; then the link has ended;
- babble (more than was asked for) has cost bytes: the link ends at once, so that nobody takes the rest for the whole;
- a device that is gone ends the link.
`ended` says which it was. The kernel's driver is put aside while the link is open, and given back when it closes.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
import termios
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from drivers.links import hid
from drivers.links.base import BUSY, FAILED, LinkError
from drivers.links.holders import holders
from drivers.links.known import likely
from drivers.links.usb_address import UsbAddress, parse
from drivers.links.usb_find import SYSFS, attempt, find, place_of
from drivers.links.usb_layout import Layout, Way, layout_of

READ_MS = 500  # the longest that a close waits for the reader
WRITE_MS = 1000  # a device that takes nothing is offered the rest again
CONTROL_MS = 1000
MOST_TRIES = 3
PAUSE_S = 0.02  # before a failed transfer is tried again
CHUNK = 4096
EMPTY_RUN = 64  # so many packets of no length in a row, and the next one is not asked for at once

_OUT_CLASS, _IN_STANDARD = 0x21, 0x81
_SET_LINE_CODING, _SET_CONTROL_LINE_STATE = 0x20, 0x22  # CDC PSTN 1.2, 6.3.10 and 6.3.12
_SET_REPORT, _OUTPUT_REPORT = 0x09, 0x0200  # HID 1.11, 7.2.2
_GET_DESCRIPTOR, _REPORT_DESCRIPTOR = 0x06, 0x2200
_DTR_RTS = 3
_DEV = "/dev"
_PARITIES = {"N": 0, "O": 1, "E": 2, "M": 3, "S": 4}
_GONE = frozenset({errno.ENODEV, errno.ENXIO, errno.ENOENT, errno.ESHUTDOWN})


class UsbLink:
    """An open USB device. `fileno` is non-blocking."""

    def __init__(self, device: Any, layout: Layout, reports: hid.Reports | None, fill: hid.Fill) -> None:
        """The device is open, its interfaces are claimed; `detached` says from which the kernel's driver was taken."""
        self.detached: list[int] = []
        self.ended: str | None = None
        self._device = device
        self._layout = layout
        self._reports = reports
        self._fill = fill
        self._in_flight = 0
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._threads = 2
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        for end in (self._near, self._far):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, CHUNK)

    def start(self) -> None:
        """Begin to carry bytes. The threads end with the link, and give the device back; a process waits for that."""
        for work, name in ((self._read, "usb-in"), (self._write, "usb-out")):
            threading.Thread(target=self._run, args=(work,), name=name).start()

    def fileno(self) -> int:
        """The descriptor."""
        return self._near.fileno()

    def unsent(self) -> int:
        """Bytes that the device has not taken yet."""
        with self._lock:
            return self._in_flight + self._waiting()

    def close(self) -> None:
        """End the link. The device is given back within READ_MS, without this call waiting for it."""
        self._closing.set()
        self._near.close()

    # --- the threads ---

    def _run(self, work: Callable[[], str | None]) -> None:
        try:
            ended = work()
        except Exception as error:  # noqa: BLE001  top of thread: the other end must hear of it, or it waits for ever
            ended = f"defect: {type(error).__name__}"
        self.ended = self.ended or ended
        with self._lock:
            self._threads -= 1
            last = self._threads == 0
        if not last:
            with suppress(OSError):
                self._far.shutdown(socket.SHUT_WR)  # the other end reads what came so far, then the end of the line
            return
        self._give_back()
        with self._lock:
            self._in_flight += self._waiting()
            self._far.close()

    def _waiting(self) -> int:
        if self._far.fileno() < 0:
            return 0
        return int(struct.unpack("i", fcntl.ioctl(self._far.fileno(), termios.FIONREAD, b"\0\0\0\0"))[0])

    def _read(self) -> str | None:
        source = self._layout.source
        size = self._size_of_a_read()
        tries = empty = 0
        while not self._over:
            try:
                data = bytes(self._device.read(source.address, size, READ_MS))
            except OSError as error:
                if error.errno in (errno.ETIMEDOUT, errno.EINTR):
                    continue
                tries += 1
                if ended := self._trouble(error, source.address, tries):
                    return ended
                continue
            tries = 0
            empty = 0 if data else empty + 1
            if empty > EMPTY_RUN:
                self._closing.wait(PAUSE_S)
            if self._reports is not None:
                data = hid.unpack(data, self._reports, self._fill)
            if data and not self._hand_on(data):
                return None
        return None

    def _hand_on(self, data: bytes) -> bool:
        try:
            self._far.sendall(data)
        except OSError:
            return False  # the link was closed
        return True

    def _write(self) -> str | None:
        while True:
            try:
                data = self._far.recv(CHUNK, socket.MSG_PEEK)
            except OSError:
                return None
            if not data or self._over:
                return None
            with self._lock:  # from the buffer into the air: never counted twice, never missed
                self._far.recv(len(data))
                self._in_flight = len(data)
            if ended := self._deliver(data):
                return ended

    def _deliver(self, data: bytes) -> str | None:
        """All of it, in order; returns why the device takes no more. What it did not take stays counted."""
        for unit, counts in self._units(data):
            place = tries = 0
            while place < len(unit):
                if self._over:
                    return None
                try:
                    place += self._transfer(unit[place:])
                    tries = 0
                except OSError as error:
                    if error.errno in (errno.ETIMEDOUT, errno.EINTR):
                        continue
                    tries += 1
                    address = self._layout.sink.address if self._layout.sink else 0
                    if ended := self._trouble(error, address, tries):
                        return ended
            self._in_flight -= counts
        return None

    def _units(self, data: bytes) -> list[tuple[bytes, int]]:
        """What is sent in one transfer, and how many of the sender's bytes it carries."""
        if self._reports is None:
            return [(data, len(data))]
        output = self._reports.output
        size = output.size if output else self._layout.sink.packet if self._layout.sink else CHUNK
        number = output.id if output and self._reports.numbered else None
        room = size if self._fill == "whole" else min(size - 1, 255)
        packed = hid.pack(data, size, number, self._fill)
        return [(report, min(room, len(data) - place * room)) for place, report in enumerate(packed)]

    def _transfer(self, data: bytes) -> int:
        sink = self._layout.sink
        if sink is not None:
            return int(self._device.write(sink.address, data, WRITE_MS))
        assert self._reports is not None  # noqa: S101  only a HID device has no endpoint for writing
        number = data[0] if self._reports.numbered else 0
        self._device.ctrl_transfer(
            _OUT_CLASS, _SET_REPORT, _OUTPUT_REPORT | number, self._layout.data, data, CONTROL_MS
        )
        return len(data)

    def _trouble(self, error: OSError, endpoint: int, tries: int) -> str | None:
        """Mend it, or say why the link has ended."""
        if error.errno in _GONE:
            return "the device is gone"
        if error.errno == errno.EOVERFLOW:
            return f"endpoint {endpoint:#04x} sent more than it may, bytes are lost"
        if tries > MOST_TRIES:
            return f"endpoint {endpoint:#04x}: {error.strerror or error}, {tries} times in a row"
        self._closing.wait(PAUSE_S)
        if error.errno == errno.EPIPE and endpoint:
            with suppress(OSError):
                self._device.clear_halt(endpoint)
        return None

    @property
    def _over(self) -> bool:
        return self._closing.is_set() or self.ended is not None

    def _size_of_a_read(self) -> int:
        """A multiple of the packet, else a full packet would be babble; for HID one report."""
        packet = self._layout.source.packet
        wanted = CHUNK
        if self._reports is not None:
            report = self._reports.input
            wanted = (report.size if report else packet) + self._reports.numbered
        return -(-wanted // packet) * packet

    def _give_back(self) -> None:
        import usb.core
        import usb.util

        trouble = (usb.core.USBError, NotImplementedError, ValueError)  # it is gone: there is nothing to give back
        if self._layout.control is not None:
            with suppress(*trouble):
                _control_lines(self._device, self._layout.control, 0)
        for number in self._layout.interfaces:
            with suppress(*trouble):
                usb.util.release_interface(self._device, number)
        for number in self.detached:
            with suppress(*trouble):
                self._device.attach_kernel_driver(number)
        with suppress(*trouble):
            usb.util.dispose_resources(self._device)


# --- opening ---


def open_usb(text: str, baudrate: int, bytesize: int = 8, parity: str = "N", stopbits: int = 1) -> UsbLink:
    """Open `VVVV:PPPP[:SERIAL][@PLACE]`. Raises LinkError as open_serial does. The speed only counts for CDC-ACM."""
    address = parse(text)
    if address is None:
        raise LinkError(FAILED, f"usb:{text} is no USB address")
    guess = likely(address.vendor, address.product)
    if guess is not None and guess.kind == "cable":
        # Its chip speaks a protocol of its own, which the kernel knows and a payment terminal does not.
        raise LinkError(FAILED, f"{address} is a {guess.name}: use the serial: path of its port")
    device = find(address)
    layout = _layout(device, address)
    detached: list[int] = []
    try:
        _claim(device, layout, detached)
        reports = _reports(device, layout) if layout.way is Way.HID else None
        if layout.control is not None:
            _set_line(
                device, layout.control, struct.pack("<IBBB", baudrate, _stop(stopbits), _PARITIES[parity], bytesize)
            )
        link = UsbLink(device, layout, reports, guess.report if guess else "whole")
    except LinkError:
        _undo(device, detached)
        raise
    link.detached = detached
    link.start()
    return link


def _stop(stopbits: int) -> int:
    return 0 if stopbits == 1 else 2


def _layout(device: Any, address: UsbAddress) -> Layout:
    import usb.core

    def read() -> list[Any]:
        try:
            configuration = device.get_active_configuration()
        except usb.core.USBError as error:
            if error.errno is not None:
                raise
            device.set_configuration()  # nobody has used it since it was plugged in
            configuration = device.get_active_configuration()
        return list(configuration)

    try:
        layout = layout_of(attempt(device, f"{address}: descriptors", read))
    except (ValueError, IndexError, TypeError, AttributeError) as error:
        raise LinkError(FAILED, f"{address}: its descriptors can't be read") from error
    if layout is None:
        raise LinkError(FAILED, f"{address} has no endpoints that carry bytes; set the terminal to serial (CDC) mode")
    return layout


def _claim(device: Any, layout: Layout, detached: list[int]) -> None:
    import usb.util

    for number in layout.interfaces:
        if _kernel_has(device, number):
            _refuse_if_held(device, number)
            attempt(device, "taking it from the kernel's driver", lambda n=number: device.detach_kernel_driver(n))  # type: ignore[misc]
            detached.append(number)
        attempt(device, f"interface {number}", lambda n=number: usb.util.claim_interface(device, n))  # type: ignore[misc]
    if layout.alternate:
        attempt(
            device,
            f"interface {layout.data}",
            lambda: device.set_interface_altsetting(layout.data, layout.alternate),
        )


def _kernel_has(device: Any, number: int) -> bool:
    try:
        return bool(attempt(device, f"interface {number}", lambda: device.is_kernel_driver_active(number)))
    except LinkError as error:
        if error.reason == FAILED:
            return False  # a system that can't tell has no kernel driver to take it from
        raise


def _refuse_if_held(device: Any, number: int) -> None:
    """Its tty may be in use: whoever has it open must not lose it under its hands."""
    folder = f"{SYSFS}/{place_of(device)}:1.{number}/tty"
    names = os.listdir(folder) if os.path.isdir(folder) else []
    held = [holder for name in names for holder in holders(f"{_DEV}/{name}", own=True)]
    if held:
        raise LinkError(BUSY, f"{_DEV}/{names[0]} is held by another program", tuple(str(holder) for holder in held))


def _reports(device: Any, layout: Layout) -> hid.Reports:
    got = attempt(
        device,
        "report descriptor",
        lambda: device.ctrl_transfer(
            _IN_STANDARD, _GET_DESCRIPTOR, _REPORT_DESCRIPTOR, layout.data, layout.report_length, CONTROL_MS
        ),
    )
    found = hid.reports(bytes(got))
    if found.input is None:
        raise LinkError(FAILED, "its HID reports carry no bytes")
    return found


def _set_line(device: Any, control: int, coding: bytes) -> None:
    """Line coding, DTR and RTS. Devices that have no line behind them may refuse both: then they need neither."""
    for call in (
        lambda: device.ctrl_transfer(_OUT_CLASS, _SET_LINE_CODING, 0, control, coding, CONTROL_MS),
        lambda: _control_lines(device, control, _DTR_RTS),
    ):
        try:
            call()
        except OSError as error:
            if error.errno in _GONE:
                raise LinkError("gone", "the device is gone") from error


def _control_lines(device: Any, control: int, lines: int) -> None:
    device.ctrl_transfer(_OUT_CLASS, _SET_CONTROL_LINE_STATE, lines, control, None, CONTROL_MS)


def _undo(device: Any, detached: list[int]) -> None:
    import usb.core
    import usb.util

    with suppress(usb.core.USBError, NotImplementedError, ValueError):
        usb.util.dispose_resources(device)
    for number in detached:
        with suppress(usb.core.USBError, NotImplementedError, ValueError):
            device.attach_kernel_driver(number)
    with suppress(usb.core.USBError, NotImplementedError, ValueError):
        usb.util.dispose_resources(device)
