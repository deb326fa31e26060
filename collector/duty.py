"""Work that comes round again and again beside the pages: alerts, the nightly reconciliation, retention, gaps.

A duty survives everything: what it raises is logged, and it comes round again at its time. That the database is away
is said in one line and not each time: each duty meets it, some of them each second.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod

from sqlalchemy.exc import InterfaceError, OperationalError

from agent.log import logger
from collector.ledger.engine import reason_of

_SAID = (1, 10, 100, 1000, 10_000)  # of failures in a row, these are told


class Duty(ABC):
    """A thread that calls `turn` each `every_s` seconds, and at once after `wake`."""

    name = "duty"

    def __init__(self, every_s: float) -> None:
        self.every_s = every_s
        self.log = logger(part=self.name)
        self.failures = 0  # in a row
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)

    @abstractmethod
    def turn(self) -> None:
        """Do what is due. May raise anything. Looks at `stopping` where it takes long."""

    @property
    def stopping(self) -> bool:
        """Whether the collector is ending: leave at the next good place."""
        return self._stopping.is_set()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """There is something to do now."""
        self._wake.set()

    def stop(self, within_s: float = 10.0) -> None:
        """End after the present turn."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(within_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            due = time.monotonic() + self.every_s
            try:
                self.turn()
                self.failures = 0
            except (OperationalError, InterfaceError) as error:  # away, full or locked: not a fault of ours
                self.failures += 1
                if self.failures in _SAID:
                    self.log.warning("duty.database_away", reason=reason_of(error), failures=self.failures)
            except Exception:
                self.failures += 1
                self.log.exception("duty.failed", failures=self.failures)
            self._wake.wait(max(0.0, due - time.monotonic()))
            self._wake.clear()
