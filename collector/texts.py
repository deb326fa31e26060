"""Texts of the collector for people, in English and Chinese: collector/locale/, and behind it the agent's catalogue.

A key is "area.name", as in `agent.texts`; an area of the collector hides one of the agent of the same name. So pages
say "history.reason_link_lost" in the very words that `tillwatch show` uses at the window.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from agent import texts as agent_texts

LANGUAGES = agent_texts.LANGUAGES
_FOLDER = Path(__file__).parent / "locale"


class Texts(agent_texts.Texts):
    """The catalogue of one language: the collector's texts, then the agent's."""

    def say(self, key: str, **values: object) -> str:
        """The text of `key` with its placeholders filled. A key that nobody wrote comes back as itself."""
        area, _, name = key.partition(".")
        text = _area(self.language, area).get(name)
        if text is None:
            return super().say(key, **values)
        return text.format(**values) if values else text

    def has(self, key: str) -> bool:
        """Whether one of the two catalogues knows the key."""
        area, _, name = key.partition(".")
        return name in _area(self.language, area) or super().has(key)


def choose_language(accept_language: str | None) -> str:
    """The language for a browser that sends this `Accept-Language`: the first known one in its order of preference."""
    wishes: list[tuple[float, str]] = []
    for part in (accept_language or "").split(","):
        tag, _, parameters = part.strip().partition(";")
        _, _, quality = parameters.partition("q=")
        try:
            weight = float(quality) if quality else 1.0
        except ValueError:
            continue
        if weight > 0:
            wishes.append((weight, tag.strip().lower()))
    for _, tag in sorted(wishes, key=lambda wish: -wish[0]):
        if tag.startswith("zh"):
            return "zh-CN"
        if tag.startswith("en"):
            return "en"
    return "en"


@cache
def _area(language: str, area: str) -> Mapping[str, str]:
    path = _FOLDER / language / f"{area}.toml"
    if not area.isidentifier() or not path.exists():
        return {}
    return {name: str(text) for name, text in tomllib.loads(path.read_text(encoding="utf-8")).items()}
