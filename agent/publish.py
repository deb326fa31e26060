"""Publishes the journal's events to an MQTT broker, each until it is known to be safe.

One thread owns everything here: the connection, the outbox cursor, the window of unacknowledged publishes. paho is
the transport; it never queues for us (its queue lives in memory and refuses the newest message when full). Every
connection is a new client object, so nothing of an old one is sent twice by accident. Connecting is retried for
ever, with full jitter, so that a thousand agents do not come back in the same second.
"""

from __future__ import annotations

import contextlib
import select
import socket
import sqlite3
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import tenacity
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.broker import ConnectionFailed, authenticate, describe_failure, publish_properties
from agent.command_desk import CommandDesk
from agent.config import Mqtt
from agent.contact import Contact
from agent.events import Source
from agent.hooks import Hooks
from agent.log import Logger
from agent.outbox import Outbox
from agent.stored import parse_stored

#: unacknowledged publishes at a time: 20 to 100 is where brokers are fastest
WINDOW = 64
RETRY_MAX_S = 60.0
STATE_EVERY_S = 0.5
METRICS_EVERY_S = 60.0
_CONNECT_TIMEOUT_S = 10.0
_PAUSE_S = 5.0


class Publisher:
    """The publishing thread."""

    def __init__(self, settings: Mqtt, source: Source, journal: Path, hooks: Hooks, log: Logger) -> None:
        self._settings = settings
        self._source = source
        self._journal = journal
        self._hooks = hooks
        self._log = log
        self._woken, self._wake = socket.socketpair()
        self._woken.setblocking(False)
        self._wake.setblocking(False)
        self._stopping = threading.Event()
        self._drain_until = 0.0
        self._version = MQTTProtocolVersion.MQTTv5
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self.connected = False
        self.contact = Contact()
        self.acknowledged = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """There is a new event, or the state changed."""
        with contextlib.suppress(OSError):  # it has not yet looked at the last one, or has ended
            self._wake.send(b"w")

    def stop(self, drain_s: float) -> None:
        """End, after what waits was sent or `drain_s` seconds have passed."""
        self._drain_until = time.monotonic() + drain_s
        self._stopping.set()
        self.wake()
        self._thread.join(drain_s + _CONNECT_TIMEOUT_S)
        if not self._thread.is_alive():
            self._woken.close()
            self._wake.close()

    def _run(self) -> None:
        """Until stopped. A journal that can't be read, or a fault of ours, ends the connection and no more."""
        outbox: Outbox | None = None
        desk: CommandDesk | None = None
        while not self._stopping.is_set():
            try:
                outbox = outbox or Outbox(self._journal)
                desk = desk or CommandDesk(outbox, self._hooks, self.wake, self._log)
                self._publish(outbox, desk)
            except sqlite3.Error as error:
                self._log.error("outbox.unusable", detail=str(error), retry_in_s=_PAUSE_S)
                self._ended(f"the journal can't be read: {error}")
                self._stopping.wait(_PAUSE_S)
            except Exception:  # noqa: BLE001 (whatever it was: what waits in the journal must go out some time)
                self._log.exception("publisher.failed", retry_in_s=_PAUSE_S)
                self._ended("a fault of tillwatch itself; see the agent's log")
                self._stopping.wait(_PAUSE_S)
        if outbox is not None:
            outbox.close()

    def _publish(self, outbox: Outbox, desk: CommandDesk) -> None:
        """Connect, and again, until stopped."""
        self.acknowledged = outbox.acknowledged
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(ConnectionFailed),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=RETRY_MAX_S),
            stop=tenacity.stop_when_event_set(self._stopping),
            sleep=tenacity.sleep_using_event(self._stopping),
            before_sleep=self._tell_retry,
        )
        while not self._stopping.is_set():
            try:
                session = retrying(self._connect, outbox, desk)
            except tenacity.RetryError:
                break
            try:
                session.run()
            except ConnectionFailed as error:
                self._log.warning("mqtt.disconnected", detail=str(error))
                self._ended(str(error))
        self._ended(None)

    def _ended(self, why: str | None) -> None:
        self.connected = False
        self.contact.since = None
        self.contact.failure = why or self.contact.failure

    def _connect(self, outbox: Outbox, desk: CommandDesk) -> _Session:
        session = _Session(self, outbox, desk)
        try:
            session.open(self._version)
        except ConnectionFailed as error:
            if self._version == MQTTProtocolVersion.MQTTv5 and session.refused_version:
                self._version = MQTTProtocolVersion.MQTTv311
                self._log.info("mqtt.older_protocol", detail="the broker offers no MQTT 5")
            raise error
        self.contact.since, self.contact.failure = time.time(), None
        self.contact.version = 5 if self._version == MQTTProtocolVersion.MQTTv5 else 3
        self.connected = True
        self._log.info("mqtt.connected", host=self._settings.host, port=self._settings.port)
        return session

    def _tell_retry(self, state: tenacity.RetryCallState) -> None:
        failure = state.outcome.exception() if state.outcome else None
        self.contact.failure = str(failure)
        level = self._log.warning if state.attempt_number in (1, 10, 100) else self._log.debug
        pause = round(state.next_action.sleep, 1) if state.next_action else None
        level("mqtt.unreachable", detail=str(failure), attempt=state.attempt_number, retry_in_s=pause)


