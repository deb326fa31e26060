"""A folder as a link: files that a cashier application and its DLL leave for each other, heard as they are written.

Some payment software never shows a line: the application writes a request file, a DLL or a service answers in a result
file. `file:PATH` hears such files; the name may hold `*`, and then each file of that folder that fits is heard. Each
time a file was written and stands still, its whole content is what was said. What was there before counts as heard.

It only listens: nothing is ever written to a file, and bytes for this link go nowhere. A folder has no descriptor that
tells of whole writes on every kind of disk (a share of another PC among them), so a thread looks, POLL_S apart.
"""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from fnmatch import fnmatchcase

from drivers.links.base import NOT_FOUND, LinkError, reason_of

POLL_S = 0.1
#: bytes of one file; a longer one is no message
MOST_BYTES = 65536
#: files of the folder that are known at a time; of more, those with the first names
MOST_FILES = 1000

_LEAVE_S = 1.0  # so long a look at a slow share may take

#: what tells that a file was written anew: its inode, its time in nanoseconds, its size
Stamp = tuple[int, int, int]


class WatchedLink:
    """The files of one folder that fit. `fileno` is non-blocking."""

    def __init__(self, folder: str, name: str, heard: dict[str, Stamp] | None = None) -> None:
        """`heard`: what another process had heard when it left; without it, all that is there."""
        self.ended: str | None = None
        self._folder = folder
        self._name = name
        there = self._stamps()  # raises OSError where the folder can't be read
        self._heard = there if heard is None else heard
        self._moving: dict[str, Stamp] = {}
        self._closing = threading.Event()
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="watched", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def fileno(self) -> int:
        """The descriptor."""
        return self._near.fileno()

    def unsent(self) -> int:
        """Nothing: it only listens."""
        return 0

    def close(self) -> None:
        """Look no more."""
        self._closing.set()
        self._near.close()

    def leave(self) -> dict[str, Stamp]:
        """Look no more; returns what was heard, for a process that goes on with it. What was said can still be read."""
        self._closing.set()
        self._thread.join(_LEAVE_S)
        return dict(self._heard)

    def _run(self) -> None:
        try:
            while not self._closing.wait(POLL_S):
                self._forget_what_was_written()
                for name, stamp in self._settled():
                    self._far.sendall(_content(os.path.join(self._folder, name)))
                    self._heard[name] = stamp
        except OSError as error:
            self.ended = f"{self._folder}: {error.strerror or error}"
        finally:
            self._far.close()

    def _settled(self) -> list[tuple[str, Stamp]]:
        """The files that were written since they were heard, and have stood still since the last look; oldest first."""
        now = self._stamps()
        fresh = {name: stamp for name, stamp in now.items() if self._heard.get(name) != stamp}
        done = [name for name, stamp in fresh.items() if self._moving.get(name) == stamp and stamp[2]]
        self._moving = fresh
        self._heard = {name: stamp for name, stamp in self._heard.items() if name in now}
        return [(name, now[name]) for name in sorted(done, key=lambda name: (now[name][1], name))]

    def _stamps(self) -> dict[str, Stamp]:
        found: dict[str, Stamp] = {}
        with os.scandir(self._folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if fnmatchcase(entry.name, self._name) and len(found) < MOST_FILES:
                    with suppress(FileNotFoundError):  # taken away meanwhile
                        if entry.is_file():
                            status = entry.stat()
                            found[entry.name] = (status.st_ino, status.st_mtime_ns, status.st_size)
        return found

    def _forget_what_was_written(self) -> None:
        with suppress(BlockingIOError):
            while self._far.recv(MOST_BYTES, socket.MSG_DONTWAIT):
                continue


def _content(path: str) -> bytes:
    """What stands in the file; nothing when it is gone, or is no message."""
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return b""
    return data if len(data) <= MOST_BYTES else b""


def open_watched(path: str, heard: dict[str, list[int]] | None = None) -> WatchedLink:
    """Listen to `FOLDER/NAME`; `heard` is what `leave` has returned elsewhere, as JSON gives it.

    Raises LinkError: not_found when there is no such folder, denied.
    """
    folder, name = os.path.split(path)
    try:
        known = None if heard is None else {file: (stamp[0], stamp[1], stamp[2]) for file, stamp in heard.items()}
        link = WatchedLink(folder, name, known)
    except OSError as error:
        reason = reason_of(error.errno)
        if isinstance(error, NotADirectoryError):
            reason = NOT_FOUND
        raise LinkError(reason, f"{folder}: {error.strerror}") from error
    link.start()
    return link
