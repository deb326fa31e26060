"""Writes the keys' part of docs/collector.md from the schema: `python -m collector.config_docs docs/collector.md`."""

from __future__ import annotations

import sys
from pathlib import Path

from agent.config_schema import Key
from agent.texts import Texts
from collector.config import SECTIONS

BEGIN = "<!-- keys: made by `python -m collector.config_docs docs/collector.md`; a test fails when they are stale -->"
END = "<!-- end of keys -->"


def keys() -> str:
    """The tables of all keys."""
    texts = Texts("en")
    parts = []
    for section in SECTIONS:
        parts += [f"### `[{section.name}]`\n", section.meaning, ""]
        parts += ["| key | accepted | default | meaning |", "| --- " * 4 + "|"]
        parts += [_row(key, texts) for key in section.keys]
        parts.append("")
    return "\n".join(parts)


def with_keys(page: str) -> str:
    """The page with its part of keys made anew."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{keys()}\n{END}{rest.partition(END)[2]}"


def _row(key: Key, texts: Texts) -> str:
    default = "required" if key.required else f"`{key.default}`" if key.default is not None else key.derived or "none"
    cells = (f"`{key.name}`", key.kind.accepts.say(texts).replace("|", "\\|"), default, key.meaning.replace("|", "\\|"))
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_keys(path.read_text(encoding="utf-8")), encoding="utf-8")
