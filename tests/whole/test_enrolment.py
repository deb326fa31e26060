"""From a one-time token to a revoked certificate: a real collector, a real agent, mosquitto as it is shipped."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from agent.bundle.machine import checks
from agent.checks.check import State
from agent.checks.login import log_in
from agent.cli import main
from agent.config import load
from agent.enroll.errors import EnrolError
from agent.enroll.identity import Identity
from agent.enroll.renewal import renew
from collector.enrol.authority import EARLY
from collector.ledger import Ledger, microseconds, utc_now
from collector.ledger.tables_enrol import certificates
from tests.collector.process import Collector
from tests.config.test_mosquitto import ShippedBroker
from tests.waits import until
from tests.whole.stand import Stand


@dataclass
class OurAuthority:
    """The authority of `tillwatch collector ca`, as the shipped broker's test wants one."""

    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "ca" / "ca.pem"

    def sign(self, name: str) -> tuple[Path, Path]:
        kind = "client" if name == "collector" else "server"
        assert ca(self.folder, kind, name, "-o", str(self.folder)) == 0
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"


class RevokingBroker(ShippedBroker):
    """With the line that the file has as a comment: `crlfile`."""

    def shipped(self) -> str:
        text = super().shipped()
        commented = "# crlfile /etc/mosquitto/tillwatch/revoked.pem"
        assert commented in text
        return text.replace(commented, f"crlfile {self.folder.parent}/revoked.pem")

    def reload(self) -> None:
        assert self.pid is not None
        os.kill(self.pid, signal.SIGHUP)


def ca(folder: Path, *words: str) -> int:
    return main(["collector", "ca", "--ca", str(folder / "ca"), *words])


@dataclass
class Hospital:
    """A broker and a collector, and what its console does."""

    folder: Path
    broker: RevokingBroker
    collector: Collector
    capsys: pytest.CaptureFixture[str]

    @property
    def door(self) -> str:
        return f"https://127.0.0.1:{self.collector.logged('enrol.ready')[0]['port']}"

    @property
    def ledger(self) -> str:
        return f"sqlite:///{self.folder}/ledger.sqlite"

    def console(self, *words: str) -> str:
        self.capsys.readouterr()
        assert main(["collector", *words, "--config", str(self.folder / "collector.toml")]) == 0
        return self.capsys.readouterr().out.strip()

    def token(self, agent: str) -> str:
        return self.console("enrol-token", "--agent", agent, "--site", "outpatient-1")

    def connections(self, agent: str) -> int:
        """How many were made in an agent's name, as the broker counts."""
        return self.broker.log.read_text().count(f" as {agent} (")

    def agents(self) -> list[dict[str, object]]:
        with urllib.request.urlopen(f"{self.collector.url}/api/agents", timeout=20) as answer:
            items: list[dict[str, object]] = json.load(answer)["items"]
            return items


@pytest.fixture
def hospital(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Hospital]:
    assert ca(tmp_path, "init", "First Hospital") == 0
    authority = OurAuthority(tmp_path)
    certificate, key = authority.sign("collector")
    settings = tmp_path / "collector.toml"
    text = f"""[database]
url = "sqlite:///{tmp_path}/ledger.sqlite"
[enrol]
folder = "{tmp_path}/ca"
listen = "127.0.0.1:0"
names = ["127.0.0.1"]
crl_file = "{tmp_path}/revoked.pem"
"""
    settings.write_text(text)
    Ledger.open(f"sqlite:///{tmp_path}/ledger.sqlite").close()
    assert main(["collector", "revoke", "--crl", f"{tmp_path}/revoked.pem", "--config", str(settings)]) == 0
    with RevokingBroker(tmp_path / "broker", authority) as broker:  # type: ignore[arg-type]
        text += f"""[mqtt]
url = "mqtts://127.0.0.1:{broker.port}"
ca_file = "{authority.certificate}"
cert_file = "{certificate}"
key_file = "{key}"
"""
        settings.write_text(text)
        database = f"sqlite:///{tmp_path}/ledger.sqlite"
        with Collector(tmp_path, database, None, "--config", str(settings)) as collector:
            until(lambda: collector.logged("mqtt.connected"), 60, "collector at the broker")
            yield Hospital(tmp_path, broker, collector, capsys)


@pytest.fixture
def pc(tmp_path: Path) -> Iterator[Stand]:
    """A cashier PC without any identity; its terminal is switched off."""
    folder = tmp_path / "pc"
    folder.mkdir()
    stand = Stand(folder, None)
    stand.terminal("pos1", "concert", "tcp:127.0.0.1:1")
    yield stand
    stand.close()


def enroll(hospital: Hospital, pc: Stand, token: str) -> int:
    return main(["enroll", hospital.door, "--token", token, "--config", str(pc.config), "--write"])


def let_in(pc: Stand) -> State:
    settings = load(pc.config).mqtt
    assert settings is not None
    return log_in(settings, "cashier-07", None).state


