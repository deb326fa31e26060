"""Profiles among the drivers: found by name, read when asked for, and by nobody who has no need of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from drivers import registry
from drivers.driver import Framing, Maturity
from drivers.profiles.load import load
from drivers.profiles.schema import Style
from tests.drivers.profiles.sample import tutorial

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", ["concert", "zvt"])
def test_who_uses_a_driver_in_code_reads_no_profile(name: str) -> None:
    code = (
        "import sys; from drivers import registry; "
        f"driver = registry.get({name!r}); driver.decoder(driver.framings[0]); "
        "print([each for each in sys.modules if each.startswith('drivers.profiles')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_site_s_folder_is_looked_into_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLWATCH_PROTOCOLS", str(tmp_path))
    assert "acme" not in registry.names()
    with pytest.raises(KeyError):
        registry.get("acme")
    (tmp_path / "acme.toml").write_text(tutorial(), encoding="utf-8")
    assert "acme" in registry.names()
    assert registry.get("acme").name == "acme"
    assert registry.code_book("acme").meaning("98") is not None


def test_a_folder_that_is_not_there_has_no_protocols(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLWATCH_PROTOCOLS", str(tmp_path / "nosuch"))
    assert "ing-tlv" in registry.names()


@pytest.mark.parametrize("name", sorted(registry.profiles()))
def test_a_profile_s_driver_says_how_it_is_to_be_listened_to(name: str) -> None:
    profile, driver = load(registry.profiles()[name]), registry.get(name)
    call = profile.framing.style is Style.CALL
    assert driver.framings == ((Framing.NONE,) if call else (Framing.SERIAL,))
    assert driver.silence_ends is call
    assert driver.acknowledged is profile.framing.acknowledged
    assert driver.maturity is Maturity.EXPERIMENTAL
    assert "not certified by the maker" in driver.source
    assert driver.masker is not None
    assert driver.simulated is not None
