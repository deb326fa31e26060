"""The Ansible role, as far as no Ansible is needed: its configuration loads, its documentation names its variables.

The role itself was run against a Debian under systemd (docs/install.md); Ansible is no part of the tests' environment.
"""

from __future__ import annotations

import base64
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jinja2
import pytest

from agent import config
from agent.config import Config

yaml = pytest.importorskip("yaml", reason="the extra `docs` is not installed")

ROOT = Path(__file__).parents[2]
ANSIBLE = ROOT / "packaging" / "ansible"
ROLE = ANSIBLE / "roles" / "tillwatch"
DEFAULTS: dict[str, Any] = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text(encoding="utf-8"))


def _configuration(**said: object) -> str:
    """The template with the role's defaults, the example's inventory and what is `said`, as Ansible fills it in."""
    environment = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {
        "to_json": lambda value, ensure_ascii=True: json.dumps(value, ensure_ascii=ensure_ascii),
        "from_json": json.loads,
        "b64decode": lambda value: base64.b64decode(value).decode(),
        "combine": lambda one, other: one | other,
    }
    inventory = yaml.safe_load((ANSIBLE / "inventory.example.yml").read_text(encoding="utf-8"))["cashiers"]
    host = inventory["hosts"]["cashier-07.example"]
    told = {"ansible_managed": "Ansible managed", "tillwatch_agent_id": "cashier-07", "tillwatch_enrolment": {}}
    values = DEFAULTS | inventory["vars"] | host | told | said
    return environment.from_string((ROLE / "templates" / "agent.toml.j2").read_text(encoding="utf-8")).render(values)


def _loaded(text: str, folder: Path) -> Config:
    path = folder / "agent.toml"
    path.write_text(text, encoding="utf-8")
    return config.load(path, {})


def test_the_example_of_an_inventory_makes_a_configuration(tmp_path: Path) -> None:
    made = _loaded(_configuration(), tmp_path)
    (terminal,) = made.terminals
    assert (made.agent.id, made.agent.site, made.agent.port_group) == ("cashier-07", "outpatient-1", "cashier")
    assert (terminal.protocol, terminal.currency, terminal.confirm.quiet_s) == ("concert", "CNY", 3.0)
    assert made.proof.hospital == "第一人民医院"
    assert made.mqtt is None


def test_an_identity_brings_its_broker(tmp_path: Path) -> None:
    agreed = {"collector": "https://c", "broker": "mqtts://broker.example:8883"}
    enrolled = {"content": base64.b64encode(json.dumps(agreed).encode()).decode()}
    identity = tmp_path / "identity"
    identity.mkdir()
    for name in ("ca.pem", "agent.pem", "agent.key"):
        (identity / name).write_text("-")
        (identity / name).chmod(0o600)
    made = _loaded(_configuration(tillwatch_enrolment=enrolled, tillwatch_state_dir=str(tmp_path)), tmp_path)
    assert made.mqtt is not None
    assert (made.mqtt.url, made.mqtt.key_file) == ("mqtts://broker.example:8883", identity / "agent.key")
    own = _configuration(tillwatch_enrolment=enrolled, tillwatch_mqtt={"url": "mqtt://other.example"})
    assert tomllib.loads(own)["mqtt"] == {"url": "mqtt://other.example"}


def test_values_of_every_kind_and_several_terminals_stay_what_they_are(tmp_path: Path) -> None:
    terminals = [
        {"name": "pos1", "protocol": "zvt", "device": "tcp:10.0.0.7:20007", "cashier": "none", "flow": None},
        {"name": "pos-2", "protocol": "concert", "device": "serial:/dev/ttyS0", "baudrate": 19200, "parity": "E"},
    ]
    text = _configuration(
        tillwatch_terminals=terminals, tillwatch_port_group="", tillwatch_proof={"hospital": 'A "B" \\'}
    )
    made = _loaded(text, tmp_path)
    assert [terminal.name for terminal in made.terminals] == ["pos1", "pos-2"]
    assert (made.terminals[1].baudrate, made.terminals[1].parity) == (19200, "E")
    assert made.proof.hospital == 'A "B" \\'
    assert made.agent.port_group is None


def test_every_variable_is_documented_and_the_version_is_ours() -> None:
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    table = "\n".join(line for line in page.splitlines() if line.startswith("| `tillwatch_"))
    assert set(re.findall(r"`(tillwatch_\w+)`", table)) == set(DEFAULTS)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert DEFAULTS["tillwatch_version"] == project["version"]


def test_no_task_that_sees_the_token_is_logged() -> None:
    tasks = [
        task for path in sorted((ROLE / "tasks").glob("*.yml")) for task in yaml.safe_load(path.read_text("utf-8"))
    ]
    sees = [task for task in tasks if "tillwatch_enrol_token }}" in json.dumps(task)]
    assert [task["no_log"] for task in sees] == [True]
    assert "tillwatch_enrol_token" not in json.dumps(sees[0]["ansible.builtin.command"]["cmd"])
