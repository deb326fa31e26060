"""Where a USB device's bytes go in and out, found in its descriptors. Reads values that pyusb has read; opens nothing.

In this order: CDC-ACM (a modem's two interfaces), an interface of the vendor's own with an endpoint each way, HID.

Source: USB 2.0, 9.6 (descriptors); Class Definitions for Communications Devices 1.2, 5.2 (union descriptor); HID 1.11.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

_CLASS_CDC, _CLASS_HID, _CLASS_DATA, _CLASS_VENDOR = 0x02, 0x03, 0x0A, 0xFF
_SUBCLASS_ACM = 0x02
_CS_INTERFACE, _UNION = 0x24, 0x06
_HID_DESCRIPTOR, _REPORT_DESCRIPTOR = 0x21, 0x22
_BULK, _INTERRUPT = 2, 3
_IN = 0x80
_MOST_REPORT = 4096  # bytes of a report descriptor; those of terminals have some 30


class Way(StrEnum):
    """How the bytes travel."""

    ACM = "acm"
    VENDOR = "vendor"
    HID = "hid"


@dataclass(frozen=True, slots=True)
class Pipe:
    """An endpoint. `packet`: the most bytes of one packet."""

    address: int
    packet: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The interfaces to claim, and the endpoints. `sink` None: a HID device that takes reports by control transfers."""

    way: Way
    interfaces: tuple[int, ...]  # the one with the endpoints last
    alternate: int
    source: Pipe
    sink: Pipe | None
    control: int | None = None  # the interface that line coding and control lines are sent to
    report_length: int = 0  # bytes of the HID report descriptor

    @property
    def data(self) -> int:
        """The interface with the endpoints."""
        return self.interfaces[-1]


def layout_of(interfaces: Iterable[Any]) -> Layout | None:
    """The way into a device with these interfaces (pyusb's); None when there is none."""
    known = list(interfaces)
    return _acm(known) or _vendor(known) or _hid(known)


def _acm(known: Sequence[Any]) -> Layout | None:
    for control in known:
        if control.bInterfaceClass != _CLASS_CDC or control.bInterfaceSubClass != _SUBCLASS_ACM:
            continue
        named = _subordinates(bytes(control.extra_descriptors))
        wanted = [one for one in known if one.bInterfaceClass == _CLASS_DATA]
        # Some devices name a data interface that is not there: then the first one behind the control interface.
        wanted.sort(
            key=lambda one: (one.bInterfaceNumber not in named, one.bInterfaceNumber < control.bInterfaceNumber)
        )
        for data in wanted:
            source, sink = _pipe(data, _BULK, _IN), _pipe(data, _BULK, 0)
            if source and sink:
                number = control.bInterfaceNumber
                return Layout(
                    way=Way.ACM,
                    interfaces=(number, data.bInterfaceNumber),
                    alternate=data.bAlternateSetting,
                    source=source,
                    sink=sink,
                    control=number,
                )
    return None


def _vendor(known: Sequence[Any]) -> Layout | None:
    for kind in (_BULK, _INTERRUPT):
        for one in known:
            if one.bInterfaceClass not in (_CLASS_VENDOR, _CLASS_DATA):
                continue
            source, sink = _pipe(one, kind, _IN), _pipe(one, kind, 0)
            if source and sink:
                return Layout(
                    way=Way.VENDOR,
                    interfaces=(one.bInterfaceNumber,),
                    alternate=one.bAlternateSetting,
                    source=source,
                    sink=sink,
                )
    return None


def _hid(known: Sequence[Any]) -> Layout | None:
    for one in known:
        if one.bInterfaceClass != _CLASS_HID or one.bInterfaceSubClass:  # 1: a keyboard or a mouse that boots
            continue
        source = _pipe(one, _INTERRUPT, _IN)
        length = _report_length(bytes(one.extra_descriptors))
        if source and length:
            return Layout(
                way=Way.HID,
                interfaces=(one.bInterfaceNumber,),
                alternate=one.bAlternateSetting,
                source=source,
                sink=_pipe(one, _INTERRUPT, 0),
                report_length=length,
            )
    return None


def _pipe(interface: Any, kind: int, direction: int) -> Pipe | None:
    for endpoint in interface:
        if endpoint.bmAttributes & 3 == kind and endpoint.bEndpointAddress & _IN == direction:
            packet = endpoint.wMaxPacketSize & 0x7FF
            if packet and endpoint.bEndpointAddress & 0x0F:  # 0 is no endpoint for data, whatever it says
                return Pipe(endpoint.bEndpointAddress, packet)
    return None


def _subordinates(extra: bytes) -> set[int]:
    return {
        number
        for descriptor in descriptors(extra)
        if descriptor[1:3] == bytes([_CS_INTERFACE, _UNION])
        for number in descriptor[4:]
    }


def _report_length(extra: bytes) -> int:
    for descriptor in descriptors(extra):
        if descriptor[1] == _HID_DESCRIPTOR:
            for at in range(6, len(descriptor) - 2, 3):
                if descriptor[at] == _REPORT_DESCRIPTOR:
                    return min(int.from_bytes(descriptor[at + 1 : at + 3], "little"), _MOST_REPORT)
    return 0


def descriptors(extra: bytes) -> Iterator[bytes]:
    """The descriptors of a run of them; one that claims no length, or more than there is, ends it."""
    at = 0
    while at + 2 <= len(extra) and 2 <= extra[at] <= len(extra) - at:
        yield extra[at : at + extra[at]]
        at += extra[at]
