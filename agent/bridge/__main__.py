"""`python -m agent.bridge FD [BRIDGE]`: the bridge process. Its settings come as JSON on the descriptor FD.

BRIDGE is a descriptor, too: it leads to the running bridge that this one succeeds (takeover.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import signal
import socket
import sys
import time

from agent import __version__
from agent.bridge import wire
from agent.bridge.handover import Berth, Berths, digest, received
from agent.bridge.hotplug import watch_plugs
from agent.bridge.line import Line
from agent.bridge.log import Log
from agent.bridge.loop import IN, Loop
from agent.bridge.opener import Opener, load
from agent.bridge.ring import Ring
from agent.bridge.server import Server
from agent.bridge.successor import HELD_BACK, POLL_S, Successor
from agent.bridge.takeover import Takeover, Unwanted
from agent.notify import Watchdog, notify
from drivers.links.base import LinkError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_UNREACHABLE = 3
_STORE = "TILLWATCH_FD_STORE"  # set by the unit, with FileDescriptorStoreMax


def main(descriptor: int, bridge: int | None = None) -> int:
    """Run until SIGTERM, SIGINT, `stop`, or until a successor has taken over; returns the exit code."""
    with open(descriptor, encoding="utf-8") as file:
        settings = json.load(file)
    log = Log(settings["log_level"], settings["log_format"])
    takeover = None if bridge is None else Takeover(socket.socket(fileno=bridge))
    try:
        if takeover is not None:
            takeover.detach()
            for line in settings["lines"]:
                load(line["device"])
                load(line["cashier"])
        gc.collect()  # now, while nobody waits
        store = "NOTIFY_SOCKET" in os.environ and os.environ.get(_STORE) == "1"
        berths = Berths(received(takeover), store)
    except Unwanted:
        return 0
    try:
        os.makedirs(settings["run_dir"], mode=0o750, exist_ok=True)
        locked = _lock(settings["run_dir"], berths.berth("lock"))
    except OSError as error:
        return _refuse(settings, "run_dir_refused", path=settings["run_dir"], detail=error.strerror)
    if not locked:
        return _refuse(settings, "another", path=settings["run_dir"])
    try:
        return _serve(settings, log, berths, takeover)
    except LinkError as error:
        return _refuse(settings, "line_refused", detail=error.detail)
    except OSError as error:
        return _refuse(settings, "place_refused", path=error.filename or settings["run_dir"], detail=error.strerror)


def _refuse(settings: dict[str, Any], key: str, **facts: object) -> int:
    """One line before the end, in the language of the configuration."""
    from agent.texts import Texts  # only where somebody has to read something

    sys.stderr.write(f"tillwatch: {Texts(settings.get('language', 'en')).say(f'bridge.{key}', **facts)}\n")
    return _UNREACHABLE


def _serve(settings: dict[str, Any], log: Log, berths: Berths, takeover: Takeover | None) -> int:
    loop = Loop()
    loop.on_defect = lambda error: log.say("error", "bridge.defect", type=type(error).__name__, at=_place(error))
    ring = _ring(settings, berths.berth("ring"))
    opener = Opener(loop)
    lines: dict[str, Line] = {}
    ours_to_close = takeover is None and not berths.stored
    try:
        for index, line in enumerate(settings["lines"]):
            lines[line["name"]] = Line(loop, opener, ring, log, berths, index, line)
        watch_plugs(loop, lines, log)
        about = _about(settings, ring.identity)
        path = os.path.join(settings["run_dir"], wire.SOCKET_NAME)

        def stop() -> None:
            """A terminal that is being asked gets its end, and the application's bytes that wait for that go out."""
            if server.end_leases("stopping"):
                loop.running = False
            else:
                loop.later(POLL_S, stop)

        server = Server(loop, ring, lines, log, path, about, stop, berths.berth("socket"))
        successor = Successor(loop, server, berths, settings, log)
        _catch_signals(loop, stop, successor.prepare)
        gc.freeze()  # what lives now lives for ever; collections stay short
        if takeover is not None:
            takeover.confirm()
            ours_to_close = not berths.stored
        _begin(loop, log, berths, settings, lines)
        loop.run()
        if successor.gone:  # all of it is another process's
            ours_to_close = False
            return 0
        successor.abandon()
        server.flush()
        if berths.stored:  # whoever is started next finds the lines open; a stop for good closes them with the store
            for opened in lines.values():
                opened.release()
            berths.deposit_state()
        server.close()
    finally:
        if ours_to_close:
            for opened in lines.values():
                opened.close()
    log.say("info", "bridge.stopped")
    return 0


