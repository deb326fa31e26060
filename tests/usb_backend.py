"""USB devices that do not exist, behind pyusb's own backend interface: pyusb itself is the real one.

A `FakeDevice` has descriptors, a queue of packets that it sends, and a record of what it was sent. Trouble is put into
the queues as exceptions. What a host controller does is kept: a read ends with a packet that is not full, or when it
has all it asked for; a packet that is longer than what is left is babble.
"""

from __future__ import annotations

import array
import errno
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import usb.backend
from usb.core import USBError, USBTimeoutError

BULK, INTERRUPT = 2, 3
STALL = USBError("Pipe error", -9, errno.EPIPE)
BABBLE = USBError("Overflow", -8, errno.EOVERFLOW)
BROKEN = USBError("Input/Output Error", -1, errno.EIO)
DENIED = USBError("Access denied (insufficient permissions)", -3, errno.EACCES)
BUSY = USBError("Resource busy", -6, errno.EBUSY)
GONE = USBError("No such device (it may have been disconnected)", -4, errno.ENODEV)
TIMEOUT = USBTimeoutError("Operation timed out", -7, errno.ETIMEDOUT)


@dataclass
class Interface:
    """An interface with its endpoints: (address, kind, bytes of a packet)."""

    number: int
    cls: int
    endpoints: tuple[tuple[int, int, int], ...] = ()
    subclass: int = 0
    alternate: int = 0
    extra: bytes = b""


def cdc(comm: int = 0, data: int = 1, packet: int = 64, union: bytes | None = None) -> list[Interface]:
    """The two interfaces of a CDC-ACM device."""
    named = bytes([5, 0x24, 0x06, comm, data]) if union is None else union
    header = bytes([5, 0x24, 0x00, 0x10, 0x01])
    return [
        Interface(comm, 0x02, ((0x83, INTERRUPT, 16),), subclass=2, extra=header + named),
        Interface(data, 0x0A, ((0x82, BULK, packet), (0x01, BULK, packet))),
    ]


def vendor(packet: int = 64, kind: int = BULK) -> list[Interface]:
    """One interface of the vendor's own."""
    return [Interface(0, 0xFF, ((0x81, kind, packet), (0x02, kind, packet)))]


#: vendor page, one report each way of 64 bytes, not numbered
HID_REPORTS = bytes.fromhex("0600ff 0901 a101 1500 26ff00 7508 9540 0901 8102 0901 9102 c0")
#: the same, numbered 1 and 2
HID_NUMBERED = bytes.fromhex("0600ff 0901 a101 1500 26ff00 7508 953f 8501 0901 8102 8502 0901 9102 c0")


def hid(reports: bytes = HID_REPORTS, sink: bool = True) -> list[Interface]:
    """A HID interface that is no keyboard."""
    extra = bytes([9, 0x21, 0x11, 0x01, 0, 1, 0x22]) + len(reports).to_bytes(2, "little")
    endpoints = ((0x81, INTERRUPT, 64),) + (((0x02, INTERRUPT, 64),) if sink else ())
    return [Interface(0, 0x03, endpoints, extra=extra)]


