"""The command line: picks the verb's module, turns errors into one line and the documented exit code.

A defect of ours is one line, too; `python -X dev -m agent VERB` shows its traceback.
Each verb is a function `run(args) -> exit code` and a function `configure(parser)` in the module named here;
a module is imported only when its verb is used, so that `bridge` stays small and `--help` fast.
Help texts are catalogue entries: `cli.<verb>` (one line) and `cli.<verb>_example`.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import io
import os
import sys
from collections.abc import Sequence

from agent import __version__
from agent.errors import TillwatchError, UnreachableError, UsageError
from agent.texts import Texts, language_of_environment
from drivers.codes import CodesError

DEFAULT_CONFIG = "/etc/tillwatch/agent.toml"

#: verb → module that offers `configure` and `run`
VERBS: dict[str, str] = {
    "run": "agent.cli.run",
    "bridge": "agent.cli.bridge",
    "check": "agent.cli.check",
    "diag": "agent.cli.diag",
    "devices": "agent.cli.devices",
    "status": "agent.cli.status",
    "transactions": "agent.cli.transactions",
    "show": "agent.cli.show",
    "confirm": "agent.cli.confirm",
    "proof": "agent.cli.proof",
    "simulate": "agent.cli.simulate",
    "record": "agent.cli.record",
    "replay": "agent.cli.replay",
    "decode": "agent.cli.decode",
    "check-profile": "agent.cli.check_profile",
    "enroll": "agent.cli.enroll",
    "demo": "agent.cli.demo",
    "collector": "collector.cli",
    "reconcile": "collector.reconcile.cli",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb. Returns the exit code: 0 done, 1 bad or nothing found, 2 usage, 3 unreachable."""
    _speak_any_language()
    try:
        try:
            return _run(list(sys.argv[1:] if argv is None else argv))
        finally:
            if sys.stdout is not None:  # closed by whoever started us (`>&-`)
                sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output went away (`| head`): no more to say, and nothing to report at exit.
        _say_no_more()
        return 0
    except OSError as error:
        if not _output_is_full(error):
            raise
        _say_no_more()  # `> FILE` on a disk that is full
        print(f"tillwatch: {Texts(language_of_environment()).say('cli.output_full')}", file=sys.stderr)
        return UnreachableError.exit_code


def _output_is_full(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None


def _say_no_more() -> None:
    """What is still buffered goes nowhere, instead of failing again while Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: list[str]) -> int:
    texts = Texts(language_of_environment())
    verb = arguments[0] if arguments and arguments[0] in VERBS else None
    parser = _parser(texts, verb)
    args = parser.parse_args(arguments)
    try:
        return int(importlib.import_module(VERBS[args.verb]).run(args))
    except TillwatchError as error:
        print(f"tillwatch: {error.text(texts)}", file=sys.stderr)
        return error.exit_code
    except CodesError as error:
        print(f"tillwatch: {texts.say(f'codes.{error.key}', **error.values)}", file=sys.stderr)
        return UsageError.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        raise
    except Exception as error:
        if sys.flags.dev_mode or _output_is_full(error):
            raise
        from agent.cli import defect

        print(f"tillwatch: {defect.line_of(error, texts)}", file=sys.stderr)
        return defect.exit_code(error)


def _speak_any_language() -> None:
    """What this terminal's encoding does not have is written as an escape (in JSON, too) instead of ending the verb."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def _parser(texts: Texts, chosen: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tillwatch", description=texts.say("cli.tillwatch"))
    parser.add_argument("--version", action="version", version=f"tillwatch {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, module in VERBS.items():
        sub = verbs.add_parser(
            verb,
            help=texts.say(f"cli.{verb}"),
            description=texts.say(f"cli.{verb}"),
            epilog=texts.say("cli.example") + " " + texts.say(f"cli.{verb}_example"),
        )
        if verb == chosen:
            importlib.import_module(module).configure(sub)
    return parser


def add_config(parser: argparse.ArgumentParser) -> None:
    """The option that every verb with a configuration has."""
    parser.add_argument("--config", default=DEFAULT_CONFIG, metavar="FILE")


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option that every verb that prints data has."""
    parser.add_argument("--json", action="store_true")
