"""The selector loop: descriptors and timers, nothing else. The taps are served when the lines pause."""

from __future__ import annotations

import heapq
import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

IN = select.EPOLLIN
OUT = select.EPOLLOUT
EDGE = select.EPOLLET

MOST_DEFECTS = 100
#: a pause of the lines, and the longest time without one, after which the taps are served
CALM_S = 0.001
LONGEST_BEHIND_S = 0.01


class Loop:
    """Calls handlers until stopped. A handler that fails is reported, and the other lines go on."""

    __slots__ = ("_count", "_defects", "_epoll", "_handlers", "_timers", "behind", "catch_up", "on_defect", "running")

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = self._defects = 0
        self.behind: Callable[[], bool] = _never
        self.catch_up: Callable[[], None] = _nothing
        self.on_defect: Callable[[Exception], None] = _ignore
        self.running = True

    def add(self, descriptor: int, events: int, handler: Callable[[int], None]) -> None:
        """Watch a descriptor."""
        self._epoll.register(descriptor, events)
        self._handlers[descriptor] = handler

    def change(self, descriptor: int, events: int) -> None:
        """Watch it for something else."""
        self._epoll.modify(descriptor, events)

    def remove(self, descriptor: int) -> None:
        """Watch it no more. Call this before the descriptor is closed."""
        if self._handlers.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call once, after that time."""
        self._count += 1
        heapq.heappush(self._timers, (time.monotonic() + seconds, self._count, call))

    def run(self) -> None:
        """Until `running` is false."""
        while self.running:
            try:
                self._turns()
            except Exception as error:  # a defect of ours in one place must not stop every payment
                self._defects += 1
                self.on_defect(error)
                if self._defects >= MOST_DEFECTS:  # it does not get better: let a fresh process begin
                    raise

    def _turns(self) -> None:
        poll, handlers, timers = self._epoll.poll, self._handlers, self._timers
        behind_since = 0.0
        while self.running:
            patience = max(0.0, timers[0][0] - time.monotonic()) if timers else -1
            if behind_since and not 0 <= patience < CALM_S:
                patience = CALM_S
            ready = poll(patience)
            for descriptor, events in ready:
                handler = handlers.get(descriptor)
                if handler is not None:  # an earlier handler of this turn may have removed it
                    handler(events)
                    if not self.running:  # the lines may be another process's from this moment on
                        return
            while timers and self.running and timers[0][0] <= time.monotonic():
                heapq.heappop(timers)[2]()
            if not self.running:
                return
            # The bytes come first: who only listens is served when the lines pause, or has waited long enough.
            if not self.behind():
                behind_since = 0.0
            elif not ready or (behind_since and time.monotonic() - behind_since > LONGEST_BEHIND_S):
                self.catch_up()
                behind_since = 0.0
            elif not behind_since:
                behind_since = time.monotonic()


def _never() -> bool:
    return False


def _nothing() -> None:
    return


def _ignore(_error: Exception) -> None:
    return
