"""Steps behind the terminal: this PC, the broker, the collector."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from agent import __version__
from agent.broker import authenticate
from agent.checks import Check, State, broker, host, places
from agent.checks.login import Running, running
from agent.config import Mqtt
from agent.control import SOCKET_NAME
from agent.diag.scene import Scene
from agent.diag.step import Step
from agent.errors import JournalError
from agent.journal import FILE_NAME, SCHEMA_VERSION, connect_read_only

_WAIT_S = 5.0
_OUTBOX_FULL = 1000
_DENIED = 135  # MQTT 5: not authorised


def disk(scene: Scene) -> Iterator[Step]:
    """Room for the journal."""
    state_dir = scene.config.agent.state_dir
    yield Step.of("disk", places.space(state_dir, places.free_bytes(state_dir)))
    if (kind := places.file_system(state_dir)) in ("tmpfs", "ramfs"):
        yield Step.of("disk", Check.warn("disk", "check.disk_volatile", path=state_dir, kind=kind))


def journal(scene: Scene) -> Iterator[Step]:
    """The journal opens, is of our version, and undamaged."""
    path = scene.config.agent.state_dir / FILE_NAME
    found = places.journal(path)
    if found.what.key == "check.journal_unreadable" and os.geteuid() != 0 and not os.access(path, os.R_OK):
        yield Step.skip("journal", "diag.journal_closed", path=path)  # no fault: whoever asks may not see it
        return
    yield Step.of("journal", found)
    if found.state is not State.OK:
        return
    try:
        db = connect_read_only(path)
    except JournalError:
        return  # there is none, or it went meanwhile; the step before has told what it was like
    try:
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
    finally:
        db.close()
    if version > SCHEMA_VERSION:
        yield Step.fail("journal", "diag.journal_newer", path=path, version=version, known=SCHEMA_VERSION)


def pc_clock(scene: Scene) -> Iterator[Step]:
    """The PC's own clock."""
    yield Step.of("pc_clock", host.clock(datetime.fromtimestamp(scene.wall_ns() / 1e9, UTC), host.synchronised()))


def agent(scene: Scene) -> Iterator[Step]:
    """Agent and bridge run, and are of this version."""
    status = scene.agent
    if scene.agent_denied:
        path = scene.config.agent.run_dir / SOCKET_NAME
        yield Step.skip("agent", "diag.agent_closed", pid=scene.bridge or "?", path=path)
    elif status is None and scene.bridge is None:
        yield Step.warn("agent", "diag.agent_none")
    elif status is None:
        yield Step.fail("agent", "diag.agent_dead", pid=scene.bridge)
    elif scene.bridge is None:
        yield Step.fail("agent", "diag.bridge_dead")
    elif status.get("version") != __version__:
        yield Step.warn("agent", "diag.agent_older", running=status.get("version"), here=__version__)
    else:
        yield Step.ok("agent", "diag.agent_runs", since=status.get("since"), pid=scene.bridge)


def network(scene: Scene) -> Iterator[Step]:
    """The broker: name, port, certificates, log-in, and the right to say what an agent says."""
    settings = scene.config.mqtt
    if settings is not None and (path := _shut(settings)):
        yield Step.of("broker", broker.connection(settings))
        yield Step.skip("login", "diag.login_closed", path=path)
        return
    failed = False
    for check in broker.checks(scene.config):
        name = check.name if check.name in ("certificate", "own_certificate", "login") else "broker"
        failed = failed or check.state is State.FAIL
        yield Step.of(name, check)
    if settings is not None and not failed:
        here = running(scene.config.agent.run_dir)
        yield (
            rights_told(settings, here)
            if here is not None and (here.connected is not False or here.mqtt.get("denied"))
            else rights(settings, scene.config.agent.site, scene.config.agent.id)
        )


def _shut(settings: Mqtt) -> Path | None:
    """The password or key that whoever asks may not read: who has not, can't log in."""
    if os.geteuid() == 0:
        return None
    files = (settings.password_file, settings.key_file)
    return next((path for path in files if path is not None and not os.access(path, os.R_OK)), None)


def rights_told(settings: Mqtt, here: Running) -> Step:
    """What the agent that runs here may do at the broker, as it says; nobody else speaks in its name meanwhile."""
    if denied := here.mqtt.get("denied"):
        return Step.fail("rights", "diag.rights_refused", host=settings.host, what=", ".join(denied))
    if here.connected is None:
        return Step.warn("rights", "diag.rights_unasked")
    return Step.ok("rights", "diag.rights_running", host=settings.host)


def rights(settings: Mqtt, site: str, agent_id: str) -> Step:
    """Whether the broker's access list lets us publish below our own name.

    Tried with a topic of the agent's own replies that nobody waits for: `replies/diag`, not retained.
    """
    topic = f"tillwatch/1/{site}/{agent_id}/replies/diag"
    answers: list[ReasonCode] = []

    def on_connect(client: mqtt.Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
        if not code.is_failure:
            client.publish(topic, b"{}", qos=1)

    def on_publish(_client: mqtt.Client, _data: Any, _mid: int, code: ReasonCode, _properties: Any) -> None:
        answers.append(code)

    name = f"{agent_id}-diag-{secrets.token_hex(4)}"
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTProtocolVersion.MQTTv5)
    client.connect_timeout = _WAIT_S
    client.on_connect, client.on_publish = on_connect, on_publish
    try:
        authenticate(client, settings)
        client.connect(settings.host, settings.port)
        end = time.monotonic() + _WAIT_S
        while not answers and time.monotonic() < end:
            if client.loop(timeout=0.2) != mqtt.MQTT_ERR_SUCCESS:
                break
        client.disconnect()
        client.loop(timeout=0.1)
    except (OSError, ValueError) as error:
        return Step.warn("rights", "diag.rights_untried", reason=error)
    if not answers:
        return Step.warn("rights", "diag.rights_untold", host=settings.host)
    if answers[0].value == _DENIED or answers[0].is_failure:
        return Step.fail("rights", "diag.rights_denied", host=settings.host, topic=topic, reason=str(answers[0]))
    return Step.ok("rights", "diag.rights_ok", host=settings.host, topic=topic)


def collector(scene: Scene) -> Iterator[Step]:
    """A collector stores what we publish, and nothing is stuck on its way there."""
    past = scene.past
    if scene.config.mqtt is None or past is None:
        yield Step.skip("collector", "diag.collector_none" if scene.config.mqtt is None else "diag.no_journal")
        return
    outbox = past.sequence - past.acknowledged
    found = {"outbox": outbox, "sequence": past.sequence, "stored": past.stored}
    connected = (scene.agent or {}).get("broker")
    if outbox > _OUTBOX_FULL:
        yield Step.fail("collector", "diag.outbox_full", **found)
    elif scene.agent is not None and connected == "unreachable":
        yield Step.warn("collector", "diag.agent_offline", **found)
    elif past.stored is None:
        yield Step.warn("collector", "diag.never_stored", **found)
    elif past.acknowledged - past.stored > _OUTBOX_FULL:
        yield Step.fail("collector", "diag.collector_behind", behind=past.acknowledged - past.stored, **found)
    else:
        yield Step.ok("collector", "diag.collector_ok", **found)
