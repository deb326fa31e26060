"""The shipped mosquitto configuration and its access rules, tried on a real mosquitto with real certificates.

The configuration is used as it is shipped; only its paths and its port are the test's.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.broker import Broker
from tests.certificates import Authority
from tests.waits import until

SHIPPED = Path(__file__).parents[2] / "config" / "mosquitto"
MINE = "tillwatch/1/outpatient-1/cashier-07"
OTHER = "tillwatch/1/outpatient-1/cashier-08"
PATIENCE_S = 20.0


#: /etc/mosquitto/mosquitto.conf of Debian 12 (mosquitto 2.0.11): a value that is given twice ends mosquitto
DEBIAN = """\
persistence true
persistence_location {folder}/
include_dir {folder}/conf.d
"""


class ShippedBroker(Broker):
    """A mosquitto that runs the shipped configuration where docs/broker.md puts it: in Debian's conf.d."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        super().__init__(folder)
        self._authority = authority

    def _text(self) -> str:
        (self.folder / "conf.d").mkdir(exist_ok=True)
        (self.folder / "conf.d" / "tillwatch.conf").write_text(self.shipped(), encoding="utf-8")
        return "user root\n" + DEBIAN.format(folder=self.folder)

    def shipped(self) -> str:
        """The shipped file with the test's paths and port."""
        certificate, key = self._authority.sign("127.0.0.1")
        text = (SHIPPED / "tillwatch.conf").read_text(encoding="utf-8")
        for shipped, ours in (
            ("/etc/mosquitto/tillwatch/ca.pem", self._authority.certificate),
            ("/etc/mosquitto/tillwatch/broker.pem", certificate),
            ("/etc/mosquitto/tillwatch/broker.key", key),
            ("/etc/mosquitto/tillwatch.acl", SHIPPED / "tillwatch.acl"),
        ):
            assert shipped in text
            text = text.replace(shipped, str(ours))
        text, moved = re.subn(r"(?m)^listener 8883$", f"listener {self.port} {self.host}", text)
        assert moved == 1
        return text


class Peer:
    """A client with a certificate, or with none. `heard`: the messages that came."""

    def __init__(
        self, broker: Broker, ca: Path, certificate: tuple[Path, Path] | None, client_id: str, will: str | None = None
    ) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.granted: dict[int, list[int]] = {}
        self.accepted: dict[int, bool] = {}
        self.connected = False
        self.cut = False
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, protocol=mqtt.MQTTv5)
        context = ssl.create_default_context(cafile=str(ca))
        context.check_hostname = False
        if certificate:
            context.load_cert_chain(*map(str, certificate))
        self.client.tls_set_context(context)
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.client.on_message = lambda _c, _u, message: self.heard.append((message.topic, message.payload))
        self.client.on_subscribe = lambda _c, _u, mid, codes, _p: self.granted.update({mid: [c.value for c in codes]})
        self.client.on_publish = lambda _c, _u, mid, code, _p: self.accepted.update({mid: not code.is_failure})
        if will:
            self.client.will_set(will, "its last will", qos=1, retain=True)
        self.client.connect(broker.host, broker.port, 30)
        self.client.loop_start()

    def _on_connect(self, _client: object, _data: object, _flags: object, code: mqtt.ReasonCode, _p: object) -> None:
        self.connected = not code.is_failure

    def _on_disconnect(self, *_: object) -> None:
        self.cut = True

    def ready(self) -> Peer:
        until(lambda: self.connected, PATIENCE_S)
        return self

    def subscribe(self, topic: str) -> bool:
        """Whether the broker granted it."""
        _, number = self.client.subscribe(topic, qos=1)
        assert number is not None
        until(lambda: number in self.granted, PATIENCE_S)
        return all(code < 0x80 for code in self.granted[number])

    def publish(self, topic: str, payload: str = "x", retain: bool = False, reply_to: str | None = None) -> bool:
        """Whether the broker took it."""
        properties = Properties(PacketTypes.PUBLISH)
        if reply_to:
            properties.ResponseTopic = reply_to
        number = self.client.publish(topic, payload, qos=1, retain=retain, properties=properties).mid
        until(lambda: number in self.accepted, PATIENCE_S)
        return self.accepted[number]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def break_off(self) -> None:
        """End without a goodbye, as a PC does that loses its power: the broker sends the will."""
        self.client.loop_stop()
        sock = self.client.socket()
        assert sock is not None
        sock.close()


@dataclass
class House:
    """A broker and the peers at it."""

    broker: Broker
    authority: Authority
    peers: list[Peer]

    def peer(self, name: str, client_id: str | None = None, will: str | None = None) -> Peer:
        peer = Peer(self.broker, self.authority.certificate, self.authority.sign(name), client_id or name, will)
        self.peers.append(peer)
        return peer.ready()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Broker, Authority]]:
    folder = tmp_path_factory.mktemp("shipped")
    authority = Authority(folder / "ca")
    with ShippedBroker(folder / "broker", authority) as running:
        yield running, authority


