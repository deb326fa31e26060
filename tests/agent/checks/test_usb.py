"""A terminal without a tty: each obstacle has its own line and its own mend."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from agent.checks import State, lines, usb
from agent.checks.check import Check
from agent.checks.who import Who
from agent.config import Terminal
from tests.agent.checks.checked import ME, NOBODY, said, terminal_of


class Bus:
    """sysfs and /dev with USB devices in them."""

    def __init__(self, folder: Path) -> None:
        self.sys, self.dev = folder / "sys", folder / "dev"

    def plug(self, place: str = "1-2", number: int = 4, serial: str | None = None, tty: str | None = None) -> Path:
        folder = self.sys / "bus/usb/devices" / place
        folder.mkdir(parents=True)
        values = {"idVendor": "11ca", "idProduct": "0220", "busnum": "1", "devnum": str(number), "serial": serial}
        for name, value in values.items():
            if value is not None:
                (folder / name).write_text(f"{value}\n")
        if tty:
            (folder / f"{place}:1.0/tty/{tty}").mkdir(parents=True)
        node = self.dev / f"bus/usb/001/{number:03d}"
        node.parent.mkdir(parents=True, exist_ok=True)
        node.touch(0o660)
        return node

    def check(self, terminal: Terminal, who: Who = ME, bridge: int | None = None) -> Check:
        return usb.usb_device("device", terminal, who, bridge, self.dev, self.sys)


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bus:
    monkeypatch.setattr(usb, "missing_library", lambda: None)
    return Bus(tmp_path)


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return terminal_of(tmp_path, "usb:11ca:0220")


def test_a_good_device(bus: Bus, terminal: Terminal) -> None:
    bus.plug()
    check = bus.check(terminal)
    assert check.state is State.OK
    assert "usb:11ca:0220 is there" in said(check)


def test_one_that_is_not_plugged_in(bus: Bus, terminal: Terminal, tmp_path: Path) -> None:
    assert "is not plugged in" in said(bus.check(terminal))
    bus.plug(serial="A1")
    assert "usb:11ca:0220:B2 is not plugged in" in said(bus.check(terminal_of(tmp_path, "usb:11ca:0220:B2")))
    assert bus.check(terminal_of(tmp_path, "usb:11CA:0220:A1")).state is State.OK
    assert bus.check(terminal_of(tmp_path, "usb:11ca:0220@1-2")).state is State.OK


def test_two_alike_are_named(bus: Bus, terminal: Terminal) -> None:
    bus.plug("1-2", 4)
    bus.plug("1-3.1", 5)
    assert "usb:11ca:0220@1-2, usb:11ca:0220@1-3.1" in said(bus.check(terminal))


def test_one_that_may_not_be_opened_names_rule_and_group(bus: Bus, terminal: Terminal) -> None:
    bus.plug().chmod(0o600)
    check = bus.check(terminal, NOBODY)
    assert check.state is State.FAIL
    assert "60-tillwatch.rules" in said(check)
    assert "usermod -aG tillwatch nobody" in said(check)


def test_one_without_its_file(bus: Bus, terminal: Terminal) -> None:
    bus.plug().unlink()
    assert "container" in said(bus.check(terminal))


def test_who_has_it(bus: Bus, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    node = bus.plug(tty="ttyACM0")
    assert "serial:" in said(bus.check(terminal))  # it works, and there is a simpler way
    real = usb.holders
    monkeypatch.setattr(usb, "holders", lambda path: real(path, own=True))
    with node.open():
        ours = bus.check(terminal, bridge=os.getpid())
        other = bus.check(terminal, bridge=1)
    assert ours.state is State.OK
    assert "open in our bridge" in said(ours)
    assert other.state is State.FAIL
    assert str(os.getpid()) in said(other)


def test_missing_libraries_say_what_to_install(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usb.backend.libusb1.get_backend", lambda: None)
    assert "libusb-1.0-0" in said(usb.usb_device("device", terminal, ME, None))
    monkeypatch.setattr(usb, "find_spec", lambda name: None)
    assert "'.[usb]'" in said(usb.usb_device("device", terminal, ME, None))
    assert "usb" in sys.modules


def test_a_usb_terminal_is_checked_as_one(terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usb, "missing_library", lambda: None)
    first = next(lines.checks(terminal, tmp_path, ME, None))
    assert first.what.key.startswith("check.usb_")
