"""What `tillwatch check` says of an enrolled PC."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.checks.check import State
from agent.checks.identity import checks
from agent.config import Config, load
from agent.enroll.enrol import Enrolled
from agent.enroll.identity import Enrolment, Identity
from agent.enroll.settings import place_of, write
from agent.fleet_store import FleetStore, Refused
from agent.texts import LANGUAGES, Texts


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "agent.toml"
    path.write_text(
        f'[agent]\nstate_dir = "{tmp_path}/state"\n'
        '[[terminal]]\nname = "pos1"\nprotocol = "concert"\ndevice = "tcp:127.0.0.1:1"\n'
    )
    identity = Identity.below(tmp_path / "state")
    identity.make_folder()
    identity.write(identity.next_key, "x")
    agreed = Enrolment("https://c:8443", "cashier-07", "out-1", "mqtts://broker", "")
    identity.begin("x", "x", agreed)
    write(place_of(path, {}), Enrolled(identity, agreed))
    return load(path, {})


def states(config: Config) -> list[tuple[str, State]]:
    found = list(checks(config))
    for check in found:
        for language in LANGUAGES:
            texts = Texts(language)
            assert "." not in check.title(texts)
            assert "{" not in check.what.say(texts)
            assert check.state is State.OK or check.mend(texts)
    return [(check.name, check.state) for check in found]


def test_an_identity_that_fits_one_that_is_anothers_and_one_that_is_not_used(config: Config) -> None:
    assert states(config) == [("identity", State.OK)]
    assert states(replace(config, agent=replace(config.agent, id="cashier-08"))) == [("identity", State.FAIL)]
    assert states(replace(config, agent=replace(config.agent, site="elsewhere"))) == [("identity", State.FAIL)]
    assert states(replace(config, mqtt=None)) == [("identity", State.WARN)]
    (config.agent.state_dir / "identity" / "enrolment.json").write_text("{")
    assert states(config) == [("identity", State.FAIL)]


def test_who_was_never_enrolled_hears_nothing_of_it(config: Config, tmp_path: Path) -> None:
    assert states(replace(config, agent=replace(config.agent, state_dir=tmp_path / "other"))) == []


def test_the_fleets_configuration_is_told(config: Config) -> None:
    assert states(replace(config, fleet_version=3)) == [("identity", State.OK), ("fleet", State.OK)]
    FleetStore(config.agent.state_dir).refuse(Refused(4, "no such key", signed=True))
    assert states(config) == [("identity", State.OK), ("fleet", State.WARN)]
