"""A service manager as systemd is to the bridge: hears its notifications, keeps its descriptors, starts it again.

Only what sd_notify(3) and sd_listen_fds(3) promise is used, so what works here works there. Real systemd is tried by
`make guest`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import struct
import threading
from array import array
from pathlib import Path
from typing import Any

from agent.bridge.child import command, settings_descriptor
from tests.waits import until

_HIGH = 500  # above every number that the service will find its descriptors at
_WRAPPER = 'export LISTEN_PID=$$; exec "$0" "$@"'


class Manager:
    """Runs one bridge as a service with a store of descriptors."""

    def __init__(self, folder: Path, settings: dict[str, Any], watchdog_usec: int | None = None) -> None:
        self.folder = folder
        self.settings = settings
        self.watchdog_usec = watchdog_usec
        self.said: list[str] = []
        self.refused: list[str] = []  # said by a process that is not the main one: systemd does not listen to it
        self.store: dict[str, int] = {}
        self.pid: int | None = None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._path = folder / "notify"
        self._socket.bind(str(self._path))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._hearing = threading.Lock()
        self._closing = threading.Event()
        self._reapers: list[threading.Thread] = []
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def start(self) -> None:
        """Start the service with everything that is in the store, and wait until it is ready."""
        ready = self.said.count("READY=1")
        names = list(self.store)
        environment = dict(os.environ) | {
            "NOTIFY_SOCKET": str(self._path),
            "TILLWATCH_FD_STORE": "1",
            "LISTEN_FDS": str(len(names)),
            "LISTEN_FDNAMES": ":".join(names),
        }
        if self.watchdog_usec:
            environment["WATCHDOG_USEC"] = str(self.watchdog_usec)
        given = [*self.store.values(), settings_descriptor(self.settings)]
        high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _HIGH) for descriptor in given]
        log = os.open(self.folder / "bridge.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
        actions = [(os.POSIX_SPAWN_DUP2, descriptor, 3 + place) for place, descriptor in enumerate(high)]
        actions.append((os.POSIX_SPAWN_DUP2, log, 2))
        words = ["/bin/sh", "-c", _WRAPPER, *command(3 + len(names))]
        with self._hearing:
            self.pid = os.posix_spawn(words[0], words, environment, file_actions=actions)
        for descriptor in (*high, given[-1], log):
            os.close(descriptor)
        self._until_ready(ready)

    def end(self, number: int = signal.SIGTERM) -> None:
        """Send a signal and wait for the end."""
        if self.pid is None:
            return
        process = os.pidfd_open(self.pid)
        signal.pidfd_send_signal(process, number)
        ended, _, _ = select.select([process], [], [], 30)
        os.close(process)
        assert ended, "it does not end; it said: " + self.log
        with contextlib.suppress(ChildProcessError):  # a successor is nobody's child
            os.waitpid(self.pid, 0)
        self._hear_out()
        self.pid = None

    def hang_up(self) -> None:
        """SIGHUP, and wait until the successor is ready."""
        assert self.pid is not None
        before = self.pid
        ready = self.said.count("READY=1")
        os.kill(self.pid, signal.SIGHUP)
        self._until_ready(ready)
        assert self.pid != before

    def _until_ready(self, before: int) -> None:
        try:
            until(lambda: self.said.count("READY=1") > before, 30)
        except AssertionError:
            raise AssertionError(f"{self.pid} is not ready; it said {self.said[-5:]} and {self.log}") from None

    @property
    def log(self) -> str:
        path = self.folder / "bridge.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            self.end(signal.SIGKILL)
        self._closing.set()
        self._listener.join()
        for reaper in self._reapers:
            reaper.join()
        self._socket.close()
        for descriptor in self.store.values():
            os.close(descriptor)
        self.store.clear()

    def _listen(self) -> None:
        while not self._closing.is_set():
            if select.select([self._socket], [], [], 0.02)[0]:
                with self._hearing:
                    data, ancillary, _, _ = self._socket.recvmsg(4096, 1024)
                    self._take(data, {kind: value for _, kind, value in ancillary})

    def _take(self, data: bytes, ancillary: dict[int, bytes]) -> None:
        sender = struct.unpack("3i", ancillary[socket.SCM_CREDENTIALS])[0]
        descriptors = array("i", ancillary.get(socket.SCM_RIGHTS, b"")).tolist()
        told = dict(line.split("=", 1) for line in data.decode().splitlines())
        if sender == self.pid:
            self._hear(told, descriptors)
        else:
            self.refused += told
            for descriptor in descriptors:
                os.close(descriptor)

    def _hear_out(self) -> None:
        """As systemd does: what the service has said before its end comes before its next start."""
        until(lambda: not select.select([self._socket], [], [], 0)[0])
        with self._hearing:
            return

    def _hear(self, told: dict[str, str], descriptors: list[int]) -> None:
        name = told.get("FDNAME", "")
        if successor := told.get("MAINPID"):
            self._succeeded_by(int(successor))
        if (told.get("FDSTORE") or told.get("FDSTOREREMOVE")) and (old := self.store.pop(name, None)) is not None:
            os.close(old)
        if told.get("FDSTORE"):
            self.store[name] = descriptors.pop()
        for descriptor in descriptors:
            os.close(descriptor)
        self.said += [f"{key}={value}" for key, value in told.items() if not key.startswith("FD")]

    def _succeeded_by(self, pid: int) -> None:
        old, self.pid = self.pid, pid
        assert old is not None
        reaper = threading.Thread(target=_reap, args=(old,))
        reaper.start()
        self._reapers.append(reaper)


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
