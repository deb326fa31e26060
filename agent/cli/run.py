"""`tillwatch run`: the agent."""

from __future__ import annotations

import argparse

from agent import log
from agent.checks.tables import table_names
from agent.cli import add_config
from agent.config import load
from agent.daemon import Daemon
from drivers import registry
from drivers.codes import check_site


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    add_config(parser)


def run(args: argparse.Namespace) -> int:
    """Run until SIGTERM or Ctrl-C."""
    config = load(args.config)
    check_site(table_names())  # a table that can't be used is told now, not at the first code
    for terminal in config.terminals:
        registry.code_book(terminal.protocol)
    log.configure(config.log.level, config.log.format)
    return Daemon(config, log.logger(agent=config.agent.id)).run()
