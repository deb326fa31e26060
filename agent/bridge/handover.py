"""What one bridge process leaves to the next, so that neither side of a line notices a restart or an upgrade.

Two ways lead from one process to the next, and both bring the same things:

- a successor (SIGHUP): the program that is installed now is started beside the running one, and gets copies of the
  descriptors and what is in memory (takeover.py, successor.py);
- systemd's store of descriptors (sd_notify(3), FDSTORE): each descriptor is deposited when it is opened, so that even
  a bridge killed with -9 finds its lines open when systemd starts it again.

Every descriptor has a name, its `Berth`. The name carries a digest of the settings it was opened with: a line whose
settings have changed does not find its old descriptor, opens anew, and the old one is closed.

What was read and not yet passed on never touches a disk: it travels in a memfd.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib

from agent.bridge.takeover import give, in_memory, read_memory
from agent.notify import notify
from drivers.links.pty import slave_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import Any

    from agent.bridge.takeover import Takeover

_FIRST_LISTEN_FD = 3  # sd_listen_fds(3)
_STATE = "state"


class Kept:
    """Descriptors and state that the process before has left. What nobody takes is closed by `close`."""

    __slots__ = ("_descriptors", "_state")

    def __init__(self, descriptors: dict[str, int], state: dict[str, Any]) -> None:
        self._descriptors = descriptors
        self._state = state

    def take(self, name: str) -> int | None:
        """The descriptor of that name, once."""
        descriptor = self._descriptors.pop(name, None)
        if descriptor is not None:
            os.set_inheritable(descriptor, False)
        return descriptor

    def state(self, name: str) -> dict[str, Any]:
        """What its owner said about it when it left; empty when it could not say anything any more."""
        state: dict[str, Any] = self._state.get(name, {})
        return state

    def ports(self) -> set[str]:
        """Paths of the pseudo terminals that were not taken."""
        found = set()
        for descriptor in self._descriptors.values():
            with contextlib.suppress(OSError):  # another kind of descriptor
                found.add(slave_of(descriptor))
        return found

    def close(self) -> list[str]:
        """Close what was not taken; returns the names."""
        names = list(self._descriptors)
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()
        return names


def received(takeover: Takeover | None) -> Kept:
    """What is there for this process: from the bridge that it succeeds, else what systemd hands over.

    Raises takeover.Unwanted when that bridge goes on without a successor.
    """
    if takeover is not None:
        return Kept(*takeover.receive())
    descriptors = _from_systemd()
    state = descriptors.pop(_STATE, None)
    return Kept(descriptors, read_memory(state) if state is not None else {})


def digest(*settings: object) -> str:
    """The same for the same settings. No hashlib: it would bring OpenSSL into the small process."""
    return f"{zlib.crc32(json.dumps(settings, sort_keys=True).encode()):08x}"


class Berth:
    """The place of one descriptor. `leaving`, set by its owner, says what the next process must know about it."""

    __slots__ = ("_berths", "leaving", "name", "state")

    def __init__(self, berths: Berths, name: str, state: dict[str, Any]) -> None:
        self._berths = berths
        self.name = name
        self.state = state
        self.leaving: Callable[[], dict[str, Any]] | None = None

    def take(self) -> int | None:
        """The descriptor that the process before has left here."""
        return self._berths.take(self.name)

    def put(self, descriptor: int, lasting: bool = True) -> None:
        """From now on this descriptor is to be left to the next process; `lasting`: also after a crash."""
        self._berths.put(self.name, descriptor, lasting)

    def drop(self) -> None:
        """It is about to be closed."""
        self._berths.drop(self.name)


class Berths:
    """All that this process leaves to the next one."""

    __slots__ = ("_berths", "_given", "_kept", "_lasting", "_open", "_store")

    def __init__(self, kept: Kept, store: bool) -> None:
        """`store`: systemd keeps descriptors for us."""
        self._kept = kept
        self._store = store
        self._open: dict[str, int] = {}
        self._given: dict[str, int] = {}  # taken, and not yet put: the store has them already
        self._lasting: set[str] = set()
        self._berths: list[Berth] = []

    @property
    def stored(self) -> bool:
        """Whether descriptors outlive this process."""
        return self._store

    def berth(self, name: str, *settings: object) -> Berth:
        """The berth of that name for a descriptor opened with these settings."""
        full = f"{name}.{digest(*settings)}" if settings else name
        berth = Berth(self, full, self._kept.state(full))
        self._berths.append(berth)
        return berth

    def take(self, name: str) -> int | None:
        """The descriptor that the process before has left under that name."""
        descriptor = self._kept.take(name)
        if descriptor is not None:
            self._given[name] = descriptor
        return descriptor

    def put(self, name: str, descriptor: int, lasting: bool) -> None:
        """Leave it to the next process."""
        self._open[name] = descriptor
        given = self._given.pop(name, None)
        if not (lasting and self._store):
            return
        if given != descriptor:
            if given is not None or name in self._lasting:
                _withdraw(name)
            _deposit(name, descriptor)
        self._lasting.add(name)

    def drop(self, name: str) -> None:
        """Leave it no more."""
        self._open.pop(name, None)
        given = self._given.pop(name, None)
        if self._store and (name in self._lasting or given is not None):
            self._lasting.discard(name)
            _withdraw(name)

    def ports_left(self) -> set[str]:
        """Paths of the virtual ports of the process before that no line has taken."""
        return self._kept.ports()

    def all_taken(self) -> list[str]:
        """Every line has taken what is its own: close the rest; returns the names of what nobody wanted."""
        left = self._kept.close()
        for name in (*left, _STATE) if self._store else ():
            _withdraw(name)
        return left

    def deposit_state(self) -> None:
        """The last act before an orderly end: what is still in memory goes to the store, too."""
        if self._store:
            descriptor = in_memory(self._state())
            _deposit(_STATE, descriptor)
            os.close(descriptor)

    def give(self, successor: socket.socket) -> None:
        """Give everything to a successor. Raises OSError when it has ended."""
        give(successor, self._open, self._state())

    def _state(self) -> dict[str, Any]:
        return {berth.name: berth.leaving() for berth in self._berths if berth.leaving is not None}


def _deposit(name: str, descriptor: int) -> None:
    """Without FDPOLL=0 systemd would throw a virtual port away that no application has open just now."""
    notify(f"FDSTORE=1\nFDNAME={name}\nFDPOLL=0", descriptor)


def _withdraw(name: str) -> None:
    notify(f"FDSTOREREMOVE=1\nFDNAME={name}")


def _from_systemd() -> dict[str, int]:
    """sd_listen_fds_with_names(3). The variables are ours alone and end here."""
    pid, count, names = (os.environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"))
    if pid != str(os.getpid()) or not count.isdigit():
        return {}
    given: dict[str, int] = {}
    for number, name in enumerate(names.split(":")[: int(count)], _FIRST_LISTEN_FD):
        if name in given:  # an older one of the same name; the store lists the newest first
            os.close(number)
        else:
            given[name] = number
    return given
