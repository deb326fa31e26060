"""The broker lets us in: as the agent says that runs here, or tried where none does.

While an agent is connected nobody else may log in with its certificate or user: where the broker takes the client id
from them, as ours does (`use_username_as_clientid`), it would throw the agent out.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from agent.broker import authenticate
from agent.checks.check import Check
from agent.config import Mqtt
from agent.control import ask
from agent.errors import UnreachableError
from agent.phrase import Phrase, phrase

_WAIT_S = 5.0
_UNSUPPORTED_VERSION = 132
#: CONNACK reason codes (MQTT 5, 3.2.2.2) that people can do something about.
_CODES = {133: "client_id", 134: "password", 135: "rights", 136: "unavailable", 137: "busy", 138: "banned"}


@dataclass(frozen=True, slots=True)
class Running:
    """The agent that runs here. `connected` None: it can't be asked. `mqtt`: as `agent.status` tells it."""

    connected: bool | None
    mqtt: Mapping[str, Any]


def running(run_dir: Path) -> Running | None:
    """What the agent says that runs here; None when none does."""
    try:
        told = ask(run_dir, "status")
    except UnreachableError as error:
        nobody = isinstance(error.__cause__, (FileNotFoundError, NotADirectoryError, ConnectionRefusedError))
        return None if nobody else Running(None, {})
    state, contact = told.get("broker"), told.get("mqtt")
    connected = None if state is None else state == "connected"
    return Running(connected, contact if isinstance(contact, dict) else {})


def log_in(settings: Mqtt, agent: str, here: Running | None) -> Check:
    """The broker takes user and password, or the certificate. `here`: the agent that runs on this PC."""
    if here is None or here.connected is False:
        return _tried(settings, agent)
    if here.connected is None:
        return Check.warn("login", "check.login_unasked")
    if not _same(settings, here.mqtt):
        return Check.warn("login", "check.login_other", connected=here.mqtt.get("url") or phrase("check.other_broker"))
    if here.mqtt.get("version") == 3:
        return Check.warn("login", "check.login_old", host=settings.host)
    since = f"{datetime.fromtimestamp(here.mqtt['since']).astimezone():%Y-%m-%d %H:%M}"
    return Check.ok("login", "check.login_running", host=settings.host, user=_user(settings), since=since)


def _same(settings: Mqtt, connected: Mapping[str, Any]) -> bool:
    """Whether the agent is connected with just these settings, and what their files hold has not changed since.

    The certificate may have: the agent renews it, and shows the new one with its next connection.
    """
    certificate = None if settings.cert_file is None else str(settings.cert_file)
    mine = (settings.url, settings.username, certificate)
    if mine != tuple(connected.get(name) for name in ("url", "username", "cert_file")):
        return False
    since = connected.get("since")
    files = [path for path in (settings.password_file, settings.key_file) if path is not None]
    # Not when it was written: a new key may have waited beside the old one before it took its place.
    return isinstance(since, (int, float)) and not any(_changed_after(since, path) for path in files)


def _changed_after(since: float, path: Path) -> bool:
    """False also where it can't be seen: whoever asks may not be allowed to."""
    try:
        return path.stat().st_ctime > since
    except OSError:
        return False


def _user(settings: Mqtt) -> object:
    if settings.username is not None:
        return settings.username
    return phrase("check.by_certificate" if settings.cert_file else "check.nobody")


def _tried(settings: Mqtt, agent: str) -> Check:
    result = _connack(settings, agent, MQTTProtocolVersion.MQTTv5)
    if _may_be_older(result):
        older = _connack(settings, agent, MQTTProtocolVersion.MQTTv311)
        if isinstance(older, ReasonCode):
            if not older.is_failure:
                return Check.warn("login", "check.login_old", host=settings.host)
            result = older
    user = _user(settings)
    if isinstance(result, Phrase):
        return Check.fail("login", "check.login_failed", host=settings.host, reason=result)
    if not result.is_failure:
        return Check.ok("login", "check.login_ok", host=settings.host, user=user)
    if word := _CODES.get(result.value):
        return Check.fail("login", f"check.login_{word}", host=settings.host, user=user)
    return Check.fail("login", "check.login_failed", host=settings.host, reason=str(result))


def _may_be_older(result: ReasonCode | Phrase) -> bool:
    """A broker that does not know MQTT 5 says so, or hangs up without a word (RabbitMQ before 3.13)."""
    if isinstance(result, Phrase):
        return result.key == "check.login_hung_up"
    return bool(result.value == _UNSUPPORTED_VERSION)


def _connack(settings: Mqtt, agent: str, version: MQTTProtocolVersion) -> ReasonCode | Phrase:
    """What the broker says to our CONNECT, or why it said nothing."""
    answers: list[ReasonCode] = []

    def on_connect(_client: mqtt.Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
        answers.append(code)

    client = mqtt.Client(
        CallbackAPIVersion.VERSION2, client_id=f"{agent}-check-{secrets.token_hex(4)}", protocol=version
    )
    client.connect_timeout = _WAIT_S
    client.on_connect = on_connect
    try:
        authenticate(client, settings)
        client.connect(settings.host, settings.port)
    except (OSError, ValueError) as error:
        return phrase("check.reason", reason=error)
    end = time.monotonic() + _WAIT_S
    while not answers and time.monotonic() < end:
        if client.loop(timeout=0.2) != mqtt.MQTT_ERR_SUCCESS and not answers:
            # With a client certificate that it does not accept, a TLS 1.3 broker hangs up only now.
            return phrase("check.login_hung_up")
    client.disconnect()
    client.loop(timeout=0.1)
    return answers[0] if answers else phrase("check.login_silent", seconds=int(_WAIT_S))
