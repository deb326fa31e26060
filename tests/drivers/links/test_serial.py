"""Opening a serial device, or saying in one word why not."""

from __future__ import annotations

import fcntl
import os
import pty
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.links.base import LinkError
from drivers.links.holders import holders
from drivers.links.serial import open_serial


@pytest.fixture
def device() -> Iterator[str]:
    master, slave = pty.openpty()
    yield os.ttyname(slave)
    os.close(master)
    os.close(slave)


def reason(path: str) -> LinkError:
    with pytest.raises(LinkError) as caught:
        open_serial(path, 9600)
    return caught.value


def test_a_device_is_opened_and_given_back(device: str) -> None:
    link = open_serial(device, 9600, bytesize=7, parity="E")
    assert link.baudrate == 9600
    link.set_baudrate(19200)
    assert link.baudrate == 19200
    link.close()
    open_serial(device, 9600).close()


def test_a_missing_device_is_not_found(tmp_path: Path) -> None:
    assert reason(str(tmp_path / "ttyUSB7")).reason == "not_found"


def test_a_file_is_no_device(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert "no serial device" in reason(str(tmp_path / "file")).detail


_HOLD = (
    "import serial, sys; s = serial.Serial(sys.argv[1], exclusive=True); print('held', flush=True); sys.stdin.read()"
)


def test_a_device_locked_by_another_program_names_it(device: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, device], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        busy = reason(device)
        assert busy.reason == "busy"
        assert any(f"pid {holder.pid} " in name for name in busy.holders)
        assert holder.pid in [found.pid for found in holders(device)]
        holder.communicate("")


def test_a_device_in_exclusive_use_is_busy_even_for_root(device: str) -> None:
    other = os.open(device, os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(other, termios.TIOCEXCL)
    assert reason(device).reason == "busy"
    fcntl.ioctl(other, termios.TIOCNXCL)
    os.close(other)


_AS_NOBODY = """
import os, sys
from drivers.links.base import LinkError
from drivers.links.serial import open_serial
os.setgroups([]), os.setgid(65534), os.setuid(65534)
try:
    open_serial(sys.argv[1], 9600)
except LinkError as error:
    print(error.reason, error.group)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_forbidden_device_names_the_group_that_may(device: str) -> None:
    os.chmod(device, 0o660)
    os.chown(device, 0, 20)  # dialout on Debian
    told = subprocess.run([sys.executable, "-c", _AS_NOBODY, device], capture_output=True, text=True, check=True)
    assert told.stdout == "denied dialout\n"
