"""A cashier PC's configuration in a folder, and `tillwatch diag` run on it in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main
from agent.config import Config, load


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
