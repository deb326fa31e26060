"""Publishes what agents would, to a real broker, and waits until the broker has it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.config import Mqtt
from tests.broker import Broker
from tests.waits import until

_WINDOW = 200


def settings(broker: Broker, **more: Any) -> Mqtt:
    """How a collector finds that broker."""
    plain = Mqtt(
        url=broker.url,
        host=broker.host,
        port=broker.port,
        tls=False,
        username=None,
        password_file=None,
        ca_file=None,
        cert_file=None,
        key_file=None,
        keepalive_s=30.0,
    )
    return replace(plain, **more)


def publish(broker: Broker, messages: Iterable[tuple[str, bytes]], *, qos: int = 1, retain: bool = False) -> None:
    """Publish them in order."""
    with Client(broker) as client:
        client.publish(messages, qos=qos, retain=retain)


class Client:
    """A connection that publishes, and keeps what comes on one topic."""

    def __init__(self, broker: Broker, listen: str | None = None) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self._listen = listen
        self._subscribed = listen is None
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.max_inflight_messages_set(_WINDOW)
        self._client.on_message = lambda _client, _data, message: self.heard.append((message.topic, message.payload))
        self._client.on_subscribe = self._on_subscribe
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        until(self._client.is_connected, what="connected")
        if listen:
            self._client.subscribe(listen, 1)
            until(lambda: self._subscribed, what="subscribed")

    def publish(self, messages: Iterable[tuple[str, bytes]], *, qos: int = 1, retain: bool = False) -> None:
        """Publish them in order; returns when the broker has all."""
        sent = [self._client.publish(topic, payload, qos, retain) for topic, payload in messages]
        for info in sent:
            info.wait_for_publish(60)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _on_subscribe(self, *_: Any) -> None:
        self._subscribed = True
