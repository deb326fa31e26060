"""What the tests of the configuration share."""

from __future__ import annotations

from pathlib import Path

from agent.config import Config, load

TERMINAL = """\
[[terminal]]
name = "pos1"
protocol = "concert"
device = "serial:/dev/ttyUSB0"
"""


def configured(folder: Path, text: str, environ: dict[str, str] | None = None) -> Config:
    path = folder / "agent.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, environ or {})
