"""Carries what comes into the ledger to whoever listens: one reader of the ledger, any number of listeners.

The reader looks at the ledger when ingest in this process says so (hub), and each second for what another collector
stored. It reads by the time an event was received, a little back each time, because two collectors commit in any
order; a listener's own memory of what it had keeps each event single. A listener that does not keep up is dropped:
its browser or program comes back with the id of the last event it saw, and goes on from there out of the ledger.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType

from sqlalchemy.exc import SQLAlchemyError

from agent.log import logger
from collector.hub import Change, Hub
from collector.ledger import Clock, Ledger, lookup, microseconds
from collector.ledger.lookup import Kept

LOOK_EVERY_S = 1.0
BACK_US = 5_000_000  # how far apart collectors' clocks and commits may be
_AT_ONCE = 500
_WAITING = 2000  # events a listener may be behind
_REMEMBERED = 20_000
_GRACE_S = 60.0

Item = Kept | Change


@dataclass(eq=False, slots=True)
class Listener:
    """One stream's queue. `lost` is set when it did not keep up."""

    loop: asyncio.AbstractEventLoop
    queue: asyncio.Queue[tuple[Item, ...]] = field(default_factory=asyncio.Queue)
    waiting: int = 0
    lost: bool = False

    def give(self, items: tuple[Item, ...]) -> None:
        """From any thread."""
        self.loop.call_soon_threadsafe(self._put, items)

    def _put(self, items: tuple[Item, ...]) -> None:
        if self.waiting + len(items) > _WAITING:
            self.lost = True
            self.queue.put_nowait(())
            return
        self.waiting += len(items)
        self.queue.put_nowait(items)

    async def take(self) -> tuple[Item, ...]:
        """What came; nothing when `lost`."""
        items = await self.queue.get()
        self.waiting -= len(items)
        return items


Key = tuple[str, str, int]


class Memory:
    """The keys of the last events in the order they were given out, to give each once. Any thread."""

    def __init__(self, most: int = _REMEMBERED) -> None:
        self._most = most
        self._keys: OrderedDict[Key, None] = OrderedDict()
        self._lock = threading.Lock()

    def until(self, key: Key) -> list[Key]:
        """What was given out up to that one; nothing when it is not known (any more)."""
        with self._lock:
            if key not in self._keys:
                return []
            found = []
            for given in self._keys:
                found.append(given)
                if given == key:
                    break
            return found

    def know(self, keys: Iterable[Key]) -> None:
        """Take these as given out."""
        with self._lock:
            self._keys |= dict.fromkeys(keys)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._keys.clear()

    def fresh(self, events: Iterable[Kept]) -> list[Kept]:
        """Those that were not here before."""
        with self._lock:
            found = []
            for event in events:
                if event.key not in self._keys:
                    self._keys[event.key] = None
                    found.append(event)
            while len(self._keys) > self._most:
                self._keys.popitem(last=False)
            return found


class Live:
    """The reader. Started and stopped with the application."""

    def __init__(self, ledger: Ledger, hub: Hub, clock: Clock) -> None:
        self._ledger = ledger
        self._hub = hub
        self._clock = clock
        self.memory = Memory()
        self._listeners: set[Listener] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._log = logger(part="live")

    @property
    def listeners(self) -> int:
        """How many streams are open."""
        return len(self._listeners)

    @property
    def stopping(self) -> bool:
        """Whether the application is ending: streams end themselves."""
        return self._stopping.is_set()

    def __enter__(self) -> Live:
        self._thread = threading.Thread(target=self._run, name="live", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._thread is not None:
            self._thread.join(10)

    def stop(self) -> None:
        """End, and all streams with it."""
        self._stopping.set()
        self._wake.set()
        for listener in tuple(self._listeners):
            listener.give(())

    def join(self, listener: Listener) -> None:
        """From now on the listener gets what comes."""
        with self._lock:
            self._listeners.add(listener)
        self._wake.set()

    def leave(self, listener: Listener) -> None:
        """The stream ended."""
        with self._lock:
            self._listeners.discard(listener)

    def _run(self) -> None:
        with self._hub.listen(self._hear):
            since_us, wanted_at = microseconds(self._clock()) - BACK_US, time.monotonic()
            while not self._stopping.is_set():
                if self._listeners:
                    wanted_at = time.monotonic()
                # For a while after the last one left, too: who comes back at once goes on without a repetition.
                if time.monotonic() - wanted_at < _GRACE_S:
                    since_us = self._look(since_us)
                else:
                    self.memory.clear()
                    since_us = max(since_us, microseconds(self._clock()) - BACK_US)
                self._wake.wait(LOOK_EVERY_S)
                self._wake.clear()

    def _look(self, since_us: int) -> int:
        """Give out what is new; returns where to look from next time."""
        newest, place = since_us + BACK_US, (since_us, ("", "", 0))
        try:
            while not self._stopping.is_set():
                with self._ledger.read() as connection:
                    events = lookup.received_since(connection, place[0], _AT_ONCE, place[1])
                if fresh := self.memory.fresh(events):
                    self._give(tuple(fresh))
                if events:
                    newest = max(newest, events[-1].received_us)
                    place = events[-1].received_us, events[-1].key
                if len(events) < _AT_ONCE:
                    break
        except SQLAlchemyError as error:
            self._log.warning("live.ledger_away", reason=str(error.__cause__ or error).splitlines()[0])
            return since_us
        return newest - BACK_US

    def _hear(self, changes: tuple[Change, ...]) -> None:
        others = tuple(change for change in changes if "." not in change.type)  # events come out of the ledger
        if others:
            self._give(others)
        self._wake.set()

    def _give(self, items: tuple[Item, ...]) -> None:
        for listener in tuple(self._listeners):
            listener.give(items)