@pytest.fixture
def house(broker: tuple[Broker, Authority]) -> Iterator[House]:
    made = House(*broker, [])
    yield made
    for peer in made.peers:
        peer.close()


OWN = [f"{MINE}/state", f"{MINE}/metrics", f"{MINE}/events/transaction.started", f"{MINE}/replies/1"]
FOREIGN = [f"{OTHER}/state", f"{OTHER}/metrics", f"{OTHER}/events/transaction.completed", f"{OTHER}/replies/1"]
ORDERS = [f"{MINE}/stored", f"{OTHER}/stored", f"{MINE}/commands/resend", f"{OTHER}/commands/confirm"]
OUTSIDE = [
    "tillwatch/1/outpatient-1/cashier-07",
    "tillwatch/1/a/b/cashier-07/state",
    f"{MINE}/state/x",
    "$SYS/broker/uptime",
    f"{MINE}/events/a/b",
    "tillwatch/2/outpatient-1/cashier-07/state",
    "x",
]


def test_an_agent_publishes_below_its_own_name(house: House) -> None:
    agent, listener = house.peer("cashier-07"), house.peer("operations")
    assert listener.subscribe("tillwatch/1/+/+/events/+")
    assert [agent.publish(topic) for topic in OWN] == [True] * len(OWN)
    until(lambda: listener.heard == [(OWN[2], b"x")], PATIENCE_S)


@pytest.mark.parametrize("topics", [FOREIGN, ORDERS, OUTSIDE], ids=["others' topics", "orders", "outside"])
def test_an_agent_publishes_nothing_else(house: House, topics: list[str]) -> None:
    agent, collector = house.peer("cashier-07"), house.peer("collector")
    assert collector.subscribe("tillwatch/1/+/+/events/+")
    assert collector.subscribe("tillwatch/1/+/+/state")
    assert [agent.publish(topic) for topic in topics] == [False] * len(topics)
    assert agent.publish(f"{MINE}/events/agent.started", "the last word")
    until(lambda: (f"{MINE}/events/agent.started", b"the last word") in collector.heard, PATIENCE_S)
    assert [topic for topic, _ in collector.heard if topic in topics] == []


def test_an_agent_reads_its_orders_and_no_others(house: House) -> None:
    agent, collector = house.peer("cashier-07"), house.peer("collector")
    assert agent.subscribe(f"{MINE}/commands/+")
    assert agent.subscribe(f"{MINE}/stored")
    assert collector.publish(f"{OTHER}/commands/confirm", "not yours")
    assert collector.publish(f"{OTHER}/stored", "not yours")
    assert collector.publish(f"{MINE}/commands/confirm", "yours", reply_to=f"{MINE}/replies/1")
    until(lambda: agent.heard == [(f"{MINE}/commands/confirm", b"yours")], PATIENCE_S)


@pytest.mark.parametrize(
    "topic",
    [
        f"{OTHER}/commands/+",
        f"{OTHER}/stored",
        f"{OTHER}/events/+",
        f"{MINE}/events/+",
        "tillwatch/1/+/+/events/+",
        "tillwatch/1/outpatient-1/+/commands/+",
        "tillwatch/#",
        "#",
        "$share/collector/tillwatch/1/+/+/events/+",
        f"$share/x/{OTHER}/commands/+",
        "+/+/+/+/+/+",
        "$SYS/#",
    ],
)
def test_an_agent_hears_nothing_by_asking_for_more(house: House, topic: str) -> None:
    """Whatever a subscription's answer says, no message of another arrives, and none of its own events comes back."""
    agent, other, collector = house.peer("cashier-07"), house.peer("cashier-08"), house.peer("collector")
    agent.subscribe(topic)
    assert agent.subscribe(f"{MINE}/commands/+")
    assert other.publish(f"{OTHER}/events/transaction.completed")
    assert other.publish(f"{OTHER}/state")
    assert collector.publish(f"{OTHER}/commands/confirm")
    assert collector.publish(f"{OTHER}/stored")
    assert agent.publish(f"{MINE}/events/transaction.completed")
    assert collector.publish(f"{MINE}/commands/confirm", "the last word")
    until(lambda: (f"{MINE}/commands/confirm", b"the last word") in agent.heard, PATIENCE_S)
    assert {heard for heard, _ in agent.heard} == {f"{MINE}/commands/confirm"}


def test_a_will_speaks_as_its_owner_or_not_at_all(house: House) -> None:
    """A will is sent when nobody is there any more to be refused."""
    collector = house.peer("collector")
    assert collector.subscribe("tillwatch/1/+/+/state")
    assert collector.subscribe("tillwatch/1/+/+/events/+")
    wills = [f"{OTHER}/state", f"{OTHER}/events/transaction.completed", f"{MINE}/state"]
    for topic in wills:
        house.peer("cashier-07", will=topic).break_off()
    until(lambda: (f"{MINE}/state", b"its last will") in collector.heard, PATIENCE_S)
    assert {topic for topic, _ in collector.heard} == {f"{MINE}/state"}