@dataclass
class FakeDevice:
    """One device. `sent` is what it got; `controls` its control transfers as (request type, request, value, data)."""

    interfaces: list[Interface]
    vendor: int = 0x11CA
    product: int = 0x0220
    serial: str | None = "SN1"
    bus: int = 99
    address: int = 4
    ports: tuple[int, ...] = (1,)
    kernel: set[int] = field(default_factory=set)
    open_error: Exception | None = None
    claim_error: Exception | None = None
    descriptor_error: Exception | None = None
    reports: bytes = HID_REPORTS
    configured: bool = True

    def __post_init__(self) -> None:
        self.packets: deque[bytes | Exception] = deque()
        self.sent = bytearray()
        self.transfers: list[bytes] = []
        self.refusals: deque[Exception | int] = deque()  # to writes: an error, or how many bytes it takes
        self.control_errors: dict[int, Exception] = {}
        self.controls: list[tuple[int, int, int, bytes]] = []
        self.claimed: set[int] = set()
        self.cleared: list[int] = []
        self.opened = 0
        self.gone = False
        self.takes_nothing = False
        self.on_sent: Callable[[bytes], None] = lambda data: None
        self._condition = threading.Condition()

    def say(self, *packets: bytes | Exception) -> None:
        """Put packets, or trouble, into the queue towards the host."""
        with self._condition:
            self.packets.extend(packets)
            self._condition.notify_all()

    def unplug(self) -> None:
        with self._condition:
            self.gone = True
            self._condition.notify_all()

    def alive(self) -> None:
        if self.gone:
            raise GONE

    def read(self, size: int, timeout_ms: int, packet: int) -> bytes:
        got = bytearray()
        end = time.monotonic() + timeout_ms / 1000
        with self._condition:
            while len(got) < size:
                self.alive()
                if not self.packets:
                    left = end - time.monotonic()
                    if left <= 0 or not self._condition.wait(left):
                        if got:
                            return bytes(got)
                        raise TIMEOUT
                    continue
                if isinstance(self.packets[0], Exception) and got:
                    return bytes(got)
                item = self.packets.popleft()
                if isinstance(item, Exception):
                    raise item
                if len(item) > size - len(got):
                    raise BABBLE
                got += item
                if len(item) < packet:
                    break
        return bytes(got)

    def write(self, data: bytes, timeout_ms: int) -> int:
        self.alive()
        if self.takes_nothing:
            time.sleep(min(timeout_ms / 1000, 0.005))
            raise TIMEOUT
        taken = len(data)
        if self.refusals:
            what = self.refusals.popleft()
            if isinstance(what, Exception):
                raise what
            taken = min(what, taken)
        self.sent += data[:taken]
        self.transfers.append(data[:taken])
        self.on_sent(data[:taken])
        return taken


