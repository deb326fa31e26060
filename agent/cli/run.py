"""`tillwatch run`: the agent."""

from __future__ import annotations

import argparse

from agent import log
from agent.checks.tables import table_names
from agent.cli import add_config
from agent.config import Config, load
from agent.daemon import Daemon
from agent.errors import TillwatchError
from agent.fleet_store import FleetStore
from agent.phrase import phrase
from agent.texts import Texts
from drivers import registry
from drivers.codes import CodesError, check_site


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    add_config(parser)


def run(args: argparse.Namespace) -> int:
    """Run until SIGTERM or Ctrl-C; begin anew when the fleet has another configuration."""
    config = load(args.config)
    again = False
    while True:
        try:
            code, again = _run(config)
        except (TillwatchError, CodesError) as error:
            # It worked a moment ago: what is new is the configuration. The one before holds again.
            if not again or config.fleet_version is None:
                raise
            log.logger(agent=config.agent.id).error("fleet.undone", version=config.fleet_version, detail=str(error))
            reason = phrase("fleet.did_not_start", reason=str(error)).say(Texts("en"))
            FleetStore(config.agent.state_dir).go_back(reason)
            again = False
        else:
            if not again:
                return code
        config = load(args.config)


def _run(config: Config) -> tuple[int, bool]:
    """The exit code, and whether to begin anew."""
    check_site(table_names())  # a table that can't be used is told now, not at the first code
    for terminal in config.terminals:
        registry.code_book(terminal.protocol)
    log.configure(config.log.level, config.log.format)
    daemon = Daemon(config, log.logger(agent=config.agent.id))
    return daemon.run(), daemon.again
