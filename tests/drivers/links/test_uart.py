"""Modem lines and error counters: read where a port has them, and claimed nowhere else."""

from __future__ import annotations

import fcntl
import os
import struct
import termios

import pytest

from drivers.links.uart import counters, modem_lines


def test_a_pty_has_neither() -> None:
    master, slave = os.openpty()
    try:
        assert counters(slave) is None
        assert modem_lines(slave) is None
    finally:
        os.close(master)
        os.close(slave)


def test_what_a_port_says(monkeypatch: pytest.MonkeyPatch) -> None:
    def ioctl(_descriptor: int, request: int, _buffer: bytes) -> bytes:
        if request == termios.TIOCMGET:
            return struct.pack("i", termios.TIOCM_CTS | termios.TIOCM_RTS)
        assert request == 0x545D
        return struct.pack("20i", *range(1, 12), *[0] * 9)

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    lines = modem_lines(3)
    assert lines is not None
    assert [name for name, on in lines.items() if on] == ["cts", "rts"]
    assert counters(3) == {"rx": 5, "tx": 6, "frame": 7, "overrun": 8, "parity": 9, "brk": 10}
