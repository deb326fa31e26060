"""What several verbs take as an option."""

from __future__ import annotations

_LONGEST_S = 1e7


def seconds(text: str) -> float:
    """A time span, from 0 on and finite. Raises ValueError; argparse then shows this function's name."""
    value = float(text)
    if not 0 <= value < _LONGEST_S:
        raise ValueError(text)
    return value


def some_seconds(text: str) -> float:
    """The same, but longer than nothing."""
    value = seconds(text)
    if not value:
        raise ValueError(text)
    return value
