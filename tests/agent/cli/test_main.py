"""The command line as a whole: help with an example for every verb, wrong usage is 2, errors are one line."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys

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


WORDS = (["--help"], ["simulate", "--list"], ["decode", "--hex", "05", "--protocol", "concert"])


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("words", WORDS, ids=lambda words: words[0])
def test_a_reader_that_goes_away_is_no_error(words: list[str], buffered: bool) -> None:
    command = [sys.executable, *([] if buffered else ["-u"]), "-m", "agent", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_buffering()) as ended:
        assert ended.stdout is not None
        assert ended.stderr is not None
        ended.stdout.close()
        assert ended.stderr.read() == b""
    assert ended.returncode == 0


@pytest.mark.parametrize("buffered", [True, False])
def test_a_full_disk_below_the_output_is_one_line_and_3(buffered: bool) -> None:
    command = [sys.executable, *([] if buffered else ["-u"]), "-m", "agent", "simulate", "--list"]
    environment = _buffering() | {"LANG": "C", "LC_ALL": "C"}
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=environment, check=False)
    assert ended.returncode == 3
    assert ended.stderr == b"tillwatch: the output could not be written whole: the disk it goes to is full\n"


def test_no_output_at_all_is_no_error() -> None:
    ended = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "agent", "simulate", "--list"],
        stderr=subprocess.PIPE,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, b"")


def _buffering() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ZeroDivisionError("card 4111111111111111"), 1, ["ZeroDivisionError: card 411111******1111", "report"]),
        (PermissionError(13, "Permission denied", "/dev/x"), 3, ["system refused", "/dev/x"]),
    ],
)
def test_what_nobody_foresaw_is_one_line(
    error: Exception, code: int, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: object) -> int:
        raise error

    monkeypatch.setattr("agent.cli.status.run", run)
    assert main(["status"]) == code
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert all(word in said for word in words), said
    assert "agent/cli/__init__.py:" in said
    assert "Traceback" not in said
