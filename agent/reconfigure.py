"""When the agent takes a new configuration of the fleet: at a moment when nothing is under way.

The agent ends itself and begins anew in the same process; the bridge goes on. A bridge of our own is replaced by the
new agent when its lines have changed, as after any change of the configuration. A bridge that is a systemd service is
ended then, and systemd starts it again at once with the lines that did not change still open (decision 20).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable
from pathlib import Path

from agent.payments import At, Book

QUIET_S = 5.0
#: a line that is never so quiet (an application that asks for the state each second) is not waited for any longer
PATIENCE_S = 900.0
LOOK_S = 1.0
_S = 1_000_000_000


class Reconfigure:
    """Whether a new configuration waits. Set from any thread."""

    def __init__(self) -> None:
        self._wanted = threading.Event()
        self._since_mono_ns: int | None = None

    def want(self) -> None:
        """Another configuration is in force: take it as soon as it hurts nobody."""
        self._wanted.set()

    @property
    def wanted(self) -> bool:
        """Whether one waits."""
        return self._wanted.is_set()

    def may_now(self, books: Iterable[Book], asking: bool, now: At) -> bool:
        """Whether the moment is quiet: no exchange under way, nothing being asked, no frame for some seconds."""
        if not self.wanted:
            return False
        if self._since_mono_ns is None:
            self._since_mono_ns = now.mono_ns
        patient = now.mono_ns - self._since_mono_ns < PATIENCE_S * _S
        return not asking and not any(book.busy or (patient and _heard_of_late(book, now)) for book in books)


def _heard_of_late(book: Book, now: At) -> bool:
    heard = book.last_frame_wall_ns
    return heard is not None and 0 <= now.wall_ns - heard < QUIET_S * _S


def restart_service(pid: int, proc: Path = Path("/proc")) -> bool:
    """End the bridge's process where systemd starts it again at once; False where nobody would."""
    try:
        group = (proc / str(pid) / "cgroup").read_text(encoding="utf-8")
        if not group.strip().endswith("/tillwatch-bridge.service"):
            return False
        os.kill(pid, signal.SIGTERM)
    except OSError:
        return False
    return True
