"""Serial devices: pyserial opens and configures them; whoever reads and writes uses the descriptor."""

from __future__ import annotations

import errno
import fcntl
import grp
import os
import struct
import termios

import serial

from drivers.links.base import BUSY, DENIED, FAILED, LinkError, reason_of
from drivers.links.holders import holders

_TIOCGEXCL = 0x80045440
_PTY_MAJORS = range(136, 144)
_CC = 6  # the place of the control characters in what tcgetattr gives


class SerialLink:
    """An open serial device. `fileno` is non-blocking."""

    __slots__ = ("_port", "_pty")

    def __init__(self, port: serial.Serial, pty: bool) -> None:
        self._port = port
        self._pty = pty

    def fileno(self) -> int:
        """The descriptor."""
        return int(self._port.fileno())

    @property
    def baudrate(self) -> int:
        """Bits a second."""
        return int(self._port.baudrate)

    def set_baudrate(self, baudrate: int) -> None:
        """Change the speed. Raises LinkError when the device can't."""
        try:
            self._port.baudrate = baudrate
            _block_for_one(self.fileno())
        except (OSError, ValueError, termios.error) as error:
            raise LinkError(FAILED, f"{baudrate} baud: {error}") from error

    def unsent(self) -> int:
        """Bytes that the kernel has not sent yet."""
        try:
            return int(struct.unpack("i", fcntl.ioctl(self.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0])
        except OSError:
            return 0  # the device is gone, or does not count

    def close(self) -> None:
        """Give the device back."""
        try:
            if not self._pty:
                fcntl.ioctl(self.fileno(), termios.TIOCNXCL)
            self._port.close()
        except (OSError, termios.error):
            return  # the device is gone; there is nothing to give back


def open_serial(
    path: str, baudrate: int, bytesize: int = 8, parity: str = "N", stopbits: int = 1, flow: str = "none"
) -> SerialLink:
    """Open and configure a device. Raises LinkError: not_found, busy (with its holders), denied (with the group)."""
    is_pty = _check(path)
    if is_pty:  # it carries neither, and refuses to be asked
        bytesize, parity = 8, "N"
    try:
        port = serial.Serial(
            path,
            baudrate=baudrate,
            bytesize=bytesize,
            parity=parity,
            stopbits=stopbits,
            timeout=0,
            xonxoff=flow == "xonxoff",
            rtscts=flow == "rtscts",
            dsrdtr=flow == "dsrdtr",
            exclusive=True,
        )
    except serial.SerialException as error:
        raise _explain(path, error.errno, str(error)) from error
    except (OSError, ValueError, termios.error) as error:
        raise _explain(path, getattr(error, "errno", None), str(error)) from error
    descriptor = port.fileno()
    os.set_blocking(descriptor, False)
    _block_for_one(descriptor)
    if not is_pty:
        # Others than root are kept out while we have it. A pty would keep the mark after a crash of ours.
        fcntl.ioctl(descriptor, termios.TIOCEXCL)
    return SerialLink(port, is_pty)


def _check(path: str) -> bool:
    """Whether it is a pty; raises LinkError where opening would disturb somebody."""
    try:
        status = os.stat(path)
        descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _explain(path, error.errno, error.strerror or str(error)) from error
    try:
        is_pty = os.major(status.st_rdev) in _PTY_MAJORS
        exclusive = struct.unpack("i", fcntl.ioctl(descriptor, _TIOCGEXCL, b"\0\0\0\0"))[0]
    except OSError as error:
        raise LinkError(FAILED, f"{path} is no serial device: {error.strerror}") from error
    finally:
        os.close(descriptor)
    held = holders(path) if exclusive or not is_pty else []
    if exclusive or held:
        raise LinkError(BUSY, f"{path} is held by another program", tuple(str(holder) for holder in held))
    return is_pty


def _explain(path: str, number: int | None, detail: str) -> LinkError:
    reason = reason_of(number)
    if reason == BUSY:
        return LinkError(BUSY, f"{path} is held by another program", tuple(str(holder) for holder in holders(path)))
    if reason == DENIED:
        group = _group_of(path)
        return LinkError(DENIED, f"no permission for {path}", group=group)
    return LinkError(reason, f"{path}: {os.strerror(number)}" if number else detail)


def _group_of(path: str) -> str | None:
    try:
        return grp.getgrgid(os.stat(path).st_gid).gr_name
    except (OSError, KeyError):
        return None


def _block_for_one(descriptor: int) -> None:
    """VMIN 1, so that a read without data says EAGAIN, and nothing read means that the line is gone."""
    settings = termios.tcgetattr(descriptor)
    settings[_CC][termios.VMIN], settings[_CC][termios.VTIME] = 1, 0
    termios.tcsetattr(descriptor, termios.TCSANOW, settings)


GONE_ERRNOS = frozenset({errno.EIO, errno.ENODEV, errno.ENXIO, errno.EBADF, errno.ECONNRESET, errno.EPIPE})
