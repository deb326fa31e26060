"""The command line as a whole: help with an example for every verb, wrong usage is 2, errors are one line."""

from __future__ import annotations

import importlib
import re

import pytest

from agent.cli import VERBS, main
from agent.texts import Texts

WRITTEN = [verb for verb, module in VERBS.items() if importlib.util.find_spec(module)]


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("COLUMNS", "500")


@pytest.mark.parametrize("verb", WRITTEN)
def test_the_help_of_a_verb_has_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert f"tillwatch {verb}" in out
    assert "Example: " + Texts("en").say(f"cli.{verb}_example") in out


@pytest.mark.parametrize("verb", WRITTEN)
def test_an_option_that_nobody_knows_is_2(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([verb, "--no-such-option"])
    assert ended.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["no-such-verb"], ["--no-such-option"]])
def test_wrong_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: tillwatch" in capsys.readouterr().err


def test_help_names_every_verb_and_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    assert [verb for verb in VERBS if not re.search(rf"^ +{verb}\b", out, re.MULTILINE)] == []
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert re.fullmatch(r"tillwatch \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_a_missing_configuration_is_one_line_and_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", "/nowhere/agent.toml"]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("tillwatch: /nowhere/agent.toml: there is no such file; ")
    assert said.err.count("\n") == 1
