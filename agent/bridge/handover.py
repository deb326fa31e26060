"""What one bridge process leaves to the next, so that neither side of a line notices a restart or an upgrade.

Two ways lead from one process to the next, and both bring the same things:

- `exec` (SIGHUP): the process replaces itself by the program that is installed now. Descriptors stay open, bytes that
  wait to go out travel along in memory.
- systemd's store of descriptors (sd_notify(3), FDSTORE): each descriptor is deposited when it is opened, so that even
  a bridge killed with -9 finds its lines open when systemd starts it again.

Every descriptor has a name, its `Berth`. The name carries a digest of the settings it was opened with: a line whose
settings have changed does not find its old descriptor, opens anew, and the old one is closed.

What was read and not yet passed on never touches a disk: it travels in a memfd.
"""

from __future__ import annotations

import json
import os
import zlib

from agent.notify import notify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

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

    def close(self) -> list[str]:
        """Close what was not taken; returns the names."""
        names = list(self._descriptors)
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()
        return names


def received(descriptor: int | None) -> Kept:
    """What is there for this process: on `descriptor` after an exec, else what systemd hands over."""
    descriptors = _from_exec(descriptor) if descriptor is not None else _from_systemd()
    state = descriptors.pop(_STATE, None)
    return Kept(descriptors, _read(state) if state is not None else {})


def in_memory(body: dict[str, Any]) -> int:
    """A descriptor that gives this JSON, and no disk has it."""
    descriptor = os.memfd_create("tillwatch-handover", os.MFD_CLOEXEC)
    os.write(descriptor, json.dumps(body).encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


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

    __slots__ = ("_berths", "_kept", "_lasting", "_open", "_store")

    def __init__(self, kept: Kept, store: bool) -> None:
        """`store`: systemd keeps descriptors for us."""
        self._kept = kept
        self._store = store
        self._open: dict[str, int] = {}
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
        return self._kept.take(name)

    def put(self, name: str, descriptor: int, lasting: bool) -> None:
        """Leave it to the next process."""
        self._open[name] = descriptor
        if lasting and self._store:
            if name in self._lasting:
                notify(f"FDSTOREREMOVE=1\nFDNAME={name}")
            self._lasting.add(name)
            _deposit(name, descriptor)

    def drop(self, name: str) -> None:
        """Leave it no more."""
        self._open.pop(name, None)
        if name in self._lasting:
            self._lasting.discard(name)
            notify(f"FDSTOREREMOVE=1\nFDNAME={name}")

    def all_taken(self) -> list[str]:
        """Every line has taken what is its own: close the rest; returns the names of what nobody wanted."""
        left = self._kept.close()
        for name in (*left, _STATE) if self._store else ():
            notify(f"FDSTOREREMOVE=1\nFDNAME={name}")
        return left

    def deposit_state(self) -> None:
        """The last act before an orderly end: what is still in memory goes to the store, too."""
        if self._store:
            descriptor = in_memory(self._state())
            _deposit(_STATE, descriptor)
            os.close(descriptor)

    def exec(self, command: list[str], settings: dict[str, Any]) -> OSError:
        """Become the program of that command line, behind which two descriptors are named: settings and descriptors.

        Returns only when that failed.
        """
        state = in_memory(self._state())
        descriptors = self._open | {_STATE: state}
        ours = (in_memory(settings), in_memory(descriptors), state)
        inherited = (*ours, *self._open.values())
        for descriptor in inherited:
            os.set_inheritable(descriptor, True)
        try:
            os.execv(command[0], [*command, *map(str, ours[:2])])  # noqa: S606 (our own interpreter, no shell wanted)
        except OSError as error:
            for descriptor in inherited:
                os.set_inheritable(descriptor, False)
            for descriptor in ours:
                os.close(descriptor)
            return error

    def _state(self) -> dict[str, Any]:
        return {berth.name: berth.leaving() for berth in self._berths if berth.leaving is not None}


def _deposit(name: str, descriptor: int) -> None:
    """Without FDPOLL=0 systemd would throw a virtual port away that no application has open just now."""
    notify(f"FDSTORE=1\nFDNAME={name}\nFDPOLL=0", descriptor)


def _from_exec(descriptor: int) -> dict[str, int]:
    return {name: int(number) for name, number in _read(descriptor).items()}


def _from_systemd() -> dict[str, int]:
    """sd_listen_fds_with_names(3). The variables are ours alone and end here."""
    pid, count, names = (os.environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"))
    if pid != str(os.getpid()) or not count.isdigit():
        return {}
    given: dict[str, int] = {}
    for number, name in enumerate(names.split(":")[: int(count)], _FIRST_LISTEN_FD):
        if name in given:  # an older one of the same name; the store lists them in order
            os.close(given[name])
        given[name] = number
    return given


def _read(descriptor: int) -> dict[str, Any]:
    with open(descriptor, encoding="utf-8") as file:
        body: dict[str, Any] = json.load(file)
    return body
