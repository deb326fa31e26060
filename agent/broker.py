"""What everything that speaks to a broker shares: log-in, TLS, and why it failed. No connection is made here."""

from __future__ import annotations

import ssl

from paho.mqtt import client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.config import Mqtt


class ConnectionFailed(Exception):  # noqa: N818 (it is a state of the world, and is retried)
    """The broker can't be reached, refused us, or has gone away. Its text says why, in English, for the log."""


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


def publish_properties(content_type: str | None = None) -> Properties:
    """MQTT 5 properties of a message of ours."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    if content_type is not None:
        properties.ContentType = content_type
    return properties
