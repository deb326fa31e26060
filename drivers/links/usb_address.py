"""How the configuration names a USB device: `VVVV:PPPP[:SERIAL][@BUS-PORT[.PORT…]]`.

Vendor and product are hexadecimal, as lsusb shows them. The serial number tells devices of one make apart; where they
have none, the place does: the bus and the ports on the way to the device, as the kernel names its folder below
/sys/bus/usb/devices.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ADDRESS = re.compile(
    r"([0-9A-Fa-f]{4}):([0-9A-Fa-f]{4})"
    r"(?::([^@\s](?:[^@]{0,124}[^@\s])?))?"
    r"(?:@([0-9]{1,3}-[0-9]{1,3}(?:\.[0-9]{1,3}){0,6}))?"
)


@dataclass(frozen=True, slots=True)
class UsbAddress:
    """One device, or all that are alike where neither serial number nor place is given."""

    vendor: int
    product: int
    serial_number: str | None = None
    place: str | None = None

    def __str__(self) -> str:
        text = f"usb:{self.vendor:04x}:{self.product:04x}"
        if self.serial_number is not None:
            text += f":{self.serial_number}"
        return text if self.place is None else f"{text}@{self.place}"


def parse(text: str) -> UsbAddress | None:
    """The address behind `usb:`; None when it is none."""
    found = _ADDRESS.fullmatch(text)
    if found is None:
        return None
    return UsbAddress(int(found[1], 16), int(found[2], 16), found[3], found[4])


def can_be_written(serial_number: str) -> bool:
    """Whether a device's serial number can stand in an address; some makers fill theirs with anything."""
    found = parse(f"0000:0000:{serial_number}")
    return serial_number.isprintable() and found is not None and found.serial_number == serial_number
