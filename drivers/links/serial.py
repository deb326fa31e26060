"""Serial devices: pyserial opens and configures them; whoever reads and writes uses the descriptor."""

from __future__ import annotations

import contextlib
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
_SPEEDS = {getattr(termios, n): int(n[1:]) for n in dir(termios) if n[0] == "B" and n[1:].isdigit()}
_ISPEED, _OSPEED, _CC = 4, 5, 6  # places in what tcgetattr gives


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
        return _unsent(self.fileno())

    def close(self) -> None:
        """Give the device back."""
        try:
            if not self._pty:
                fcntl.ioctl(self.fileno(), termios.TIOCNXCL)
            self._port.close()
        except (OSError, termios.error):
            return  # the device is gone; there is nothing to give back


class KeptSerialLink:
    """A serial device that another process has opened and configured, and handed on: not touched, only used."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        """Raises termios.error when the device has gone meanwhile."""
        _block_for_one(descriptor)
        self._descriptor = descriptor

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    @property
    def baudrate(self) -> int | None:
        """Bits a second, as the device is set; None for a speed that has no name here."""
        return _SPEEDS.get(termios.tcgetattr(self._descriptor)[_OSPEED])

    def set_baudrate(self, baudrate: int) -> None:
        """Change the speed. Raises LinkError when the device can't."""
        speed = getattr(termios, f"B{baudrate}", None)
        if speed is None:
            raise LinkError(FAILED, f"{baudrate} baud: not before the bridge is started anew")
        try:
            settings = termios.tcgetattr(self._descriptor)
            settings[_ISPEED] = settings[_OSPEED] = speed
            termios.tcsetattr(self._descriptor, termios.TCSANOW, settings)
        except (OSError, termios.error) as error:
            raise LinkError(FAILED, f"{baudrate} baud: {error}") from error

    def unsent(self) -> int:
        """Bytes that the kernel has not sent yet."""
        return _unsent(self._descriptor)

    def close(self) -> None:
        """Give the device back."""
        with contextlib.suppress(OSError, termios.error):  # the device is gone; there is nothing to give back
            fcntl.ioctl(self._descriptor, termios.TIOCNXCL)
        os.close(self._descriptor)


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


def kept_serial(descriptor: int) -> KeptSerialLink:
    """Go on with a device that another process has opened. Raises OSError when it has gone meanwhile."""
    try:
        return KeptSerialLink(descriptor)
    except termios.error as error:
        raise OSError(*error.args) from error


def is_pty(path: str | os.PathLike[str]) -> bool:
    """Whether it is a pseudo-terminal, which whoever made it has open as well. Raises OSError."""
    return os.major(os.stat(path).st_rdev) in _PTY_MAJORS


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


def _unsent(descriptor: int) -> int:
    try:
        return int(struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCOUTQ, b"\0\0\0\0"))[0])
    except OSError:
        return 0  # the device is gone, or does not count


def _block_for_one(descriptor: int) -> None:
    """VMIN 1, so that a read without data says EAGAIN, and nothing read means that the line is gone."""
    settings = termios.tcgetattr(descriptor)
    settings[_CC][termios.VMIN], settings[_CC][termios.VTIME] = 1, 0
    termios.tcsetattr(descriptor, termios.TCSANOW, settings)


GONE_ERRNOS = frozenset({errno.EIO, errno.ENODEV, errno.ENXIO, errno.EBADF, errno.ECONNRESET, errno.EPIPE})
