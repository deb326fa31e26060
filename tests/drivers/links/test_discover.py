"""Devices are found from what the kernel and pyserial show; each test lays out its own /sys and /dev."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from drivers.codes import shared_file
from drivers.links import known
from drivers.links.discover import Places, devices


@dataclass(frozen=True)
class Port:
    """A serial port as pyserial lists it."""

    device: str
    description: str | None = "n/a"
    vid: int | None = None
    pid: int | None = None
    serial_number: str | None = None
    manufacturer: str | None = None


@pytest.fixture
def machine(tmp_path: Path) -> Places:
    places = Places(dev=tmp_path / "dev", sys=tmp_path / "sys")
    places.dev.mkdir()
    places.sys.mkdir()
    return places


@pytest.fixture
def tty() -> Iterator[tuple[str, int]]:
    ours, theirs = pty.openpty()
    yield os.ttyname(theirs), theirs
    os.close(ours)
    os.close(theirs)


def usb(places: Places, name: str, **files: str) -> Path:
    folder = places.sys / "bus/usb/devices" / name
    folder.mkdir(parents=True)
    for file, text in files.items():
        (folder / file).write_text(text + "\n")
    return folder


def interface(folder: Path, number: int, kind: str, tty: str | None = None) -> None:
    inside = folder / f"{folder.name}:1.{number}"
    inside.mkdir()
    (inside / "bInterfaceClass").write_text(kind + "\n")
    if tty:
        (inside / tty).mkdir(parents=True)


def link(places: Places, folder: str, name: str, target: str) -> str:
    path = places.dev / "serial" / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
    return str(path)


def test_a_machine_with_nothing_has_nothing(machine: Places) -> None:
    assert devices([], machine) == []


def test_a_terminal_is_told_with_its_stable_name(machine: Places) -> None:
    node = str(machine.dev / "ttyACM0")
    Path(node).touch(0o640)
    stable = link(machine, "by-id", "usb-INGENICO_iCT250_123-if00", node)
    link(machine, "by-path", "pci-0000:00:14.0-usb-0:1:1.0", node)
    (found,) = devices([Port(node, "iCT250", 0x0B00, 0x0060, "123", "INGENICO")], machine)
    assert (found.kind, found.path, found.stable) == ("serial", node, stable)
    assert found.address == f"serial:{stable}"
    assert found.usb_id == "0b00:0060"
    assert (found.description, found.manufacturer, found.serial_number) == ("iCT250", "INGENICO", "123")
    assert found.likely is not None
    assert (found.likely.kind, found.likely.protocol) == ("terminal", "concert")
    assert "Ingenico" in found.likely.name
    assert found.mode == "-rw-r-----"
    assert found.accessible
    assert found.holders == ()


def test_cables_without_serial_number_are_told_apart_by_their_socket(machine: Places) -> None:
    first, second = (str(machine.dev / name) for name in ("ttyUSB0", "ttyUSB1"))
    for node in (first, second):
        Path(node).touch()
    link(machine, "by-id", "usb-1a86_USB_Serial-if00-port0", second)  # both want this name, one gets it
    paths = [link(machine, "by-path", f"usb-0:{n}:1.0-port0", node) for n, node in enumerate((first, second))]
    found = devices([Port(node, "USB Serial", 0x1A86, 0x7523) for node in (first, second)], machine)
    assert [device.stable for device in found] == paths


def test_a_port_without_links_is_known_by_its_path(machine: Places) -> None:
    node = str(machine.dev / "ttyS0")
    Path(node).touch()
    (found,) = devices([Port(node)], machine)
    assert (found.stable, found.address, found.usb_id, found.likely) == (None, f"serial:{node}", None, None)
    assert found.description == "ttyS0"


def test_names_of_ports_that_do_not_exist_are_left_out(machine: Places) -> None:
    for name, kind in (("ttyS0", "4"), ("ttyS1", "0")):
        folder = machine.sys / "class/tty" / name
        folder.mkdir(parents=True)
        (folder / "type").write_text(kind + "\n")
    found = devices([Port("/dev/ttyS0"), Port("/dev/ttyS1")], machine)
    assert [device.path for device in found] == ["/dev/ttyS0"]


def test_a_device_that_went_away_meanwhile_is_no_error(machine: Places) -> None:
    (found,) = devices([Port(str(machine.dev / "ttyUSB7"), None)], machine)
    assert (found.owner, found.group, found.mode, found.accessible) == (None, None, None, False)


def test_who_holds_a_device_is_told(machine: Places, tty: tuple[str, int]) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[tty[1]]) as other:
        (found,) = devices([Port(tty[0])], machine)
        other.communicate()
    assert (other.pid, "cat") in [(holder.pid, holder.name) for holder in found.holders]
    assert found.mode is not None
    assert found.mode.startswith("c")


def test_what_a_device_says_of_itself_is_made_fit_to_show(machine: Places) -> None:
    (found,) = devices([Port("/dev/ttyUSB0", "a\x1b[2J\nb" + "x" * 500, 1, 2, "n/a", "")], machine)
    assert found.description.startswith("a?[2J?b")
    assert len(found.description) == 126
    assert (found.serial_number, found.manufacturer) == (None, None)


def test_a_terminal_without_a_serial_port_is_found_all_the_same(machine: Places) -> None:
    folder = usb(machine, "1-2", idVendor="11ca", idProduct="0220", product="VX 805", serial="99", bDeviceClass="00")
    interface(folder, 0, "ff")
    (found,) = devices([], machine)
    assert (found.kind, found.path, found.usb_id) == ("usb", None, "11ca:0220")
    assert found.address == "usb:11ca:0220:99"
    assert found.likely is not None
    assert "Verifone" in found.likely.name


@pytest.mark.parametrize("tty_name", ["ttyUSB0", "tty/ttyACM0"])
def test_a_usb_device_with_a_tty_is_not_listed_twice(machine: Places, tty_name: str) -> None:
    folder = usb(machine, "1-2", idVendor="0b00", idProduct="0060", bDeviceClass="02")
    interface(folder, 0, "02", tty_name)
    assert devices([], machine) == []


def test_keyboards_hubs_and_nonsense_are_left_out(machine: Places) -> None:
    interface(usb(machine, "1-1", idVendor="046d", idProduct="c31c", bDeviceClass="00"), 0, "03")
    usb(machine, "usb1", idVendor="1d6b", idProduct="0002", bDeviceClass="09")
    usb(machine, "1-3", idVendor="zzzz", idProduct="0001")
    usb(machine, "1-4:1.0", bInterfaceClass="ff")
    assert devices([], machine) == []


def test_an_unknown_device_that_may_be_a_terminal_is_shown_without_a_guess(machine: Places) -> None:
    interface(usb(machine, "2-1", idVendor="abcd", idProduct="1234", bDeviceClass="ef"), 0, "0a")
    (found,) = devices([], machine)
    assert (found.usb_id, found.likely, found.description) == ("abcd:1234", None, "2-1")


def test_likely_terminals_come_first(machine: Places) -> None:
    ports = [
        Port("/dev/ttyS0"),
        Port("/dev/ttyUSB0", vid=0x0403, pid=0x6001),
        Port("/dev/ttyUSB1", vid=0x2FB8, pid=0x2205),
    ]
    assert [device.path for device in devices(ports, machine)] == ["/dev/ttyUSB1", "/dev/ttyUSB0", "/dev/ttyS0"]


def test_the_real_machine_can_be_looked_at() -> None:
    for device in devices():
        assert device.address.startswith(("serial:/dev/", "usb:"))


# -- the table of ids -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vendor", "product", "kind", "name"),
    [
        (0x0B00, 0x0001, "terminal", "Ingenico"),
        (0x11CA, 0x0220, "terminal", "Verifone"),
        (0x2FB8, 0x2205, "terminal", "PAX"),
        (0x0403, 0x6001, "cable", "FTDI"),
        (0x067B, 0x2303, "cable", "Prolific"),
        (0x1A86, 0x7523, "cable", "CH340"),
        (0x10C4, 0xEA60, "cable", "CP210x"),
    ],
)
def test_known_ids(vendor: int, product: int, kind: str, name: str) -> None:
    found = known.likely(vendor, product)
    assert found is not None
    assert found.kind == kind
    assert name in found.name


def test_unknown_ids_give_no_guess() -> None:
    assert known.likely(0x10C4, 0x0001) is None
    assert known.likely(0xFFFF, 0x0001) is None
    assert known.likely(None, None) is None


def test_the_table_is_well_formed() -> None:
    rows = tomllib.loads(shared_file("devices.toml").read_text(encoding="utf-8"))["device"]
    assert len(rows) == len(known.table())
    for row in known.table():
        assert re.fullmatch("[0-9a-f]{4}", row.vendor)
        assert re.fullmatch(r"[0-9a-f]{4}|\*", row.product)
        assert row.kind in ("terminal", "cable")
        assert row.kind == "terminal" or row.protocol is None  # anything may be at the end of a cable
    keys = [(row.vendor, row.product) for row in known.table()]
    assert len(keys) == len(set(keys))


def test_the_udev_rule_names_the_same_devices() -> None:
    rule = shared_file("udev", "60-tillwatch.rules").read_text(encoding="utf-8")
    vendors = {vendor for group in re.findall(r'idVendor}=="([^"]+)"', rule) for vendor in group.split("|")}
    assert vendors == {row.vendor for row in known.table()}
    products = dict(re.findall(r'idVendor}=="(\w{4})", ATTRS{idProduct}=="(\w{4})"', rule))
    assert products == {row.vendor: row.product for row in known.table() if row.product != "*"}
    assert 'GROUP="tillwatch"' in rule
    assert 'ENV{ID_MM_DEVICE_IGNORE}="1"' in rule
    assert "SYMLINK+=" in rule
