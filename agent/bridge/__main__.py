"""`python -m agent.bridge FD`: the bridge process. Its settings come as JSON on the descriptor FD."""

from __future__ import annotations

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
from agent.bridge.hotplug import watch_plugs
from agent.bridge.line import Line
from agent.bridge.log import Log, complain
from agent.bridge.loop import IN, Loop
from agent.bridge.opener import Opener
from agent.bridge.ring import Ring
from agent.bridge.server import Server
from drivers.links.base import LinkError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_UNREACHABLE = 3


def main(descriptor: int) -> int:
    """Run until SIGTERM, SIGINT or `stop`; returns the exit code."""
    with open(descriptor, encoding="utf-8") as file:
        settings = json.load(file)
    log = Log(settings["log_level"], settings["log_format"])
    try:
        os.makedirs(settings["run_dir"], mode=0o750, exist_ok=True)
        lock = _lock(settings["run_dir"])
    except OSError as error:
        complain(f"run_dir {settings['run_dir']}: {error.strerror}. Create it and give it to the bridge's user.")
        return _UNREACHABLE
    if lock is None:
        complain(f"another bridge runs in {settings['run_dir']}. Stop it, or give this one its own run_dir.")
        return _UNREACHABLE
    try:
        return _serve(settings, log)
    except LinkError as error:
        complain(f"{error.detail}. Mend it and start again.")
        return _UNREACHABLE
    except OSError as error:
        complain(f"{error.filename or settings['run_dir']}: {error.strerror}.")
        return _UNREACHABLE


def _serve(settings: dict[str, Any], log: Log) -> int:
    loop = Loop()
    loop.on_defect = lambda error: log.say("error", "bridge.defect", type=type(error).__name__, at=_place(error))
    ring = Ring(settings["ring_bytes"])
    opener = Opener(loop)
    lines: dict[str, Line] = {}

    def stop() -> None:
        loop.running = False

    try:
        for index, line in enumerate(settings["lines"]):
            lines[line["name"]] = Line(loop, opener, ring, log, index, line)
        watch_plugs(loop, lines, log)
        about = _about(settings)
        server = Server(loop, ring, lines, log, os.path.join(settings["run_dir"], wire.SOCKET_NAME), about, stop)
        _catch_signals(loop, stop)
        gc.collect()
        gc.freeze()  # what lives now lives for ever; collections stay short
        _notify("READY=1")
        log.say("info", "bridge.ready", pid=os.getpid(), lines=",".join(lines), child=settings["child"])
        loop.run()
        server.close()
    finally:
        for opened in lines.values():
            opened.close()
    log.say("info", "bridge.stopped")
    return 0


def _place(error: Exception) -> str:
    """File and line only: the text of an error may hold bytes of the line."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace else "?"


def _about(settings: dict[str, Any]) -> dict[str, Any]:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot_id = file.read().strip()
    return {
        "version": __version__,
        "pid": os.getpid(),
        "since": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "ring": os.urandom(8).hex(),
        "boot_id": boot_id,
        "child": settings["child"],
        "digest": settings["digest"],
        "names": [line["name"] for line in settings["lines"]],
    }


def _lock(run_dir: str) -> int | None:
    """The right to be the bridge of this folder; the kernel takes it back when the process ends, however it does."""
    descriptor = os.open(os.path.join(run_dir, "bridge.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _catch_signals(loop: Loop, stop: Any) -> None:
    ours, wake = socket.socketpair()
    ours.setblocking(False)
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())
    loop.add(ours.fileno(), IN, lambda _events: _empty(ours))
    _KEPT.extend((ours, wake))


def _empty(ours: socket.socket) -> None:
    ours.recv(64)


_KEPT: list[socket.socket] = []  # closed sockets would take the wake-up away


def _notify(state: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
            try:
                connection.sendto(state.encode(), "\0" + address[1:] if address[0] == "@" else address)
            except OSError:
                return


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
