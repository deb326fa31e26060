"""Before the demo starts anything it says what is missing, or in the way."""

from __future__ import annotations

import importlib.util
import socket

import pytest

from agent.demo import dashboard
from agent.errors import UnreachableError
from agent.texts import LANGUAGES, Texts


def test_without_the_collectors_packages_it_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "fastapi" else object())
    with pytest.raises(UnreachableError) as refused:
        dashboard.check(0)
    assert refused.value.exit_code == 3
    for language in LANGUAGES:
        text = refused.value.text(Texts(language))
        assert "'.[collector]'" in text
        assert "fastapi" in text
        assert "\n" not in text


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UnreachableError) as refused:
            dashboard.check(port)
    assert str(port) in str(refused.value)


def test_a_port_that_is_none_is_refused_too() -> None:
    with pytest.raises(UnreachableError):
        dashboard.check(70000)