class FakeBackend(usb.backend.IBackend):
    """A bus with these devices on it. A handle is the device itself."""

    def __init__(self, *devices: FakeDevice) -> None:
        self.devices = list(devices)

    def enumerate_devices(self) -> Iterator[FakeDevice]:
        return iter([device for device in self.devices if not device.gone])

    def get_parent(self, dev: FakeDevice) -> None:
        return None

    def get_device_descriptor(self, dev: FakeDevice) -> Any:
        return SimpleNamespace(
            bLength=18,
            bDescriptorType=1,
            bcdUSB=0x0200,
            bDeviceClass=0,
            bDeviceSubClass=0,
            bDeviceProtocol=0,
            bMaxPacketSize0=64,
            idVendor=dev.vendor,
            idProduct=dev.product,
            bcdDevice=0x0100,
            iManufacturer=0,
            iProduct=0,
            iSerialNumber=3 if dev.serial is not None else 0,
            bNumConfigurations=1,
            address=dev.address,
            bus=dev.bus,
            port_number=dev.ports[-1] if dev.ports else None,
            port_numbers=dev.ports,
            speed=3,
        )

    def get_configuration_descriptor(self, dev: FakeDevice, config: int) -> Any:
        if dev.descriptor_error:
            raise dev.descriptor_error
        if config:
            raise IndexError(config)
        return SimpleNamespace(
            bLength=9,
            bDescriptorType=2,
            wTotalLength=9,
            bNumInterfaces=len({one.number for one in dev.interfaces}),
            bConfigurationValue=1,
            iConfiguration=0,
            bmAttributes=0x80,
            bMaxPower=50,
            extra_descriptors=array.array("B"),
        )

    def get_interface_descriptor(self, dev: FakeDevice, intf: int, alt: int, config: int) -> Any:
        number = sorted({one.number for one in dev.interfaces})[intf]
        one = [one for one in dev.interfaces if one.number == number][alt]
        return SimpleNamespace(
            bLength=9,
            bDescriptorType=4,
            bInterfaceNumber=one.number,
            bAlternateSetting=one.alternate,
            bNumEndpoints=len(one.endpoints),
            bInterfaceClass=one.cls,
            bInterfaceSubClass=one.subclass,
            bInterfaceProtocol=0,
            iInterface=0,
            extra_descriptors=array.array("B", one.extra),
        )

    def get_endpoint_descriptor(self, dev: FakeDevice, ep: int, intf: int, alt: int, config: int) -> Any:
        number = sorted({one.number for one in dev.interfaces})[intf]
        address, kind, packet = [one for one in dev.interfaces if one.number == number][alt].endpoints[ep]
        return SimpleNamespace(
            bLength=7,
            bDescriptorType=5,
            bEndpointAddress=address,
            bmAttributes=kind,
            wMaxPacketSize=packet,
            bInterval=1,
            bRefresh=0,
            bSynchAddress=0,
            extra_descriptors=array.array("B"),
        )

    def open_device(self, dev: FakeDevice) -> FakeDevice:
        dev.alive()
        if dev.open_error:
            raise dev.open_error
        dev.opened += 1
        return dev

    def close_device(self, dev_handle: FakeDevice) -> None:
        dev_handle.opened -= 1

    def get_configuration(self, dev_handle: FakeDevice) -> int:
        dev_handle.alive()
        return 1 if dev_handle.configured else 0

    def set_configuration(self, dev_handle: FakeDevice, config_value: int) -> None:
        dev_handle.alive()
        dev_handle.configured = True

    def set_interface_altsetting(self, dev_handle: FakeDevice, intf: int, altsetting: int) -> None:
        dev_handle.alive()

    def claim_interface(self, dev_handle: FakeDevice, intf: int) -> None:
        dev_handle.alive()
        if dev_handle.claim_error:
            raise dev_handle.claim_error
        if intf in dev_handle.kernel or intf in dev_handle.claimed:
            raise BUSY
        dev_handle.claimed.add(intf)

    def release_interface(self, dev_handle: FakeDevice, intf: int) -> None:
        dev_handle.alive()
        dev_handle.claimed.discard(intf)

    def is_kernel_driver_active(self, dev_handle: FakeDevice, intf: int) -> bool:
        dev_handle.alive()
        return intf in dev_handle.kernel

    def detach_kernel_driver(self, dev_handle: FakeDevice, intf: int) -> None:
        dev_handle.alive()
        dev_handle.kernel.discard(intf)

    def attach_kernel_driver(self, dev_handle: FakeDevice, intf: int) -> None:
        dev_handle.alive()
        if intf in dev_handle.claimed:
            raise BUSY
        dev_handle.kernel.add(intf)

    def bulk_read(self, dev_handle: FakeDevice, ep: int, intf: int, buff: Any, timeout: int) -> int:
        packet = next(size for one in dev_handle.interfaces for address, _, size in one.endpoints if address == ep)
        data = dev_handle.read(len(buff), timeout, packet)
        buff[: len(data)] = array.array("B", data)
        return len(data)

    intr_read = bulk_read

    def bulk_write(self, dev_handle: FakeDevice, ep: int, intf: int, data: Any, timeout: int) -> int:
        return dev_handle.write(data.tobytes(), timeout)

    intr_write = bulk_write

    def clear_halt(self, dev_handle: FakeDevice, ep: int) -> None:
        dev_handle.alive()
        dev_handle.cleared.append(ep)

    def ctrl_transfer(
        self, dev_handle: FakeDevice, kind: int, request: int, value: int, index: int, data: Any, timeout: int
    ) -> int:
        dev_handle.alive()
        if kind & 0x80:
            answer = self._descriptor(dev_handle, value)[: len(data)]
            data[: len(answer)] = array.array("B", answer)
            return len(answer)
        dev_handle.controls.append((kind, request, value, data.tobytes()))
        if error := dev_handle.control_errors.get(request):
            raise error
        return len(data)

    @staticmethod
    def _descriptor(device: FakeDevice, value: int) -> bytes:
        if value >> 8 == 0x22:
            return device.reports
        if value == 0x0300:
            return bytes([4, 3, 0x09, 0x04])
        text = (device.serial or "").encode("utf-16-le")
        return bytes([2 + len(text), 3]) + text
