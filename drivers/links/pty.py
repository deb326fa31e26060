"""Virtual ports for cashier applications: a pty behind a stable link.

A pty carries no parity and no 7-bit characters, and has no modem lines. The kernel takes these out of what an
application asks for, and the C library then answers EINVAL, but only when nothing else of the request had an effect.
So the port always shows a speed that no application asks for, 50 and 75 baud in turn: every request changes at least
that, even when the library looks only after we have put it back, and an application that opens the port as 7E1 or 8E1
works. The speed it asked for is read first, and kept here.

The master is told of each change at once: packet mode with EXTPROC (tty_ioctl(4), TIOCPKT).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import termios

from drivers.links.base import DENIED, FAILED, LinkError, reason_of

_IFLAG, _OFLAG, _CFLAG, _LFLAG, _ISPEED, _OSPEED, _CC = range(7)
_EXTPROC = 0o200000
_TIOCGPTN = 0x80045430
_NO_SPEEDS = (termios.B50, termios.B75)
_SPEEDS = {getattr(termios, n): int(n[1:]) for n in dir(termios) if n[0] == "B" and n[1:].isdigit()}


class PtyPort:
    """The master's side. Reads begin with one byte of packet mode: 0 before data, else flags of what happened."""

    __slots__ = ("_group", "_link", "_master", "_poll", "_slave_name", "_turn", "group_refused")

    def __init__(self, link: str, kept: int | None = None, group: str | None = None) -> None:
        """`kept`: the master of a port that another process has made and handed on. `group`: may open it, too.

        A group that can't be given leaves `group_refused` with the reason: whoever could open the port still can.
        """
        self._link = link
        self._turn = 0  # which of the speeds is shown
        self._group = group
        self.group_refused: str | None = None
        if kept is None:
            self._master, self._slave_name = self._create()
        else:
            self._master, self._slave_name = kept, slave_of(kept)
            self._turn = int(termios.tcgetattr(kept)[_OSPEED] == _NO_SPEEDS[1])
            self._let_group_in(self._slave_name)
        self._poll = select.poll()
        self._poll.register(self._master, 0)
        try:
            self._place_link()
        except LinkError:
            os.close(self._master)
            raise

    def fileno(self) -> int:
        """The master's descriptor, non-blocking."""
        return self._master

    def is_open(self) -> bool:
        """Whether an application has the port open now."""
        return not any(events & select.POLLHUP for _, events in self._poll.poll(0))

    def take_baudrate(self) -> int | None:
        """The speed that the application has asked for since the last call; None when it asked for nothing new."""
        settings = termios.tcgetattr(self._master)
        asked = settings[_OSPEED]
        if asked in _NO_SPEEDS and settings[_LFLAG] & _EXTPROC:
            return None
        if asked not in _NO_SPEEDS:
            self._turn = 1 - self._turn
            settings[_ISPEED] = settings[_OSPEED] = _NO_SPEEDS[self._turn]
        # An application that fills its settings from nothing takes the mark away by which we hear of the next change.
        settings[_LFLAG] |= _EXTPROC
        termios.tcsetattr(self._master, termios.TCSANOW, settings)
        return _SPEEDS.get(asked) if asked not in _NO_SPEEDS else None

    def refresh(self) -> bool:
        """Make the port as new for the next application: nothing left to read, raw, its settings untouched.

        The next one may open it at this very moment: what it writes is never thrown away.
        Returns whether it is another pty now, behind the same descriptor; that has to be watched anew.
        """
        alone = not self.is_open()
        try:
            slave = os.open(self._slave_name, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:  # the last one marked it exclusive (TIOCEXCL), and the kernel forgets that only with the pty
            if alone:
                self._replace()
            return alone
        try:
            termios.tcflush(slave, termios.TCIFLUSH)  # only this end can: what the last one has not read
            if alone:
                _make_fresh(slave, _NO_SPEEDS[self._turn])
        finally:
            os.close(slave)
        return False

    def close(self) -> None:
        """End the port; its link goes when it is still ours."""
        with contextlib.suppress(OSError):  # gone already, or no link any more
            if os.readlink(self._link) == self._slave_name:
                os.unlink(self._link)
        os.close(self._master)

    def _create(self) -> tuple[int, str]:
        master, slave = pty.openpty()
        os.set_blocking(master, False)
        name = os.ttyname(slave)
        os.chmod(name, 0o660)
        self._let_group_in(name)
        fcntl.ioctl(master, termios.TIOCPKT, struct.pack("i", 1))
        _make_fresh(slave, _NO_SPEEDS[self._turn])
        os.close(slave)  # held open, it would hide when the application closes its end
        return master, name

    def _let_group_in(self, slave_name: str) -> None:
        if self._group is None:
            return
        import grp  # only where a group is asked for: the bridge stays small

        try:
            os.chown(slave_name, -1, grp.getgrnam(self._group).gr_gid)
        except KeyError:
            self.group_refused = f"there is no group {self._group}; groupadd {self._group}"
        except OSError as error:
            self.group_refused = (
                f"the port can't be given to the group {self._group} ({error.strerror}); "
                "usermod -aG it to this service's user and start the service again"
            )

    def _replace(self) -> None:
        """Another pty behind the same link and the same descriptor."""
        master, self._slave_name = self._create()
        os.dup2(master, self._master, inheritable=False)
        os.close(master)
        with contextlib.suppress(LinkError):  # the old link then leads nowhere, and `check` says so
            self._place_link()

    def _place_link(self) -> None:
        beside = f"{self._link}.{os.getpid()}"
        try:
            if os.path.islink(self._link) and os.readlink(self._link) == self._slave_name:
                return  # a port that goes on; its folder may be full, or not ours to write to any more
            if os.path.lexists(self._link) and not os.path.islink(self._link):
                raise LinkError(FAILED, f"{self._link} exists and is no link; move it away")
            os.makedirs(os.path.dirname(self._link), mode=0o750, exist_ok=True)
            os.symlink(self._slave_name, beside)
            os.replace(beside, self._link)
        except OSError as error:
            reason = reason_of(error.errno)
            detail = f"{self._link}: {error.strerror}"
            raise LinkError(reason if reason == DENIED else FAILED, detail) from error


def slave_of(master: int) -> str:
    """The path of a master's other end, as ptsname(3). Raises OSError for what is no master."""
    number = struct.unpack("I", fcntl.ioctl(master, _TIOCGPTN, b"\0\0\0\0"))[0]
    return f"/dev/pts/{number}"


def _make_fresh(descriptor: int, speed: int) -> None:
    settings = termios.tcgetattr(descriptor)
    settings[_IFLAG] = settings[_OFLAG] = 0
    settings[_CFLAG] = termios.CS8 | termios.CREAD | termios.CLOCAL
    settings[_LFLAG] = _EXTPROC
    settings[_ISPEED] = settings[_OSPEED] = speed
    settings[_CC][termios.VMIN], settings[_CC][termios.VTIME] = 1, 0
    termios.tcsetattr(descriptor, termios.TCSANOW, settings)
