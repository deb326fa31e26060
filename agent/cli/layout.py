"""Columns for people: Chinese characters take two places each."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence


def width(text: str) -> int:
    """How many places the text takes on a terminal."""
    return sum(0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF") for char in text)


def columns(rows: Sequence[Sequence[str]], gap: int = 2) -> list[str]:
    """The rows as lines, each column as wide as its widest cell; the last one as it is."""
    wide = [max(width(cell) for cell in column) + gap for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        padded = (cell + " " * (wide[place] - width(cell)) for place, cell in enumerate(row))
        lines.append("".join(padded).rstrip())
    return lines
