"""Tells whoever listens in this process that something in the ledger changed: ingest says it, live pages hear it.

A change names what to look at again, it does not carry it; so losing one costs a page nothing but a moment. Listeners
are called in the thread of whoever publishes and must return at once (`loop.call_soon_threadsafe`, a queue).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType

from agent.log import logger


@dataclass(frozen=True, slots=True)
class Change:
    """What changed. `kind`: transaction, receipt, settlement, terminal, agent, case, refusal … `key`: its id.

    `type`: the event's type where an event changed it. `time_us`: when the event was, or when it was noticed.
    """

    kind: str
    key: str
    type: str = ""
    site: str = ""
    agent: str = ""
    time_us: int = 0


Listener = Callable[[tuple[Change, ...]], None]


class Hub:
    """Hands changes to listeners. Any thread may publish, listen and leave."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: tuple[Listener, ...] = ()
        self._log = logger(part="hub")

    def listen(self, listener: Listener) -> AbstractContextManager[None]:
        """Have `listener` called with each batch of changes until the block ends."""
        return _Listening(self, listener)

    def publish(self, changes: Iterable[Change]) -> None:
        """Tell everybody. A listener that raises is logged, and disturbs nobody."""
        batch = tuple(changes)
        if not batch:
            return
        for listener in self._listeners:
            try:
                listener(batch)
            except Exception:  # noqa: BLE001 (somebody else's; ingest must go on)
                self._log.exception("hub.listener_failed")

    @property
    def listeners(self) -> int:
        """How many there are."""
        return len(self._listeners)

    def _join(self, listener: Listener) -> None:
        with self._lock:
            self._listeners = (*self._listeners, listener)

    def _leave(self, listener: Listener) -> None:
        with self._lock:
            self._listeners = tuple(other for other in self._listeners if other is not listener)


class _Listening(AbstractContextManager[None]):
    def __init__(self, hub: Hub, listener: Listener) -> None:
        self._hub = hub
        self._listener = listener

    def __enter__(self) -> None:
        self._hub._join(self._listener)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hub._leave(self._listener)
