"""USB links on devices that do not exist: what they carry, what they do about trouble, what they give back."""

from __future__ import annotations

import os
import pty
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from drivers.links import usb as usb_links
from drivers.links.base import BUSY, DENIED, FAILED, NOT_FOUND, LinkError
from drivers.links.usb import CHUNK, UsbLink, open_usb
from tests import usb_backend as fake
from tests.usb_backend import FakeBackend, FakeDevice
from tests.waits import until

Bus = Callable[..., None]
ADDRESS = "11ca:0220"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for a close here."""
    monkeypatch.setattr(usb_links, "READ_MS", 30)
    monkeypatch.setattr(usb_links, "PAUSE_S", 0.001)


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Bus:
    """Plug devices in."""

    def plug(*devices: FakeDevice) -> None:
        backend = FakeBackend(*devices)
        monkeypatch.setattr("usb.backend.libusb1.get_backend", lambda *_: backend)

    return plug


@pytest.fixture
def opened() -> Iterator[Callable[..., UsbLink]]:
    links: list[UsbLink] = []

    def open_one(address: str = ADDRESS, baudrate: int = 9600, **settings: object) -> UsbLink:
        links.append(open_usb(address, baudrate, **settings))  # type: ignore[arg-type]
        return links[-1]

    yield open_one
    for link in links:
        link.close()
        until(lambda link=link: link._threads == 0, what="threads ended")  # type: ignore[misc]


Open = Callable[..., UsbLink]


def read(link: UsbLink, size: int) -> bytes:
    got = bytearray()
    end = time.monotonic() + 20
    while len(got) < size and time.monotonic() < end:
        if select.select([link.fileno()], [], [], 0.5)[0]:
            data = os.read(link.fileno(), size - len(got))
            if not data:
                break
            got += data
    return bytes(got)


def at_end(link: UsbLink) -> bytes:
    """Everything until the end of the line."""
    got = bytearray()
    while True:
        assert select.select([link.fileno()], [], [], 20)[0], "no end of the line"
        data = os.read(link.fileno(), 65536)
        if not data:
            return bytes(got)
        got += data


def refusal(address: str = ADDRESS) -> LinkError:
    with pytest.raises(LinkError) as caught:
        open_usb(address, 9600)
    return caught.value


# --- bytes ---


@pytest.mark.parametrize("interfaces", [fake.vendor(), fake.vendor(kind=fake.INTERRUPT), fake.cdc()])
def test_bytes_pass_both_ways(bus: Bus, opened: Open, interfaces: list[fake.Interface]) -> None:
    device = FakeDevice(interfaces)
    bus(device)
    link = opened()
    device.say(b"\x06", b"a" * 64, b"b" * 64, b"c")
    assert read(link, 130) == b"\x06" + b"a" * 64 + b"b" * 64 + b"c"
    os.write(link.fileno(), b"\x05" + bytes(range(256)))
    until(lambda: len(device.sent) == 257)
    assert device.sent == b"\x05" + bytes(range(256))
    until(lambda: link.unsent() == 0)


def test_packets_of_no_length_and_short_ones_are_a_stream(bus: Bus, opened: Open) -> None:
    device = FakeDevice(fake.cdc())
    bus(device)
    link = opened()
    device.say(b"", b"x" * 64, b"", b"y", b"", b"", *[b""] * 200, b"z")
    assert read(link, 66) == b"x" * 64 + b"yz"


def test_a_write_that_is_taken_in_parts_goes_out_whole_and_once(bus: Bus, opened: Open) -> None:
    device = FakeDevice(fake.vendor())
    bus(device)
    device.refusals.extend([3, fake.TIMEOUT, 1, fake.TIMEOUT, fake.STALL, fake.BROKEN, 2])
    link = opened()
    os.write(link.fileno(), b"0123456789")
    until(lambda: len(device.sent) >= 10)
    assert device.sent == b"0123456789"
    assert device.cleared == [0x02]


def test_a_device_that_takes_nothing_makes_the_other_side_wait(bus: Bus, opened: Open) -> None:
    device = FakeDevice(fake.vendor())
    bus(device)
    device.takes_nothing = True
    link = opened()
    written = 0
    with suppress(BlockingIOError):
        while written < 50 * CHUNK:
            written += os.write(link.fileno(), b"x" * 256)
    assert 0 < written < 50 * CHUNK
    until(lambda: link.unsent() == written)


def test_a_side_that_is_not_read_stops_the_device(bus: Bus, opened: Open) -> None:
    device = FakeDevice(fake.vendor())
    bus(device)
    link = opened()
    device.say(*[bytes([number % 256]) * 64 for number in range(4000)])
    until(lambda: len(device.packets) < 4000)
    left = -1
    while left != (left := len(device.packets)):
        time.sleep(0.05)
    assert left > 3000
    assert read(link, 4000 * 64) == b"".join(bytes([number % 256]) * 64 for number in range(4000))


# --- trouble on an open link ---


def test_a_stall_is_cleared_and_nothing_is_lost(bus: Bus, opened: Open) -> None:
    device = FakeDevice(fake.cdc())
    bus(device)
    link = opened()
    device.say(b"a", fake.STALL, b"b", fake.STALL, fake.BROKEN, fake.STALL, b"c")
    assert read(link, 3) == b"abc"
    assert set(device.cleared) == {0x82}
    assert link.ended is None


def test_a_device_that_stalls_for_ever_ends_the_link(bus: Bus, opened: Open) -> None:
    device = FakeDevice(fake.cdc())
    bus(device)
    link = opened()
    device.say(b"a", *[fake.STALL] * 4)
    assert at_end(link) == b"a"
    assert link.ended == "endpoint 0x82: Pipe error, 4 times in a row"


def test_babble_ends_the_link_behind_what_came_whole(bus: Bus, opened: Open) -> None:
    device = FakeDevice(fake.vendor())
    bus(device)
    link = opened()
    device.say(b"good", b"!" * 5000, b"later")
    assert at_end(link) == b"good"
    assert link.ended == "endpoint 0x81 sent more than it may, bytes are lost"


def test_unplugged_in_the_middle_of_a_frame(bus: Bus, opened: Open) -> None:
    device = FakeDevice(fake.cdc(), kernel={0, 1})
    bus(device)
    link = opened()
    device.say(b"\x02half a fr")
    assert read(link, 10) == b"\x02half a fr"
    device.unplug()
    assert at_end(link) == b""
    assert link.ended == "the device is gone"


def test_what_an_unplugged_device_did_not_take_is_counted(bus: Bus, opened: Open) -> None:
    device = FakeDevice(fake.vendor())
    bus(device)
    link = opened()
    device.refusals.extend([2, fake.GONE])
    os.write(link.fileno(), b"0123456789")
    assert at_end(link) == b""
    assert device.sent == b"01"
    os.write(link.fileno(), b"more")
    assert link.unsent() in (14, 12)  # a transfer that was cut counts as not taken


# --- CDC-ACM ---


def test_the_line_is_set_and_let_go(bus: Bus, opened: Open) -> None:
    device = FakeDevice(fake.cdc())
    bus(device)
    link = opened(baudrate=115200, bytesize=7, parity="E", stopbits=2)
    assert device.controls == [
        (0x21, 0x20, 0, bytes.fromhex("00c20100 02 02 07")),
        (0x21, 0x22, 3, b""),
    ]
    link.close()
    until(lambda: device.opened == 0)
    assert device.controls[-1] == (0x21, 0x22, 0, b"")


def test_a_device_without_a_line_behind_it_may_refuse_its_settings(bus: Bus, opened: Open) -> None:
    device = FakeDevice(fake.cdc())
    device.control_errors = {0x20: fake.STALL, 0x22: fake.STALL}
    bus(device)
    link = opened()
    device.say(b"ok")
    assert read(link, 2) == b"ok"


def test_the_kernels_driver_is_put_aside_and_given_back(bus: Bus, opened: Open) -> None:
    device = FakeDevice(fake.cdc(), kernel={0, 1, 2})
    bus(device)
    link = opened()
    assert device.kernel == {2}
    assert device.claimed == {0, 1}
    link.close()
    until(lambda: device.opened == 0)
    assert device.kernel == {0, 1, 2}
    assert device.claimed == set()


def test_a_failed_open_gives_back_what_it_took(bus: Bus) -> None:
    device = FakeDevice(fake.cdc(), kernel={0}, claim_error=fake.BUSY)
    bus(device)
    assert refusal().reason == BUSY
    assert device.kernel == {0}
    assert device.opened == 0


def test_a_port_that_somebody_has_open_is_not_taken_from_him(
    bus: Bus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = FakeDevice(fake.cdc(), kernel={0, 1})
    bus(device)
    (tmp_path / "sys/99-1:1.0/tty/ttyACM0").mkdir(parents=True)
    (tmp_path / "dev").mkdir()
    ours, theirs = pty.openpty()
    (tmp_path / "dev/ttyACM0").symlink_to(os.ttyname(theirs))
    monkeypatch.setattr(usb_links, "SYSFS", str(tmp_path / "sys"))
    monkeypatch.setattr(usb_links, "_DEV", str(tmp_path / "dev"))
    error = refusal()
    assert error.reason == BUSY
    assert str(os.getpid()) in error.holders[0]
    assert device.kernel == {0, 1}
    os.close(theirs)
    open_usb(ADDRESS, 9600).close()
    os.close(ours)


# --- HID ---


@pytest.mark.parametrize("sink", [True, False])
def test_reports_carry_bytes(bus: Bus, opened: Open, sink: bool) -> None:
    device = FakeDevice(fake.hid(sink=sink))
    bus(device)
    link = opened()
    device.say(b"\x05".ljust(64, b"\0"))
    assert read(link, 64) == b"\x05".ljust(64, b"\0")
    os.write(link.fileno(), b"q" * 65)
    wanted = [b"q" * 64, b"q".ljust(64, b"\0")]
    if sink:
        until(lambda: device.transfers == wanted)
    else:
        until(lambda: [data for _, request, _, data in device.controls if request == 0x09] == wanted)
    until(lambda: link.unsent() == 0)


def test_reports_with_a_length_and_a_number(bus: Bus, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    guess = usb_links.likely(0x11CA, 0x0220)
    assert guess is not None
    counted = type(guess)("11ca", "*", "terminal", "counts", None, "length")
    monkeypatch.setattr(usb_links, "likely", lambda *_: counted)
    device = FakeDevice(fake.hid(fake.HID_NUMBERED), reports=fake.HID_NUMBERED)
    bus(device)
    link = opened()
    device.say(b"\x01\x03abc".ljust(64, b"\0"), b"\x07\x03xyz".ljust(64, b"\0"), b"\x01\x00".ljust(64, b"\0"))
    device.say(b"\x01\x02de".ljust(64, b"\0"))
    assert read(link, 5) == b"abcde"
    os.write(link.fileno(), b"hi")
    until(lambda: device.transfers == [b"\x02\x02hi".ljust(64, b"\0")])


# --- which device ---


def test_two_alike_are_refused_with_both_names(bus: Bus) -> None:
    bus(FakeDevice(fake.vendor(), serial=None), FakeDevice(fake.vendor(), serial=None, ports=(2, 3)))
    error = refusal()
    assert error.reason == FAILED
    assert "usb:11ca:0220@99-1 and usb:11ca:0220@99-2.3" in error.detail


def test_a_serial_number_or_a_place_tells_them_apart(bus: Bus, opened: Open) -> None:
    first = FakeDevice(fake.vendor(), serial="A1")
    second = FakeDevice(fake.vendor(), serial="B2", ports=(2, 3))
    bus(first, second)
    opened(f"{ADDRESS}:B2")
    assert (first.claimed, second.claimed) == (set(), {0})
    opened(f"{ADDRESS}@99-1")
    assert first.claimed == {0}


def test_same_serial_number_twice_is_still_two(bus: Bus) -> None:
    bus(FakeDevice(fake.vendor(), serial="123"), FakeDevice(fake.vendor(), serial="123", ports=(2,)))
    assert "@99-1 and usb:11ca:0220@99-2" in refusal(f"{ADDRESS}:123").detail


@pytest.mark.parametrize("address", [f"{ADDRESS}:NO", f"{ADDRESS}@99-7", "11ca:0221"])
def test_one_that_is_not_there(bus: Bus, address: str) -> None:
    bus(FakeDevice(fake.vendor()))
    error = refusal(address)
    assert error.reason == NOT_FOUND
    assert f"usb:{address}" in error.detail


# --- what can't be opened ---


def test_no_permission_names_rule_and_group(bus: Bus) -> None:
    bus(FakeDevice(fake.vendor(), open_error=fake.DENIED))
    error = refusal()
    assert error.reason == DENIED
    assert "/dev/bus/usb/099/004" in error.detail
    assert "config/udev/60-tillwatch.rules" in error.detail
    assert "group tillwatch" in error.detail


@pytest.mark.parametrize(
    "interfaces",
    [
        [],
        [fake.Interface(0, 0x08, ((0x81, fake.BULK, 512), (0x02, fake.BULK, 512)))],  # a storage stick
        [fake.Interface(0, 0xFF, ((0x81, fake.BULK, 64),))],  # one way only
        [fake.Interface(0, 0xFF, ((0x81, fake.BULK, 0), (0x02, fake.BULK, 0)))],  # packets of no size
        [fake.Interface(0, 0xFF, ((0x80, fake.BULK, 64), (0x00, fake.BULK, 64)))],  # endpoint 0 twice
        [fake.Interface(0, 0x03, ((0x81, fake.INTERRUPT, 8),), subclass=1, extra=b"\x09\x21")],  # a keyboard
        [fake.Interface(0, 0x03, ((0x81, fake.INTERRUPT, 64),), extra=b"\x00\x21\x00")],  # a descriptor of no length
        [fake.Interface(0, 0x02, (), subclass=2, extra=b"\xff\x24\x06")],  # a union that is cut, and no data
    ],
)
def test_wrong_descriptors(bus: Bus, interfaces: list[fake.Interface]) -> None:
    device = FakeDevice(interfaces)
    bus(device)
    error = refusal()
    assert error.reason == FAILED
    assert "no endpoints that carry bytes" in error.detail


@pytest.mark.parametrize("union", [b"", b"\x00", b"\xff\x24\x06\x00\x01", bytes([5, 0x24, 0x06, 0, 9])])
def test_a_wrong_union_is_no_obstacle(bus: Bus, opened: Open, union: bytes) -> None:
    device = FakeDevice(fake.cdc(union=union))
    bus(device)
    opened()
    assert device.claimed == {0, 1}


@pytest.mark.parametrize("trouble", [fake.BROKEN, IndexError("x"), ValueError("x")])
def test_descriptors_that_cant_be_read(bus: Bus, trouble: Exception) -> None:
    bus(FakeDevice(fake.vendor(), descriptor_error=trouble))
    assert refusal().reason == FAILED


def test_a_device_that_nobody_has_configured(bus: Bus, opened: Open) -> None:
    device = FakeDevice(fake.vendor(), configured=False)
    bus(device)
    opened()
    assert device.claimed == {0}


def test_hid_reports_that_carry_nothing(bus: Bus) -> None:
    bus(FakeDevice(fake.hid(), reports=b"\x05\x01"))
    assert "carry no bytes" in refusal().detail


def test_a_cable_belongs_to_the_kernel(bus: Bus) -> None:
    error = refusal("0403:6001")
    assert error.reason == FAILED
    assert "FTDI" in error.detail
    assert "serial:" in error.detail


def test_missing_parts_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("libusb1", "libusb0", "openusb"):
        monkeypatch.setattr(f"usb.backend.{place}.get_backend", lambda *_: None)
    assert "apt-get install libusb-1.0-0" in refusal().detail
    monkeypatch.setitem(sys.modules, "usb.core", None)
    assert "extra usb" in refusal().detail
