"""`tillwatch run`: the agent."""

from __future__ import annotations

import argparse
from contextlib import suppress

from agent import log
from agent.checks.tables import table_names
from agent.cli import add_config
from agent.config import Config, load
from agent.daemon import Daemon
from agent.errors import NothingFoundError, TillwatchError
from agent.fleet_store import MOST_STARTS, FleetStore
from agent.phrase import phrase
from agent.texts import Texts
from drivers import registry
from drivers.codes import CodesError, check_site


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    add_config(parser)


def run(args: argparse.Namespace) -> int:
    """Run until SIGTERM or Ctrl-C; begin anew when the fleet has another configuration."""
    while True:
        config = load(args.config)
        store = FleetStore(config.agent.state_dir)
        starts = _begun(store, config)
        try:
            if starts > MOST_STARTS:
                raise NothingFoundError("fleet.crashed", starts=starts - 1)
            code, again = _run(config)
        except (TillwatchError, CodesError) as error:
            if not starts:
                raise
            # The fleet's version has never run for long: what does not work is taken to be its fault.
            log.logger(agent=config.agent.id).error("fleet.undone", version=config.fleet_version, detail=str(error))
            store.go_back(phrase("fleet.did_not_start", reason=str(error)).say(Texts("en")))
        else:
            if not again:
                with suppress(OSError):  # a full disk: the start counts, as a crash would
                    store.ended_well(config.fleet_version)
                return code


def _begun(store: FleetStore, config: Config) -> int:
    """How often an agent has begun with a version that is on trial; 0 when none is."""
    try:
        return store.begin(config.fleet_version)
    except OSError as error:
        log.logger(agent=config.agent.id).warning("fleet.not_counted", detail=str(error))
        return 0


def _run(config: Config) -> tuple[int, bool]:
    """The exit code, and whether to begin anew."""
    check_site(table_names())  # a table that can't be used is told now, not at the first code
    for terminal in config.terminals:
        registry.code_book(terminal.protocol)
    log.configure(config.log.level, config.log.format)
    daemon = Daemon(config, log.logger(agent=config.agent.id))
    return daemon.run(), daemon.again
