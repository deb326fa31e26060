"""Response-code tables: what a terminal's result code means, in words and for the outcome.

The tables are TOML files under config/codes/, one a protocol, so that a site can correct them without code:

    ["6C"]
    class = "cancelled"          # approved | declined | cancelled | reversed | not_executed | unknown
    en = "Cancelled at the terminal"
    zh-CN = "已在终端取消"
    advice.en = "…"              # optional: what the cashier should do
    advice.zh-CN = "…"
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from drivers.observations import Outcome


@dataclass(frozen=True, slots=True)
class CodeMeaning:
    """What one response code means. Texts by language, `en` and `zh-CN`."""

    outcome: Outcome
    text: Mapping[str, str]
    advice: Mapping[str, str]


def shared_file(*parts: str) -> Path:
    """A file of the project's config/ folder: in the source tree, or where the installation put it."""
    beside = Path(__file__).parent.parent.joinpath("config", *parts)
    return beside if beside.exists() else Path(sys.prefix, "share", "tillwatch", *parts)


@cache
def table(protocol: str) -> Mapping[str, CodeMeaning]:
    """The code table of a protocol; empty when it has none."""
    path = shared_file("codes", f"{protocol}.toml")
    if not path.exists():
        return {}
    rows = tomllib.loads(path.read_text(encoding="utf-8"))
    return {code: _meaning(row) for code, row in rows.items()}


def meaning(protocol: str, code: str | None) -> CodeMeaning | None:
    """What this code means, or None when nobody wrote it down."""
    return None if code is None else table(protocol).get(code)


def _meaning(row: Mapping[str, object]) -> CodeMeaning:
    text = {language: str(row[language]) for language in ("en", "zh-CN")}
    advice = row.get("advice")
    return CodeMeaning(
        outcome=Outcome(str(row["class"])),
        text=text,
        advice={k: str(v) for k, v in advice.items()} if isinstance(advice, dict) else {},
    )
