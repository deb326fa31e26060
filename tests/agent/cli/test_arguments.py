"""Options that several verbs take."""

from __future__ import annotations

import pytest

from agent.cli.arguments import seconds, some_seconds


def test_seconds() -> None:
    assert seconds("0") == 0
    assert seconds("2.5") == 2.5


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "1e9", "soon", ""])
def test_no_time_span(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        seconds(text)


def test_some_seconds_are_not_none() -> None:
    assert some_seconds("0.1") == 0.1
    with pytest.raises(ValueError, match="0"):
        some_seconds("0")