class _Session:
    """One connection to the broker, from CONNECT to its end."""

    def __init__(self, publisher: Publisher, outbox: Outbox, desk: CommandDesk) -> None:
        self._own = publisher
        self._outbox = outbox
        self._desk = desk
        self._prefix = publisher._source.prefix
        self._sent = outbox.resend_from - 1
        self._unacknowledged: dict[int, int] = {}  # message id → sequence
        self._asked: dict[int, str] = {}  # message id → what else the broker is to take or to grant
        self._connack: ReasonCode | None = None
        self._failure: str | None = None
        self._state_due = self._metrics_due = 0.0
        self._state_sent = b""
        self.refused_version = False

    def open(self, version: MQTTProtocolVersion) -> None:
        """Connect and subscribe, or raise ConnectionFailed."""
        settings = self._own._settings
        self._client = client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._own._source.agent,
            protocol=version,
        )
        client.max_inflight_messages_set(WINDOW + 10)
        client.connect_timeout = _CONNECT_TIMEOUT_S
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        client.will_set(f"{self._prefix}/state", self._own._hooks.state(False, self._outbox.acknowledged), 1, True)
        try:
            authenticate(client, settings)
            client.connect(settings.host, settings.port, keepalive=max(1, round(settings.keepalive_s)))
        except (OSError, ValueError) as error:
            raise ConnectionFailed(describe_failure(error)) from error
        self._await_connack(time.monotonic() + _CONNECT_TIMEOUT_S, version)
        for topic in ("stored", "commands/+"):
            _, mid = client.subscribe(f"{self._prefix}/{topic}", qos=1)
            if mid is not None:
                self._asked[mid] = topic

    def run(self) -> None:
        """Publish until stopped; raise ConnectionFailed when the connection ends before."""
        own = self._own
        while True:
            self._publish_state()
            self._publish_more()
            self._desk.answer_jobs(self._client)
            if own._stopping.is_set() and (self._drained() or time.monotonic() > own._drain_until):
                self._leave()
                return
            self._turn(0.05 if own._stopping.is_set() else 1.0)

    @property
    def _is_5(self) -> bool:
        return self._client.protocol == MQTTProtocolVersion.MQTTv5

    def _await_connack(self, deadline: float, version: MQTTProtocolVersion) -> None:
        while self._connack is None and self._failure is None and time.monotonic() < deadline:
            with contextlib.suppress(ConnectionFailed):  # what it means is decided below
                self._turn(0.5)
        if self._connack is None:
            # A broker of the older protocol may close the connection instead of saying so.
            self.refused_version = version == MQTTProtocolVersion.MQTTv5 and self._failure is not None
            raise ConnectionFailed(self._failure or "the broker accepted the connection and does not answer")
        if self._connack.is_failure:
            self.refused_version = version == MQTTProtocolVersion.MQTTv5 and "protocol" in str(self._connack).lower()
            raise ConnectionFailed(f"the broker refused the log-in: {self._connack}")

    def _turn(self, timeout: float) -> None:
        """One turn of the network: wait for the socket or a wake-up, read, write, keep alive."""
        sock = self._client.socket()
        if sock is None:
            raise ConnectionFailed(self._failure or "connection closed")
        pending = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
        network, wake = sock.fileno(), self._own._woken.fileno()
        writing = [network] if self._client.want_write() else []
        readable, writable, _ = select.select([network, wake], writing, [], 0 if pending else timeout)
        if wake in readable:
            self._own._woken.recv(4096)
        if pending or network in readable:
            self._client.loop_read()
        if writable:
            self._client.loop_write()
        self._client.loop_misc()
        self._note_acknowledged()
        if self._failure is not None:
            raise ConnectionFailed(self._failure)

    def _publish_more(self) -> None:
        if (asked := self._desk.resend_asked()) is not None:
            self._sent = min(self._sent, asked - 1)
        room = WINDOW - len(self._unacknowledged)
        # Asking for few at a time would cost one query an event; half a window keeps the broker busy meanwhile.
        if room < WINDOW // 2 and self._unacknowledged:
            return
        for event in self._outbox.after(self._sent, room):
            info = self._client.publish(
                f"{self._prefix}/events/{event.type}", event.body.encode(), 1, properties=self._event_properties()
            )
            self._unacknowledged[info.mid] = event.sequence
            self._sent = event.sequence

    def _event_properties(self) -> Properties | None:
        return publish_properties("application/cloudevents+json") if self._is_5 else None

    def _publish_state(self) -> None:
        now = time.monotonic()
        if now >= self._state_due:
            self._state_due = now + STATE_EVERY_S
            state = self._own._hooks.state(True, self._outbox.acknowledged)
            if state != self._state_sent:
                self._asked[self._client.publish(f"{self._prefix}/state", state, 1, retain=True).mid] = "state"
                self._state_sent = state
        if now >= self._metrics_due:
            if self._metrics_due:
                self._client.publish(f"{self._prefix}/metrics", self._own._hooks.metrics(), 0)
            self._metrics_due = now + METRICS_EVERY_S

    def _note_acknowledged(self) -> None:
        """Move the durable cursor. Acknowledgements may overtake each other: nothing open may lie before it."""
        self._outbox.acknowledge(min(self._unacknowledged.values(), default=self._sent + 1) - 1)
        self._own.acknowledged = self._outbox.acknowledged

    def _drained(self) -> bool:
        return not self._unacknowledged and not self._outbox.after(self._sent, 1)

    def _leave(self) -> None:
        """A clean goodbye: the retained state says offline, the last will is not sent."""
        last = self._client.publish(
            f"{self._prefix}/state", self._own._hooks.state(False, self._outbox.acknowledged), 1, retain=True
        )
        deadline = time.monotonic() + 2
        while not last.is_published() and time.monotonic() < deadline:
            self._turn(0.1)
        self._client.disconnect()

    def _on_connect(self, _client: mqtt.Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
        self._connack = code

    def _on_disconnect(self, _client: mqtt.Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
        self._failure = f"connection to the broker ended: {code}"

    def _on_publish(self, _client: mqtt.Client, _data: Any, mid: int, code: ReasonCode, _properties: Any) -> None:
        if mid in self._asked:
            self._own.contact.judge(self._asked.pop(mid), code, self._own._log)
        if mid not in self._unacknowledged:
            return  # the state or an answer, not an event
        self._own.contact.judge("events", code, self._own._log)
        if code.is_failure:
            # Not taken: leave it unacknowledged, and come back with a pause instead of a storm.
            self._failure = f"the broker refused an event: {code}"
            return
        del self._unacknowledged[mid]

    def _on_subscribe(self, _client: mqtt.Client, _data: Any, mid: int, codes: list[ReasonCode], _p: Any) -> None:
        if mid in self._asked and codes:
            self._own.contact.judge(self._asked.pop(mid), codes[0], self._own._log)

    def _on_message(self, client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        if message.topic == f"{self._prefix}/stored":
            stored = parse_stored(bytes(message.payload))
            if stored is not None and stored.epoch == self._own._source.epoch:
                self._outbox.store(stored.sequence)
            return
        self._desk.take(client, message)
