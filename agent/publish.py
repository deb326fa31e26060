"""Publishes the journal's events to an MQTT broker, each until it is known to be safe.

One thread owns everything here: the connection, the outbox cursor, the window of unacknowledged publishes. paho is
the transport; it never queues for us (its queue lives in memory and refuses the newest message when full). Every
connection is a new client object, so nothing of an old one is sent twice by accident. Connecting is retried for
ever, with full jitter, so that a thousand agents do not come back in the same second.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tenacity
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.commands import JOBS, Command, parse_command
from agent.config import Mqtt
from agent.contact import Contact
from agent.events import Source
from agent.jobs import Done
from agent.log import Logger
from agent.outbox import Outbox
from agent.stored import parse_stored

#: unacknowledged publishes at a time: 20 to 100 is where brokers are fastest
WINDOW = 64
RETRY_MAX_S = 60.0
STATE_EVERY_S = 0.5
METRICS_EVERY_S = 60.0
_CONNECT_TIMEOUT_S = 10.0


class ConnectionFailed(Exception):  # noqa: N818 (it is a state of the world, and is retried)
    """The broker can't be reached, refused us, or has gone away. Its text says why, in English, for the log."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the publisher asks of the agent. All are called in the publisher's thread and must not block for long.

    `state(online, acknowledged)` and `metrics()` give the JSON to publish; `log_level` changes what is logged and
    says whether it knew the level; `confirm` has a terminal asked about a transaction and says "asking", or why not;
    `job` begins a command that takes long, and says why not (agent/jobs.py).
    """

    state: Callable[[bool, int], bytes]
    metrics: Callable[[], bytes]
    log_level: Callable[[str], bool]
    confirm: Callable[[str], str]
    job: Callable[[Command, Done], str | None] = lambda _command, _done: "not_supported"


@dataclass(frozen=True, slots=True)
class _Reply:
    """Where an answer goes; `to` None: nobody wants it."""

    to: str | None
    correlation: bytes | None


class Publisher:
    """The publishing thread."""

    def __init__(self, settings: Mqtt, source: Source, journal: Path, hooks: Hooks, log: Logger) -> None:
        self._settings = settings
        self._source = source
        self._journal = journal
        self._hooks = hooks
        self._log = log
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._stopping = threading.Event()
        self._drain_until = 0.0
        self._version = MQTTProtocolVersion.MQTTv5
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self.connected = False
        self.contact = Contact()
        self.acknowledged = 0
        self.resend_from: int | None = None
        self.finished: queue.SimpleQueue[tuple[str, _Reply, str]] = queue.SimpleQueue()  # id, where to, answer

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """There is a new event, or the state changed."""
        with contextlib.suppress(BlockingIOError):  # it has not yet looked at the last one
            os.write(self._wake_write, b"w")

    def stop(self, drain_s: float) -> None:
        """End, after what waits was sent or `drain_s` seconds have passed."""
        self._drain_until = time.monotonic() + drain_s
        self._stopping.set()
        self.wake()
        self._thread.join(drain_s + _CONNECT_TIMEOUT_S)

    def _run(self) -> None:
        outbox = Outbox(self._journal)
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
                session = retrying(self._connect, outbox)
            except tenacity.RetryError:
                break
            try:
                session.run()
            except ConnectionFailed as error:
                self._log.warning("mqtt.disconnected", detail=str(error))
                self.contact.failure = str(error)
            self.connected = False
            self.contact.since = None
        outbox.close()

    def _connect(self, outbox: Outbox) -> _Session:
        session = _Session(self, outbox)
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

    def __init__(self, publisher: Publisher, outbox: Outbox) -> None:
        self._own = publisher
        self._outbox = outbox
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
            self._answer_jobs()
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
        network, wake = sock.fileno(), self._own._wake_read
        writing = [network] if self._client.want_write() else []
        readable, writable, _ = select.select([network, wake], writing, [], 0 if pending else timeout)
        if wake in readable:
            os.read(wake, 4096)
        if pending or network in readable:
            self._client.loop_read()
        if writable:
            self._client.loop_write()
        self._client.loop_misc()
        self._note_acknowledged()
        if self._failure is not None:
            raise ConnectionFailed(self._failure)

    def _publish_more(self) -> None:
        if self._own.resend_from is not None:
            self._sent = min(self._sent, self._own.resend_from - 1)
            self._own.resend_from = None
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
        if not self._is_5:
            return None
        properties = _publish_properties()
        properties.ContentType = "application/cloudevents+json"
        return properties

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
        command = parse_command(message.topic.rsplit("/", 1)[-1], bytes(message.payload), time.time())
        if message.retain or command is None:
            self._own._log.warning("command.ignored", topic=message.topic, retained=message.retain)
            return
        reply = _Reply(
            getattr(message.properties, "ResponseTopic", None), getattr(message.properties, "CorrelationData", None)
        )
        if command.name in JOBS:
            self._begin_job(client, command, reply)
        else:
            _answer(client, reply, self._execute(command))

    def _begin_job(self, client: mqtt.Client, command: Command, reply: _Reply) -> None:
        """A command that takes long: its answer comes when it has ended, perhaps over a later connection."""
        own = self._own
        stored = self._outbox.command_result(command.id)
        if stored is not None:
            _answer(client, reply, stored)
            return

        def done(error: str | None, result: Any) -> None:
            answer = {"id": command.id, "ok": error is None, "error": error, "result": result}
            own.finished.put((command.id, reply, json.dumps(answer, ensure_ascii=False)))
            own.wake()

        error = "expired" if command.expired else own._hooks.job(command, done)
        own._log.info("command.begun", name=command.name, id=command.id, error=error)
        if error is not None:  # not kept: a job that could not begin now may be asked for again
            _answer(client, reply, json.dumps({"id": command.id, "ok": False, "error": error}))

    def _answer_jobs(self) -> None:
        while not self._own.finished.empty():
            identity, reply, answer = self._own.finished.get()
            self._outbox.keep_command_result(identity, answer, time.time_ns())
            self._own._log.info("command.executed", id=identity)
            _answer(self._client, reply, answer)

    def _execute(self, command: Command) -> str:
        """Do what an allowed command asks, once; a repeated one gets the answer of the first time."""
        stored = self._outbox.command_result(command.id)
        if stored is not None:
            return stored
        error = None
        if command.expired:
            error = "expired"
        elif command.name == "resend" and command.sequence:
            self._own.resend_from = command.sequence
        elif command.name == "confirm":
            said = self._own._hooks.confirm(command.transaction) if command.transaction else "not_pending"
            error = None if said == "asking" else said
        elif command.level is None or not self._own._hooks.log_level(command.level):
            error = "unknown_level"
        answer = json.dumps({"id": command.id, "ok": error is None, "error": error})
        self._outbox.keep_command_result(command.id, answer, time.time_ns())
        self._own._log.info("command.executed", name=command.name, id=command.id, error=error)
        return answer


def _answer(client: mqtt.Client, reply: _Reply, answer: str) -> None:
    if reply.to:
        properties = _publish_properties()
        if reply.correlation:
            properties.CorrelationData = reply.correlation
        client.publish(reply.to, answer, 1, properties=properties)


def _publish_properties() -> Properties:
    return Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]


def authenticate(client: mqtt.Client, settings: Mqtt) -> None:
    """Give the client its user, password and TLS. Raises OSError or ValueError when a file can't be used."""
    if settings.username is not None:
        password = settings.password_file.read_text(encoding="utf-8").strip() if settings.password_file else None
        client.username_pw_set(settings.username, password)
    if settings.tls:
        context = ssl.create_default_context(cafile=str(settings.ca_file) if settings.ca_file else None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.cert_file:
            context.load_cert_chain(str(settings.cert_file), str(settings.key_file) if settings.key_file else None)
        client.tls_set_context(context)


def describe_failure(error: Exception) -> str:
    """Why connecting failed, in words a person can act on."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the broker's certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS with the broker failed: {error.reason or error}"
    return str(error)