def test_token_identity_events_renewal_revocation(hospital: Hospital, pc: Stand) -> None:
    token = hospital.token("cashier-07")
    assert enroll(hospital, pc, token) == 0  # the broker let it in, too
    identity = Identity.below(pc.folder / "state")
    assert identity.key.stat().st_mode & 0o777 == 0o600
    assert enroll(hospital, pc, token) == 1
    assert "was used on" in hospital.capsys.readouterr().err

    pc.start_agent()
    until(lambda: [a for a in hospital.agents() if a["agent"] == "cashier-07" and a["online"]], 60, "agent online")
    connected = hospital.connections("cashier-07")
    looked_at(hospital, pc)
    assert hospital.connections("cashier-07") == connected  # nobody else logged in with the agent's certificate
    assert pc.stop_agent() == 0

    agreed = identity.enrolment()
    assert agreed is not None
    before = identity.certificate.read_text()
    assert not renew(identity, agreed)  # it is new: nothing to renew
    age(hospital, days=61)
    given = identity.validity()
    assert given is not None
    until(lambda: utc_now() - given.begins > EARLY + timedelta(seconds=1), what="one that is made now lasts longer")
    assert renew(identity, agreed)
    assert identity.certificate.read_text() != before
    assert let_in(pc) is State.OK

    hospital.console("revoke", "cashier-07")
    hospital.broker.reload()
    until(lambda: let_in(pc) is State.FAIL, 30, "the broker refuses who was revoked")
    with pytest.raises(EnrolError, match="was revoked on"):
        renew(identity, agreed)

    assert enroll(hospital, pc, hospital.token("cashier-07")) == 0  # it may come back, with another key


def looked_at(hospital: Hospital, pc: Stand) -> None:
    """All that may be done at the PC while its agent runs; what the agent says of the broker is told."""
    words = ("--config", str(pc.config), "--json")
    hospital.capsys.readouterr()
    main(["check", *words])
    checked = {row["check"]: row for row in json.loads(hospital.capsys.readouterr().out)}
    assert "the agent that runs here is connected" in checked["login"]["text"]
    main(["diag", "--only", "network", *words])
    (told,) = json.loads(hospital.capsys.readouterr().out)
    assert {(step["finding"], step["level"]) for step in told["steps"] if step["step"] in ("login", "rights")} == {
        ("login_running", "ok"),
        ("rights_running", "ok"),
    }
    assert checks(load(pc.config)).name == "checks.json"  # what a support bundle looks at
    assert enroll(hospital, pc, hospital.token("cashier-07")) == 0
    assert "not tried: the agent that runs here" in hospital.capsys.readouterr().out


def age(hospital: Hospital, days: int) -> None:
    """The certificates in the ledger were made so long ago: the collector finds them due."""
    ledger = Ledger.open(hospital.ledger)
    now_us, day_us = microseconds(utc_now()), 86_400_000_000
    with ledger.write() as connection:
        connection.execute(
            certificates.update().values(begins_us=now_us - days * day_us, ends_us=now_us + (90 - days) * day_us)
        )
    ledger.close()


FLEET = """
[[group]]
sites = ["outpatient-*"]
[group.terminal."pos*".confirm]
quiet = "7s"
[[group]]
agents = ["somebody-else"]
[group.terminal.pos1]
currency = "USD"
"""


def test_the_fleets_configuration_is_taken_and_a_bad_one_changes_nothing(hospital: Hospital, pc: Stand) -> None:
    assert enroll(hospital, pc, hospital.token("cashier-07")) == 0
    fleet = hospital.folder / "fleet.toml"
    fleet.write_text(FLEET)
    hospital.console("fleet", "publish", str(fleet))
    pc.start_agent()

    def state() -> dict[str, object]:
        answer = json.loads(pc.tillwatch("status", "--json").stdout)
        found: dict[str, object] = (answer.get("agent") or {}).get("configuration") or {}
        return found

    until(lambda: state() == {"version": 1, "refused": None}, 60, "version 1 is in force")
    assert pc.log.count('"agent.ready"') == 2  # begun anew, in the same process
    assert pc.agent is not None
    assert pc.agent.poll() is None
    config = load(pc.config)
    assert (config.fleet_version, config.terminals[0].confirm.quiet_s, config.terminals[0].currency) == (1, 7.0, None)
    assert pc.stop_agent() == 0

    fleet.write_text('[[group]]\n[group.terminal.pos1]\nprotocol = "no-such-protocol"\n')
    hospital.console("fleet", "publish", str(fleet))
    pc.start_agent()
    refused = until(lambda: state().get("refused"), 60, "version 2 is refused")
    assert isinstance(refused, dict)
    assert refused["version"] == 2
    assert "terminal.pos1.protocol" in refused["reason"]
    assert load(pc.config).terminals[0].confirm.quiet_s == 7.0
    at_collector = until(
        lambda: next((a for a in hospital.agents() if a["agent"] == "cashier-07" and a["online"]), None), 60
    )
    assert at_collector
