"""The ingest: takes what arrives, stores it in batches, and only then acknowledges it. One thread.

While a batch is being written the next one gathers, so batches are as large as the load wants and a single event
waits for nobody. The database may be away: nothing is acknowledged, the broker stops sending, the batch is tried again
until it is stored. The broker may be away: connecting is tried for ever. A message that the database will not take is
found by halving its batch and kept as raw; it never stops the others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import tenacity
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError

from agent.broker import ConnectionFailed
from agent.config import Mqtt
from agent.log import logger
from collector.cases import intake
from collector.hub import Change, Hub
from collector.ingest.connection import Connection, Message
from collector.ingest.envelope import parse
from collector.ledger import Ledger, gaps, microseconds
from collector.ledger.incoming import Event, Incoming, Raw
from collector.ledger.write import Mark, Stored, Writer

BATCH = 2_000
TOLD_EVERY_S = 0.5
GAPS_EVERY_S = 5.0
_ASK_EXPIRES_S = 60.0
_MOST_TOLD = 200_000
_LIMIT_EXCEEDED = "54"  # class of SQLSTATE


@dataclass(frozen=True, slots=True)
class Health:
    """How ingest is. Counters are since the start of this process; `lag_s` is how long the oldest message waits."""

    connected: bool
    database: bool
    received: int
    stored: int
    repeated: int
    unreadable: int
    raw: int
    refused: int
    waiting: int
    lag_s: float
    rate: float  # events stored a second, over the last seconds
    last_stored_us: int | None


class Ingest:
    """The thread between broker and ledger. `client_id`: a name of its own makes the broker keep what is for us."""

    def __init__(self, ledger: Ledger, settings: Mqtt, hub: Hub, client_id: str | None = None) -> None:
        self._ledger = ledger
        self._settings = settings
        self._hub = hub
        self._client_id = client_id
        self._writer = Writer(ledger, intake.take)
        self._log = logger(part="ingest")
        self._stopping = threading.Event()
        self._arrived = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)
        self._connection: Connection | None = None
        self._counts = dict.fromkeys(("received", "stored", "repeated", "unreadable", "raw", "refused"), 0)
        self._database = True
        self._last_stored_us: int | None = None
        self._rate = _Rate()
        self._told: dict[str, tuple[str, int]] = {}
        self._untold: dict[str, Mark] = {}
        self._told_due = self._gaps_due = 0.0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, within_s: float = 15.0) -> None:
        """End after the batch in hand, acknowledged if it could be stored."""
        self._stopping.set()
        self._arrived.set()
        if self._thread.is_alive():
            self._thread.join(within_s)

    def health(self) -> Health:
        """How it is now. Any thread may ask."""
        connection = self._connection
        return Health(
            connected=connection is not None and connection.failure is None,
            database=self._database,
            **self._counts,
            waiting=connection.waiting if connection else 0,
            lag_s=connection.waiting_s if connection else 0.0,
            rate=self._rate.now(self._counts["stored"]),
            last_stored_us=self._last_stored_us,
        )

    # -- the broker -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        connecting = self._retrying(ConnectionFailed, "mqtt.unreachable", 30.0)
        while not self._stopping.is_set():
            try:
                self._connection = connecting(Connection, self._settings, self._client_id, self._read, self._arrived)
            except tenacity.RetryError:
                break
            self._log.info("mqtt.connected", host=self._settings.host, port=self._settings.port)
            try:
                self._serve(self._connection)
            except Exception:  # noqa: BLE001 (a fault of ours must not end the ingest: begin again from the broker)
                self._log.exception("ingest.failed")
                self._stopping.wait(1.0)
            finally:
                self._connection.close()
        self._log.info("ingest.stopped", **self._counts)

    def _serve(self, connection: Connection) -> None:
        self._told.clear()  # the broker may have forgotten them
        while not self._stopping.is_set() and connection.failure is None:
            self._arrived.wait(TOLD_EVERY_S)
            self._arrived.clear()
            while not self._stopping.is_set() and (messages := connection.take(BATCH)):
                if not self._ingest(connection, messages):
                    break
                self._tell_stored(connection)
                self._ask_for_gaps(connection)
            self._tell_stored(connection)
            self._ask_for_gaps(connection)
        if connection.failure is not None:
            self._log.warning("mqtt.disconnected", detail=connection.failure)
        self._told_due = 0.0
        self._tell_stored(connection)

    def _ingest(self, connection: Connection, messages: list[Message]) -> bool:
        """Store and acknowledge; False when we are to stop and could not."""
        batch = [message.item for message in messages]
        self._counts["received"] += len(batch)
        try:
            self._retrying(OSError, "database.unreachable", 10.0)(self._store, batch)
        except tenacity.RetryError:
            return False
        connection.acknowledge(messages)
        return True

    def _read(self, topic: str, payload: bytes, retained: bool) -> Incoming:
        return parse(topic, payload, microseconds(self._ledger.clock()), retained=retained)

    def _tell_stored(self, connection: Connection) -> None:
        """Tell the agents, not each time, up to where all is stored."""
        now = time.monotonic()
        if now < self._told_due or not self._untold:
            return
        self._told_due = now + TOLD_EVERY_S
        for mark in self._untold.values():
            connection.publish_stored(mark.site, mark.agent, mark.epoch, mark.contiguous)
        if len(self._told) > _MOST_TOLD:
            self._told.clear()
        self._told |= {agent: (mark.epoch, mark.contiguous) for agent, mark in self._untold.items()}
        self._untold.clear()

    def _ask_for_gaps(self, connection: Connection) -> None:
        now = time.monotonic()
        if now < self._gaps_due:
            return
        self._gaps_due = now + GAPS_EVERY_S
        try:
            asks = gaps.due(self._ledger)
        except DBAPIError as error:
            self._log.warning("gaps.not_looked_for", detail=str(error.orig))
            return
        expires = self._ledger.clock().timestamp() + _ASK_EXPIRES_S
        for ask in asks:
            self._log.info("gap.asked_for", agent=ask.agent, sequence=ask.sequence)
            connection.ask_again(ask.site, ask.agent, ask.sequence, expires)

    # -- the ledger -----------------------------------------------------------------------------------------

    def _store(self, batch: Sequence[Incoming]) -> None:
        """Store all of it. Raises DatabaseAwayError when nothing can be stored now."""
        try:
            stored = self._writer.store(batch)
        except Exception as error:  # whatever it is, it must not stop what comes behind
            if _is_away(error):
                self._database = False
                raise DatabaseAwayError(_cause(error)) from error
            self._store_in_parts(batch, error)
            return
        if not self._database:
            self._log.info("database.back")
        self._database = True
        self._note(batch, stored)

    def _store_in_parts(self, batch: Sequence[Incoming], error: Exception) -> None:
        if len(batch) > 1:
            middle = len(batch) // 2
            self._store(batch[:middle])
            self._store(batch[middle:])
            return
        item = batch[0]
        self._log.error("message.not_storable", kind=type(item).__name__, detail=_cause(error))
        if isinstance(item, Raw):  # not even so: then it is the database that is wrong
            self._database = False
            raise DatabaseAwayError(_cause(error)) from error
        if isinstance(item, Event) and item.data is not None:
            self._store([item._replace(data=None)])  # it counts, and is kept as it came: only what it says is not read
            return
        body = getattr(item, "body", None) or getattr(item, "payload", None) or repr(item)
        payload = body if isinstance(body, bytes) else body.encode("utf-8", "replace")
        topic = getattr(item, "topic", None) or f"{getattr(item, 'site', '')}/{getattr(item, 'agent', '')}"
        self._store([Raw(item.received_us, topic, payload, "not_storable")])

    def _note(self, batch: Sequence[Incoming], stored: Stored) -> None:
        counts = self._counts
        counts["stored"] += len(stored.fresh)
        counts["repeated"] += stored.repeated
        counts["unreadable"] += stored.unreadable
        counts["refused"] += stored.refused
        counts["raw"] += sum(isinstance(item, Raw) for item in batch)
        if stored.fresh:
            self._last_stored_us = stored.fresh[-1].received_us
        for mark in stored.marks:
            if mark.contiguous and (mark.repeated or self._told.get(mark.agent) != (mark.epoch, mark.contiguous)):
                self._untold[mark.agent] = mark
        self._hub.publish(changes_of(stored, self._last_stored_us or 0))

    def _retrying(self, error: type[Exception], event: str, longest_s: float) -> tenacity.Retrying:
        def tell(state: tenacity.RetryCallState) -> None:
            failure = state.outcome.exception() if state.outcome else None
            say: Callable[..., None] = self._log.warning if state.attempt_number in (1, 10, 100) else self._log.debug
            say(event, detail=str(failure), attempt=state.attempt_number)

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(error),
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=longest_s),
            stop=tenacity.stop_when_event_set(self._stopping),
            sleep=tenacity.sleep_using_event(self._stopping),
            before_sleep=tell,
        )


def _is_away(error: Exception) -> bool:
    """Whether nothing can be stored now. A value too large for an index is called operational too, and is not."""
    if not isinstance(error, OperationalError | InterfaceError | InternalError):
        return False
    return not str(getattr(error.orig, "sqlstate", None) or "").startswith(_LIMIT_EXCEEDED)


class DatabaseAwayError(OSError):
    """The database can't be written now. Its text says why, for the log."""


def changes_of(stored: Stored, now_us: int) -> list[Change]:
    """What live pages should look at again."""
    found = []
    for event in stored.fresh:
        kind = event.type.partition(".")[0]
        key = {"terminal": f"{event.agent}/{event.terminal}", "agent": event.agent}.get(kind, event.subject or "")
        found.append(Change(kind, key, event.type, event.site, event.agent, event.time_us))
    found += [Change("agent", agent, "state", "", agent, now_us) for agent in stored.agents]
    if stored.refused:
        found.append(Change("refusal", "", time_us=now_us))
    return found


class _Rate:
    """Events a second over a window of a few seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._then = (time.monotonic(), 0)
        self._last = 0.0

    def now(self, stored: int) -> float:
        with self._lock:
            moment, count = self._then
            passed = time.monotonic() - moment
            if passed >= 2.0:
                self._last = (stored - count) / passed
                self._then = (time.monotonic(), stored)
            return self._last


def _cause(error: BaseException) -> str:
    original = getattr(error, "orig", None) or error
    return " ".join(str(original).split())[:300] or type(original).__name__
