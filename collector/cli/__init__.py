"""`tillwatch collector`: runs the collector; `tillwatch collector token | export …` for what needs no browser.

This module imports nothing heavy: without the extra packages it can still say how to install them.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from agent.texts import language_of_environment
from collector.config import DEFAULT_CONFIG, OPTIONS, Config, load
from collector.errors import ServiceError
from collector.texts import Texts

#: verb below `collector` → module that offers `configure` and `run`
VERBS = {
    "ca": "collector.cli.ca",
    "enrol-token": "collector.cli.enrol_token",
    "export": "collector.cli.export",
    "fleet": "collector.cli.fleet",
    "revoke": "collector.cli.revoke",
    "token": "collector.cli.token",
}
_RUN = "collector.cli.serve"


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `tillwatch collector` and its verbs."""
    texts = Texts(language_of_environment())
    add_common(parser, texts)
    parser.add_argument("--mqtt", metavar="URL", help=texts.say("collector.mqtt"))
    parser.add_argument("--listen", metavar="HOST:PORT", help=texts.say("collector.listen"))
    parser.add_argument("--guest", metavar="ROLE", help=texts.say("collector.guest"))
    verbs = parser.add_subparsers(dest="collector_verb", metavar="VERB")
    for verb, module in VERBS.items():
        about = texts.say(f"collector.{verb}")
        example = f"{texts.say('cli.example')} {texts.say(f'collector.{verb}_example')}"
        sub = verbs.add_parser(verb, help=about, description=about, epilog=example)
        try:
            importlib.import_module(module).configure(sub)
        except ModuleNotFoundError as error:
            if not _is_extra(error):
                raise


def add_common(parser: argparse.ArgumentParser, texts: Texts) -> None:
    """What each verb needs to find the ledger. May stand before the verb or behind it."""
    for name, kind in (("config", "FILE"), ("database", "URL")):
        parser.add_argument(f"--{name}", metavar=kind, default=argparse.SUPPRESS, help=texts.say(f"collector.{name}"))


def add_authority(parser: argparse.ArgumentParser, texts: Texts) -> None:
    """Where the authority's files are, for the verbs that need them."""
    parser.add_argument("--ca", metavar="DIR", help=texts.say("enrol.help_ca"))


def configuration(args: argparse.Namespace) -> Config:
    """What file, environment and options say. Raises InvalidConfigError."""
    named = getattr(args, "config", None)
    path = Path(named or DEFAULT_CONFIG)
    options = {key: value for key, name in OPTIONS.items() if (value := getattr(args, name, None)) is not None}
    return load(path if named or path.exists() else None, options)


def run(args: argparse.Namespace) -> int:
    """Run the verb; without one, the collector."""
    try:
        module = importlib.import_module(VERBS.get(args.collector_verb or "", _RUN))
        return int(module.run(args))
    except ModuleNotFoundError as error:
        if not _is_extra(error):
            raise
        raise ServiceError("collector.not_installed", package=error.name) from error


def _is_extra(error: ModuleNotFoundError) -> bool:
    return (error.name or "").partition(".")[0] not in ("agent", "collector", "drivers")
