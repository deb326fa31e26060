"""The examples of README and docs work: configurations load with the real loaders, programs run, JSON is JSON."""

from __future__ import annotations

import hmac
import json
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent import config as agent_config
from agent import fleet
from collector import config as collector_config
from collector.alerts.courier import signature
from collector.reconcile import mapping
from drivers.codes import read_rows, table
from tests.broker import Broker
from tests.docs.written import ROOT, Block, blocks
from tests.waits import until

AGENT = {"agent", "terminal", "proof"}
COLLECTOR = {"oidc", "alert", "webhook", "reconcile", "retention", "web", "enrol", "database"}
#: read by people beside a table that says what each key may be; tests/drivers/profiles tries whole ones
PROFILES = {"docs/profiles.md", "docs/drivers.md"}


def _on_this_machine(text: str, folder: Path) -> str:
    """The text with its files in `folder`, there and private, and what is left open filled in."""
    etc = folder / "etc"
    etc.mkdir(exist_ok=True)
    for name in set(re.findall(r'"/etc/tillwatch/([\w.-]+)"', text)):
        (etc / name).write_text("secret\n", encoding="utf-8")
        (etc / name).chmod(0o600)
    text = text.replace('"/etc/tillwatch/', f'"{etc}/')
    return text.replace('protocol = "…"', 'protocol = "ums-bankall"').replace("…", "x")


def _loads_as_agent(text: str, folder: Path) -> None:
    path = folder / "agent.toml"
    path.write_text(text, encoding="utf-8")
    agent_config.load(path, {})


def _loads_as_collector(text: str, folder: Path) -> None:
    path = folder / "collector.toml"
    path.write_text(text, encoding="utf-8")
    collector_config.load(path, {}, {})


def _loads_as_format(text: str, folder: Path) -> None:
    path = folder / "format.toml"
    path.write_text(text, encoding="utf-8")
    mapping.load_file(path)


def _loads_as_codes(text: str, folder: Path) -> None:
    read_rows(tomllib.loads(text), folder / "cup.toml", table("cup"))


def _loads_as_fleet(text: str, folder: Path) -> None:
    (fleet.parse if "version" in tomllib.loads(text) else fleet.check)(text)


def _loader(block: Block) -> Callable[[str, Path], None] | None:
    """Who reads such a file, by its tables. None: a part of a profile."""
    if block.where.partition(":")[0] in PROFILES:
        return None
    tables = set(tomllib.loads(block.text))
    if "group" in tables:
        return _loads_as_fleet
    if tables & AGENT:
        return _loads_as_agent
    if tables & COLLECTOR:
        return _loads_as_collector
    if "columns" in tables:
        return _loads_as_format
    assert all(re.fullmatch(r"\w{1,4}", table) for table in tables), f"{block.where}: whose file is this?"
    return _loads_as_codes


TOML = blocks("toml")


@pytest.mark.parametrize("block", TOML, ids=[block.where for block in TOML])
def test_a_configuration_is_accepted(block: Block, tmp_path: Path) -> None:
    tomllib.loads(block.text)
    if loads := _loader(block):
        loads(_on_this_machine(block.text, tmp_path), tmp_path)


@pytest.mark.parametrize("name", ["agent", "collector"])
def test_the_example_files_are_accepted_with_every_line_that_is_commented_out(name: str, tmp_path: Path) -> None:
    text = (ROOT / "config" / f"{name}.example.toml").read_text(encoding="utf-8")
    loads = _loads_as_agent if name == "agent" else _loads_as_collector
    loads(_on_this_machine(text, tmp_path), tmp_path)
    opened = re.sub(r"(?m)^# ?(?=\[|\w+ = )", "", text)
    assert opened.count("\n#") < text.count("\n#")
    loads(_on_this_machine(opened, tmp_path), tmp_path)


def test_json_is_json() -> None:
    for block in blocks("json"):
        assert json.loads(block.text), block.where


def test_the_flow_for_node_red_hangs_together() -> None:
    (flow,) = [json.loads(block.text) for block in blocks("json") if block.title == "flow.json"]
    nodes = {node["id"]: node for node in flow}
    for node in flow:
        assert node.get("broker", "tw-broker") in nodes or node["type"] == "mqtt-broker"
        assert all(wire in nodes for output in node.get("wires", []) for wire in output)
    assert len(nodes["tw-sort"]["wires"]) == nodes["tw-sort"]["outputs"] == len(nodes["tw-sort"]["rules"])


def test_the_listener_prints_each_payment_once(tmp_path: Path) -> None:
    (listener,) = [block for block in blocks("python") if block.title == "listen.py"]
    program = tmp_path / "listen.py"
    program.write_text(listener.text, encoding="utf-8")
    said = tmp_path / "said"
    event = {
        "id": "cashier-07:01JE:7",
        "source": "/outpatient-1/cashier-07/pos1",
        "type": "transaction.completed",
        "time": "2026-11-24T09:30:00.000+08:00",
        "data": {"amount": 3550, "currency": "CNY", "outcome": "approved", "reason": None},
    }
    last = event | {"id": "cashier-07:01JE:8", "type": "transaction.started"}
    with Broker(tmp_path / "broker") as broker, said.open("wb") as out:
        listening = subprocess.Popen([sys.executable, str(program), broker.host, str(broker.port)], stdout=out)
        try:
            until(lambda: _publish(broker, event) or said.stat().st_size, 30, "the first event")
            _publish(broker, event)
            _publish(broker, last)
            until(lambda: "transaction.started" in said.read_text(encoding="utf-8"), 30, "the last event")
        finally:
            listening.terminate()
            listening.wait()
    lines = said.read_text(encoding="utf-8").splitlines()
    assert lines[0] == (
        "2026-11-24T09:30:00.000+08:00 /outpatient-1/cashier-07/pos1 transaction.completed 35.50 CNY approved "
    )
    assert len(lines) == 2


def _publish(broker: Broker, event: dict[str, object]) -> None:
    topic = f"tillwatch/1/outpatient-1/cashier-07/events/{event['type']}"
    command = ["mosquitto_pub", "-p", str(broker.port), "-q", "1", "-t", topic, "-m", json.dumps(event)]
    subprocess.run(command, check=True)


def test_a_receiver_of_alerts_can_check_the_signature_as_shown() -> None:
    (shown,) = [block for block in blocks("python") if "compare_digest" in block.text]
    body = '{"state": "firing"}'
    t, v1 = (part.partition("=")[2] for part in signature("key", body, 1_000).split(","))
    names = {"hmac": hmac, "time": SimpleNamespace(time=lambda: 1_060.0), "t": t, "v1": v1, "secret": b"key"}
    exec(shown.text, names | {"body": body.encode()})
    with pytest.raises(AssertionError):
        exec(shown.text, names | {"body": b"other"})
    names["time"] = SimpleNamespace(time=lambda: time.time() + 1e9)
    with pytest.raises(AssertionError):
        exec(shown.text, names | {"body": body.encode()})
