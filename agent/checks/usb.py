"""A terminal that is a USB device without a tty: the libraries, the device, who may open it, who has it.

Found in sysfs, without opening anything: a device that our bridge uses is not disturbed.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from agent.checks.check import Check
from agent.checks.held import held
from agent.checks.who import Who, group_of
from agent.config import Terminal
from drivers.links.holders import Holder, holders
from drivers.links.usb_address import UsbAddress, parse

DEV = Path("/dev")
SYS = Path("/sys")


def usb_device(name: str, terminal: Terminal, who: Who, bridge: int | None, dev: Path = DEV, sys: Path = SYS) -> Check:
    """One check: the first obstacle, or that the device can be used."""
    own = terminal.name
    text = terminal.device.text
    address = parse(text.partition(":")[2])
    assert address is not None  # noqa: S101  the configuration was read
    if missing := missing_library():
        return Check.fail(name, missing, own)
    found = folders(address, sys)
    if not found:
        return Check.fail(name, "check.usb_missing", own, address=text)
    if len(found) > 1:
        names = ", ".join(str(UsbAddress(address.vendor, address.product, None, folder.name)) for folder in found)
        return Check.fail(name, "check.usb_alike", own, address=text, names=names)
    node = _node(found[0], dev)
    if not node.exists():
        return Check.fail(name, "check.usb_no_node", own, address=text, path=node)
    if not who.may(node, read=True, write=True):
        return Check.fail(name, "check.usb_closed", own, path=node, user=who.name, group=group_of(node))
    return _held(name, own, text, node, ttys(found[0], dev), bridge)


def _held(name: str, own: str, text: str, node: Path, ports: list[Path], bridge: int | None) -> Check:
    """Who has the device itself, or the port that the kernel made of it."""
    of_node = holders(str(node))
    others: list[Holder] = [holder for holder in of_node if holder.pid != bridge]
    others += [holder for port in ports for holder in holders(str(port)) if holder.pid != bridge]
    if others:
        return held(name, own, text, others[0])
    if bridge is not None and any(holder.pid == bridge for holder in of_node):
        return Check.ok(name, "check.device_ours", own, path=text, pid=bridge)
    if ports:  # it works, but a plain serial: device does with less
        return Check.warn(name, "check.usb_has_tty", own, address=text, port=ports[0])
    return Check.ok(name, "check.usb_ok", own, address=text, path=node)


def missing_library() -> str | None:
    """The text about the one of the two that a USB device needs which is not there."""
    if find_spec("usb") is None:
        return "check.usb_no_pyusb"
    from usb.backend import libusb1  # only where a USB device is configured

    return None if libusb1.get_backend() is not None else "check.usb_no_libusb"


def folders(address: UsbAddress, sys: Path = SYS) -> list[Path]:
    """The devices that an address means, as folders of sysfs."""
    root = sys / "bus/usb/devices"
    try:
        every = sorted(root.iterdir())
    except OSError:
        return []
    return [folder for folder in every if _fits(folder, address)]


def ttys(folder: Path, dev: Path = DEV) -> list[Path]:
    """The serial ports that the kernel has made of a device."""
    return sorted(dev / port.name for port in folder.glob(f"{folder.name}:*/tty/tty*"))


def _fits(folder: Path, address: UsbAddress) -> bool:
    ids = (_line(folder / "idVendor"), _line(folder / "idProduct"))
    if ids != (f"{address.vendor:04x}", f"{address.product:04x}"):
        return False
    if address.place is not None and folder.name != address.place:
        return False
    return address.serial_number is None or _line(folder / "serial") == address.serial_number


def _node(folder: Path, dev: Path) -> Path:
    bus, number = _line(folder / "busnum") or "0", _line(folder / "devnum") or "0"
    return dev / "bus/usb" / bus.zfill(3) / number.zfill(3)


def _line(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
