"""Which driver masks a recording, and what its header says."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from agent import __version__
from agent.journal import Journal
from agent.payments import Book
from agent.recording import driver_on, header_of
from drivers.driver import Framing
from tests.agent.configured import TERMINAL, configured


def test_the_configured_protocol_or_the_one_that_was_heard(tmp_path: Path) -> None:
    agent = f'[agent]\nstate_dir = "{tmp_path}/state"\n'
    config = configured(tmp_path, agent + TERMINAL)
    driver = driver_on(config, config.terminals[0])
    assert driver is not None
    assert driver.name == "concert"
    config = configured(tmp_path, agent + TERMINAL.replace("concert", "auto"))
    assert driver_on(config, config.terminals[0]) is None
    journal = Journal(tmp_path / "state", "site", "pc-1")
    journal.commit([], {"pos1": Book(heard="zvt")})
    journal.close()
    driver = driver_on(config, config.terminals[0])
    assert driver is not None
    assert driver.name == "zvt"


def test_a_profile_that_is_gone_is_nobody_s_protocol(tmp_path: Path) -> None:
    config = configured(tmp_path, f'[agent]\nstate_dir = "{tmp_path}/state"\n' + TERMINAL.replace("concert", "auto"))
    journal = Journal(tmp_path / "state", "site", "pc-1")
    journal.commit([], {"pos1": Book(heard="acme")})
    journal.close()
    assert driver_on(config, config.terminals[0]) is None


def test_the_header_says_device_settings_date_and_version(tmp_path: Path) -> None:
    config = configured(tmp_path, TERMINAL + TERMINAL.replace("pos1", "pos2").replace("serial:/dev/ttyUSB0", "tcp:h:1"))
    began = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
    serial, tcp = (header_of(each, "concert", Framing.SERIAL, began) for each in config.terminals)
    assert (serial.device, serial.settings) == ("serial:/dev/ttyUSB0", "9600 8N1")
    assert (serial.date, serial.version) == ("2026-11-24T09:30:00+00:00", __version__)
    assert (tcp.device, tcp.settings) == ("tcp:h:1", None)
