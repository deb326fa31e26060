"""Texts for people, in English and Chinese. One TOML file an area and language under agent/locale/.

A key is "area.name": `Texts("zh-CN").say("config.unknown_key", key=…)` reads locale/zh-CN/config.toml.
Tests hold both languages to the same keys and the same placeholders.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

LANGUAGES = ("en", "zh-CN")
_FOLDER = Path(__file__).parent / "locale"


class Texts:
    """The catalogue of one language."""

    def __init__(self, language: str) -> None:
        self.language = language if language in LANGUAGES else "en"

    def say(self, key: str, **values: object) -> str:
        """The text of `key` with its placeholders filled. A key that nobody wrote comes back as itself."""
        area, _, name = key.partition(".")
        text = _area(self.language, area).get(name, key)
        return text.format(**values) if values else text

    def has(self, key: str) -> bool:
        """Whether the catalogue knows the key."""
        area, _, name = key.partition(".")
        return name in _area(self.language, area)


def language_of_environment() -> str:
    """The language a person at this machine reads, when no configuration says it."""
    asked = os.environ.get("TILLWATCH_AGENT__LANGUAGE")
    if asked in LANGUAGES:
        return asked
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := os.environ.get(name):
            return "zh-CN" if value.startswith("zh") else "en"
    return "en"


@cache
def _area(language: str, area: str) -> Mapping[str, str]:
    path = _FOLDER / language / f"{area}.toml"
    if not area.isidentifier() or not path.exists():
        return {}
    return {name: str(text) for name, text in tomllib.loads(path.read_text(encoding="utf-8")).items()}
