"""The agent's composition root: builds every part, feeds the tap to the engine, ends cleanly.

One selector loop owns the tap, the engine, the journal and the local socket; the publisher has its own thread. Three
things may fail while payments go on, and each is met by trying again with growing pauses: the bridge (reach.py), the
journal's disk (here: everything is built anew from what is durable), the broker (publish.py).
"""

from __future__ import annotations

import queue
import selectors
import signal
import socket
import time
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tenacity

from agent import __version__
from agent.bridge import wire
from agent.config import Config
from agent.confirm import Confirmer
from agent.control import ControlServer
from agent.engine import Engine
from agent.enroll.identity import Identity
from agent.errors import JournalError, UnreachableError
from agent.events import AgentData, Draft, EventType, timestamp
from agent.hooks import Hooks
from agent.jobs import Jobs
from agent.journal import Journal
from agent.log import LEVELS, Logger, change_level, logger
from agent.notify import Watchdog, notify
from agent.payments import At, Book
from agent.publish import Publisher
from agent.reach import Reach
from agent.reconfigure import LOOK_S, Reconfigure
from agent.schedule import wait_of
from agent.status import Status
from agent.tap import Gap, Message, Record, Told
from agent.terminals import asker_of, watcher_of

if TYPE_CHECKING:
    from agent.enroll.fleet_watch import FleetWatch
    from agent.enroll.keeper import Keeper

DRAIN_S = 3.0
PRUNE_EVERY_S = 3600.0
KEEP_DAYS = 90
KEEP_EVENTS = 20_000  # whatever their age: some weeks of a busy window
_LONGEST_SLEEP_S = 60.0
_CALL_S = 5.0  # so long the broker's thread waits for the loop
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_DISK_RETRY = tenacity.wait_exponential(multiplier=1, max=30)


