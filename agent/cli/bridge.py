"""`tillwatch bridge`: reads the configuration, then becomes the bridge process (agent/bridge)."""

from __future__ import annotations

import argparse
import os

from agent.bridge.child import command, settings_descriptor
from agent.bridge.settings import bridge_settings
from agent.cli import add_config
from agent.config import load
from agent.texts import Texts, language_of_environment


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    add_config(parser)
    parser.add_argument("--plain", action="store_true", help=Texts(language_of_environment()).say("bridge.help_plain"))


def run(args: argparse.Namespace) -> int:
    """Replace this process, so that what was needed to read the configuration takes no memory afterwards."""
    config = load(args.config, secrets=False)
    settings = bridge_settings(config, child=False)
    if args.plain:
        from agent.bridge import plain

        plain.run(settings)
    words = command(settings_descriptor(settings))
    os.execv(words[0], words)  # noqa: S606 (our own interpreter, no shell wanted)
