"""`tillwatch diag --watch`: the live screen. Textual is imported only here, and need not be installed."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec

from agent.cli.protocols import nearest
from agent.config import Config, Terminal, load
from agent.errors import UnreachableError, UsageError
from agent.recording import driver_on
from agent.tap import Tap
from agent.texts import Texts, language_of_environment


def configure(parser: argparse.ArgumentParser) -> None:
    """The option of the screen."""
    say = Texts(language_of_environment()).say
    parser.add_argument("--watch", action="store_true", help=say("screen.help_watch"))


def run(args: argparse.Namespace) -> int:
    """Show it until its user leaves; 3 without a bridge or without Textual."""
    config = load(args.config, secrets=False)
    terminals = _terminals(config, args.terminal)
    Tap.connect(config.agent.run_dir).close()  # without a bridge there is nothing to see: said before anything else
    if find_spec("textual") is None:
        raise UnreachableError("screen.no_textual")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("screen.no_tty")
    from agent.screen.app import Watched, watch  # brings Textual

    watched = [Watched(terminal, driver_on(config, terminal)) for terminal in terminals]
    watch(watched, config.agent.run_dir, Texts(config.agent.language))
    return 0


def _terminals(config: Config, name: str | None) -> list[Terminal]:
    """The one named, else all."""
    known = {terminal.name: terminal for terminal in config.terminals}
    if name is not None and name not in known:
        raise UsageError("screen.no_terminal", name=name, nearest=nearest(name, known), known=", ".join(known))
    return [known[name]] if name is not None else list(config.terminals)
