"""What a serial port tells of its wires: modem lines and the errors that its driver counts. Only read, never set.

A pty has neither, nor have many USB cables counters: None then. Light: the bridge's small process imports it.
Source: ioctl_tty(2); struct serial_icounter_struct of linux/serial.h.
"""

from __future__ import annotations

import fcntl
import struct
import termios

_TIOCGICOUNT = 0x545D
_COUNTERS = struct.Struct("20i")  # 11 counters, 9 reserved
_NAMES = ("cts", "dsr", "rng", "dcd", "rx", "tx", "frame", "overrun", "parity", "brk", "buf_overrun")
_KEPT = ("rx", "tx", "frame", "overrun", "parity", "brk")


def modem_lines(descriptor: int) -> dict[str, bool] | None:
    """Which of the lines are on: cts, dsr, dcd, ri by the terminal, rts, dtr by us."""
    try:
        bits = struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCMGET, bytes(4)))[0]
    except OSError:
        return None
    lines = {
        "cts": termios.TIOCM_CTS,
        "dsr": termios.TIOCM_DSR,
        "dcd": termios.TIOCM_CAR,
        "ri": termios.TIOCM_RNG,
        "rts": termios.TIOCM_RTS,
        "dtr": termios.TIOCM_DTR,
    }
    return {name: bool(bits & bit) for name, bit in lines.items()}


def counters(descriptor: int) -> dict[str, int] | None:
    """Bytes received and sent, framing, overrun and parity errors, and breaks, since the driver was loaded."""
    try:
        found = _COUNTERS.unpack(fcntl.ioctl(descriptor, _TIOCGICOUNT, bytes(_COUNTERS.size)))
    except OSError:
        return None
    every = dict(zip(_NAMES, found, strict=False))
    return {name: every[name] for name in _KEPT}
