"""`tillwatch check` and `run` look at the site's response-code tables before anybody needs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.checks.check import State
from agent.checks.tables import checks
from agent.texts import LANGUAGES, Texts


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TILLWATCH_CODES", str(tmp_path))
    return tmp_path


def test_without_tables_there_is_nothing_to_say(site: Path) -> None:
    assert list(checks()) == []


def test_good_tables_are_named(site: Path) -> None:
    for name in ("cup", "cup_reversal", "zvt"):
        (site / f"{name}.toml").write_text('["00"]\nen = "Done"\n', encoding="utf-8")
    (check,) = checks()
    assert check.state is State.OK
    assert check.what.say(Texts("en")) == "the site's own tables: cup.toml, cup_reversal.toml, zvt.toml"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_broken_one_fails_with_file_and_line(site: Path, language: str) -> None:
    (site / "cup.toml").write_text('["00"]\nclass = "paid"\n', encoding="utf-8")
    (check,) = checks()
    assert check.state is State.FAIL
    assert f"{site}/cup.toml:2" in check.what.say(Texts(language))


def test_one_that_nobody_reads_fails(site: Path) -> None:
    (site / "unionpay.toml").write_text('["00"]\nen = "Done"\n', encoding="utf-8")
    (check,) = checks()
    assert check.state is State.FAIL
