"""The agent's way to its bridge: finds the one that runs or starts its own, and finds the next one when it has ended.

Three kinds of bridge are met: our own child; a child that another agent has left behind, which is taken over; and a
service of the service manager, which is waited for and never started from here. What passed on the lines is not read
here, only handed on (daemon.py): this file knows whether there is somebody to read from.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import tenacity

from agent.bridge import wire
from agent.bridge.child import spawn_bridge, stop_bridge
from agent.bridge.settings import bridge_settings, digest
from agent.config import Config
from agent.confirm import Confirmer
from agent.engine import Engine
from agent.errors import UnreachableError
from agent.log import Logger
from agent.payments import At, State
from agent.reconfigure import restart_service
from agent.schedule import wait_of
from agent.tap import Message, Record, Tap

_BRIDGE = "TILLWATCH_BRIDGE"  # "service": set by the agent's unit
SUCCESSOR_S = 5.0  # so long a bridge that is a service may take to come back before its lines count as lost
_RETRY = tenacity.wait_exponential(multiplier=0.1, max=5)


class Reach:
    """A tap on the bridge, as often as it ends. `on_readable` is called in the loop when there is something to read.

    `engine` gives the engine of the moment: a disk that failed brings a new one.
    """

    def __init__(
        self,
        config: Config,
        selector: selectors.BaseSelector,
        engine: Callable[[], Engine],
        confirmer: Confirmer,
        now: Callable[[], At],
        log: Logger,
    ) -> None:
        self._config = config
        self._selector = selector
        self._engine = engine
        self._confirmer = confirmer
        self._now = now
        self._log = log
        self._tap: Tap | None = None
        self._caught_up_at = 0
        self._tries = 0
        self._due = 0.0
        self._lost_due: float | None = None  # a bridge that has ended is given up then
        self._child = self._restarted = False
        #: the bridge is a service of its own: whatever becomes of it, it is waited for and never started from here
        self._service = os.environ.get(_BRIDGE) == "service"
        self._process: subprocess.Popen[bytes] | None = None  # the child that we started; a taken-over one is not ours
        self.on_readable: Callable[[], None] = _nothing

    # --- for the loop ---

    def first(self) -> None:
        """Before the loop begins. Raises UnreachableError when there is no bridge and none can be started."""
        self._reach(first=True)

    def look(self) -> None:
        """Give a bridge up whose time is over, and try to reach one when that is due. Raises JournalError."""
        now = time.monotonic()
        if self._lost_due is not None and now >= self._lost_due:
            self._tell_lost()
        if self._tap is None and now >= self._due:
            self._reach()

    def soon(self) -> None:
        """Try again with the next `look`."""
        self._due = time.monotonic()

    def waits_s(self) -> list[float]:
        """In how many seconds `look` has something to do."""
        if self._tap is not None:
            return []
        dues = [self._due] if self._lost_due is None else [self._due, self._lost_due]
        return [due - time.monotonic() for due in dues]

    # --- what is there ---

    def is_live(self) -> bool:
        """Whether all that passed before now has been read: only then does silence mean something."""
        return self._tap is not None and self._engine().consumed >= self._caught_up_at

    def is_new(self, record: Record) -> bool:
        """Whether that passed after we had reached this bridge."""
        return record.offset >= self._caught_up_at

    def receive(self) -> list[Message]:
        """What is there to be read now. Raises UnreachableError when the bridge has ended: `lose` it then."""
        return self._tap.receive() if self._tap is not None else []

    # --- the ends ---

    def lose(self) -> None:
        """The tap has ended. The same bridge may still be there; if not, nobody carries bytes."""
        self.drop()
        ring = self._engine().ring
        tap = _connect(self._config.agent.run_dir)
        alive = tap is not None and tap.hello.ring == ring
        if tap is not None:
            tap.close()
        self._reap()  # it may have become its successor, which is nobody's child
        if not alive:
            self._log.error("bridge.lost", child=self._child)
            # systemd starts a service again within a moment, with the same lines and ring: then nothing is lost.
            self._lost_due = time.monotonic() + (SUCCESSOR_S if self._service else 0)
        self.soon()

    def drop(self) -> None:
        """Leave the bridge; it goes on without us."""
        if self._tap is not None:
            self._selector.unregister(self._tap.fileno())
            self._tap.close()
            self._tap = None
            self._confirmer.disconnected()

    def stop(self) -> None:
        """End a bridge that is our own."""
        if self._child:
            stop_bridge(self._config.agent.run_dir)
            self._reap()

    # --- reaching ---

    def _reach(self, first: bool = False) -> None:
        """Connect to the running bridge, or start one as our child."""
        try:
            self._begin(self._find() or self._start())
        except UnreachableError as error:
            if first and not self._service:
                raise
            self._tries += 1
            self._due = time.monotonic() + wait_of(_RETRY, self._tries)
            self._log.error("bridge.unreachable", detail=str(error), attempt=self._tries)

    def _find(self) -> Tap | None:
        """The bridge that runs, when it has our lines or must be taken with those that it has."""
        tap = _connect(self._config.agent.run_dir)
        if tap is None or tap.hello.digest == digest(bridge_settings(self._config, child=True)["lines"]):
            return tap
        return self._replace_outdated(tap) if tap.hello.child else self._restart_outdated(tap)

    def _start(self) -> Tap:
        run_dir = self._config.agent.run_dir
        if self._service:
            raise UnreachableError("bridge.unreachable", path=run_dir / wire.SOCKET_NAME)
        self._process = spawn_bridge(bridge_settings(self._config, child=True))
        return Tap.connect(run_dir)

    def _begin(self, tap: Tap) -> None:
        """Read on from this bridge where the journal says that we were."""
        hello, engine = tap.hello, self._engine()
        self._child, self._service = hello.child, not hello.child
        try:
            if self._lost_due is not None and hello.ring != engine.ring:
                self._tell_lost()
            at = engine.begin(hello.ring, hello.oldest, self._now())
            tap.request("tap", **{"from": at})
        except BaseException:
            tap.close()
            raise
        self._tap, self._caught_up_at, self._tries, self._lost_due = tap, hello.next, 0, None
        self._confirmer.connected(tap.request)
        self._selector.register(tap.fileno(), selectors.EVENT_READ, self.on_readable)
        self._log.info("bridge.connected", pid=hello.pid, child=hello.child, ring=hello.ring)

    def _replace_outdated(self, tap: Tap) -> Tap | None:
        """A child bridge left by an agent with another configuration: end it, unless a payment is under way."""
        if any(watcher.book.state is State.OPEN for watcher in self._engine().watchers.values()):
            self._log.warning(
                "bridge.outdated", detail="a payment is under way; restart the agent to take the new settings"
            )
            return tap
        self._log.info("bridge.replaced", detail="its configuration has changed")
        tap.close()
        stop_bridge(self._config.agent.run_dir)
        return None

    def _restart_outdated(self, tap: Tap) -> Tap | None:
        """A service whose lines are not those of the fleet's configuration: once, have systemd start it anew."""
        if self._config.fleet_version is None or self._restarted:
            return tap
        self._restarted = True
        if not restart_service(tap.hello.pid):
            self._log.warning("bridge.outdated", detail="restart tillwatch-bridge to take the new settings")
            return tap
        self._log.info("bridge.restarted", detail="its configuration has changed")
        tap.close()
        self._service = True
        return None

    def _tell_lost(self) -> None:
        self._lost_due = None
        self._engine().bridge_lost(self._now())

    def _reap(self) -> None:
        """When our child has ended, let the kernel forget it."""
        if self._process is not None and self._process.poll() is not None:
            self._process = None


def _connect(run_dir: Path) -> Tap | None:
    """A tap on the bridge that runs there, or None when none does."""
    try:
        return Tap.connect(run_dir)
    except UnreachableError:
        return None


def _nothing() -> None:
    return
