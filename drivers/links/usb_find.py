"""Finds the one USB device that an address means, and says in the link's words what pyusb complains of.

pyusb is an optional part (the extra `usb`): it is imported here, when a USB device is wanted, and nowhere else.
"""

from __future__ import annotations

import errno
import grp
import os
from collections.abc import Callable
from typing import Any, TypeVar

from drivers.links.base import DENIED, FAILED, GONE, NOT_FOUND, LinkError, reason_of
from drivers.links.usb_address import UsbAddress

RULE = "config/udev/60-tillwatch.rules"
SYSFS = "/sys/bus/usb/devices"
T = TypeVar("T")


def find(address: UsbAddress) -> Any:
    """pyusb's device. Raises LinkError: not_found; failed when several are alike, or pyusb is missing."""
    core = usb_core()
    found = core.find(find_all=True, idVendor=address.vendor, idProduct=address.product)
    devices = [device for device in found if _fits(device, address)]
    if not devices:
        raise LinkError(NOT_FOUND, f"{address} is not plugged in")
    if len(devices) > 1:
        names = " and ".join(
            sorted(str(UsbAddress(address.vendor, address.product, None, place_of(d))) for d in devices)
        )
        raise LinkError(FAILED, f"{len(devices)} devices are {address}: write {names} to tell them apart")
    return devices[0]


def usb_core() -> Any:
    """pyusb with its library. Raises LinkError that says what to install."""
    try:
        import usb.core
    except ImportError as error:
        raise LinkError(FAILED, "pyusb is missing: install tillwatch with its extra usb") from error
    try:
        usb.core.find(idVendor=0, idProduct=0)
    except usb.core.NoBackendError as error:
        raise LinkError(FAILED, "libusb is missing: apt-get install libusb-1.0-0") from error
    except usb.core.USBError as error:
        raise LinkError(FAILED, f"libusb does not work: {error.strerror}") from error
    return usb.core


def place_of(device: Any) -> str:
    """The socket that it is plugged into, as the kernel names it: 1-2.3."""
    ports = ".".join(str(number) for number in device.port_numbers or ())
    return f"{device.bus}-{ports or 0}"


def node_of(device: Any) -> str:
    """The file that stands for it."""
    return f"/dev/bus/usb/{device.bus or 0:03d}/{device.address or 0:03d}"


def attempt(device: Any, what: str, call: Callable[[], T]) -> T:
    """Do it, or say in the link's words why not."""
    import usb.core

    try:
        return call()
    except usb.core.USBError as error:
        raise explained(device, what, error) from error
    except NotImplementedError as error:
        raise LinkError(FAILED, f"{what}: this system can't") from error


def explained(device: Any, what: str, error: OSError) -> LinkError:
    """A USB error as a link's. `denied` names the rule and the group that lets one in."""
    reason = reason_of(error.errno)
    if reason == NOT_FOUND and error.errno != errno.ENOENT:
        return LinkError(GONE, f"{what}: the device is gone")
    if reason == DENIED:
        node = node_of(device)
        detail = f"no permission for {node}: install {RULE} and add the user to group tillwatch"
        return LinkError(DENIED, detail, group=_group_of(node))
    kept = FAILED if reason == NOT_FOUND else reason
    return LinkError(kept, f"{what}: {error.strerror or error}")


def _group_of(node: str) -> str | None:
    """The group that may open it; None where only root may."""
    try:
        name = grp.getgrgid(os.stat(node).st_gid).gr_name
    except (OSError, KeyError):
        return None
    return None if name == "root" else name


def _fits(device: Any, address: UsbAddress) -> bool:
    if address.place is not None and place_of(device) != address.place:
        return False
    return address.serial_number is None or serial_number_of(device) == address.serial_number


def serial_number_of(device: Any) -> str | None:
    """As the kernel has read it already, or as the device tells; None when it has none or does not tell."""
    import usb.core
    import usb.util

    if not device.iSerialNumber:
        return None
    try:
        with open(f"{SYSFS}/{place_of(device)}/serial", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        pass  # no sysfs here
    try:
        return str(usb.util.get_string(device, device.iSerialNumber)).strip("\0 ")
    except (usb.core.USBError, ValueError, NotImplementedError):
        return None  # not ours to open, or no string at all: this is not the one that is meant
