"""Events reach a real broker, each once, in order, whatever the broker does."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.command_desk import CommandDesk
from agent.commands import Command
from agent.config import Mqtt
from agent.hooks import Hooks
from agent.jobs import Done
from agent.journal import Journal
from agent.log import logger
from agent.outbox import Outbox, Waiting
from agent.publish import WINDOW, Publisher
from tests.agent.test_journal import NOTE
from tests.broker import Broker, Tls
from tests.certificates import Authority
from tests.subscriber import Subscriber
from tests.waits import until

PREFIX = "tillwatch/1/site/pc-1"


def settings(broker: Broker, **changes: object) -> Mqtt:
    known: dict[str, object] = {
        "url": broker.url,
        "host": broker.host,
        "port": broker.port,
        "tls": False,
        "username": None,
        "password_file": None,
        "ca_file": None,
        "cert_file": None,
        "key_file": None,
        "keepalive_s": 5.0,
    }
    return Mqtt(**(known | changes))  # type: ignore[arg-type]


class Agent:
    """A journal and its publisher, without the rest."""

    def __init__(
        self, folder: Path, mqtt_settings: Mqtt, job: Callable[[Command, Done], str | None] | None = None
    ) -> None:
        self.journal = Journal(folder, "site", "pc-1")
        self.levels: list[str] = []
        hooks = Hooks(
            state=lambda online, acknowledged: json.dumps(
                {"online": online, "sequence": self.journal.sequence}
            ).encode(),
            metrics=lambda: b"{}",
            log_level=lambda level: level == "debug" and not self.levels.append(level),  # type: ignore[func-returns-value]
            confirm={"T1": "asking"}.get,  # type: ignore[arg-type]
            job=job or (lambda _command, _done: "not_supported"),
        )
        self.publisher = Publisher(mqtt_settings, self.journal.source, self.journal.path, hooks, logger())
        self.publisher.start()

    def tell(self, count: int) -> None:
        self.journal.commit([NOTE] * count)
        self.publisher.wake()

    def stop(self) -> None:
        self.publisher.stop(5)
        self.journal.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path / "broker") as broker:
        yield broker


def sequences(subscriber: Subscriber) -> list[int]:
    return [event["sequence"] for event in subscriber.events]


def test_events_arrive_in_order_each_once_with_their_content_type(broker: Broker, tmp_path: Path) -> None:
    agent = Agent(tmp_path, settings(broker))
    with Subscriber(broker.port) as subscriber:
        agent.tell(WINDOW * 5 + 3)
        until(lambda: len(subscriber.events) >= WINDOW * 5 + 3)
        assert sequences(subscriber) == list(range(1, WINDOW * 5 + 4))
        event = next(m for m in subscriber.messages if "/events/" in m.topic)
        assert event.topic == f"{PREFIX}/events/agent.started"
        assert event.content_type == "application/cloudevents+json"
        assert not event.retained
    agent.stop()


def test_state_is_retained_and_says_offline_after_a_clean_stop(broker: Broker, tmp_path: Path) -> None:
    agent = Agent(tmp_path, settings(broker))
    until(lambda: agent.publisher.connected)
    with Subscriber(broker.port, f"{PREFIX}/state") as subscriber:
        until(lambda: subscriber.state and subscriber.state["online"])
        agent.stop()
        until(lambda: subscriber.state and not subscriber.state["online"])
    with Subscriber(broker.port, f"{PREFIX}/state") as later:
        until(lambda: later.state is not None)
        assert later.messages[0].retained
        assert later.state == {"online": False, "sequence": 0}


def test_the_last_will_tells_of_a_sudden_end(broker: Broker, tmp_path: Path) -> None:
    agent = Agent(tmp_path, settings(broker))
    with Subscriber(broker.port, f"{PREFIX}/state") as subscriber:
        until(lambda: subscriber.state and subscriber.state["online"])
        intruder = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="pc-1")  # the same id: the broker ends the first
        intruder.connect(broker.host, broker.port)
        intruder.loop_start()
        until(lambda: any(m.payload["online"] is False for m in subscriber.messages))
        intruder.disconnect()
        intruder.loop_stop()
    agent.stop()


def test_a_killed_broker_gets_everything_when_it_is_back(broker: Broker, tmp_path: Path) -> None:
    agent = Agent(tmp_path, settings(broker))
    agent.tell(5)
    until(lambda: agent.publisher.acknowledged == 5)
    broker.kill()
    agent.tell(20)
    broker.start()
    with Subscriber(broker.port) as subscriber:
        until(lambda: agent.publisher.acknowledged == 25, 30)
        agent.tell(1)
        until(lambda: 26 in sequences(subscriber))
    agent.stop()


def test_without_a_collector_nothing_acknowledged_is_sent_again(broker: Broker, tmp_path: Path) -> None:
    agent = Agent(tmp_path, settings(broker))
    agent.tell(10)
    until(lambda: agent.publisher.acknowledged == 10)
    agent.stop()
    with Subscriber(broker.port) as subscriber:
        agent = Agent(tmp_path, settings(broker))
        agent.tell(1)
        until(lambda: 11 in sequences(subscriber))
        assert sequences(subscriber) == [11]
    agent.stop()


def publish(broker: Broker, topic: str, payload: str, *more: str) -> None:
    command = ["mosquitto_pub", "-V", "5", "-q", "1", "-p", str(broker.port), "-t", topic, "-m", payload, *more]
    subprocess.run(command, check=True)


def test_what_a_collector_has_not_stored_is_sent_again_after_a_reconnect(broker: Broker, tmp_path: Path) -> None:
    agent = Agent(tmp_path, settings(broker))
    agent.tell(10)
    until(lambda: agent.publisher.acknowledged == 10)
    stored = json.dumps({"epoch": agent.journal.source.epoch, "sequence": 6})
    publish(broker, f"{PREFIX}/stored", stored, "-r")
    agent.tell(1)
    until(lambda: agent.publisher.acknowledged == 11)
    broker.kill()
    broker.start()
    with Subscriber(broker.port) as subscriber:
        agent.tell(1)
        until(lambda: 12 in sequences(subscriber), 30)
        # The subscriber may come later than the reconnect; what the agent sent again begins behind the stored one.
        assert min(sequences(subscriber)) >= 7
        until(lambda: agent.publisher.acknowledged == 12)
    agent.stop()


def test_what_another_journals_collector_stored_counts_nothing(broker: Broker, tmp_path: Path) -> None:
    agent = Agent(tmp_path, settings(broker))
    agent.tell(3)
    publish(broker, f"{PREFIX}/stored", json.dumps({"epoch": "another", "sequence": 99}), "-r")
    until(lambda: agent.publisher.acknowledged == 3)
    agent.stop()
    with Subscriber(broker.port) as subscriber:
        agent = Agent(tmp_path, settings(broker))
        agent.tell(1)
        until(lambda: 4 in sequences(subscriber))
        assert sequences(subscriber) == [4]
    agent.stop()


class Commander:
    """An MQTT 5 client that sends commands and takes the answers."""

    def __init__(self, broker: Broker) -> None:
        self.answers: list[tuple[bytes, dict[str, object]]] = []
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self.client.on_message = lambda _c, _d, m: self.answers.append(
            (m.properties.CorrelationData, json.loads(m.payload))  # type: ignore[attr-defined]
        )
        self.client.connect(broker.host, broker.port)
        self.client.subscribe("answers/1", 1)
        self.client.loop_start()

    def ask(self, name: str, payload: dict[str, object]) -> dict[str, object]:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ResponseTopic = "answers/1"
        properties.CorrelationData = str(len(self.answers)).encode()
        before = len(self.answers)
        self.client.publish(f"{PREFIX}/commands/{name}", json.dumps(payload), 1, properties=properties)
        until(lambda: len(self.answers) > before)
        correlation, answer = self.answers[-1]
        assert correlation == str(before).encode()
        return answer

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def test_a_gap_is_filled_on_request_and_a_repeated_request_is_answered_not_repeated(
    broker: Broker, tmp_path: Path
) -> None:
    agent = Agent(tmp_path, settings(broker))
    agent.tell(5)
    until(lambda: agent.publisher.acknowledged == 5)
    commander = Commander(broker)
    with Subscriber(broker.port) as subscriber:
        asked: dict[str, object] = {"id": "r1", "expires": 4e9, "from": 3}
        assert commander.ask("resend", asked) == {"id": "r1", "ok": True, "error": None}
        agent.publisher.wake()
        until(lambda: 5 in sequences(subscriber))
        assert sequences(subscriber)[-3:] == [3, 4, 5]
        count = len(subscriber.events)
        assert commander.ask("resend", asked)["ok"] is True
        agent.tell(1)
        until(lambda: 6 in sequences(subscriber))
        assert len(subscriber.events) == count + 1
    commander.close()
    agent.stop()


def test_late_unknown_and_unsupported_commands_do_nothing(broker: Broker, tmp_path: Path) -> None:
    agent = Agent(tmp_path, settings(broker))
    until(lambda: agent.publisher.connected)
    commander = Commander(broker)
    assert commander.ask("resend", {"id": "late", "expires": 1, "from": 1})["error"] == "expired"
    assert commander.ask("bundle", {"id": "b", "expires": 4e9})["error"] == "not_supported"
    assert commander.ask("confirm", {"id": "c1", "expires": 4e9, "transaction": "T1"})["ok"] is True
    assert commander.ask("confirm", {"id": "c2", "expires": 4e9})["error"] == "not_pending"
    assert commander.ask("log-level", {"id": "l1", "expires": 4e9, "level": "loud"})["error"] == "unknown_level"
    assert commander.ask("log-level", {"id": "l2", "expires": 4e9, "level": "debug"})["ok"] is True
    assert agent.levels == ["debug"]
    commander.close()
    agent.stop()


def test_a_command_that_takes_long_is_answered_when_it_has_ended_and_once(broker: Broker, tmp_path: Path) -> None:
    begun: list[str] = []

    def job(command: Command, done: Done) -> str | None:
        begun.append(command.id)
        if command.terminal == "pos9":
            return "busy"
        threading.Thread(target=done, args=(None, [{"terminal": command.terminal}])).start()
        return None

    agent = Agent(tmp_path, settings(broker), job)
    until(lambda: agent.publisher.connected)
    commander = Commander(broker)
    asked: dict[str, object] = {"id": "d1", "expires": 4e9, "terminal": "pos1"}
    answer = {"id": "d1", "ok": True, "error": None, "result": [{"terminal": "pos1"}]}
    assert commander.ask("diag", asked) == answer
    assert commander.ask("diag", asked) == answer
    busy: dict[str, object] = {"id": "d2", "expires": 4e9, "terminal": "pos9"}
    assert commander.ask("diag", busy)["error"] == "busy"
    assert commander.ask("diag", busy | {"terminal": "pos1"})["ok"] is True
    assert commander.ask("diag", {"id": "d3", "expires": 1})["error"] == "expired"
    assert begun == ["d1", "d2", "d2"]
    commander.close()
    agent.stop()


def test_a_retained_command_is_ignored(broker: Broker, tmp_path: Path) -> None:
    command = json.dumps({"id": "x", "expires": 4e9, "level": "debug"})
    publish(broker, f"{PREFIX}/commands/log-level", command, "-r")
    agent = Agent(tmp_path, settings(broker))
    agent.tell(1)
    until(lambda: agent.publisher.acknowledged == 1)
    commander = Commander(broker)
    assert (
        commander.ask("resend", {"id": "y", "expires": 4e9, "from": 1})["ok"] is True
    )  # it came after the retained one
    assert agent.levels == []
    commander.close()
    agent.stop()


def test_what_nobody_should_send_ends_nothing(broker: Broker, tmp_path: Path) -> None:
    agent = Agent(tmp_path, settings(broker))
    until(lambda: agent.publisher.connected)
    stored = {"epoch": agent.journal.source.epoch, "sequence": 10**30}
    for topic, payload in (
        ("stored", json.dumps(stored)),
        ("stored", "[" * 5000),
        ("commands/resend", json.dumps({"id": "a", "expires": 10**400, "from": 1})),
        ("commands/resend", '{"id": "\\ud800", "expires": 4e9, "from": 1}'),
        ("commands/diag", '{"id": "b", "expires": 4e9, "terminal": "\\u0000"}'),
        ("commands/resend", json.dumps({"id": "c", "expires": 4e9, "from": 10**400})),
    ):
        publish(broker, f"{PREFIX}/{topic}", payload)
    commander = Commander(broker)
    assert commander.ask("resend", {"id": "d", "expires": 4e9, "from": 1})["ok"] is True
    agent.tell(1)
    until(lambda: agent.publisher.acknowledged == 1)
    commander.close()
    agent.stop()


def test_a_journal_that_can_not_be_read_for_a_while_is_read_again(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.publish._PAUSE_S", 0.05)
    broken = threading.Event()
    read = Outbox.after

    def after(outbox: Outbox, sequence: int, limit: int) -> list[Waiting]:
        if broken.is_set():
            raise sqlite3.OperationalError("disk I/O error")
        return read(outbox, sequence, limit)

    monkeypatch.setattr(Outbox, "after", after)
    agent = Agent(tmp_path, settings(broker))
    agent.tell(3)
    until(lambda: agent.publisher.acknowledged == 3)
    broken.set()
    agent.tell(3)
    until(lambda: "disk I/O error" in (agent.publisher.contact.failure or "") and not agent.publisher.connected)
    broken.clear()
    until(lambda: agent.publisher.acknowledged == 6)
    agent.stop()


def test_a_fault_of_ours_ends_a_connection_and_not_the_publishing(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.publish._PAUSE_S", 0.05)
    faulty = threading.Event()
    take = CommandDesk.take

    def fail(desk: CommandDesk, client: mqtt.Client, message: mqtt.MQTTMessage) -> None:
        if not faulty.is_set():
            faulty.set()
            raise KeyError("nobody thought of that")
        take(desk, client, message)

    monkeypatch.setattr(CommandDesk, "take", fail)
    agent = Agent(tmp_path, settings(broker))
    until(lambda: agent.publisher.connected)
    publish(broker, f"{PREFIX}/commands/resend", "{}")
    until(faulty.is_set)
    agent.tell(1)
    until(lambda: agent.publisher.acknowledged == 1)
    agent.stop()


def test_a_wrong_password_is_refused_and_the_right_one_works(tmp_path: Path) -> None:
    wrong, right = tmp_path / "wrong", tmp_path / "right"
    wrong.write_text("no\n")
    right.write_text("secret\n")
    with Broker(tmp_path / "broker", users={"pc-1": "secret"}) as broker:
        agent = Agent(tmp_path / "a", settings(broker, username="pc-1", password_file=wrong))
        until(lambda: "not authorised" in broker.log.read_text())
        assert not agent.publisher.connected
        agent.stop()
        agent = Agent(tmp_path / "b", settings(broker, username="pc-1", password_file=right))
        agent.tell(1)
        until(lambda: agent.publisher.acknowledged == 1)
        agent.stop()


def test_a_broker_of_the_older_protocol_is_served_too(tmp_path: Path) -> None:
    from iotcore import Broker as OldBroker

    from tests.broker import free_port

    port = free_port()
    with OldBroker(port=port, listen="127.0.0.1"):
        broker = Broker(tmp_path)
        broker.port = port
        agent = Agent(tmp_path, settings(broker))
        agent.tell(100)
        until(lambda: agent.publisher.acknowledged == 100, 30)
        agent.stop()


def test_a_broker_that_wants_certificates_gets_ours(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    certificate, key = authority.sign("localhost")
    own_certificate, own_key = authority.sign("pc-1")
    with Broker(tmp_path / "broker", tls=Tls(certificate, key, authority.certificate)) as broker:
        files = {"ca_file": authority.certificate, "cert_file": own_certificate, "key_file": own_key}
        agent = Agent(tmp_path / "agent", settings(broker, tls=True, host="localhost", **files))
        agent.tell(100)
        until(lambda: agent.publisher.acknowledged == 100)
        agent.stop()


def test_what_the_brokers_rules_deny_is_known(tmp_path: Path) -> None:
    (tmp_path / "acl").write_text(f"topic write {PREFIX}/events/+\ntopic read {PREFIX}/stored\n")
    with Broker(tmp_path / "broker", options=f"acl_file {tmp_path}/acl") as broker:
        agent = Agent(tmp_path, settings(broker))
        agent.tell(3)
        until(lambda: agent.publisher.acknowledged == 3 and agent.publisher.contact.denied == {"state"})
        contact = agent.publisher.contact
        assert (contact.version, contact.failure) == (5, None)
        assert contact.since is not None
        broker.kill()
        until(lambda: contact.failure is not None)
        assert contact.denied == {"state"}  # until the broker takes it
        agent.stop()