def test_what_the_broker_retains_is_heard_by_those_it_is_for(house: House) -> None:
    """Also what was retained before: a subscription brings it without anybody publishing."""
    collector, agent, other = house.peer("collector"), house.peer("cashier-07"), house.peer("cashier-08")
    assert agent.publish(f"{MINE}/state", "mine", retain=True)
    assert collector.publish(f"{MINE}/stored", "1", retain=True)
    other.subscribe("tillwatch/1/+/+/state")
    other.subscribe(f"{MINE}/#")
    assert other.subscribe(f"{OTHER}/stored")
    assert collector.publish(f"{OTHER}/stored", "the last word")
    until(lambda: (f"{OTHER}/stored", b"the last word") in other.heard, PATIENCE_S)
    assert {topic for topic, _ in other.heard} == {f"{OTHER}/stored"}
    assert not other.publish(f"{MINE}/state", "", retain=True)  # nor can it delete what another retains
    assert not other.publish(f"{MINE}/stored", "", retain=True)
    late = house.peer("operations")
    assert late.subscribe("tillwatch/1/+/+/state")
    until(lambda: (f"{MINE}/state", b"mine") in late.heard, PATIENCE_S)
    for topic, owner in ((f"{MINE}/state", agent), (f"{MINE}/stored", collector)):
        assert owner.publish(topic, "", retain=True)  # for the tests that come after this one


def test_who_claims_anothers_client_id_stays_who_it_is(house: House) -> None:
    """The client id is the certificate's name, so the other's connection is not thrown out, nor its session taken."""
    other = house.peer("cashier-08")
    thief = house.peer("cashier-07", client_id="cashier-08")
    assert other.publish(f"{OTHER}/state", "still here")
    assert other.client.is_connected()
    assert not thief.publish(f"{OTHER}/state")


def test_operations_only_listen(house: House) -> None:
    listener = house.peer("operations")
    topics = [*OWN, *ORDERS]
    assert [listener.publish(topic) for topic in topics] == [False] * len(topics)
    collector = house.peer("collector")
    assert listener.subscribe("tillwatch/1/+/+/state")
    listener.subscribe("tillwatch/1/+/+/commands/+")
    listener.subscribe("tillwatch/1/+/+/replies/+")
    assert collector.publish(f"{MINE}/commands/confirm", "an order")
    agent = house.peer("cashier-07")
    assert agent.publish(f"{MINE}/replies/1", "an answer")
    assert agent.publish(f"{MINE}/state", "the last word")
    until(lambda: (f"{MINE}/state", b"the last word") in listener.heard, PATIENCE_S)
    assert {topic for topic, _ in listener.heard} == {f"{MINE}/state"}


@pytest.mark.parametrize("name", ["operations", "collector"])
def test_who_is_no_agent_does_not_speak_as_one_of_its_own_name(house: House, name: str) -> None:
    """Rights by name are for everybody; these names are no agents, and nobody is to see payments of theirs."""
    peer, own = house.peer(name), f"tillwatch/1/outpatient-1/{name}"
    topics = [f"{own}/state", f"{own}/metrics", f"{own}/events/transaction.completed", f"{own}/replies/1"]
    assert [peer.publish(topic) for topic in topics] == [False] * len(topics)


def test_a_collector_shares_its_subscription_and_never_speaks_as_an_agent(house: House) -> None:
    collector, agent = house.peer("collector"), house.peer("cashier-07")
    assert collector.subscribe("$share/collector/tillwatch/1/+/+/events/+")
    assert agent.publish(f"{MINE}/events/transaction.started")
    until(lambda: collector.heard == [(f"{MINE}/events/transaction.started", b"x")], PATIENCE_S)
    assert not collector.publish(f"{MINE}/events/transaction.started")


@pytest.mark.parametrize("who", ["nobody", "a stranger's certificate", "an expired certificate"])
def test_without_a_valid_certificate_nobody_comes_in(house: House, tmp_path: Path, who: str) -> None:
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    certificates = {
        "nobody": lambda: None,
        "a stranger's certificate": lambda: Authority(tmp_path / "stranger").sign("cashier-07"),
        "an expired certificate": lambda: house.authority.sign("cashier-07", long_ago, long_ago + timedelta(days=1)),
    }
    try:
        peer = Peer(house.broker, house.authority.certificate, certificates[who](), "cashier-07")
    except (ssl.SSLError, OSError):
        return  # refused in the handshake
    # With TLS 1.3 the handshake ends before the certificate is judged: the line is cut afterwards, before any session.
    until(lambda: peer.cut, PATIENCE_S)
    assert not peer.connected
    peer.close()
