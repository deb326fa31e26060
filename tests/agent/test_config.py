"""The configuration: what a good one gives, and how the environment changes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import config_docs
from agent.config import Confirm, load, problems
from agent.config_schema import SECTIONS
from agent.errors import ConfigError
from tests.agent.configured import TERMINAL, configured

ROOT = Path(__file__).parents[2]

# -- good ones --------------------------------------------------------------------------------------------


def test_one_terminal_is_enough_and_everything_else_has_its_default(tmp_path: Path) -> None:
    config = configured(tmp_path, TERMINAL)
    terminal = config.terminals[0]
    assert config.agent.state_dir == Path("/var/lib/tillwatch")
    assert config.agent.run_dir == Path("/run/tillwatch")
    assert (terminal.device.scheme, terminal.device.path) == ("serial", Path("/dev/ttyUSB0"))
    assert (terminal.cashier.scheme, terminal.cashier.path) == ("pty", Path("/run/tillwatch/pos1"))
    assert (terminal.baudrate, terminal.bytesize, terminal.parity, terminal.stopbits) == (9600, 8, "N", 1)
    assert (terminal.flow, terminal.framing, terminal.currency) == ("none", "auto", None)
    assert terminal.confirm == Confirm(
        first_delay_s=5, max_delay_s=300, give_up_after_s=86400, quiet_s=2, policy=None, escalate_after_s=900
    )
    assert config.mqtt is None
    assert (config.log.level, config.log.format) == ("info", "auto")
    assert config.path == tmp_path / "agent.toml"


def test_the_agents_id_defaults_to_the_host_name_made_to_fit(tmp_path: Path) -> None:
    own = configured(tmp_path, TERMINAL).agent.id
    assert own
    assert set(own) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


def test_the_example_loads() -> None:
    config = load(ROOT / "config/agent.example.toml", {})
    assert config.agent.id == "cashier-07"
    assert config.mqtt is not None
    assert (config.mqtt.host, config.mqtt.port, config.mqtt.tls) == ("collector.example", 8883, True)


def test_the_example_names_every_key() -> None:
    text = (ROOT / "config/agent.example.toml").read_text(encoding="utf-8")
    missing = [f"{s.name}.{key.name}" for s in SECTIONS for key in s.keys if f"{key.name} = " not in text]
    assert missing == []


def test_the_reference_is_what_the_schema_says() -> None:
    page = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    assert page == config_docs.document(), "python -m agent.config_docs > docs/configuration.md"


@pytest.mark.parametrize(
    ("written", "seconds"), [("500ms", 0.5), ("5s", 5), ("1.5s", 1.5), ("1m", 60), ("2h", 7200), ("1d", 86400)]
)
def test_durations_have_a_unit(tmp_path: Path, written: str, seconds: float) -> None:
    text = TERMINAL + f'[terminal.confirm]\nquiet = "{written}"\ngive_up_after = "2d"\n'
    assert configured(tmp_path, text).terminals[0].confirm.quiet_s == seconds


def test_ports_of_every_scheme(tmp_path: Path) -> None:
    text = TERMINAL.replace("serial:/dev/ttyUSB0", "tcp:[::1]:20007") + 'cashier = "serial:/dev/ttyS1"\n'
    text += TERMINAL.replace("pos1", "pos2") + 'cashier = "tcp:127.0.0.1:5000"\n'
    text += TERMINAL.replace("pos1", "pos3").replace("USB0", "USB1") + 'cashier = "none"\n'
    first, second, third = configured(tmp_path, text).terminals
    assert (first.device.host, first.device.port) == ("::1", 20007)
    assert first.cashier.path == Path("/dev/ttyS1")
    assert (second.cashier.host, second.cashier.port) == ("127.0.0.1", 5000)
    assert third.cashier.scheme == "none"


def test_a_broker_has_the_port_of_its_scheme(tmp_path: Path) -> None:
    for url, port in (("mqtt://b", 1883), ("mqtts://b", 8883), ("mqtt://b:1884/", 1884)):
        mqtt = configured(tmp_path, TERMINAL + f'[mqtt]\nurl = "{url}"\n').mqtt
        assert mqtt is not None
        assert (mqtt.host, mqtt.port, mqtt.keepalive_s) == ("b", port, 30)


def test_baudrate_may_follow_the_application(tmp_path: Path) -> None:
    assert configured(tmp_path, TERMINAL + 'baudrate = "follow"\n').terminals[0].baudrate == "follow"


def test_keys_of_a_terminal_may_stand_in_an_inline_table(tmp_path: Path) -> None:
    config = configured(tmp_path, TERMINAL + 'confirm = {quiet = "3s"}\n')
    assert config.terminals[0].confirm.quiet_s == 3


def test_the_bridge_needs_no_secrets(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(TERMINAL + '[mqtt]\nurl = "mqtt://b"\nusername = "u"\npassword_file = "/nowhere/at/all"\n')
    with pytest.raises(ConfigError, match="password_file"):
        load(path, {})
    assert load(path, {}, secrets=False).terminals


# -- environment ------------------------------------------------------------------------------------------


def test_the_environment_overrides_every_table(tmp_path: Path) -> None:
    environ = {
        "TILLWATCH_AGENT__ID": "from-environment",
        "TILLWATCH_LOG__LEVEL": "debug",
        "TILLWATCH_MQTT__URL": "mqtt://broker:1999",
        "TILLWATCH_TERMINAL__POS_1__BAUDRATE": "115200",
        "TILLWATCH_TERMINAL__POS_1__CURRENCY": "EUR",
        "TILLWATCH_TERMINAL__POS_1__CONFIRM__QUIET": "900ms",
        "TILLWATCH_TERMINAL__POS2__BAUDRATE": "follow",
        "TILLWATCH_ROOT": "not ours: no table and key",
        "PATH": "/bin",
    }
    text = TERMINAL.replace("pos1", "pos-1") + TERMINAL.replace("pos1", "pos2").replace("USB0", "USB1")
    config = configured(tmp_path, text, environ)
    assert config.agent.id == "from-environment"
    assert config.log.level == "debug"
    assert config.mqtt is not None
    assert config.mqtt.port == 1999
    assert config.terminals[0].baudrate == 115200
    assert config.terminals[0].currency == "EUR"
    assert config.terminals[0].confirm.quiet_s == 0.9
    assert config.terminals[1].baudrate == "follow"


def test_the_environment_mends_a_bad_value(tmp_path: Path) -> None:
    config = configured(tmp_path, TERMINAL + "baudrate = -1\n", {"TILLWATCH_TERMINAL__POS1__BAUDRATE": "19200"})
    assert config.terminals[0].baudrate == 19200


@pytest.mark.parametrize("table", ["agent", "mqtt", "log"])
def test_every_key_of_a_table_can_be_named_by_a_variable(tmp_path: Path, table: str) -> None:
    section = next(section for section in SECTIONS if section.name == table)
    for key in section.keys:
        variable = f"TILLWATCH_{table.upper()}__{key.name.upper()}"
        path = tmp_path / "agent.toml"
        path.write_text(TERMINAL)
        found = problems(path, {variable: "\x01"})
        assert found
        assert any(problem.where == variable and problem.key == f"{table}.{key.name}" for problem in found)
