"""Each command that README and docs show exists: verbs and options by the real parsers, without being executed."""

from __future__ import annotations

import argparse
import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import PurePosixPath

import pytest

from agent.cli import VERBS, _parser
from agent.texts import Texts
from tests.docs.written import ROOT, blocks, codes

SHELL = ("", "sh", "console")
#: stands for something the reader fills in, where the sentence says what
OPEN = "…"


def _lines() -> Iterator[tuple[str, str]]:
    """(where, command) of every shell line that is a command: continued lines joined, what a pipe feeds taken apart."""
    for block in blocks(*SHELL):
        text = block.text.replace("\\\n", " ")
        for line in text.splitlines():
            if block.language == "console" and not line.startswith("$ "):
                continue
            typed = re.sub(r"(?:^|\s)#\s.*", "", line.removeprefix("$ "))
            for command in re.split(r"\s(?:\||&&|;)\s", typed):
                yield block.where, command.strip()


def _tillwatch(command: str) -> list[str] | None:
    """The arguments behind `tillwatch`, or None when it is another command."""
    try:
        words = shlex.split(re.sub(r"\s[<>]\s*\S+$", "", re.sub(r"\$\([^)]*\)", "00", command)))
    except ValueError:
        return None
    while words and (re.fullmatch(r"[A-Z_]+=\S*", words[0]) or words[0] == "sudo"):
        words.pop(0)
    if not words or PurePosixPath(words[0]).name != "tillwatch":
        return None
    return words[1:]


def _parser_of(arguments: list[str]) -> argparse.ArgumentParser:
    return _parser(Texts("en"), arguments[0] if arguments and arguments[0] in VERBS else None)


def _options(parser: argparse.ArgumentParser, arguments: list[str]) -> set[str]:
    """The options that may stand in this command: the verb's, and those of a verb below it that it names."""
    known = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for place, word in enumerate(arguments):
                if word in action.choices:
                    known |= _options(action.choices[word], arguments[place + 1 :])
                    break
    return known


SHOWN = [(where, arguments) for where, command in _lines() if (arguments := _tillwatch(command)) is not None]
WHOLE = [(where, arguments) for where, arguments in SHOWN if not any(OPEN in word for word in arguments)]
NAMED = [
    (code.where, code.text, arguments)
    for code in codes()
    if (arguments := _tillwatch(code.text)) and arguments[0].isascii()
]


def test_every_verb_is_shown_somewhere() -> None:
    assert len(WHOLE) > 40
    shown = {arguments[0] for _, arguments in SHOWN} | {arguments[0] for _, _, arguments in NAMED}
    assert not set(VERBS) - shown


@pytest.mark.parametrize(("where", "arguments"), WHOLE, ids=[f"{where} {' '.join(a)[:60]}" for where, a in WHOLE])
def test_a_command_line_is_understood(where: str, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        _parser_of(arguments).parse_args(arguments)
    except SystemExit as ended:
        if ended.code:  # --help and --version end with 0
            pytest.fail(f"{where}: {capsys.readouterr().err}")


def test_verbs_and_options_named_in_sentences_exist() -> None:
    wrong = []
    for where, text, arguments in [*NAMED, *((where, " ".join(a), a) for where, a in SHOWN)]:
        words = [word.strip("[]|") for word in arguments]
        if words[0].startswith("-") or words[0] in {"VERB", OPEN}:
            continue
        if words[0] not in VERBS:
            wrong.append(f"{where}: {text}: no such verb")
            continue
        known = _options(_parser_of(words), words)
        given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        wrong += [f"{where}: {text}: no option {option}" for option in sorted(given - known)]
    assert not wrong


def test_targets_of_make_modules_and_units_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    units = {path.stem for path in (ROOT / "systemd").iterdir()}
    wrong = []
    for where, text in [*_lines(), *((code.where, code.text) for code in codes())]:
        if made := re.match(r"make ([a-z-]+)", text):
            wrong += [f"{where}: {text}"] if made[1] not in targets else []
        if module := re.match(r"(?:\S*/)?python3? -m ([\w.]+)", text):
            wrong += [f"{where}: {text}"] if importlib.util.find_spec(module[1]) is None else []
        if re.match(r"(?:sudo )?(?:systemctl|journalctl) ", text):
            named = set(re.findall(r"\btillwatch(?:-\w+)?\b", text))
            wrong += [f"{where}: {text}: no unit {unit}" for unit in sorted(named - units)]
    assert not wrong