def _begin(loop: Loop, log: Log, berths: Berths, settings: dict[str, Any], lines: dict[str, Line]) -> None:
    """From here on this process passes bytes."""
    with contextlib.suppress(OSError):  # a folder that is not ours to write to
        _remove_old_ports(settings["run_dir"], settings["lines"], berths.ports_left())
    for name in berths.all_taken():
        log.say("info", "bridge.not_taken_over", descriptor=name)
    _begin_watchdog(loop)
    notify("READY=1")
    log.say("info", "bridge.ready", pid=os.getpid(), lines=",".join(lines), child=settings["child"])


def _ring(settings: dict[str, Any], berth: Berth) -> Ring:
    """The ring of the process before, when it holds the same lines; else a new one."""
    lines = digest([line["name"] for line in settings["lines"]])
    kept = berth.take()
    if kept is not None and not Ring.fits(kept, settings["ring_bytes"], lines):
        os.close(kept)
        kept = None
    ring = Ring(settings["ring_bytes"], lines, kept)
    berth.put(ring.descriptor)
    return ring


def _remove_old_ports(run_dir: str, lines: list[dict[str, Any]], left: set[str]) -> None:
    """Links of lines that are configured no more: to a port that was `left`, to another terminal's, or to nowhere.

    A link to any other pty stays: it may be somebody else's, a simulated terminal's for one.
    """
    folder = os.path.realpath(run_dir)
    present = {os.path.join(folder, os.path.basename(line["cashier"])) for line in lines}
    ours = left | {os.readlink(path) for path in present if os.path.islink(path)}
    for entry in os.scandir(folder):
        if not entry.is_symlink() or entry.path in present:
            continue
        target = os.readlink(entry.path)
        if target.startswith("/dev/pts/") and (target in ours or not os.path.exists(target)):
            os.unlink(entry.path)


def _begin_watchdog(loop: Loop) -> None:
    """systemd hears from the loop itself: when bytes are not passed on any more, it starts us again."""
    watchdog = Watchdog()
    every_s = watchdog.every_s
    if every_s is None:
        return

    def bark() -> None:
        watchdog.alive()
        loop.later(every_s, bark)

    bark()


def _place(error: Exception) -> str:
    """File and line only: the text of an error may hold bytes of the line."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace else "?"


def _about(settings: dict[str, Any], ring: str) -> dict[str, Any]:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot_id = file.read().strip()
    return {
        "version": __version__,
        "pid": os.getpid(),
        "since": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "ring": ring,
        "boot_id": boot_id,
        "child": settings["child"],
        "digest": settings["digest"],
        "names": [line["name"] for line in settings["lines"]],
    }


def _lock(run_dir: str, berth: Berth) -> bool:
    """The right to be the bridge of this folder; the kernel takes it back when the process ends, however it does."""
    descriptor = berth.take()
    if descriptor is None:
        descriptor = os.open(os.path.join(run_dir, "bridge.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
    berth.put(descriptor, lasting=False)
    return True


def _catch_signals(loop: Loop, stop: Callable[[], None], hand_over: Callable[[], None]) -> None:
    ours, wake = socket.socketpair()
    ours.setblocking(False)
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.later(0, stop))
    signal.signal(signal.SIGHUP, lambda *_: loop.later(0, hand_over))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)
    loop.add(ours.fileno(), IN, lambda _events: _empty(ours))
    _KEPT.extend((ours, wake))


def _empty(ours: socket.socket) -> None:
    ours.recv(64)


_KEPT: list[socket.socket] = []  # closed sockets would take the wake-up away


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
