"""One connection to the broker, from CONNECT to its end. paho is the transport, in a thread of its own.

Messages are acknowledged by whoever stored them. The broker may have `IN_FLIGHT` of them open with us and sends no
more until some are acknowledged: that bounds our memory while the database is away, and nothing else has to.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.broker import ConnectionFailed, authenticate, describe_failure
from agent.config import Mqtt
from collector.ledger.incoming import Incoming

IN_FLIGHT = 8_192
GROUP = "collector"
_CONNECT_S = 10.0
_KEPT_S = 3600  # so long the broker keeps what is for us when we have a name of our own

#: Each message of these goes to one of the collectors …
SHARED = ("tillwatch/1/+/+/events/#", "tillwatch/1/+/+/metrics")
#: … and the state of the agents, which the broker keeps for newcomers, to each of them.
OWN = ("tillwatch/1/+/+/state",)
#: What agents of the next version may publish is kept unread, where the broker lets us have it.
NEXT = ("tillwatch/2/+/+/events/#",)


Reader = Callable[[str, bytes, bool], Incoming]


class Message(NamedTuple):
    """A message that waits to be stored. `mid` 0: nothing to acknowledge."""

    item: Incoming
    mid: int
    arrived: float  # monotonic, seconds


class Connection:
    """A connection that stands. Raises ConnectionFailed when it can't be had; `failure` says when it has ended.

    `read`: (topic, payload, retained) → what it is; called in paho's thread, so that messages are read while the
    database writes those before them. `arrived` is set when there is something to take.
    """

    def __init__(self, settings: Mqtt, client_id: str | None, read: Reader, arrived: threading.Event) -> None:
        self._settings = settings
        self._read = read
        self._arrived = arrived
        self._inbox: deque[Message] = deque()
        self._connected = threading.Event()
        self._subscribed = threading.Event()
        self._code: ReasonCode | None = None
        self.failure: str | None = None
        self.received = 0
        self.dropped = 0
        self._client = client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id or f"collector-{uuid.uuid4().hex[:12]}",
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = _CONNECT_S
        client.max_inflight_messages_set(100)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        self._open(kept=client_id is not None)

    @property
    def waiting(self) -> int:
        """How many messages are here and not taken."""
        return len(self._inbox)

    @property
    def waiting_s(self) -> float:
        """How long the first of them has waited, seconds."""
        try:
            return time.monotonic() - self._inbox[0].arrived
        except IndexError:
            return 0.0

    def take(self, most: int) -> list[Message]:
        """The next messages, at most so many."""
        inbox = self._inbox
        return [inbox.popleft() for _ in range(min(most, len(inbox)))]

    def acknowledge(self, messages: list[Message]) -> None:
        """They are stored: the broker may forget them."""
        for message in messages:
            if message.mid and self.failure is None:
                self._client.ack(message.mid, 1)

    def publish_stored(self, site: str, agent: str, epoch: str, sequence: int) -> None:
        """Tell an agent, also one that comes later, up to where everything is in the ledger."""
        body = json.dumps({"epoch": epoch, "sequence": sequence})
        self._client.publish(f"tillwatch/1/{site}/{agent}/stored", body, 1, retain=True)

    def ask_again(self, site: str, agent: str, sequence: int, expires: float) -> None:
        """Have an agent send everything again from that number on. `expires`: wall clock, seconds."""
        body = json.dumps({"id": f"resend-{uuid.uuid4().hex}", "expires": round(expires), "from": sequence})
        self._client.publish(f"tillwatch/1/{site}/{agent}/commands/resend", body, 1)

    def close(self) -> None:
        """Say goodbye. What was not acknowledged the broker gives to another collector, or to us the next time."""
        self._client.disconnect()
        self._client.loop_stop()

    def _open(self, kept: bool) -> None:
        settings = self._settings
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.ReceiveMaximum = IN_FLIGHT
        properties.SessionExpiryInterval = _KEPT_S if kept else 0
        try:
            authenticate(self._client, settings)
            self._client.connect(
                settings.host,
                settings.port,
                keepalive=max(1, round(settings.keepalive_s)),
                clean_start=not kept,
                properties=properties,
            )
        except (OSError, ValueError) as error:
            raise ConnectionFailed(describe_failure(error)) from error
        self._client.loop_start()
        try:
            self._await(self._connected, "accepted the connection and does not answer")
            if self._code is not None and self._code.is_failure:
                raise ConnectionFailed(f"the broker refused the log-in: {self._code}")
            self._subscribe()
        except BaseException:
            self.close()
            raise

    def _subscribe(self) -> None:
        options = SubscribeOptions(qos=1)
        wanted = [(f"$share/{GROUP}/{topic}", options) for topic in SHARED]
        wanted += [(topic, options) for topic in OWN]
        wanted += [(f"$share/{GROUP}/{topic}", options) for topic in NEXT]
        self._client.subscribe(wanted)
        self._await(self._subscribed, "does not answer the subscription")
        if self.failure is not None:
            raise ConnectionFailed(self.failure)

    def _await(self, done: threading.Event, otherwise: str) -> None:
        deadline = time.monotonic() + _CONNECT_S
        while not done.wait(0.05):
            if self.failure is not None:
                raise ConnectionFailed(self.failure)
            if time.monotonic() > deadline:
                raise ConnectionFailed(f"the broker {otherwise}")

    def _on_connect(self, _client: mqtt.Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
        self._code = code
        self._connected.set()

    def _on_subscribe(
        self, _client: mqtt.Client, _data: Any, _mid: int, codes: list[ReasonCode], _properties: Any
    ) -> None:
        refused = [str(code) for code in codes[: len(SHARED) + len(OWN)] if code.is_failure]
        if refused:
            self.failure = f"the broker refused the subscription: {', '.join(sorted(set(refused)))}"
        self._subscribed.set()

    def _on_disconnect(self, _client: mqtt.Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
        self.failure = self.failure or f"connection to the broker ended: {code}"
        self._arrived.set()

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        self.received += 1
        if message.qos == 0 and len(self._inbox) >= 2 * IN_FLIGHT:
            self.dropped += 1  # figures only; an event sent this way is missed, and asked for again
            return
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        mid = message.mid if message.qos == 1 else 0
        item = self._read(topic, bytes(message.payload), message.retain)
        self._inbox.append(Message(item, mid, time.monotonic()))
        self._arrived.set()
