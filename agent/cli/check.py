"""`tillwatch check`: configuration, folders, devices, broker, clock. One line a check, with what to do."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from agent.checks import Check, State, Who, all_checks
from agent.cli import add_config, add_json
from agent.config import InvalidConfigError, Problem, load
from agent.texts import Texts, language_of_environment

_COLOURS = {State.OK: "32", State.WARN: "33", State.FAIL: "31"}


def configure(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    add_config(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Run all checks: 0 none fails, 1 one fails, 2 the configuration is wrong."""
    try:
        config = load(args.config)
    except InvalidConfigError as error:
        return _refuse(error.problems, args.json)
    texts = Texts(config.agent.language)
    done = []
    for check in all_checks(config, Who.service()):
        done.append(check)
        if not args.json:
            print(as_line(check, texts, sys.stdout.isatty()), flush=True)
    if args.json:
        print(json.dumps([as_data(check, texts) for check in done], ensure_ascii=False, indent=2))
    else:
        print(summary(done, texts))
    return 1 if any(check.state is State.FAIL for check in done) else 0


def _refuse(found: Sequence[Problem], as_json: bool) -> int:
    texts = Texts(language_of_environment())
    for problem in found:
        print(f"tillwatch: {problem.say(texts)}", file=sys.stderr)
    if as_json:
        rows = [
            {
                "check": "configuration",
                "terminal": None,
                "state": "fail",
                "text": problem.say(texts),
                "mend": None,
                "where": problem.where,
                "key": problem.key,
            }
            for problem in found
        ]
        print(json.dumps(rows, ensure_ascii=False, indent=2))
    return 2


def as_line(check: Check, texts: Texts, colours: bool = False) -> str:
    """One check for people: state, title, what was found, what to do."""
    state = f"{check.state:<4}"
    if colours:
        state = f"\x1b[{_COLOURS[check.state]}m{state}\x1b[0m"
    mend = check.mend(texts)
    text = f"{check.title(texts)}: {check.what.say(texts)}"
    return f"{state}  {text}" + (f" → {mend}" if mend else "")


def as_data(check: Check, texts: Texts) -> dict[str, object]:
    """One check for programs."""
    return {
        "check": check.name,
        "terminal": check.terminal,
        "state": str(check.state),
        "text": check.what.say(texts),
        "mend": check.mend(texts),
    }


def summary(done: Sequence[Check], texts: Texts) -> str:
    """How it went, in one line."""
    count = {state: sum(check.state is state for check in done) for state in State}
    return texts.say("check.summary", ok=count[State.OK], warn=count[State.WARN], fail=count[State.FAIL])
