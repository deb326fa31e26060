"""Drivers are found by name; no list has to be kept."""

from __future__ import annotations

import pytest

from drivers import registry


def test_the_built_in_protocols_are_found() -> None:
    assert "concert" in registry.names()
    assert list(registry.names()) == sorted(registry.names())


@pytest.mark.parametrize("helper", ["cards", "framing_lrc", "observations", "driver", "simulated", "links"])
def test_what_serves_the_protocols_is_none(helper: str) -> None:
    assert helper not in registry.names()
    with pytest.raises(KeyError):
        registry.get(helper)


@pytest.mark.parametrize("name", registry.names())
def test_each_driver_bears_its_module_s_name(name: str) -> None:
    assert registry.get(name).name == name


@pytest.mark.parametrize("name", ["", "nosuch", "../concert", "concert.DRIVER", "__init__", "Concert"])
def test_a_name_that_is_none_is_a_key_error(name: str) -> None:
    with pytest.raises(KeyError):
        registry.get(name)


@pytest.mark.parametrize("name", registry.names())
def test_each_driver_says_what_it_is_and_how_patient(name: str) -> None:
    driver = registry.get(name)
    assert driver.title
    assert driver.source
    assert driver.framings
    assert 0 < driver.delivery_timeout_s < driver.answer_timeout_s
    assert 0 < driver.byte_gap_s < driver.answer_timeout_s