class Daemon:
    """One agent, from start to stop."""

    def __init__(self, config: Config, log: Logger) -> None:
        self._config = config
        self._log = log
        self._since = timestamp(time.time_ns())
        self._selector = selectors.DefaultSelector()
        self._stopping = False
        #: ended to be started again, with another configuration
        self.again = False
        self._watchdog = Watchdog()
        self._rebuilding = False
        self._prune_due = 0.0
        self._publisher: Publisher | None = None
        self._calls: queue.SimpleQueue[tuple[str, Future[str]]] = queue.SimpleQueue()
        self._wake: socket.socket | None = None
        self._jobs = Jobs(config.path)
        self._reconfigure = Reconfigure()
        self._fleet: FleetWatch | None = None
        self._keeper = self._build_keeper()
        self._engine = self._build_engine()
        heard = {name: watcher.book.heard for name, watcher in self._engine.watchers.items()}
        found = (asker_of(terminal, heard[terminal.name]) for terminal in config.terminals)
        askers = [asker for asker in found if asker is not None]
        self._confirmer = Confirmer(askers, lambda: self._engine, log)
        self._reach = Reach(config, self._selector, lambda: self._engine, self._confirmer, _now, log)
        self._reach.on_readable = self._read_tap

    def run(self) -> int:
        """Run until SIGTERM or SIGINT. Raises TillwatchError when it can't start."""
        wake = self._catch_signals()
        status = Status(self._config, self._since, lambda: self._engine)
        status.configuration = self._fleet.report if self._fleet else None
        answers = {"status": lambda _: status.answer(), "confirm": self._confirm_for_a_person}
        control = ControlServer(self._config.agent.run_dir, self._selector, answers)
        self._publisher = self._build_publisher(status)
        self._tell(EventType.AGENT_STARTED)
        if self._publisher:
            self._publisher.start()
        self._reach.first()
        if self._keeper:
            self._keeper.start()
        notify("READY=1")
        self._log.info("agent.ready", terminals=[t.name for t in self._config.terminals])
        try:
            while not self._stopping:
                self._turn()
        finally:
            if not self.again:
                notify("STOPPING=1")
            self._stop(control, wake)
        return 0

    # --- building ---

    def _build_engine(self) -> Engine:
        agent = self._config.agent
        journal = Journal(agent.state_dir, agent.site, agent.id)
        try:
            books = journal.books()
            watchers = {t.name: watcher_of(t, books.get(t.name, Book()), self._heard) for t in self._config.terminals}
            engine = Engine(journal, watchers, self._committed)
            engine.booted(_BOOT_ID.read_text(encoding="ascii").strip(), _now())
        except JournalError:
            journal.close()
            raise
        return engine

    def _build_keeper(self) -> Keeper | None:
        state_dir = self._config.agent.state_dir
        if not Identity.below(state_dir).folder.exists():
            return None
        from agent.enroll.fleet_watch import FleetWatch  # HTTP takes memory: only where a PC was enrolled
        from agent.enroll.keeper import keeper_of

        self._fleet = FleetWatch(self._config, self._want_anew, self._log)
        return keeper_of(state_dir, self._fleet.look, self._log)

    def _build_publisher(self, status: Status) -> Publisher | None:
        if self._config.mqtt is None:
            return None
        hooks = Hooks(
            state=status.message,
            metrics=status.metrics,
            log_level=_set_level,
            confirm=self._confirm_remotely,
            job=self._jobs.start,
        )
        journal = self._engine.journal
        publisher = Publisher(self._config.mqtt, journal.source, journal.path, hooks, logger())
        status.publisher = publisher
        return publisher

    def _catch_signals(self) -> socket.socket:
        ours, wake = socket.socketpair()
        ours.setblocking(False)
        wake.setblocking(False)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._selector.register(ours, selectors.EVENT_READ, lambda: ours.recv(64))
        self._wake = wake
        return wake

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._stopping = True

    # --- the loop ---

    def _turn(self) -> None:
        self._poll(self._patience())
        now = time.monotonic()
        try:
            self._reach.look()
            self._answer_calls()
            if self._reach.is_live():
                self._engine.tick(_now())
                self._ask()
            else:
                self._engine.waited(_now())
            self._begin_anew()
            if now >= self._prune_due:
                self._prune_due = now + PRUNE_EVERY_S
                self._engine.journal.prune(time.time_ns() - KEEP_DAYS * 86_400_000_000_000, KEEP_EVENTS)
        except JournalError as error:
            self._rebuild(error)

    def _poll(self, seconds: float) -> None:
        self._watchdog.alive()
        for key, _ in self._selector.select(seconds):
            key.data()

    def _patience(self) -> float:
        """How long the loop may sleep."""
        if self._stopping:
            return 0
        waits = [self._watchdog.every_s or _LONGEST_SLEEP_S, *self._reach.waits_s()]
        if self._reconfigure.wanted:
            waits.append(LOOK_S)
        if self._reach.is_live():
            now = time.monotonic()
            dues = (self._engine.deadline_mono_ns(), self._confirmer.deadline_mono_ns())
            waits += [due / 1e9 - now for due in dues if due is not None]
        return max(0.0, min(waits))

    def _want_anew(self) -> None:
        """In the keeper's thread."""
        self._reconfigure.want()
        if self._wake is not None:
            self._wake.send(b"\0")

    def _begin_anew(self) -> None:
        """Where another configuration waits and nothing is under way: end, and be started again with it."""
        books = [watcher.book for watcher in self._engine.watchers.values()]
        if self._reconfigure.may_now(books, not self._confirmer.idle, _now()):
            self.again = self._stopping = True

    def _read_tap(self) -> None:
        try:
            messages = self._reach.receive()
            self._converse(messages)
        except UnreachableError:
            self._reach.lose()
            return
        records = [message for message in messages if isinstance(message, Record)]
        try:
            for message in messages:
                if isinstance(message, Gap):
                    self._log.warning("tap.gap", missed_from=message.start, to=message.end)
                    self._engine.gap(message.end, _now())
            if records:
                self._engine.take(records)
        except JournalError as error:
            self._rebuild(error)

    # --- asking terminals ---

    def _converse(self, messages: list[Message]) -> None:
        """Answers of a terminal that is being asked come before all else: somebody may wait for the line."""
        for message in messages:
            if isinstance(message, Told):
                self._confirmer.told(message.body, _now())
            elif isinstance(message, Record) and message.kind == wire.REPLY and self._reach.is_new(message):
                self._confirmer.heard(message.line, message.payload)

    def _ask(self) -> None:
        try:
            self._confirmer.poll(_now())
        except UnreachableError:
            self._reach.lose()

    def _confirm_for_a_person(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"confirm": self._ask_now(str(asked.get("transaction")), asked.get("anyway") is True)}

    def _ask_now(self, transaction: str, anyway: bool = False) -> str:
        try:
            return self._confirmer.ask_now(transaction, _now(), anyway)
        except JournalError as error:
            self._rebuild(error)
            return "busy"

    def _confirm_remotely(self, transaction: str) -> str:
        """As asked over MQTT, in that thread: the loop does it, and tells whether the terminal is asked."""
        answer: Future[str] = Future()
        self._calls.put((transaction, answer))
        if self._wake is not None:
            self._wake.send(b"\0")
        try:
            return answer.result(_CALL_S)
        except TimeoutError:
            return "busy"

    def _answer_calls(self) -> None:
        while not self._calls.empty():
            transaction, answer = self._calls.get()
            answer.set_result(self._ask_now(transaction))

    def _heard(self, name: str, protocol: str) -> None:
        """A terminal with protocol "auto" was heard to speak this one: from now on it can be asked."""
        self._log.warning("protocol.detected", terminal=name, protocol=protocol)
        terminal = next(terminal for terminal in self._config.terminals if terminal.name == name)
        if asker := asker_of(terminal, protocol):
            self._confirmer.add(asker)

    # --- trouble with the disk, and the end ---

    def _rebuild(self, error: JournalError) -> None:
        """The disk refused: nothing of the last step is durable. Begin again from what is; the ring still has it."""
        if self._rebuilding:
            return  # somebody asked for something meanwhile
        self._rebuilding = True
        self._reach.drop()
        tries = 0
        while not self._stopping:
            tries += 1
            self._engine.journal.close()
            pause = wait_of(_DISK_RETRY, tries)
            self._log.error("journal.failed", detail=str(error), attempt=tries, retry_in_s=pause)
            self._wait(pause)
            try:
                self._engine = self._build_engine()
                self._tell(EventType.AGENT_FAULT, "journal_failed", str(error))
            except JournalError as again:
                error = again
            else:
                break
        self._rebuilding = False
        self._reach.soon()

    def _wait(self, seconds: float) -> None:
        """Serve whoever asks for so long."""
        deadline = time.monotonic() + seconds
        while not self._stopping and (left := deadline - time.monotonic()) > 0:
            self._poll(min(left, self._watchdog.every_s or left))

    def _stop(self, control: ControlServer, wake: socket.socket) -> None:
        self._log.info("agent.stopping")
        self._jobs.close()
        self._reach.drop()
        if self._keeper:
            self._keeper.stop()
        if not self.again:
            self._reach.stop()
        try:
            self._tell(EventType.AGENT_STOPPED)
        except JournalError as error:
            self._log.error("journal.failed", detail=str(error))
        if self._publisher:
            self._publisher.stop(DRAIN_S)
        control.close()
        self._engine.journal.close()
        signal.set_wakeup_fd(-1)
        wake.close()
        self._selector.close()

    # --- telling ---

    def _tell(self, kind: EventType, reason: str | None = None, detail: str | None = None) -> None:
        data = AgentData(version=__version__, reason=reason, detail=detail)
        self._engine.tell([Draft(kind, data, time.time_ns())])

    def _committed(self, drafts: list[Draft]) -> None:
        if self._publisher:
            self._publisher.wake()
        for draft in drafts:
            tell = self._log.warning if draft.type in _LOUD else self._log.info
            facts = {name: getattr(draft.data, name, None) for name in _TOLD}
            tell(str(draft.type), **{name: value for name, value in facts.items() if value is not None})


_LOUD = frozenset(
    {
        EventType.TRANSACTION_PENDING,
        EventType.TRANSACTION_UNDELIVERED,
        EventType.TRANSACTION_ESCALATED,
        EventType.TRANSACTION_WARNING,
        EventType.TERMINAL_DISCONNECTED,
        EventType.TERMINAL_DEGRADED,
        EventType.TERMINAL_FAULT,
        EventType.AGENT_FAULT,
    }
)
_TOLD = ("terminal", "transaction", "kind", "amount", "outcome", "delivered", "reason", "detail", "link")


def _now() -> At:
    mono_ns = time.monotonic_ns()
    return At(time.time_ns(), mono_ns, f"now:{mono_ns}")


def _set_level(level: str) -> bool:
    if level not in LEVELS:
        return False
    change_level(level)
    return True
