"""`tillwatch proof ID -o FILE.html`: the patient's proof of a payment's state (agent/proof.py)."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from agent.cli import add_config
from agent.config import Config, load
from agent.errors import NothingFoundError, UnreachableError
from agent.history import History
from agent.journal import FILE_NAME
from agent.proof import About, page
from agent.texts import LANGUAGES, Texts, language_of_environment


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    say = Texts(language_of_environment()).say
    add_config(parser)
    parser.add_argument("id", metavar="ID")
    parser.add_argument("-o", "--output", required=True, metavar="FILE.html", help=say("proof.help_output"))
    parser.add_argument("--language", choices=LANGUAGES, help=say("proof.help_language"))
    parser.add_argument("--force", action="store_true", help=say("proof.help_force"))


def run(args: argparse.Namespace) -> int:
    """Write the page."""
    config = load(args.config, secrets=False)
    texts = Texts(config.agent.language)
    with History(config.agent.state_dir / FILE_NAME) as history:
        data = history.transaction(args.id)
        told = history.events(data.transaction)
    about = _about(config, data.terminal)
    text = page(data, told, about, Texts(args.language or config.agent.language), datetime.now())
    if args.output == "-":
        print(text)
        return 0
    path = Path(args.output)
    _write(path, text, args.force)
    print(texts.say("proof.written", path=path), file=sys.stderr)
    return 0


def _about(config: Config, terminal: str) -> About:
    confirm = next((known.confirm for known in config.terminals if known.name == terminal), None)
    return About(config.agent, config.proof, confirm)


def _write(path: Path, text: str, force: bool) -> None:
    """The whole file or none of it; another one of that name stays unless `force`."""
    if path.exists() and not force:
        raise NothingFoundError("proof.exists", path=path)
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
            file.write(text)
        try:
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except OSError:
            os.unlink(file.name)
            raise
    except OSError as error:
        raise UnreachableError("proof.unwritable", path=path, detail=error.strerror or error) from error
