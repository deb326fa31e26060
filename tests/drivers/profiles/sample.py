"""A profile for the tests of the engine: the one of docs/drivers.md, and small changes to it."""

from __future__ import annotations

import re
from pathlib import Path

from drivers.profiles.load import parse
from drivers.profiles.schema import Profile

DOCS = Path(__file__).parents[3] / "docs" / "drivers.md"


def tutorial() -> str:
    """The profile that the tutorial writes."""
    found = re.search(r'```toml title="acme\.toml"\n(.*?)```', DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert found, 'docs/drivers.md has no block `toml title="acme.toml"`'
    return found[1]


def changed(*changes: tuple[str, str]) -> str:
    """The tutorial's profile with texts replaced; each must be there."""
    text = tutorial()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def sample(*changes: tuple[str, str], name: str = "acme") -> Profile:
    """The changed profile, read."""
    return parse(changed(*changes), Path(f"{name}.toml"))


def line_of(text: str, wanted: str) -> int:
    """The line of a text's first occurrence, counted from 1."""
    return text[: text.index(wanted)].count("\n") + 1
