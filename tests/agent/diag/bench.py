"""A cashier PC's configuration in a folder, and `tillwatch diag` run on it in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main
from agent.config import Config, load
from agent.diag.past import Past, Payment
from agent.diag.scene import Scene
from agent.diag.walk import Take
from agent.texts import Texts

NOW_NS = 1_772_600_000 * 1_000_000_000


def configuration(folder: Path, device: str, protocol: str = "concert", more: str = "", mqtt: str = "") -> Path:
    """Write agent.toml with one terminal pos1."""
    path = folder / "agent.toml"
    for name in ("state", "run"):
        (folder / name).mkdir(exist_ok=True)
    path.write_text(
        f"""[agent]
id = "cashier-07"
site = "outpatient-1"
state_dir = "{folder}/state"
run_dir = "{folder}/run"
language = "en"
{mqtt}
[[terminal]]
name = "pos1"
protocol = "{protocol}"
device = "{device}"
cashier = "pty:{folder}/run/pos1"
{more}
""",
        encoding="utf-8",
    )
    return path


def loaded(path: Path) -> Config:
    return load(path, {})


def diagnosed(path: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    """Exit code, and what `tillwatch diag --json` says of the terminal."""
    capsys.readouterr()
    code = main(["diag", "--config", str(path), "--json", *words])
    printed = capsys.readouterr()
    assert printed.out, printed.err
    told = json.loads(printed.out)
    assert len(told) == 1
    return code, told[0]


def findings(told: dict[str, Any], *levels: str) -> set[str]:
    """What was found, of these levels; without any: what is wrong."""
    return {step["finding"] for step in told["steps"] if step["level"] in (levels or ("fail",))}


def scene(folder: Path, protocol: str = "concert", more: str = "", **known: Any) -> Scene:
    """A scene of which these things are known already: past, traffic, asked, line, bridge, agent."""
    config = loaded(configuration(folder, "serial:/dev/null", protocol, more))
    made = Scene(config, config.terminals[0], wall_ns=lambda: NOW_NS)
    for name, value in ({"bridge": None, "line": None, "traffic": None, "past": None, "agent": None} | known).items():
        setattr(made, name, value)
    return made


def taken(step: Take, on: Scene) -> list[tuple[str, str]]:
    """Level and finding of all that a step tells. Both languages must have words for it."""
    steps = list(step(on))
    for texts in (Texts("en"), Texts("zh-CN")):
        for each in steps:
            assert texts.has(each.what.key), each.what.key
            assert "{" not in each.what.say(texts) + (each.mend(texts) or "")
            assert texts.has(f"diag.title_{each.name}")
    return [(str(each.level), each.finding) for each in steps]


def past(**known: Any) -> Past:
    """A journal that remembers nothing but this."""
    usual: dict[str, Any] = {"heard": None, "payments": (), "losses": (), "sequence": 0}
    usual |= {"acknowledged": 0, "stored": None}
    return Past(**(usual | known))


def paid(**known: Any) -> Payment:
    """A payment that went well, at a fixed time."""
    usual: dict[str, Any] = {"outcome": "approved", "delivered": "yes", "charged": "yes", "reason": None, "code": "0"}
    usual |= {"started_at": "2026-03-04T10:00:00+08:00", "ended_at": "2026-03-04T10:00:05+08:00", "terminal_time": None}
    return Payment(**(usual | known))
