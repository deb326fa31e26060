"""Finds serial ports and USB devices of this PC, their stable names, who may open them and who has them open.

Serial ports come from pyserial, USB devices without a tty from sysfs. Nothing is opened: a device that is in use,
or that takes an open for a reset, is not disturbed.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from serial.tools import list_ports

from drivers.links.holders import Holder, holders
from drivers.links.known import Likely, likely
from drivers.links.usb_address import UsbAddress, can_be_written

_HUB = "09"
# USB classes of devices that a terminal without its serial driver shows: communication, data, vendor's own.
_TERMINAL_CLASSES = {"02", "0a", "ff"}
_LONGEST = 126  # of a USB string; what is longer is no USB string


class PortEntry(Protocol):
    """What is known of a serial port; pyserial's ListPortInfo has it."""

    @property
    def device(self) -> str: ...  # noqa: D102  pyserial's name of the path
    @property
    def description(self) -> str | None: ...  # noqa: D102
    @property
    def vid(self) -> int | None: ...  # noqa: D102
    @property
    def pid(self) -> int | None: ...  # noqa: D102
    @property
    def serial_number(self) -> str | None: ...  # noqa: D102
    @property
    def manufacturer(self) -> str | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Places:
    """Where the kernel shows its devices. Tests name other folders."""

    dev: Path = Path("/dev")
    sys: Path = Path("/sys")


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device. `stable` is the name that survives unplugging; `path` None: a USB device without a serial port.

    `place` is the socket of a USB device that another one is exactly like.
    """

    kind: Literal["serial", "usb", "tcp"]
    path: str | None
    stable: str | None
    description: str
    vid: int | None = None
    pid: int | None = None
    serial_number: str | None = None
    manufacturer: str | None = None
    owner: str | None = None
    group: str | None = None
    mode: str | None = None  # as ls shows it: crw-rw----
    accessible: bool = False
    holders: tuple[Holder, ...] = ()
    likely: Likely | None = None
    place: str | None = None

    @property
    def usb_id(self) -> str | None:
        """VVVV:PPPP, as lsusb shows it."""
        return None if self.vid is None or self.pid is None else f"{self.vid:04x}:{self.pid:04x}"

    @property
    def address(self) -> str:
        """The device as the configuration names it."""
        if self.path is not None:
            return f"serial:{self.stable or self.path}"
        return str(UsbAddress(self.vid or 0, self.pid or 0, self._told_apart, self.place))

    @property
    def _told_apart(self) -> str | None:
        """The serial number, where it helps and can be written."""
        number = self.serial_number
        return number if number and self.place is None and can_be_written(number) else None


def devices(ports: Iterable[PortEntry] | None = None, places: Places = Places()) -> list[Device]:
    """All serial ports that exist, and USB devices that may be a terminal; likely terminals first."""
    found = [_serial(port, places) for port in (_ports() if ports is None else ports) if _present(port.device, places)]
    found += _without_tty(places)
    rank = {"terminal": 0, "cable": 1}
    return sorted(found, key=lambda d: (rank.get(d.likely.kind, 2) if d.likely else 2, d.path or d.address))


def _ports() -> Sequence[PortEntry]:
    for _ in range(3):
        try:
            return list_ports.comports()
        except (TypeError, ValueError, OSError):
            continue  # a device was unplugged while pyserial read it: look again
    return []


def _present(path: str, places: Places) -> bool:
    """A PC has 32 names ttyS0… and few ports: type 0 is a name without one."""
    try:
        return (places.sys / "class/tty" / Path(path).name / "type").read_text().strip() != "0"
    except OSError:
        return True


def _serial(port: PortEntry, places: Places) -> Device:
    serial_number = _string(port.serial_number)
    access = _access(port.device)
    return Device(
        kind="serial",
        path=port.device,
        stable=_stable(port.device, serial_number is not None, places),
        description=_string(port.description) or Path(port.device).name,
        vid=port.vid,
        pid=port.pid,
        serial_number=serial_number,
        manufacturer=_string(port.manufacturer),
        owner=access[0],
        group=access[1],
        mode=access[2],
        accessible=os.access(port.device, os.R_OK | os.W_OK),
        holders=tuple(holders(port.device)),
        likely=likely(port.vid, port.pid),
    )


def _stable(path: str, unique: bool, places: Places) -> str | None:
    """A link that always leads to this device. Without a serial number only the socket tells cables apart."""
    target = os.path.realpath(path)
    for folder in ("by-id", "by-path") if unique else ("by-path", "by-id"):
        for link in _listed(places.dev / "serial" / folder):
            if os.path.realpath(link) == target:
                return str(link)
    return None


def _access(path: str) -> tuple[str | None, str | None, str | None]:
    """Owner, group and mode as ls shows them."""
    try:
        found = os.stat(path)
    except OSError:
        return None, None, None
    return user_name(found.st_uid), group_name(found.st_gid), stat.filemode(found.st_mode)


def user_name(uid: int) -> str:
    """The user's name, or the number where nobody bears it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """The group's name, or the number where there is none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _without_tty(places: Places) -> list[Device]:
    found = []
    for folder in _listed(places.sys / "bus/usb/devices"):
        vendor, product = _hex(folder / "idVendor"), _hex(folder / "idProduct")
        if vendor is None or product is None or _line(folder / "bDeviceClass") == _HUB or _has_tty(folder):
            continue
        guess = likely(vendor, product)
        if guess is None and not _may_be_terminal(folder):
            continue
        node = _node(folder, places)
        access = _access(node)
        found.append(
            Device(
                kind="usb",
                path=None,
                stable=None,
                description=_string(_line(folder / "product")) or folder.name,
                vid=vendor,
                pid=product,
                serial_number=_string(_line(folder / "serial")),
                manufacturer=_string(_line(folder / "manufacturer")),
                owner=access[0],
                group=access[1],
                mode=access[2],
                accessible=os.access(node, os.R_OK | os.W_OK),
                likely=guess,
                place=folder.name,
            )
        )
    alike = Counter((device.usb_id, device.serial_number) for device in found)
    return [d if alike[d.usb_id, d.serial_number] > 1 else replace(d, place=None) for d in found]


def _node(folder: Path, places: Places) -> str:
    """The file that programs open to use the device itself."""
    numbers = (_line(folder / "busnum") or "", _line(folder / "devnum") or "")
    return str(places.dev / "bus/usb" / "/".join(number.zfill(3) for number in numbers))


def _has_tty(folder: Path) -> bool:
    # usb-serial drivers put ttyUSB0 below the interface, CDC-ACM a folder tty/ with ttyACM0 in it.
    return any(item.name.startswith("tty") for interface in _interfaces(folder) for item in _listed(interface))


def _may_be_terminal(folder: Path) -> bool:
    return any(_line(interface / "bInterfaceClass") in _TERMINAL_CLASSES for interface in _interfaces(folder))


def _interfaces(folder: Path) -> list[Path]:
    return [item for item in _listed(folder) if item.name.startswith(f"{folder.name}:")]


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _line(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _hex(path: Path) -> int | None:
    try:
        return int(_line(path) or "", 16)
    except ValueError:
        return None


def _string(text: str | None) -> str | None:
    """What a device says of itself, fit to be shown: devices may send anything."""
    if text is None or text in ("", "n/a"):
        return None
    return "".join(char if char.isprintable() else "?" for char in text[:_LONGEST])
