"""`tillwatch bridge`: reads the configuration, then becomes the bridge process (agent/bridge)."""

from __future__ import annotations

import argparse
import os

from agent.bridge.child import command, settings_descriptor
from agent.bridge.settings import bridge_settings
from agent.cli import add_config
from agent.config import load


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    add_config(parser)


def run(args: argparse.Namespace) -> int:
    """Replace this process, so that what was needed to read the configuration takes no memory afterwards."""
    config = load(args.config, secrets=False)
    words = command(settings_descriptor(bridge_settings(config, child=False)))
    os.execv(words[0], words)  # noqa: S606 (our own interpreter, no shell wanted)
