"""docs/profiles.md is true: every key that a profile can have, every value, every shipped profile stands in it."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

import pytest

from drivers import registry
from drivers.profiles import schema
from drivers.profiles.checks import ALGORITHMS
from drivers.profiles.load import load

ROOT = Path(__file__).parents[3]
REFERENCE = (ROOT / "docs" / "profiles.md").read_text(encoding="utf-8")
LOADER = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "drivers" / "profiles").glob("load*.py"))
TAKES = r"\.(?:text|whole|seconds|flag|bytes_|choice|name|strings|lists|words|tables?)"
KEYS = set(re.findall(TAKES + r'\(\s*"(\w+)"', LOADER))
VALUES = (
    schema.Confidence,
    schema.Encoding,
    schema.Fact,
    schema.Unit,
    schema.Role,
    schema.Proves,
    schema.LayoutKind,
    schema.Style,
)


def words(text: str) -> set[str]:
    """Every word of code in the page: between backquotes, and in its examples."""
    fenced = re.findall(r"```.*?```", text, re.DOTALL)
    code = fenced + re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return set(re.findall(r"[\w-]+", " ".join(code)))


def test_every_key_is_explained() -> None:
    assert len(KEYS) > 50
    assert KEYS - words(REFERENCE) == set()


@pytest.mark.parametrize("kind", VALUES)
def test_every_value_is_explained(kind: type[StrEnum]) -> None:
    assert {str(value) for value in kind} - words(REFERENCE) == set()


def test_every_check_is_named() -> None:
    assert ALGORITHMS.keys() - words(REFERENCE) == set()


@pytest.mark.parametrize("name", sorted(registry.profiles()))
def test_every_shipped_profile_stands_in_the_table(name: str) -> None:
    profile = load(registry.profiles()[name])
    row = re.search(rf"^\| `{name}` \| .* \| (\w+) \| .* \|$", REFERENCE, re.MULTILINE)
    assert row, f"docs/profiles.md has no row for {name}"
    assert row[1] == profile.confidence
