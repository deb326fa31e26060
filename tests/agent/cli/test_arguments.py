"""Options that several verbs take."""

from __future__ import annotations

import pytest

from agent.cli.arguments import seconds


def test_seconds() -> None:
    assert seconds("0") == 0
    assert seconds("2.5") == 2.5


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "1e9", "soon", ""])
def test_no_time_span(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        seconds(text)
